"""The plain xarray way: one Zarr array, a frame appended at a time, packed and chunked as ours.

python -m benchmarks.appended CLIP-FOLDER OUTPUT.zarr
"""

import sys
from pathlib import Path

import numpy as np

from .clips import load
from .pipe import ndvi_frames, to_ndvi

PACKED = {"dtype": "int16", "scale_factor": 0.0001, "_FillValue": -32768}


def main() -> None:
    """Convert all frames."""
    clip, output = load(Path(sys.argv[1])), Path(sys.argv[2])
    chunks = (1, min(512, clip.clip.rows), min(512, clip.clip.columns))
    for number, frame in enumerate(ndvi_frames(clip)):
        ndvi = to_ndvi(frame).expand_dims(time=[np.datetime64(frame.attrs["time"], "ns")])
        dataset = ndvi.drop_attrs().to_dataset(name="ndvi")
        dataset["satellite"] = ("time", np.array([1 if frame.attrs["satellite"] == "S3A" else 2], np.int8))
        if number:
            dataset.to_zarr(output, append_dim="time")
        else:
            time = {"units": "seconds since 1970-01-01", "dtype": "int64", "chunks": (4096,)}
            encoding = {"ndvi": {**PACKED, "chunks": chunks}, "time": time, "satellite": {"chunks": (4096,)}}
            dataset.to_zarr(output, mode="w", zarr_format=3, consolidated=False, encoding=encoding)


if __name__ == "__main__":
    main()
