"""What a report tells people and machines."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from etl.extract.frame import FrameEntry, Scale
from etl.report import RunReport, ago, duration, json_line

START = datetime(2021, 3, 11, 2, 30, tzinfo=UTC)


def report(**fields: object) -> RunReport:
    return RunReport("Europe", "/data", START, **fields)  # type: ignore[arg-type]


def entries(count: int) -> list[FrameEntry]:
    """A frame a day of two satellites in turn; the third holds no data."""
    return [
        FrameEntry(
            number,
            START + timedelta(days=number),
            "S3A" if number % 2 else "S3B",
            Scale(-0.1, float("inf") if number == 3 else 0.9),
        )
        for number in range(1, count + 1)
    ]


def test_committed_frames_are_counted_by_satellite_and_dates() -> None:
    run = report(planned=4)

    run.count(entries(4)[:2])
    run.count([])
    run.count(entries(4)[2:])

    assert (run.archived, run.empty, run.satellites) == (4, 1, {"S3A": 2, "S3B": 2})
    assert (run.first_time, run.last_time) == (START + timedelta(days=1), START + timedelta(days=4))


def test_all_figures_are_in_the_json() -> None:
    run = report(late=["frame 4"], newest_time=START, stale=True, exit_code=0, finished=START)

    found = json.loads(run.to_json())

    assert set(found) == set(RunReport.__dataclass_fields__)
    assert found["late"] == ["frame 4"]
    assert found["newest_time"] == found["finished"] == found["started"] == "2021-03-11T02:30:00+00:00"
    assert (found["stale"], found["exit_code"], found["error"]) == (True, 0, None)


def test_json_has_no_numbers_that_are_none() -> None:
    text = report(seconds={"extract": float("nan"), "load": float("inf"), "catalog": 1.5}).to_json()

    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["seconds"] == {"extract": None, "load": None, "catalog": 1.5}


def test_json_of_anything_is_one_line() -> None:
    value = {"a": (1, None, True), 2: {"text\n": START}, "entry": entries(1)[0]}

    text = json_line(value)

    assert "\n" not in text
    assert json.loads(text) == {
        "a": [1, None, True],
        "2": {"text\n": "2021-03-11T02:30:00+00:00"},
        "entry": "frame 1 (2021-03-12T02:30:00 S3A)",
    }


def test_nothing_new_is_told_in_two_lines() -> None:
    assert report(skipped=7).summary().splitlines() == [
        "Europe: 0 frames archived, 7 there before",
        "  0 B read, 0 B written",
    ]


def test_the_summary_names_all_that_is_odd() -> None:
    run = report(
        planned=3,
        archived=1,
        empty=1,
        late=["frame 4", "frame 5", "frame 6", "frame 7"],
        republished=["frame 1"],
        renumbered=["frame 2", "frame 3"],
        withdrawn=["frame 8"],
        duplicates=["frame 9"],
        retries=1,
        bytes_in=1500,
        seconds={"extract": 61.25},
    )

    assert run.summary().splitlines() == [
        "Europe: 1 frame archived, 0 there before, 2 not reached",
        "  1 frame without data, archived as such",
        "  4 frames late, not archived: frame 4, frame 5, frame 6 …",
        "  1 frame published anew with other values, kept as archived: frame 1",
        "  2 frames with another number in the stream now: frame 2, frame 3",
        "  1 frame archived, and no longer listed by the service: frame 8",
        "  1 frame left out: another has the same time and satellite: frame 9",
        "  1.5 kB read, 0 B written, 1 retry; extract 1 min 1 s",
    ]


ODD = {"late": ["a"], "republished": ["b"], "renumbered": ["c"], "withdrawn": ["d", "e"]}


@pytest.mark.parametrize(
    ("dropped", "withdrawn"),
    [(0, "archived, and no longer listed by the service"), (2, "no longer listed by the service, dropped")],
)
def test_the_summary_of_a_rebuild_tells_what_it_did_with_odd_frames(dropped: int, withdrawn: str) -> None:
    run = report(rebuild=True, replaced=True, planned=9, archived=9, dropped=dropped, **ODD)

    assert run.summary().splitlines()[:-1] == [
        "Europe rebuilt: 9 frames, 9 from the service and 0 taken over from the archive",
        "  1 frame late, taken by the rebuild: a",
        "  1 frame published again with other values, taken by the rebuild: b",
        "  1 frame with another number in the stream, taken by the rebuild: c",
        f"  2 frames {withdrawn}: d, e",
    ]


def test_a_rebuild_that_did_not_end_has_done_nothing_with_odd_frames() -> None:
    lines = report(rebuild=True, planned=9, archived=3, **ODD).summary().splitlines()

    assert lines[:3] == [
        "Europe: 3 of 9 frames rebuilt; the archive is as it was",
        "  1 frame late, not archived: a",
        "  1 frame published anew with other values, kept as archived: b",
    ]


@pytest.mark.parametrize(
    ("stale", "ending"),
    [
        (None, ", 3 days ago"),
        (False, ", 3 days ago"),
        (True, ", 3 days ago: nothing new for longer than allowed"),
    ],
)
def test_the_summary_tells_how_old_the_newest_frame_is(stale: bool | None, ending: str) -> None:
    newest = datetime.now(UTC) - timedelta(days=3, hours=2)

    (line,) = [
        line for line in report(newest_time=newest, stale=stale).summary().splitlines() if "newest" in line
    ]

    assert line == f"  the newest frame is of {newest:%Y-%m-%d %H:%M} UTC{ending}"


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(hours=2, minutes=1), "2 hours ago"),
        (timedelta(days=1, hours=3), "a day ago"),
        (timedelta(days=45, hours=3), "45 days ago"),
        (timedelta(days=-2, hours=-1), "2 days from now"),
    ],
)
def test_ages_are_told_in_words(age: timedelta, words: str) -> None:
    assert ago(datetime.now(UTC) - age) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.7, "1 min 0 s"),
        (200.9, "3 min 21 s"),
        (3599.9, "1 h 0 min"),
        (7530, "2 h 5 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_durations_are_told_in_their_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words
