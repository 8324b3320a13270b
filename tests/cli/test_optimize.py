"""`ndvi-archive optimize`, and what the other commands make of a series."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import etl
from etl.demo.service import StandIn, Stream
from etl.errors import UsageError
from tests.load.buckets import BUCKET, s3_server, variables
from tests.program import contents, convert, run, with_token


@pytest.fixture(scope="module")
def pristine(europe: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighteen of twenty frames, sixteen of them in a series with periods of eight."""
    archive = tmp_path_factory.mktemp("pristine") / "archive"
    with StandIn({"Europe": europe}) as service:
        assert convert(service, archive, "--end", "2021-03-09").code == 0
    done = run(
        "optimize", "Europe", "--archive", archive, "--period", "8", "--report", archive.parent / "r.json"
    )
    assert done.code == 0, done.err
    return archive


@pytest.fixture
def optimized(pristine: Path, archive: Path) -> Path:
    shutil.copytree(pristine, archive)
    return archive


def test_what_was_done_is_told(pristine: Path) -> None:
    report = json.loads((pristine.parent / "r.json").read_text())

    assert {name: report[name] for name in ("frames", "optimised", "in_series", "period", "exit_code")} == {
        "frames": 18,
        "optimised": 16,
        "in_series": 16,
        "period": 8,
        "exit_code": 0,
    }
    assert report["bytes_out"] > 10_000
    info = json.loads(run("info", "--archive", pristine, "--json").out)
    assert info[0]["in_series"] == 16
    assert "16 frames in the series" in run("info", "--archive", pristine).out
    assert run("verify", "--archive", pristine).out == (
        "Europe: 18 frames, 18 read, 16 of them in the series; nothing wrong\n"
    )


def test_the_catalog_leads_to_it(pristine: Path) -> None:
    collection = json.loads((pristine / "europe/collection.json").read_text())

    asset = collection["assets"]["series"]

    assert asset["href"] == "./ndvi.zarr/series"
    assert (
        "The first 16 of 18 frames, up to 2021-03-08, in chunks of 8 frames × 32 × 32" in asset["description"]
    )
    assert not any("series" in name for name in collection["cube:variables"])
    opened = xr.open_zarr(pristine / "europe" / asset["href"], chunks=None)
    assert opened.sizes["time"] == asset["ndvi_archive:frames"] == 16


def test_again_there_is_nothing_to_do(optimized: Path) -> None:
    before = contents(optimized)

    ended = run("optimize", "Europe", "--archive", optimized, "--period", "4")

    assert ended.code == 0
    assert ended.out == "Europe: 0 frames put into the series, which has 16 of 18 now; 0 B written\n"
    assert "the series has periods of 8 frames and keeps them" in ended.err
    assert contents(optimized) == before


@pytest.mark.parametrize("mask", [True, False])
def test_analysts_find_every_frame_with_the_same_values_in_either_layout(
    pristine: Path, *, mask: bool
) -> None:
    frames = etl.open_archive(str(pristine), "Europe", mask=mask)

    series = etl.open_archive(str(pristine), "Europe", mask=mask, layout="series")

    assert series.ndvi.chunks == ((8, 8, 1, 1), (50,), (84,))
    xr.testing.assert_identical(series.compute(), frames.compute())
    for part in (
        {"latitude": 3, "longitude": 80},
        {"time": slice(3, None, 4), "latitude": slice(40, 50, 3)},
        {"time": [0, 7, 8, 17], "longitude": [5, 1]},
        {"time": slice(None, None, -1), "latitude": slice(9, 2, -2)},
        {"time": -1},
        {"time": slice(4, 4)},
    ):
        xr.testing.assert_identical(series.ndvi.isel(part).compute(), frames.ndvi.isel(part).compute())


def test_nothing_but_what_is_selected_is_read(optimized: Path) -> None:
    """Although frames in the series have lost their own objects, and it all of its chunks but one."""
    opened = etl.open_archive(str(optimized), "Europe", layout="series")
    wanted = etl.open_archive(str(optimized), "Europe").ndvi[:, 40, 70].values
    group = optimized / "europe/ndvi.zarr"
    for position in range(16):
        (group / f"ndvi/c/{position}/0/0").unlink()
    for shard in (group / "series/ndvi/c").glob("*/0/0"):
        data = bytearray(shard.read_bytes())
        places = np.frombuffer(bytes(data[-100:-4]), "<u8").reshape(2, 3, 2)
        for row, column in np.ndindex(2, 3):
            if (row, column) != (1, 2):
                offset, length = places[row, column].tolist()
                data[offset : offset + length] = bytes(length)
        shard.write_bytes(data)

    np.testing.assert_array_equal(opened.ndvi[:, 40, 70].values, wanted)
    with pytest.raises((RuntimeError, ValueError)):
        opened.ndvi[:, 0, 70].compute()


