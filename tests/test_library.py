"""`etl` as programs and notebooks use it."""

import inspect
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from typing import assert_type

import pytest
import xarray as xr

import etl
from etl.demo.service import StandIn
from etl.errors import LoginError, UsageError
from etl.pipeline import Job
from tests.program import run


@pytest.fixture
def api_url(service: StandIn, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of the stand-in's API, for which there is a token."""
    monkeypatch.setenv("NDVI_ARCHIVE_TOKEN", service.issue_token())
    return service.api_url


def test_a_continent_is_archived_and_opened_without_the_command_line(
    api_url: str, archive: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, int, str]] = []

    def progress(done: int, planned: int, what: str = "frames", /) -> None:
        told.append((done, planned, what))

    first = etl.convert(
        "Europe", archive, start="2021-03-02", end=date(2021, 3, 4), api_url=api_url, progress=progress
    )
    rest = etl.convert("Europe", str(archive), start=datetime(2021, 3, 2), end="2021-03", api_url=api_url)

    assert assert_type(first, etl.RunReport).exit_code == 0
    assert (first.archived, first.skipped, first.satellites) == (6, 0, {"S3A": 3, "S3B": 3})
    assert (rest.archived, rest.skipped) == (12, 6)
    assert told[0] == (0, 6, "frames")
    assert told[-1] == (6, 6, "frames")
    opened = assert_type(etl.open_archive(archive, "Europe"), xr.Dataset)
    assert opened.sizes["time"] == 18
    assert opened.time.values[0].astype(str).startswith("2021-03-02T")
    assert capfd.readouterr() == ("", "")


def test_a_token_can_come_from_a_file_and_a_rebuild_be_asked_for(
    service: StandIn, archive: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(service.issue_token())

    etl.convert("Europe", archive, api_url=service.api_url, token_file=str(token), optimize=True)
    again = etl.convert(
        "Europe", archive, start="2021-03-03", end="2021-03-03", rebuild=True, api_url=service.api_url,
        token_file=token,
    )  # fmt: skip

    assert (again.replaced, again.planned, again.taken_over) == (True, 20, 18)


def test_errors_are_raised_and_name_what_to_do(
    service: StandIn, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NDVI_ARCHIVE_TOKEN", "none-of-ours")

    with pytest.raises(UsageError, match=r"'soon' is no date such as .*; give a year, month, day or time"):
        etl.convert("Europe", archive, start="soon", api_url=service.api_url)
    with pytest.raises(UsageError, match="the start 2021-03-05 00:00 is after the end 2021-03-04 23:59 UTC"):
        etl.convert("Europe", archive, start="2021-03-05", end="2021-03-04", api_url=service.api_url)
    with pytest.raises(LoginError) as refused:
        etl.convert("Europe", archive, api_url=service.api_url)

    assert isinstance(refused.value, etl.ArchiveError)
    assert refused.value.remedy
    assert not archive.exists()


def test_an_interrupted_run_leaves_whole_frames_and_the_next_one_goes_on(api_url: str, archive: Path) -> None:
    def interrupt(done: int, planned: int, what: str = "frames", /) -> None:
        # What a notebook's stop button does to a program that has left the handler as it was.
        assert signal.getsignal(signal.SIGINT) is before
        if done == 7:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        etl.convert("Europe", archive, api_url=api_url, progress=interrupt)
    report = etl.convert("Europe", archive, api_url=api_url)

    assert report.archived + report.skipped == 20
    assert report.skipped == 7
    assert run("verify", "--archive", archive).code == 0


def test_a_run_need_not_be_in_the_main_thread(api_url: str, archive: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        report = thread.submit(etl.convert, "Europe", archive, api_url=api_url).result()

    assert report.archived == 20


def test_what_convert_takes_is_what_a_job_has() -> None:
    job = inspect.signature(Job).parameters
    for name, parameter in inspect.signature(etl.convert).parameters.items():
        assert name == "progress" or parameter.default == job[name].default, name


def test_a_selection_is_made_of_names_of_the_library(api_url: str, archive: Path) -> None:
    etl.convert("Europe", archive, api_url=api_url)
    region = etl.box(5, 45, 15, 50)

    selection = etl.Selection(
        archive, "Europe", start=datetime(2021, 3, 5, tzinfo=UTC), satellite="S3A", region=region
    )

    opened = assert_type(selection.open(), xr.Dataset)
    assert dict(opened.sizes) == {"time": 6, "latitude": 10, "longitude": 20}
    assert assert_type(etl.point(11.6, 48.1), etl.Region).name == "48.1°N 11.6°E"


def test_every_public_name_is_there_once_and_documented() -> None:
    assert dir(etl) == sorted(etl.__all__)
    assert set(etl._MODULES) == {*etl.__all__} - {"__version__"}
    for name, module in etl._MODULES.items():
        found = getattr(etl, name)
        assert found is getattr(import_module(module), name)
        assert inspect.getdoc(found)
    namespace: dict[str, object] = {}
    exec("from etl import *", namespace)  # noqa: S102 - what is to be tested
    assert {*namespace} - {"__builtins__"} == {*etl.__all__}


def test_the_package_is_imported_without_what_it_may_need_later() -> None:
    code = (
        "import etl, sys; dir(etl); heavy = {'click', 'dask', 'numpy', 'requests', 'xarray', 'zarr'};"
        "print(heavy & {*sys.modules})"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
