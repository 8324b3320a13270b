"""A signal that comes while FFmpeg asks for bytes ends the run, and makes no frame wrong."""

import signal
import sys
import weakref
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from etl.demo.encoder import Container, Encoding
from etl.demo.service import StandIn
from etl.extract.careful import CarefulReader
from etl.signals import Interrupted, deferred, ending_on_signals
from tests.extract.clips import drawn, made, opened, read, served

_CODES = (CarefulReader.read.__code__, CarefulReader.seek.__code__)


@pytest.mark.parametrize("moment", ["call", "return"])
@pytest.mark.parametrize("container", ["mp4", "hls-ts", "ts"])
def test_a_signal_on_either_edge_of_any_read_or_seek_ends_the_reading_and_makes_no_frame_wrong(
    server: StandIn, tmp_path: Path, capfd: pytest.CaptureFixture[str], container: Container, moment: str
) -> None:
    """An exception there is outside of all that could keep it: FFmpeg would take it for the stream's end."""
    encoding = Encoding(container, lossless=True, gop=8, segment_seconds=0.3, index_first=False)
    clip = made(drawn(24), tmp_path / "clip", encoding)
    url = served(server, clip)
    struck = 0
    while True:
        reads = 0

        def strike(frame: FrameType, event: str, argument: Any) -> None:  # noqa: ANN401 - of the profiler
            nonlocal reads
            if frame.f_code in _CODES and event == moment:
                reads += 1
                if reads == struck + 1:  # noqa: B023 - used within the same turn
                    signal.raise_signal(signal.SIGTERM)

        with ending_on_signals():
            sys.setprofile(strike)
            try:
                outcome = read(opened(url, clip), clip)
            except Interrupted:
                struck += 1
                continue
            finally:
                sys.setprofile(None)
        assert outcome.numbers == clip.numbers
        assert reads <= struck
        break
    assert struck >= 1
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_whose_exception_python_drops_ends_the_run_at_the_next_boundary() -> None:
    opened = set[int]()
    weakref.finalize(opened, signal.raise_signal, signal.SIGTERM)
    done = []
    with pytest.raises(Interrupted), ending_on_signals():  # noqa: PT012 - what comes after matters
        del opened
        done.append("went on")
        with deferred():
            done.append("to the end of the step")
        done.append("and beyond")
    assert done == ["went on", "to the end of the step"]
    with ending_on_signals(), deferred():
        done.append("the next run is not concerned")


def test_cleaning_up_after_a_signal_is_not_disturbed_by_it_again() -> None:
    done = []
    with pytest.raises(Interrupted), ending_on_signals():  # noqa: PT012 - what comes after matters
        try:
            signal.raise_signal(signal.SIGTERM)
        except Interrupted:
            for step in ("commit", "publish"):
                with deferred():
                    done.append(step)
            raise
    assert done == ["commit", "publish"]
