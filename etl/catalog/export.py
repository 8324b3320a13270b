"""All items of a continent in one STAC-GeoParquet file, for search without a server."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from etl.catalog.items import Surroundings, build_item
from etl.catalog.style import EXPORT

Document = dict[str, Any]
Result = TypeVar("Result")


def build_export(around: Surroundings) -> bytes:
    """The file of all items; equal items give equal bytes.

    Their links lead from the file's own place. The library `rustac` must be installed.

    Args:
        around: what the items are within.
    """
    import rustac  # noqa: PLC0415 - an extra of the package

    key = f"{around.inventory.folder}/{EXPORT}"
    items = [build_item(around, position, key) for position in range(len(around.inventory))]

    async def write(path: Path) -> None:
        await rustac.write(str(path), items, format="geoparquet")

    with TemporaryDirectory() as folder:
        path = Path(folder) / EXPORT
        _run(write(path))
        return path.read_bytes()


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """Do it in a thread of its own: the caller's may have a loop running, as in a notebook."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def read_export(data: bytes) -> list[Document]:
    """The items in such a file.

    Raises:
        ValueError: It is none.
    """
    import rustac  # noqa: PLC0415 - an extra of the package

    async def read(path: Path) -> Document:
        found: Document = await rustac.read(str(path))
        return found

    with TemporaryDirectory() as folder:
        path = Path(folder) / EXPORT
        path.write_bytes(data)
        try:
            items: list[Document] = _run(read(path))["features"]
        except (rustac.RustacError, LookupError, OSError) as error:
            raise ValueError(str(error)) from error
        return items
