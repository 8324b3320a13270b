"""Packing loses no more than it may, and says truly what it packed."""

from datetime import UTC, datetime
from math import isnan

import google_crc32c
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from etl.errors import StreamError
from etl.extract.frame import Codes, Frame, FrameEntry, Scale
from etl.transform.packing import crc32c, pack, recover_codes

LARGEST = 3.2767
"""The largest NDVI that int16 × 0.0001 holds on both sides of zero."""

NARROWEST = {8: 0.0256, 10: 0.1024, 12: 0.41}
"""Ranges from which on every code of so many bits has a stored value of its own."""

BITS = [8, 10, 12, 16]
LIMITED = settings(max_examples=60, deadline=None)
edges = st.floats(-LARGEST, LARGEST)


def _frame(codes: Codes, scale: Scale, bits: int = 12) -> Frame:
    return Frame(FrameEntry(17, datetime(2025, 3, 9, 10, 2, 31, tzinfo=UTC), "S3B", scale), codes, bits)


def _every_code(bits: int) -> Codes:
    codes = np.arange(1 << bits).reshape(1 << bits // 2, -1)
    return codes.astype(np.uint8) if bits == 8 else codes.astype(np.uint16)


def _random_codes(rows: int, columns: int) -> NDArray[np.uint16]:
    return np.random.default_rng(rows).integers(0, 4096, (rows, columns)).astype(np.uint16)


def _as_defined(codes: Codes, scale: Scale, bits: int) -> NDArray[np.float64]:
    """NDVI by the formula of the service, in float64."""
    share = codes.astype(np.float64) / (2**bits - 1)
    ndvi: NDArray[np.float64] = share * (scale.maximum - scale.minimum) + scale.minimum
    return ndvi


@LIMITED
@given(minimum=edges, maximum=edges, bits=st.sampled_from(BITS))
def test_every_code_of_every_scale_is_stored_within_half_a_step(
    minimum: float, maximum: float, bits: int
) -> None:
    codes, scale = _every_code(bits), Scale(minimum, maximum)
    stored = pack(_frame(codes, scale, bits)).values
    error = np.abs(stored / 10000 - _as_defined(codes, scale, bits))
    assert error.max() <= 0.00005 + 1e-14
    assert stored.min() > -32768


@LIMITED
@given(minimum=edges, width=st.floats(0, 2 * LARGEST), bits=st.sampled_from(list(NARROWEST)))
def test_codes_come_back_exactly_from_ranges_that_are_wide_enough(
    minimum: float, width: float, bits: int
) -> None:
    scale = Scale(minimum, minimum + width + NARROWEST[bits])
    assume(scale.maximum <= LARGEST)
    assume(scale.maximum - scale.minimum >= NARROWEST[bits])
    codes = _every_code(bits)
    recovered = recover_codes(pack(_frame(codes, scale, bits)).values, scale, bits)
    assert recovered.dtype == np.uint16
    np.testing.assert_array_equal(recovered, codes)


@pytest.mark.parametrize("minimum", [-LARGEST, -0.2, 0.0, 0.1234567, LARGEST - 0.41])
def test_the_narrowest_promised_range_gives_every_12_bit_code_back(minimum: float) -> None:
    scale = Scale(minimum, minimum + 0.41)
    codes = _every_code(12)
    np.testing.assert_array_equal(recover_codes(pack(_frame(codes, scale)).values, scale), codes)


@LIMITED
@given(minimum=edges, width=st.floats(0.01, 2 * LARGEST))
def test_16_bit_codes_come_back_as_near_as_the_stored_steps_allow(minimum: float, width: float) -> None:
    scale = Scale(minimum, minimum + width)
    assume(scale.maximum <= LARGEST)
    codes = _every_code(16)
    recovered = recover_codes(pack(_frame(codes, scale, 16)).values, scale, 16)
    error = np.abs(recovered.astype(np.int64) - codes.astype(np.int64))
    assert error.max() <= 0.00005 / (scale.maximum - scale.minimum) * 65535 + 0.501


@pytest.mark.parametrize(
    ("minimum", "maximum"),
    [
        (float("nan"), 1.0),
        (0.0, float("nan")),
        (float("inf"), float("-inf")),
        (float("-inf"), 1.0),
        (0.0, float("inf")),
    ],
)
@pytest.mark.parametrize("bits", BITS)
def test_a_scale_that_is_not_finite_makes_a_frame_of_fill(minimum: float, maximum: float, bits: int) -> None:
    packed = pack(_frame(_every_code(bits), Scale(minimum, maximum), bits))
    assert np.all(packed.values == -32768)
    assert packed.valid_fraction == 0
    assert isnan(packed.mean)
    assert packed.checksum == google_crc32c.value(packed.values.tobytes())


@pytest.mark.parametrize(("minimum", "maximum"), [(0.00015, 0.00015), (-0.298, 0.31625)])
def test_scales_on_many_ties_are_rounded_as_the_definition_says(minimum: float, maximum: float) -> None:
    codes, scale = _every_code(12), Scale(minimum, maximum)
    packed = pack(_frame(codes, scale))
    np.testing.assert_array_equal(packed.values, np.rint(_as_defined(codes, scale, 12) / 0.0001))
    valid = packed.values[packed.values >= 500]
    assert packed.valid_fraction == valid.size / codes.size
    assert packed.mean == pytest.approx(valid.mean() * 0.0001) if valid.size else isnan(packed.mean)


@pytest.mark.parametrize("edge", [LARGEST, -LARGEST])
def test_the_largest_ndvi_that_fits_is_stored(edge: float) -> None:
    packed = pack(_frame(_every_code(12), Scale(0.0, edge)))
    assert packed.values[-1, -1] == round(edge * 10000)


@pytest.mark.parametrize(
    ("minimum", "maximum"),
    [
        (0.0, 3.2768),
        (-3.2768, 0.0),
        (0.0, 255.0),
        (-1e308, 1e308),
        (-1.7e308, 1.7e308),
        (1e308, 1e308),
        (0.0, 1e305),
    ],
)
def test_a_scale_beyond_int16_is_refused_by_the_name_of_its_frame(minimum: float, maximum: float) -> None:
    with pytest.raises(StreamError, match=r"frame 17 \(2025-03-09T10:02:31 S3B\)") as refusal:
        pack(_frame(_every_code(12), Scale(minimum, maximum)))
    assert refusal.value.number == 17


@pytest.mark.parametrize(
    "buffer", [np.full((37, 46), 255, np.uint8), np.full((37, 76), 255, np.uint16)], ids=["uint8", "uint16"]
)
def test_padding_of_the_rows_in_memory_is_not_seen(buffer: Codes) -> None:
    columns = 45
    buffer[:, :columns] = np.random.default_rng(1).integers(0, 200, (37, columns))
    buffer.setflags(write=False)
    view = buffer[:, :columns]
    assert not view.flags.c_contiguous
    from_view = pack(_frame(view, Scale(-0.1, 0.9), 8))
    from_copy = pack(_frame(view.copy(), Scale(-0.1, 0.9), 8))
    np.testing.assert_array_equal(from_view.values, from_copy.values)
    assert from_view.values.flags.c_contiguous
    assert (from_view.checksum, from_view.mean, from_view.valid_fraction) == (
        from_copy.checksum,
        from_copy.mean,
        from_copy.valid_fraction,
    )


def test_uint8_and_uint16_codes_of_the_same_bits_pack_alike() -> None:
    codes = _every_code(8)
    narrow = pack(_frame(codes.astype(np.uint8), Scale(-0.08, 0.92), 8))
    wide = pack(_frame(codes.astype(np.uint16), Scale(-0.08, 0.92), 8))
    np.testing.assert_array_equal(narrow.values, wide.values)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(1, 1), (1, 200_003), (200_003, 1), (3, 65_536), (5, 65_537), (300, 301), (2, 40_000)],
)
def test_frames_of_any_shape_pack_as_if_in_one_piece(rows: int, columns: int) -> None:
    codes, scale = _random_codes(rows, columns), Scale(-0.3, 0.8)
    packed = pack(_frame(codes, scale))
    expected = np.rint(_as_defined(codes, scale, 12) / 0.0001)
    np.testing.assert_array_equal(packed.values, expected)

    valid = expected[expected >= 500] / 10000
    assert packed.valid_fraction == valid.size / expected.size
    assert packed.mean == pytest.approx(valid.mean() if valid.size else float("nan"), rel=1e-12, nan_ok=True)
    assert packed.checksum == google_crc32c.value(packed.values.astype("<i2").tobytes())
    assert packed.checksum == crc32c(packed.values)


def test_ndvi_of_exactly_0_05_counts_and_less_does_not() -> None:
    codes = np.array([[0, 499, 500, 501]], np.uint16)
    packed = pack(_frame(codes, Scale(0.0, 0.4095)))
    np.testing.assert_array_equal(packed.values, codes)
    assert packed.valid_fraction == 0.5
    assert packed.mean == pytest.approx(0.05005)


def test_a_frame_without_valid_pixels_has_no_mean() -> None:
    packed = pack(_frame(_every_code(12), Scale(-0.9, 0.0499)))
    assert packed.valid_fraction == 0
    assert isnan(packed.mean)


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_the_checksum_is_the_crc32c_of_rfc_3720(data: bytes, checksum: int) -> None:
    values = np.frombuffer(data, "<i2").reshape(4, 4)
    assert crc32c(values) == checksum
    assert crc32c(values.astype(">i2")) == checksum
    assert crc32c(np.asfortranarray(values)) == checksum


def test_the_checksum_of_a_packed_frame_is_that_of_rfc_3720() -> None:
    assert pack(_frame(_every_code(12)[:4, :4], Scale(0.0, 0.0))).checksum == 0x8A9136AA
