"""What a run is asked to do, and how it reaches the service and the archive."""

from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from etl.catalog.address import address_of
from etl.catalog.style import Choices, Items
from etl.catalog.templates import check_templates
from etl.errors import UsageError
from etl.extract.api import DEFAULT_API_URL, DEFAULT_MAX_PIXELS
from etl.extract.auth import TokenSource
from etl.extract.http import HttpClient
from etl.extract.service import ContinentService
from etl.load.continents import check_root
from etl.load.inventory import folder_of
from etl.load.schema import Layout
from etl.load.stores import Store, open_store
from etl.plan import Duplicates
from etl.report import Progress, RunReport


@dataclass(frozen=True)
class Job:
    """What to archive, and where.

    Attributes:
        continent: the name by which the service knows the continent.
        archive: address of the archive, such as `/data/ndvi` or `s3://bucket/folder`.
        start: first time, UTC; None is the first archived frame, or in a new archive the first there is.
        end: last time, UTC; None is the newest frame there is.
        api_url: address of the service's API.
        token_file: file with an access token; None is the environment or a login.
        layout: layout of a new archive; None is `sharded`, or that of the archive there is.
        overviews: whether a new archive gets overviews; None is yes, or as the archive there is.
        templates: folder of the catalog's templates; None is those that come with the program.
        items: which STAC items there are; None is as before, which is none in a new archive.
        public_url: URL of the archive's root for the catalog's links; None is as before, which is none in a
            new archive: then links are relative.
        settle: days a frame's time must be past before it is archived, so that frames that are published
            late still find their place.
        duplicates: which of several frames of one satellite at one time to archive.
        rebuild: read the frames in these dates anew, and replace the archived continent at the end.
        drop_withdrawn: in a rebuild, leave out archived frames of these dates that are no longer listed.
        optimize: extend the series by what has been closed, once the new frames are archived.
        wait: seconds to wait for another run that is writing.
        commit_frames: a commit is made after so many frames, …
        commit_seconds: … or after so many seconds, whichever comes first.
        stale_after: days after which an archive without a newer frame is called stale; None is never.
        max_pixels: most pixels a frame may have.
        workers: processes that share the frames, or None; with a `scheduler`, how many to wait for. A few
            frames are archived by this process alone.
        scheduler: address of a Dask scheduler whose workers are used, or None.
        threads: threads that decode, and as many again that encode and write; each holds a frame. None is one
            a core this process may use, at most 16 to decode and 4 to encode and write.
    """

    continent: str
    archive: str
    start: datetime | None = None
    end: datetime | None = None
    api_url: str = DEFAULT_API_URL
    token_file: Path | None = None
    layout: Layout | None = None
    overviews: bool | None = None
    templates: Path | None = None
    items: Items | None = None
    public_url: str | None = None
    settle: float = 0.0
    duplicates: Duplicates = "first"
    rebuild: bool = False
    drop_withdrawn: bool = False
    optimize: bool = False
    wait: float = 0.0
    commit_frames: int = 64
    commit_seconds: float = 60.0
    stale_after: float | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    workers: int | None = None
    scheduler: str | None = None
    threads: int | None = None

    @property
    def choices(self) -> Choices:
        """What is chosen for the catalog."""
        return Choices(items=self.items, public_url=self.public_url)


def place(job: Job) -> tuple[Store, str]:
    """The storage and the continent's folder in it.

    Raises:
        UsageError: The continent, an address or the dates are none, or a template cannot be used.
        IncompatibleError: The place holds something else.
        StorageError: The storage refuses to be read.
    """
    folder = folder_of(job.continent)
    if job.start and job.end and job.start > job.end:
        raise UsageError(
            f"the start {job.start:%Y-%m-%d %H:%M} is after the end {job.end:%Y-%m-%d %H:%M} UTC",
            "check --start and --end",
        )
    if job.rebuild and (job.workers or job.scheduler):
        raise UsageError("a rebuild is made by one process", "leave out --workers and --scheduler")
    if (job.workers or job.scheduler) and find_spec("distributed") is None:
        raise UsageError(
            "the library that reaches other processes is not installed",
            "run pip install 'ndvi-archive[cluster]', or leave out --workers and --scheduler",
        )
    if job.public_url is not None:
        address_of(job.public_url)
    check_templates(job.templates)
    store = open_store(job.archive)
    check_root(store)
    return store, folder


@dataclass(frozen=True)
class Run:
    """A job under way.

    Attributes:
        job: what to archive, and where.
        service: where the frames come from.
        store: the archive's storage.
        folder: the continent's folder in it.
        report: filled while the run goes on.
        progress: called once the number of new frames is known, and after each of them.
    """

    job: Job
    service: ContinentService
    store: Store
    folder: str
    report: RunReport
    progress: Progress | None = None


def service_of(
    job: Job, tokens: TokenSource | None = None, client: HttpClient | None = None
) -> ContinentService:
    """The service the job names; close it in the end.

    Args:
        job: what to archive, and where.
        tokens: where the access token comes from; None is what the job says.
        client: the session to use; None is a new one.

    Raises:
        UsageError: The address is not an http or https address.
    """
    tokens = tokens or TokenSource(job.token_file)
    return ContinentService(job.api_url, tokens, job.threads or 0, job.max_pixels, client)
