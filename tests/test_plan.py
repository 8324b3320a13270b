"""What is new, archived, late or changed, from the listed and the archived frames alone."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from etl.errors import ServiceError
from etl.extract.frame import SATELLITES, FrameEntry, Scale
from etl.load.folder import LocalFolder
from etl.load.inventory import Inventory
from etl.load.schema import COLUMNS
from etl.plan import Plan, plan_frames
from etl.transform.grid import Grid

NONE = Scale(float("nan"), float("inf"))


def entry(number: int, day: int, satellite: str = "S3A", scale: Scale = Scale(0.0, 0.9)) -> FrameEntry:  # noqa: B008
    return FrameEntry(number, datetime(2021, 3, day, 10, tzinfo=UTC), satellite, scale)


def archived(entries: Sequence[FrameEntry]) -> Inventory:
    """An inventory of these frames; nothing of it is stored anywhere."""
    values = {
        "time": [int(each.time.timestamp()) for each in entries],
        "satellite": [SATELLITES[each.satellite] for each in entries],
        "frame_number": [each.number for each in entries],
        "source_min": [each.scale.minimum for each in entries],
        "source_max": [each.scale.maximum for each in entries],
    }
    columns = {name: np.array(values[name], COLUMNS[name].dtype) for name in values}
    return Inventory(LocalFolder(Path()), "europe", "Europe", Grid(1, 1, (0, 0, 1, 1)), 12, {}, columns)


def test_all_is_new_where_nothing_is_archived() -> None:
    listed = [entry(2, 2), entry(1, 1)]

    assert plan_frames(listed, None) == Plan(new=(listed[1], listed[0]))


def test_frames_of_one_time_are_in_the_order_of_the_stream() -> None:
    listed = [entry(2, 1, "S3A"), entry(1, 1, "S3B"), entry(3, 1, "S3C")]

    assert [each.number for each in plan_frames(listed, None).new] == [1, 2, 3]


def test_what_is_archived_as_listed_is_not_new() -> None:
    listed = [entry(1, 1), entry(2, 1, "S3B", NONE), entry(3, 2)]

    plan = plan_frames(listed, archived(listed[:2]))

    assert plan == Plan(new=(listed[2],), archived=tuple(listed[:2]))


def test_a_frame_of_the_newest_time_and_another_satellite_is_new() -> None:
    listed = [entry(1, 1), entry(2, 1, "S3B")]

    assert plan_frames(listed, archived(listed[:1])).new == (listed[1],)


def test_an_absent_frame_older_than_the_newest_is_late() -> None:
    listed = [entry(1, 1), entry(2, 2), entry(3, 3)]

    assert plan_frames(listed, archived([listed[0], listed[2]])).late == (listed[1],)


@pytest.mark.parametrize("scale", [Scale(0.0, 0.8), Scale(-0.1, 0.9), NONE])
def test_an_archived_frame_with_another_scale_is_republished(scale: Scale) -> None:
    now = entry(1, 1, scale=scale)

    assert plan_frames([now], archived([entry(1, 1)])) == Plan(republished=(now,))


@pytest.mark.parametrize("scale", [Scale(0.0, 0.9), NONE])
def test_an_archived_frame_with_another_number_is_the_same_frame_renumbered(scale: Scale) -> None:
    now = entry(7, 1, scale=scale)

    assert plan_frames([now], archived([entry(1, 1, scale=scale)])) == Plan(
        archived=(now,), renumbered=(now,)
    )


def test_all_scales_that_are_not_finite_are_the_same() -> None:
    now = entry(1, 1, scale=Scale(float("-inf"), float("nan")))

    assert plan_frames([now], archived([entry(1, 1, scale=NONE)])) == Plan(archived=(now,))


def test_an_archived_frame_that_is_not_listed_is_withdrawn() -> None:
    known = [entry(1, 1), entry(2, 2), entry(3, 3)]

    assert plan_frames([known[0], known[2]], archived(known)).withdrawn == (known[1],)


def test_frames_outside_the_dates_are_neither_new_nor_withdrawn() -> None:
    known = [entry(1, 1), entry(2, 2), entry(3, 3)]
    listed = [entry(4, 4), entry(5, 5)]

    plan = plan_frames(listed, archived(known), known[1].time, listed[0].time)

    assert plan == Plan(new=(listed[0],), withdrawn=tuple(known[1:]))


@pytest.mark.parametrize(("policy", "chosen"), [("first", 2), ("last", 5)])
def test_of_two_frames_of_one_satellite_at_one_time_the_one_asked_for_is_taken(
    policy: Literal["first", "last"], chosen: int
) -> None:
    listed = [entry(5, 1), entry(2, 1), entry(3, 1, "S3B")]

    plan = plan_frames(listed, None, duplicates=policy)

    assert sorted(each.number for each in plan.new) == sorted([3, chosen])
    assert [each.number for each in plan.duplicates] == [7 - chosen]


def test_two_frames_of_one_satellite_at_one_time_can_be_refused() -> None:
    with pytest.raises(ServiceError, match=r"frame 2 .* and frame 5"):
        plan_frames([entry(5, 1), entry(2, 1)], None, duplicates="refuse")
