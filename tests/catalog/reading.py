"""Reading what was published."""

import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Document = dict[str, Any]


def read_json(path: Path) -> Document:
    document: Document = json.loads(path.read_text("utf-8"))
    return document


def decode_png(png: bytes) -> NDArray[np.uint8]:
    """RGBA, shape (rows, columns, 4)."""
    with av.open(io.BytesIO(png), mode="r") as container:
        frame = next(container.decode(video=0))
    assert isinstance(frame, av.VideoFrame)
    return frame.to_ndarray(format="rgba").astype(np.uint8)
