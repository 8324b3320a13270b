"""The names of files that hold one frame each."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

_PRECISIONS = ("%Y%m%d", "%Y%m%d_%H%M", "%Y%m%d_%H%M%S")


def file_names(continent: str, times: Sequence[datetime], satellites: Sequence[str]) -> list[str]:
    """A name for each frame, such as `NDVI_Europe_S3A_20210301`, without an extension.

    Where a satellite has several frames on a day, their names have the time too, to the minute, or to the
    second where that does not tell them apart. Give all frames of a continent: the name of one then does
    not depend on which of them are written.

    Args:
        continent: name of the continent; what parts its words becomes a hyphen.
        times: sensing start of every frame, UTC.
        satellites: satellite of every frame; time and satellite together are unique.
    """
    frames = list(zip(times, satellites, strict=True))
    precise = dict.fromkeys(frames, 0)
    for precision, form in enumerate(_PRECISIONS[1:]):
        shared = Counter((satellite, time.strftime(_PRECISIONS[precision])) for time, satellite in frames)
        for time, satellite in frames:
            if shared[satellite, time.strftime(_PRECISIONS[precision])] > 1:
                precise[time, satellite] = _PRECISIONS.index(form)
    words = re.sub("[ _]", "-", continent)
    return [
        f"NDVI_{words}_{satellite}_{time.strftime(_PRECISIONS[precise[time, satellite]])}"
        for time, satellite in frames
    ]
