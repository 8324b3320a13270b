"""What is there already, what must not be lost, and what cannot be exported."""

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio

import etl
from etl.analysis.raster import Format
from etl.analysis.region import box
from etl.analysis.unfinished import alone_in, unfinished_files
from etl.errors import BusyError, IncompatibleError, StorageError, UsageError
from etl.extract.frame import Scale
from etl.load.folder import LocalFolder
from tests.load.archives import archive, frame, frames, group_path
from tests.program import contents

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

FORMATS: tuple[Format, ...] = ("cog", "geotiff", "netcdf")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames; number 7 and 9 are of S3A on the 5th, 8 and 10 of S3B."""
    folder = tmp_path_factory.mktemp("pristine") / "archive"
    archive(LocalFolder(folder), frames(range(1, 11)))
    return folder


@pytest.fixture
def all_of_it(pristine: Path) -> etl.Selection:
    """What must not be changed."""
    return etl.Selection(pristine, "Europe")


@pytest.fixture
def store(pristine: Path, tmp_path: Path) -> LocalFolder:
    """The same, to be changed."""
    return LocalFolder(Path(shutil.copytree(pristine, tmp_path / "archive")))


@pytest.mark.parametrize("file_format", FORMATS)
def test_what_is_there_is_left_alone_and_only_what_is_new_is_written(
    store: LocalFolder, tmp_path: Path, file_format: Format
) -> None:
    out, all_of_it = tmp_path / "out", etl.Selection(store.root, "Europe")
    first = etl.export(all_of_it, out, format=file_format)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in out.iterdir()}
    archive(store, frames(range(1, 13)))
    told: list[tuple[int, int]] = []

    second = etl.export(
        all_of_it,
        out,
        format=file_format,
        progress=lambda done, planned, what="": told.append((done, planned)),
    )

    assert (len(first.written), len(second.written)) == (10, 2)
    assert second.skipped == first.written
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in first.written} == before
    assert told == [(11, 12), (12, 12)]
    assert etl.export(all_of_it, out, format=file_format).written == []


def test_names_do_not_depend_on_what_is_selected(all_of_it: etl.Selection, tmp_path: Path) -> None:
    everything = etl.export(all_of_it, tmp_path / "all")
    one = etl.Selection(
        all_of_it.archive,
        "Europe",
        datetime(2025, 1, 5, 12, tzinfo=UTC),
        datetime(2025, 1, 6, tzinfo=UTC),
        "S3A",
    )

    (alone,) = etl.export(one, tmp_path / "one").written

    names = [path.name for path in everything.written]
    assert names[6:] == [
        f"NDVI_Europe_{each}.tif"
        for each in ("S3A_20250105_0157", "S3B_20250105_0157", "S3A_20250105_2357", "S3B_20250105_2357")
    ]
    assert names[0] == "NDVI_Europe_S3A_20250102.tif"
    assert alone.name == "NDVI_Europe_S3A_20250105_2357.tif"
    assert alone.read_bytes() == (tmp_path / "all" / alone.name).read_bytes()


@pytest.mark.parametrize(
    "settings", [{"packed": True}, {"format": "geotiff"}, {"mask": False}, {"region": box(0, 40, 20, 60)}]
)
def test_files_of_other_settings_are_replaced_only_where_that_is_asked_for(
    all_of_it: etl.Selection, tmp_path: Path, settings: dict[str, object]
) -> None:
    chosen = {name: settings[name] for name in ("mask", "region") if name in settings}
    how = {name: settings[name] for name in ("packed", "format") if name in settings}
    out, other = tmp_path / "out", etl.Selection(all_of_it.archive, "Europe", **chosen)  # type: ignore[arg-type]
    etl.export(all_of_it, out)
    before = contents(out)

    with pytest.raises(UsageError, match=r"S3A_20250102\.tif is there with other settings .* as are 9 more"):
        etl.export(other, out, **how)  # type: ignore[arg-type]
    assert contents(out) == before

    assert len(etl.export(other, out, overwrite=True, **how).written) == 10  # type: ignore[arg-type]
    etl.export(other, tmp_path / "fresh", **how)  # type: ignore[arg-type]
    assert contents(out) == contents(tmp_path / "fresh") != before


@pytest.mark.parametrize(("file_format", "extension"), [("cog", "tif"), ("netcdf", "nc")])
def test_files_of_other_programs_are_replaced_only_where_that_is_asked_for(
    all_of_it: etl.Selection, tmp_path: Path, file_format: Format, extension: str
) -> None:
    theirs = tmp_path / f"out/NDVI_Europe_S3B_20250102.{extension}"
    theirs.parent.mkdir()
    theirs.write_text("hours of work")

    with pytest.raises(UsageError, match="NDVI_Europe_S3B_20250102"):
        etl.export(all_of_it, tmp_path / "out", format=file_format)
    assert [path.name for path in theirs.parent.iterdir()] == [theirs.name]

    assert len(etl.export(all_of_it, tmp_path / "out", format=file_format, overwrite=True).written) == 10
    assert theirs.read_bytes() != b"hours of work"


def test_a_frame_that_was_archived_anew_takes_the_place_of_its_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for attempt, scale in enumerate((Scale(0, 0.8), Scale(0, 0.9))):
        store = LocalFolder(tmp_path / f"archive{attempt}")
        archive(store, [frame(1, scale=scale), frame(2)])
        done = etl.export(etl.Selection(store.root, "Europe"), out)

    assert [path.name for path in done.written] == ["NDVI_Europe_S3A_20250102.tif"]
    assert [path.name for path in done.skipped] == ["NDVI_Europe_S3B_20250102.tif"]
    with rasterio.open(done.written[0]) as file:
        found = np.nan_to_num(file.read(1), nan=-1)
    stored = frame(1, scale=Scale(0, 0.9)).values
    np.testing.assert_allclose(found, np.where(stored < 500, -1, stored * 0.0001), atol=1e-7)


@pytest.mark.parametrize("region", [None, box(0, 60, 20, 70)], ids=["whole", "part"])
def test_a_missing_frame_is_an_error_and_not_a_blank_file(
    store: LocalFolder, tmp_path: Path, region: object, caplog: pytest.LogCaptureFixture
) -> None:
    selection = etl.Selection(store.root, "Europe", region=region)  # type: ignore[arg-type]
    for position in (2, 5):
        shutil.rmtree(group_path(store) / f"ndvi/c/{position}")

    with pytest.raises(
        IncompatibleError,
        match=r"^2 files of 10 could not be made: frame \d .* its values do not have its checksum",
    ):
        etl.export(selection, tmp_path / "out")

    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(found) == 8
    assert "NDVI_Europe_S3A_20250103.tif" not in found
    assert "NDVI_Europe_S3A_20250103.tif is left out: frame 3 (2025-01-03T05:57:03 S3A)" in caplog.text


def test_a_frame_in_the_place_of_another_is_an_error(store: LocalFolder, tmp_path: Path) -> None:
    group = group_path(store)
    (group / "ndvi/c/3/0/0").write_bytes((group / "ndvi/c/2/0/0").read_bytes())

    with pytest.raises(IncompatibleError, match=r"1 file of 10 .* S3B"):
        etl.export(etl.Selection(store.root, "Europe"), tmp_path / "out")

    assert len(contents(tmp_path / "out")) == 9


@pytest.mark.parametrize("file_format", FORMATS)
def test_what_killed_runs_left_is_cleared_and_what_others_are_writing_is_not(
    all_of_it: etl.Selection, tmp_path: Path, file_format: Format
) -> None:
    out = tmp_path / "out"
    for left in ("without-lock", "killed"):
        (out / f".unfinished-{left}").mkdir(parents=True)
    (out / ".unfinished-killed/lock").touch()
    (out / ".unfinished-killed/half.tif").write_bytes(b"II*")

    with unfinished_files(out) as theirs:
        (theirs / "file").touch()
        etl.export(all_of_it, out, format=file_format)
        assert (theirs / "file").exists()

    assert len(contents(out)) == len(list(out.iterdir())) == 10


@pytest.mark.parametrize("file_format", FORMATS)
def test_workers_do_not_change_what_is_written(
    all_of_it: etl.Selection, tmp_path: Path, file_format: Format
) -> None:
    for workers in (1, 3):
        etl.export(all_of_it, tmp_path / f"{workers}", format=file_format, workers=workers)

    assert len(contents(tmp_path / "1")) == 10
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_a_folder_that_cannot_be_written_to_is_named(all_of_it: etl.Selection, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(
        StorageError, match=f"^cannot write {tmp_path}/file/out: {tmp_path}/file is no folder; check"
    ):
        etl.export(all_of_it, tmp_path / "file" / "out")


@pytest.mark.parametrize("file_format", FORMATS)
def test_without_its_library_a_format_is_refused_with_what_installs_it(
    all_of_it: etl.Selection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: Format
) -> None:
    library, extra = ("netCDF4", "analysis") if file_format == "netcdf" else ("rasterio", "geotiff")
    # As Python tells of what cannot be imported.
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(UsageError, match=rf"is not installed; run pip install 'ndvi-archive\[{extra}\]'"):
        etl.export(all_of_it, tmp_path / "out", format=file_format)

    assert not (tmp_path / "out").exists()


def test_a_format_that_there_is_not_is_refused(all_of_it: etl.Selection, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no format 'png'; choose one of cog, geotiff, netcdf"):
        etl.export(all_of_it, tmp_path, format="png")  # type: ignore[arg-type]


def test_dates_without_a_frame_are_refused_with_those_there_are(
    all_of_it: etl.Selection, tmp_path: Path
) -> None:
    later = etl.Selection(all_of_it.archive, "Europe", datetime(2026, 1, 1, tzinfo=UTC))

    with pytest.raises(UsageError, match="it has 10 of S3A and S3B, 2025-01-02 to 2025-01-05; choose others"):
        etl.export(later, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_two_exports_into_one_folder_do_not_mix(all_of_it: etl.Selection, tmp_path: Path) -> None:
    with alone_in(tmp_path), pytest.raises(BusyError, match=r"another export is writing to .*; let it end"):
        etl.export(all_of_it, tmp_path)

    assert list(tmp_path.iterdir()) == []
    assert len(etl.export(all_of_it, tmp_path).written) == 10


def test_a_file_is_renamed_where_a_second_frame_of_its_day_was_archived(
    store: LocalFolder, tmp_path: Path
) -> None:
    archived = etl.Selection(store.root, "Europe")
    all_names = {path.name for path in etl.export(archived, tmp_path / "all").written}
    shutil.rmtree(group_path(store).parent)
    archive(store, frames(range(1, 8)))
    first = etl.export(archived, tmp_path / "out")
    archive(store, frames(range(1, 11)))

    second = etl.export(archived, tmp_path / "out")

    assert not {path.name for path in first.written} <= all_names
    assert {path.name for path in (tmp_path / "out").iterdir()} == all_names
    assert len(second.written) == 3