def test_without_a_series_frames_are_read_and_that_is_said(service: StandIn, archive: Path) -> None:
    convert(service, archive, "--end", "2021-03-02")

    with pytest.warns(UserWarning, match="Europe has no series: frames are read"):
        opened = etl.open_archive(str(archive), "Europe", layout="series")

    xr.testing.assert_identical(opened.compute(), etl.open_archive(str(archive), "Europe").compute())


def test_a_layout_that_there_is_not_is_refused(pristine: Path) -> None:
    with pytest.raises(UsageError, match="there is no layout 'cubes'"):
        etl.open_archive(str(pristine), "Europe", layout="cubes")  # type: ignore[arg-type]


def test_convert_goes_on_and_extends_it_where_that_is_asked_for(service: StandIn, optimized: Path) -> None:
    before = contents(optimized / "europe/ndvi.zarr/series")
    assert convert(service, optimized).code == 0
    assert contents(optimized / "europe/ndvi.zarr/series") == before
    assert run("verify", "--archive", optimized).code == 0

    rebuilt = convert(service, optimized, "--rebuild", "--optimize", "--report", optimized.parent / "r.json")

    assert rebuilt.code == 0, rebuilt.err
    # A new series has the usual period of 32 frames, and there are 20.
    assert json.loads((optimized.parent / "r.json").read_text())["optimised"] == 0
    assert json.loads(run("info", "--archive", optimized, "--json").out)[0]["in_series"] == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        joined = etl.open_archive(str(optimized), "Europe", layout="series").compute()
    xr.testing.assert_identical(joined, etl.open_archive(str(optimized), "Europe").compute())


def test_a_night_extends_it(service: StandIn, optimized: Path, tmp_path: Path) -> None:
    config = tmp_path / "nightly.toml"
    config.write_text(f'archive = "{optimized}"\noptimize = true\n[[continents]]\nname = "Europe"\n')
    # Of the sixteen in the series, eight are dropped: as before its last commit.
    for place in ("zarr.json", "series/zarr.json"):
        path = optimized / "europe/ndvi.zarr" / place
        document = json.loads(path.read_text())
        arrays = document["consolidated_metadata"]["metadata"]
        prefix = "series/" if place == "zarr.json" else ""
        for name in ("ndvi", "time", "satellite"):
            arrays[f"{prefix}{name}"]["shape"][0] = 8
        path.write_text(json.dumps(document))

    ended = run("nightly", "--config", config, "--report", tmp_path / "r.json", variables=with_token(service))

    assert ended.code == 0, ended.err
    (report,) = json.loads((tmp_path / "r.json").read_text())["continents"]
    assert (report["archived"], report["optimised"]) == (2, 8)
    assert run("verify", "--archive", optimized).out == (
        "Europe: 20 frames, 20 read, 16 of them in the series; nothing wrong\n"
    )


def test_a_damaged_frame_is_named_with_exit_code_6_and_what_verify_finds_is_mended(optimized: Path) -> None:
    group = optimized / "europe/ndvi.zarr"
    shard = group / "series/ndvi/c/1/0/0"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    found = run("verify", "Europe", "--archive", optimized)
    assert found.code == 6
    assert "its object is cut off or damaged" in found.out
    assert "[europe/ndvi.zarr/series/ndvi/c/1/0/0]" in found.out

    ended = run("optimize", "Europe", "--archive", optimized, "--rewrite")

    assert ended.out.startswith(
        "Europe: 0 frames put into the series, 16 written again, which has 16 of 18 now;"
    )
    assert shard.read_bytes() == whole
    assert run("verify", "Europe", "--archive", optimized).code == 0
    (group / "ndvi/c/11/0/0").write_bytes((group / "ndvi/c/10/0/0").read_bytes())
    ended = run("optimize", "Europe", "--archive", optimized, "--rewrite")
    assert ended.code == 6
    assert ended.error.startswith("frame 12 (2021-03-06T")
    assert "its values do not have its checksum" in ended.error


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (("Asia",), 2, "nothing of Asia is archived"),
        (("Europe", "--report", "no/such/r.json"), 2, "there is no folder no/such"),
    ],
)
def test_what_cannot_be_done_is_told(
    optimized: Path, arguments: tuple[str, ...], code: int, what: str
) -> None:
    ended = run("optimize", *arguments, "--archive", optimized)

    assert ended.code == code
    assert what in ended.error
    assert not (optimized / "asia").exists()


def test_in_a_bucket_too(service: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as address:
        for name, value in variables(address).items():
            monkeypatch.setenv(name, value)
        place = f"s3://{BUCKET}/optimized"
        environment = with_token(service) | variables(address)
        assert run("convert", "Europe", "--archive", place, variables=environment).code == 0
        ended = run("optimize", "Europe", "--archive", place, "--period", "8", variables=environment)
        assert ended.code == 0, ended.err
        assert run("verify", "--archive", place, variables=environment).out == (
            "Europe: 20 frames, 20 read, 16 of them in the series; nothing wrong\n"
        )

        joined = etl.open_archive(place, "Europe", layout="series")

        xr.testing.assert_identical(joined.compute(), etl.open_archive(place, "Europe").compute())
