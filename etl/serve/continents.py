"""What an archive holds, as the landing page tells it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from etl.catalog.collection import THUMBNAIL
from etl.errors import IncompatibleError
from etl.load.inventory import GROUP, ROOT, Inventory, read_inventory
from etl.load.stores import Store


@dataclass(frozen=True)
class Continent:
    """The committed frames of one continent.

    Attributes:
        folder: its folder in the archive, e.g. `europe`.
        name: its name, e.g. `Europe`.
        frames: number of frames by satellite.
        first: sensing start of the first frame, UTC.
        last: sensing start of the last frame, UTC.
        rows: rows of the grid.
        columns: columns of the grid.
        bbox: west, south, east, north in degrees.
        size: bytes of its Zarr group.
        layout: `sharded` or `flat`.
        has_thumbnail: whether there is a picture of it.
    """

    folder: str
    name: str
    frames: Mapping[str, int]
    first: datetime
    last: datetime
    rows: int
    columns: int
    bbox: tuple[float, float, float, float]
    size: int
    layout: str
    has_thumbnail: bool


@dataclass(frozen=True)
class Damaged:
    """A continent that cannot be read.

    Attributes:
        folder: its folder in the archive.
        what: why, without where the archive is kept.
        error: the same in full, for those who keep it.
    """

    folder: str
    what: str
    error: IncompatibleError


class Continents:
    """The continents of an archive; what was read stays known until a commit changes it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[bytes, Continent]] = {}

    def all(self) -> list[Continent | Damaged]:
        """Every continent with committed frames, and every damaged one, by folder.

        Raises:
            IncompatibleError: The archive's root is not a folder.
            StorageError: The storage refuses to be read.
        """
        found = [self._continent(folder) for folder in self._store.folders()]
        return [continent for continent in found if continent is not None]

    def _continent(self, folder: str) -> Continent | Damaged | None:
        root = self._store.get(f"{folder}/{GROUP}/{ROOT}") or b""
        of_root, continent = self._known.get(folder, (None, None))
        if continent is None or of_root != root:
            try:
                inventory = read_inventory(self._store, folder)
            except IncompatibleError as error:
                place = self._store.location(folder)
                return Damaged(folder, error.what.replace(place, folder), error)
            if inventory is None or len(inventory) == 0:
                return None
            continent = _continent(inventory)
            self._known[folder] = root, continent
        return replace(continent, has_thumbnail=self._store.exists(f"{folder}/{THUMBNAIL}"))


def _continent(inventory: Inventory) -> Continent:
    return Continent(
        folder=inventory.folder,
        name=inventory.continent,
        frames=dict(sorted(Counter(inventory.satellites).items())),
        first=inventory.times[0],
        last=inventory.times[-1],
        rows=inventory.grid.rows,
        columns=inventory.grid.columns,
        bbox=inventory.grid.bbox,
        size=inventory.store.size(inventory.group_key),
        layout=inventory.layout,
        has_thumbnail=False,
    )
