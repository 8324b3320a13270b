"""Archived frames compared with the service as it is now."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from etl.audit.archive import Audit, Task, audit
from etl.audit.source import Source, choose
from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn, Stream, publish
from etl.errors import LoginError, ServiceError
from etl.extract.auth import TOKEN_VARIABLE
from etl.load.folder import LocalFolder
from etl.pipeline import Job, convert
from tests.conftest import BBOX

FRAMES = 20


@pytest.fixture(scope="module")
def archived(europe: Stream, tmp_path_factory: pytest.TempPathFactory) -> LocalFolder:
    """All twenty frames; nothing here writes to it."""
    archive = tmp_path_factory.mktemp("archived") / "archive"
    with StandIn({"Europe": europe}) as service, pytest.MonkeyPatch.context() as patch:
        patch.setenv(TOKEN_VARIABLE, service.issue_token())
        convert(Job("Europe", str(archive), api_url=service.api_url))
    return LocalFolder(archive)


@pytest.fixture(autouse=True)
def token(service: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, service.issue_token())


def compared(store: LocalFolder, service: StandIn, count: int = FRAMES, seed: int = 1) -> Audit:
    task = Task(quick=True, source=Source(count, seed, service.api_url))
    ((found,), _) = audit(store, task, lambda done, planned: None)
    return found


def test_what_the_service_lists_is_what_was_archived(archived: LocalFolder, service: StandIn) -> None:
    found = compared(archived, service)
    assert found.verdict.findings == []
    assert found.verdict.notes == []
    assert found.frames_compared == FRAMES


def test_more_frames_than_there_are_is_all_of_them(archived: LocalFolder, service: StandIn) -> None:
    assert compared(archived, service, 1000).frames_compared == FRAMES


def test_frames_are_drawn_from_all_over_the_archive_and_again_with_the_same_seed() -> None:
    for seed in range(50):
        positions = choose(1000, 10, seed)
        assert [position // 100 for position in positions] == list(range(10))
        assert choose(1000, 10, seed) == positions
    assert len({tuple(choose(1000, 10, seed)) for seed in range(50)}) == 50
    assert choose(3, 10, 1) == [0, 1, 2]


def test_pixels_that_are_others_in_the_service_are_a_difference_of_that_frame(
    archived: LocalFolder, service: StandIn, scenes: list[SceneFrame], tmp_path: Path
) -> None:
    codes = scenes[6].codes.copy()
    codes[3, 7] ^= 64
    changed = [*scenes[:6], replace(scenes[6], codes=codes), *scenes[7:]]
    service.streams["Europe"] = publish(changed, tmp_path / "anew", BBOX, Encoding(lossless=True))

    (finding,) = compared(archived, service).verdict.findings

    assert finding.kind == "difference"
    assert finding.check == "source"
    assert finding.frame is not None
    assert finding.frame.position == 6
    assert finding.what.startswith("1 of 4200 pixels are others in the service now, by up to 0.0")
    assert finding.what.endswith("the first is at row 3, column 7")


def images(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def edit(answer: dict[str, Any]) -> dict[str, Any]:
        listed = list(answer["images"])
        change(listed)
        return answer | {"images": listed}

    return edit


def test_a_frame_that_is_listed_no_longer_is_named_and_the_others_are_compared(
    archived: LocalFolder, service: StandIn
) -> None:
    service.faults.metadata = images(lambda listed: listed.pop(4))
    found = compared(archived, service)
    (finding,) = found.verdict.findings
    assert str(finding).startswith("frame 5 (2021-03-03T")
    assert finding.what == "the service lists it no longer"
    assert finding.kind == "difference"
    assert found.frames_compared == FRAMES - 1


def test_a_frame_that_has_another_scale_now_is_named(archived: LocalFolder, service: StandIn) -> None:
    service.faults.metadata = images(lambda listed: listed[4].update(img_max_value=0.875))
    found = compared(archived, service)
    (finding,) = found.verdict.findings
    assert str(finding).startswith("frame 5 (2021-03-03T")
    assert "… 0.875 now, and was" in finding.what
    assert finding.kind == "difference"


def test_frames_that_have_other_numbers_now_are_compared_and_noted(
    archived: LocalFolder, service: StandIn, scenes: list[SceneFrame], tmp_path: Path
) -> None:
    service.streams["Europe"] = publish(scenes[2:], tmp_path / "shifted", BBOX, Encoding(lossless=True))
    found = compared(archived, service)
    assert [finding.what for finding in found.verdict.findings] == ["the service lists it no longer"] * 2
    assert len(found.verdict.notes) == found.frames_compared == FRAMES - 2
    assert found.verdict.notes[0].endswith("at position 2 has the number 1 in the stream now")


def test_another_grid_is_one_difference(archived: LocalFolder, service: StandIn) -> None:
    service.faults.metadata = lambda answer: answer | {"bbox": [-12.0, *answer["bbox"][1:]]}
    found = compared(archived, service)
    (finding,) = found.verdict.findings
    assert finding.what.startswith("the service's grid is another now")
    assert found.frames_compared == 0


def test_an_archived_frame_that_was_changed_differs_from_the_service(
    archived: LocalFolder, service: StandIn, tmp_path: Path
) -> None:
    store = LocalFolder(tmp_path / "copy")
    shutil.copytree(archived.root, store.root)
    frames = store.root / "europe/ndvi.zarr/ndvi/c"
    shutil.copy(frames / "2/0/0", frames / "3/0/0")
    (finding,) = compared(store, service).verdict.findings
    assert finding.frame is not None
    assert finding.frame.position == 3
    assert "pixels are others in the service now" in finding.what


def test_a_service_that_refuses_or_fails_is_an_error_and_no_finding(
    archived: LocalFolder, service: StandIn
) -> None:
    service.faults.forbidden = True
    refused = compared(archived, service)
    assert isinstance(refused.error, LoginError)
    assert refused.verdict.findings == []
    service.faults.forbidden = False
    service.faults.metadata = lambda answer: "no JSON"
    assert isinstance(compared(archived, service).error, ServiceError)


def test_codes_that_are_archived_as_no_data_are_compared_as_that(service: StandIn, tmp_path: Path) -> None:
    service.faults.nonfinite_scales = {3: ("inf", None)}
    archive = tmp_path / "archive"
    convert(Job("Europe", str(archive), api_url=service.api_url))
    found = compared(LocalFolder(archive), service)
    assert found.verdict.findings == []
    assert found.frames_compared == FRAMES
