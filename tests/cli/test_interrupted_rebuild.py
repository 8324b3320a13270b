"""A run that finds a rebuild interrupted in its last step completes it, and does what it was asked for."""

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from etl.demo.scene import SceneFrame
from etl.demo.service import Image, StandIn, Stream
from etl.errors import StorageError
from etl.load.folder import LocalFolder
from etl.load.recovery import recover
from etl.pipeline import Job
from etl.pipeline.asking import ask
from etl.pipeline.job import Run, service_of
from etl.pipeline.rebuild import rebuild
from etl.report import RunReport
from tests.cli.test_convert import assert_holds, stored
from tests.forked import started
from tests.load.archives import WatchedFolder, WithoutExchange
from tests.program import Ended, convert, run, with_token

LATE = 4
LISTED = 18
PATIENCE = 120.0
SIDE = "europe/.rebuild/ndvi.zarr"


def offer(service: StandIn, stream: Stream, images: Sequence[Image]) -> None:
    service.streams["Europe"] = replace(stream, images=tuple(images))


@pytest.fixture(scope="module")
def begun(europe: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the first eighteen frames, the fourth missing: the service lists it by now."""
    archive = tmp_path_factory.mktemp("begun") / "archive"
    with StandIn({"Europe": europe}) as service:
        offer(service, europe, [image for image in europe.images[:LISTED] if image.number != LATE])
        assert convert(service, archive).code == 0
    return archive


@pytest.fixture
def service(service: StandIn, europe: Stream, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """It lists the first eighteen frames; the variables of this process hold a token for it."""
    monkeypatch.setenv("NDVI_ARCHIVE_TOKEN", service.issue_token())
    offer(service, europe, europe.images[:LISTED])
    return service


def rebuild_in(store: LocalFolder, service: StandIn, **options: Any) -> None:  # noqa: ANN401 - of a Job
    job = Job("Europe", str(store.root), api_url=service.api_url, rebuild=True, **options)
    with closing(service_of(job)) as source, store.lease("europe"):
        inventory = recover(store, "europe")
        assert inventory is not None
        run = Run(job, source, store, "europe", RunReport("Europe", str(store.root)))
        rebuild(run, ask(job, source, inventory), inventory, None)


@pytest.fixture
def interrupted(service: StandIn, begun: Path, archive: Path) -> Callable[..., None]:
    """Makes an archive in which a rebuild was interrupted right before its group got into force."""

    def make(**options: Any) -> None:  # noqa: ANN401 - of a Job
        shutil.copytree(begun, archive)
        with pytest.raises(StorageError):
            rebuild_in(Ending(archive, "europe/.outdated"), service, **options)
        assert stored(archive).sizes["time"] == LISTED - 1

    return make


class Ending(WatchedFolder):
    """A folder that refuses an object, and all after it."""

    def __init__(self, root: Path, key: str) -> None:
        super().__init__(root)
        self._key = key

    def _reveal(self, partial: Path, key: str) -> None:
        if key == self._key:
            self._refused_from = len(self.puts)
        super()._reveal(partial, key)


def convert_in_fork(service: StandIn, archive: Path, *options: str) -> tuple[Ended, dict[str, Any]]:
    """Run the program to its end; its errors, and its report."""
    err, report = archive.with_name("err"), archive.with_name("report.json")
    err.write_text("")
    arguments = ("convert", "Europe", "--archive", str(archive), "--report", str(report), *options)
    process = started(*arguments, variables=with_token(service), err=err)
    process.join(PATIENCE)
    assert process.exitcode is not None, "it hangs"
    return Ended(process.exitcode, "", err.read_text()), json.loads(report.read_text())


@pytest.mark.parametrize("kind", [WatchedFolder, WithoutExchange])
def test_wherever_a_rebuild_ends_the_next_one_does_what_was_asked_for_or_says_when(
    service: StandIn, begun: Path, scenes: list[SceneFrame], archive: Path, kind: type[WatchedFolder]
) -> None:
    whole = archive.with_name("whole")
    shutil.copytree(begun, whole)
    undisturbed = kind(whole)
    rebuild_in(undisturbed, service)
    last, removals = len(undisturbed.puts), undisturbed.removals
    ready = max(n for n, (key, _) in enumerate(undisturbed.puts[:-1]) if key.endswith("/ready.json"))
    ends: list[dict[str, int]] = [{"refused_from": n} for n in range(ready - 1, last)]
    ends = [
        *ends[:3],
        *ends[-2:],
        *({"removals_refused_from": n} for n in (1, 2, removals - 2, removals - 1)),
    ]
    codes: list[int] = []
    for number, end in enumerate(ends):
        place = archive.with_name(f"archive-{number}")
        shutil.copytree(begun, place)
        with suppress(StorageError):
            rebuild_in(kind(place, **end), service)  # type: ignore[arg-type]

        ended, report = convert_in_fork(service, place, "--rebuild")

        codes.append(ended.code)
        if ended.code:
            assert ended.code == 5, ended.err
            assert "run it again after 20" in ended.error
        else:
            assert report["rebuild"], end
            assert report["replaced"], end
        assert_holds(place, scenes[:LISTED])
    assert 0 in codes
    assert 5 in codes


def test_the_rebuild_asked_for_is_completed_and_new_frames_are_appended(
    service: StandIn,
    europe: Stream,
    scenes: list[SceneFrame],
    archive: Path,
    interrupted: Callable[..., None],
) -> None:
    interrupted()
    offer(service, europe, europe.images)

    ended = convert(service, archive, "--rebuild")

    assert ended.code == 0, ended.err
    assert "that is the rebuild asked for" in ended.err
    assert ended.out.startswith(
        "Europe: 2 frames archived, 18 there before\n  the rebuild that was interrupted before is complete\n"
    )
    assert_holds(archive, scenes)
    assert run("verify", "--archive", archive).code == 0


def test_a_run_without_a_rebuild_completes_it_and_goes_on_to_append(
    service: StandIn,
    europe: Stream,
    scenes: list[SceneFrame],
    archive: Path,
    interrupted: Callable[..., None],
) -> None:
    interrupted()
    offer(service, europe, europe.images)

    ended, report = convert_in_fork(service, archive)

    assert ended.code == 0, ended.err
    assert (report["replaced"], report["completed"], report["rebuild"]) == (True, True, False)
    assert report["archived"] == 2
    assert_holds(archive, scenes)


def without_the_ninth(images: list[Image]) -> list[Image]:
    return [image for image in images if image.number != 9]


def with_another_scale(images: list[Image]) -> list[Image]:
    return [replace(images[0], maximum=images[0].maximum + 0.02), *images[1:]]


@pytest.mark.parametrize(
    ("before", "listed", "option"),
    [
        ({}, list, "--layout=flat"),
        ({}, without_the_ninth, "--drop-withdrawn"),
        ({}, with_another_scale, "--duplicates=first"),
        ({"end": datetime(2021, 3, 5, 23, tzinfo=UTC)}, list, "--end=2021-03-06"),
        ({}, list, "--end=2021-02-28"),
    ],
    ids=["another layout", "a frame to drop", "a republished frame", "other dates", "no frames"],
)
def test_what_the_completed_rebuild_did_not_do_has_to_wait(  # noqa: PLR0917
    service: StandIn,
    europe: Stream,
    archive: Path,
    interrupted: Callable[..., None],
    before: dict[str, Any],
    listed: Callable[[list[Image]], list[Image]],
    option: str,
) -> None:
    interrupted(**before)
    offer(service, europe, listed([*europe.images[:LISTED]]))

    ended, report = convert_in_fork(service, archive, "--rebuild", "--start=2021-02-01", option)

    assert ended.code == 5, ended.err
    assert "run it again after 20" in ended.error
    assert "the rebuilt group has replaced the archived one" in ended.err
    assert (report["replaced"], report["archived"]) == (True, 0)
    assert stored(archive).sizes["time"] == LISTED
    assert json.loads((archive / "europe/collection.json").read_text())["ndvi_archive:frames"] == LISTED


def test_a_rebuild_that_goes_on_for_fewer_dates_is_not_taken_for_one_of_all(
    service: StandIn, begun: Path, archive: Path
) -> None:
    shutil.copytree(begun, archive)
    with pytest.raises(StorageError):
        rebuild_in(Ending(archive, f"{SIDE}/ndvi/9/0/0"), service, commit_frames=2)
    assert (archive / SIDE / "zarr.json").exists()
    begun_frames = (archive / SIDE / "ndvi/0/0/0").stat().st_mtime_ns
    with pytest.raises(StorageError):
        rebuild_in(Ending(archive, "europe/.outdated"), service, end=datetime(2021, 3, 5, 23, tzinfo=UTC))
    assert (archive / SIDE / "ndvi/0/0/0").stat().st_mtime_ns == begun_frames

    ended, _ = convert_in_fork(service, archive, "--rebuild")

    assert ended.code == 5, ended.err
    assert "run it again after 20" in ended.error
    assert stored(archive).sizes["time"] == LISTED
