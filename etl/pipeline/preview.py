"""What a run would do, found out without writing anything."""

from contextlib import closing
from dataclasses import dataclass, replace

from etl.load.archive import check_fits
from etl.load.inventory import read_inventory
from etl.pipeline.asking import ask, grid_of, plan_of
from etl.pipeline.job import Job, place, service_of
from etl.pipeline.rebuild import sources
from etl.plan import Plan
from etl.transform.grid import Grid


@dataclass(frozen=True)
class Preview:
    """What a run would do.

    Attributes:
        plan: which frames it would archive; of a rebuild, all it would read from the service are new, and
            those it would take over are archived.
        grid: their grid.
        bytes_expected: size of the new frames in the archive, in bytes, roughly.
        rebuild: it would rebuild the archive.
    """

    plan: Plan
    grid: Grid
    bytes_expected: int
    rebuild: bool = False


def preview(job: Job) -> Preview:
    """Find out what `convert` would do, and write nothing.

    Raises:
        ArchiveError: The same errors as `convert`, as far as they show without decoding.
    """
    store, folder = place(job)
    inventory = read_inventory(store, folder)
    with closing(service_of(job)) as service:
        listing = ask(job, service, inventory)
    grid = grid_of(listing)
    if inventory and not job.rebuild:
        check_fits(inventory, grid)
    plan = plan_of(job, listing, inventory)
    if inventory and job.rebuild:
        fresh, kept = sources(job, plan, inventory)
        plan = replace(plan, new=tuple(fresh), archived=tuple(kept), late=(), republished=())
    # Real NDVI takes about a byte a pixel in this format; clouds, sea and noise change it much.
    per_frame = float(grid.rows * grid.columns)
    if inventory:
        per_frame = store.size(f"{inventory.group_key}/ndvi") / len(inventory)
    rebuilds = bool(inventory and job.rebuild)
    return Preview(plan, grid, round(per_frame * len(plan.new)), rebuilds)
