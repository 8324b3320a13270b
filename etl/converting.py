"""`etl.convert`: a run for programs and notebooks, as `ndvi-archive convert` is one for shells."""

from datetime import date
from os import PathLike, fspath
from pathlib import Path

from etl.dates import moment
from etl.extract.api import DEFAULT_API_URL
from etl.pipeline import Job
from etl.pipeline import convert as archive_new_frames
from etl.report import Progress, RunReport


def convert(
    continent: str,
    archive: str | PathLike[str],
    *,
    start: str | date | None = None,
    end: str | date | None = None,
    rebuild: bool = False,
    optimize: bool = False,
    workers: int | None = None,
    wait: float = 0.0,
    api_url: str = DEFAULT_API_URL,
    token_file: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> RunReport:
    """Archive the frames of a continent that are not archived yet.

    A new archive is made where there is none; run it again, and it appends what has come since. Frames are
    stored as int16 steps of 0.0001 NDVI on the service's grid, EPSG:4326, rows from north to south; memory is
    bounded to a few frames. The account is that of the variables `DESPAUTH_USER` and `DESPAUTH_PASSWORD`, or
    the access token in `NDVI_ARCHIVE_TOKEN`, unless there is a `token_file`. Interrupted, by an error or a
    `KeyboardInterrupt`, it leaves an archive of all frames that were committed, and the next run goes on
    there. What else `ndvi-archive convert` can do, `etl.pipeline.convert` does for a `Job`.

    Args:
        continent: name by which the service knows the continent, such as `Europe`.
        archive: a folder, or an address such as `s3://bucket/folder`.
        start: first date or time: `2021`, `2021-03`, `2021-03-31`, `2021-03-31T10:00`, or a date or datetime
            of Python; UTC unless it has a time zone. None is the archive's first frame, of a new archive the
            service's first.
        end: last date or time, as `start`; of a year, month or day all of it. None is the newest frame.
        rebuild: take the frames in these dates anew from the service, and replace the archived continent.
        optimize: then keep them in chunks for reading along time too: `open_archive(…, layout="series")`.
        workers: share the frames among so many processes; None is this process alone, which uses all cores.
        wait: seconds to wait for another run that writes to this archive.
        api_url: address of the service's API.
        token_file: file with an access token; only its owner may be able to read it.
        progress: called as `progress(done, planned, what)` while the run goes on, with `"frames"` or
            `"items"` as `what`.

    Returns:
        The figures of the run, which the archive keeps as well: how many frames were `archived`, how many
        `skipped` because they were there before, which are odd (`late`, `republished`, …), bytes and seconds.

    Raises:
        UsageError: A value makes no sense.
        LoginError: The service refuses the account or the token.
        ServiceError: The service or its stream fails; the frames before are archived.
        BusyError: Another process is writing to the archive.
        IncompatibleError: The archive is damaged, something else, or of another grid.
        StorageError: The storage refuses to be read or written.
    """
    return archive_new_frames(
        Job(
            continent,
            fspath(archive),
            start=None if start is None else moment(start),
            end=None if end is None else moment(end, end=True),
            api_url=api_url,
            token_file=None if token_file is None else Path(token_file),
            rebuild=rebuild,
            optimize=optimize,
            wait=wait,
            workers=workers,
        ),
        progress=progress,
    )
