"""`ndvi-archive export`, as a user runs it."""

import json
import signal
import subprocess
from pathlib import Path

import pytest
import rasterio

from etl.load.folder import LocalFolder
from etl.load.schema import Schema
from etl.transform.grid import Grid
from tests.forked import clean_environment
from tests.load.archives import archive, frames
from tests.program import PROGRAM, contents, run

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

POLYGON = {"type": "Polygon", "coordinates": [[[4, 46], [9, 46], [9, 50], [4, 46]]]}


SCHEMA = Schema("Europe", Grid(601, 523, (-11.25, 34.1, 31.0625, 71.3)), 12)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames, four of them without data; large enough that a signal comes before they are exported."""
    folder = tmp_path_factory.mktemp("pristine") / "archive"
    archive(LocalFolder(folder), frames(range(1, 21), SCHEMA), SCHEMA)
    return folder


@pytest.fixture(scope="module")
def whole(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """All of it as files, exported in one go."""
    out = tmp_path_factory.mktemp("whole")
    ended = run("export", "Europe", "--archive", pristine, "--out", out)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("Europe: 20 files written, 0 there before; ")
    assert ended.out.endswith(f" in {out}\n  4 files without data, as those frames are\n")
    return contents(out)


def test_days_satellite_and_part_are_chosen(pristine: Path, tmp_path: Path) -> None:
    (tmp_path / "field.geojson").write_text(json.dumps(POLYGON))
    options = ("--start", "2025-01-02", "--end", "2025-01-04", "--satellite", "S3B", "--packed")

    ended = run(
        *("--log-format", "json", "export", "europe", "--archive", pristine, "--out", tmp_path / "new/maps"),
        *(*options, "--aoi", tmp_path / "field.geojson"),
    )

    assert ended.code == 0, ended.err
    done = json.loads(ended.out)
    names = [f"NDVI_Europe_S3B_2025010{day}.tif" for day in (2, 3, 4)]
    assert done["written"] == [str(tmp_path / "new/maps" / name) for name in names]
    assert (done["skipped"], done["continent"]) == ([], "Europe")
    assert sorted(contents(tmp_path / "new/maps")) == names
    assert done["bytes_out"] == sum(map(len, contents(tmp_path / "new/maps").values()))
    with rasterio.open(done["written"][0]) as file:
        assert file.bounds == pytest.approx((4, 46, 9, 50), abs=0.08)
        assert file.dtypes == ("int16",)
        # North-west of the polygon's long side there is nothing.
        assert file.read(1)[0, 0] == -32768


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_an_export_that_is_ended_in_the_middle_goes_on_and_is_the_same_in_the_end(
    pristine: Path, whole: dict[str, bytes], tmp_path: Path, end: signal.Signals
) -> None:
    command: list[str | Path] = ["export", "Europe", "--archive", pristine, "--out", tmp_path]
    with subprocess.Popen(
        [PROGRAM, "-v", *command, "--workers", "1"],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "is written" in line)
        process.send_signal(end)
        out, err = process.communicate(timeout=60)

    assert out == ""
    assert "Traceback" not in err
    found = {
        name: data for name, data in contents(tmp_path).items() if name.endswith(".tif") and name[0] != "."
    }
    assert 0 < len(found) < 20
    assert found.items() <= whole.items()
    if end == signal.SIGKILL:
        assert process.returncode == -end
    else:
        assert process.returncode == 128 + end
        assert f"Error: interrupted by {end.name}; the files that have their names are whole, run" in err
        assert contents(tmp_path) == found

    ended = run(*command)

    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"Europe: {20 - len(found)} files written, {len(found)} there before; ")
    assert contents(tmp_path) == whole
    assert len(list(tmp_path.iterdir())) == 20


@pytest.mark.parametrize("file_format", ["cog", "netcdf"])
def test_a_disk_that_takes_no_more_is_told_and_leaves_no_half_a_file(
    pristine: Path, tmp_path: Path, file_format: str
) -> None:
    """The kernel refuses to let any file grow beyond a kilobyte, or two."""
    limited = subprocess.run(
        [
            *("sh", "-c", 'ulimit -f 2; exec "$@"', "sh", PROGRAM, "export", "Europe", "--archive", pristine),
            *("--out", tmp_path / "out", "--format", file_format),
        ],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert limited.returncode == 1, limited.stderr
    assert "Traceback" not in limited.stderr
    (line,) = limited.stderr.splitlines()
    assert line.startswith(f"Error: cannot write {tmp_path}/out/NDVI_Europe_S3")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (
            ("Europe", "--bbox", "40,50,45,55"),
            2,
            "lies outside of the archive; choose a place within -11.25 to",
        ),
        (("Europe", "--out", "/dev/null/maps"), 1, "cannot write /dev/null/maps: /dev/null is no folder"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    pristine: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, what: str
) -> None:
    ended = run("export", "--archive", pristine, "--out", tmp_path / "out", *arguments)

    assert ended.code == code
    assert what in ended.error
    assert not (tmp_path / "out").exists()
