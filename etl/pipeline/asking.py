"""Asking the service what there is, and comparing that with what is archived."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from etl.errors import ServiceError
from etl.extract.api import Listing
from etl.extract.service import ContinentService
from etl.load.inventory import Inventory
from etl.pipeline.job import Job
from etl.plan import Plan, plan_frames
from etl.transform.grid import Grid


@dataclass(frozen=True)
class Span:
    """The dates a run is about, to the second.

    Attributes:
        start: first time, UTC; None is the first there is.
        end: last time, UTC; None is the newest there is.
    """

    start: datetime | None
    end: datetime | None


def span_of(job: Job, inventory: Inventory | None) -> Span:
    """The dates asked for: without a start, from the archive's first frame on."""
    start = job.start or (inventory.times[0] if inventory else None)
    ends = [job.end] if job.end else []
    if job.settle:
        ends.append(datetime.now(UTC) - timedelta(days=job.settle))
    return Span(start, min(ends, default=None))


def ask(job: Job, service: ContinentService, inventory: Inventory | None) -> Listing:
    """What the service lists in the dates of a job, and of the newest archived frame if it still lists that.

    Raises:
        LoginError: The service refuses the login or the token.
        ServiceError: The service fails, or has nothing for an archive that holds nothing yet.
    """
    span = span_of(job, inventory)
    start = span.start
    if start and inventory:
        start = min(start, inventory.times[-1])
    listing = service.listing(job.continent, start, span.end)
    if not inventory and not plan_frames(listing.entries, None, span.start, span.end, job.duplicates).new:
        raise nothing_listed(job, None)
    return listing


def nothing_listed(job: Job, inventory: Inventory | None) -> ServiceError:
    """What to say where the service lists no frame in the dates asked for."""
    span = span_of(job, inventory)
    words = (("from", span.start), ("to", span.end))
    dates = "".join(f" {word} {date:%Y-%m-%d %H:%M} UTC" for word, date in words if date)
    options = "--start, --end and --settle" if job.settle else "--start and --end"
    return ServiceError(f"the service has no frames of {job.continent}{dates}", f"check {options}")


def plan_of(job: Job, listing: Listing, inventory: Inventory | None) -> Plan:
    """Compare what is listed with what is archived.

    Raises:
        ServiceError: Two frames of one satellite at one time are listed, and the job refuses such.
    """
    span = span_of(job, inventory)
    return plan_frames(listing.entries, inventory, span.start, span.end, job.duplicates)


def grid_of(listing: Listing) -> Grid:
    """The grid of the listed frames."""
    return Grid(listing.columns, listing.rows, listing.bbox)
