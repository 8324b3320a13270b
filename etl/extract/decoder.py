"""Whether the FFmpeg that is installed decodes what the service sends: HEVC of 12 bits, exactly."""

from base64 import b64decode

import av
import numpy as np

from etl.errors import ArchiveError
from etl.extract.frame import Codes

_PICTURE = b64decode(
    "AAAAAUABDAH//wQIAAADAJnoAAADAAD/ugJAAAAAAUIBAQQIAAADAJnoAAADAAD/wiERSluqttrmwIAAAAMAgAAADIQAAAAB"
    "RAHBcYkSAAABKAGuC3AsezQzH///TlWe0P86btPgZq2XOFLi3mlNYAQtl5rS6QZpr+AKVZea5pr+AKVmmohdAD/+D//6W//B"
    "1/wQ/0R/4Iv2//AD/RL/gj/cP8Af9Ev3D/AH9w7srUmgABJfcZf+YWnuJ4Le4UoqtvgvantpJSj0W+VVvE2pLKPPbxNqSW5s"
    "AAHR8eR/1u3eO2yjW8Kqwxr7HneLnQqyVGxg+7Au6KrJHuwLuf7h8nA="
)
"""16 × 16 pixels, 12-bit gray, lossless (x265): row r has the code r × 4095 // 15."""

_REMEDY = "install PyAV as its own wheel, which brings FFmpeg: pip install --force-reinstall av"


def check_decoder() -> None:
    """Decode a known picture.

    Raises:
        ArchiveError: There is no such decoder, or its codes are others.
    """
    expected: Codes = np.repeat(np.arange(16, dtype=np.uint16)[:, None] * 4095 // 15, 16, axis=1)
    try:
        decoder = av.CodecContext.create("hevc", "r")
        assert isinstance(decoder, av.VideoCodecContext)  # noqa: S101 - hevc is a video codec to FFmpeg
        (frame,) = [*decoder.decode(av.Packet(_PICTURE)), *decoder.decode(None)]
        codes = frame.to_ndarray(format="gray12le")
    except (av.FFmpegError, ValueError) as error:
        raise ArchiveError(f"FFmpeg here does not decode 12-bit HEVC: {error}", _REMEDY) from error
    if frame.format.name != "gray12le" or not np.array_equal(codes, expected):
        raise ArchiveError("FFmpeg here decodes 12-bit HEVC to other values", _REMEDY)
