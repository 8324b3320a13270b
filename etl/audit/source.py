"""Archived frames against the service as it is now: drawn by lot, decoded again, compared pixel by pixel."""

import random
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from etl.errors import IncompatibleError
from etl.extract.api import DEFAULT_API_URL, Listing
from etl.extract.auth import TokenSource
from etl.extract.frame import FrameEntry
from etl.extract.service import ContinentService
from etl.load.inventory import Inventory
from etl.load.verify.findings import Finding, FrameName, Verdict
from etl.transform.grid import Grid
from etl.transform.packing import SCALE_FACTOR, PackedFrame, pack


@dataclass(frozen=True)
class Source:
    """How to compare with the service.

    Attributes:
        frames: how many frames of every continent to compare; all where it has fewer.
        seed: what the choice of frames follows from.
        api_url: address of the service's API.
        token_file: file with an access token; None is the environment or a login.
    """

    frames: int
    seed: int
    api_url: str = DEFAULT_API_URL
    token_file: Path | None = None


def check_against_source(
    inventory: Inventory, source: Source, verdict: Verdict, progress: Callable[[int, int], None]
) -> int:
    """Decode frames of the service again and compare every pixel with the archived ones.

    What differs is a difference and no damage: the service can have published a frame anew.

    Returns:
        The number of frames that were compared.

    Raises:
        LoginError: The service refuses the login or the token.
        ServiceError: The service or its stream fails; what was found before is in the verdict.
    """
    positions = choose(len(inventory), source.frames, source.seed)
    pixels = inventory.grid.rows * inventory.grid.columns
    tokens = TokenSource(source.token_file)
    with closing(ContinentService(source.api_url, tokens, max_pixels=pixels)) as service:
        listing = service.listing(
            inventory.continent, inventory.times[positions[0]], inventory.times[positions[-1]]
        )
        grid = Grid(listing.columns, listing.rows, listing.bbox)
        if grid != inventory.grid:
            _differs(verdict, inventory, None, f"the service's grid is another now: {grid}")
            return 0
        compared = _to_compare(inventory, listing, positions, verdict)
        compared.sort(key=lambda pair: pair[1].number)
        with closing(service.frames(listing, [entry for _, entry in compared])) as frames:
            for done, ((position, _), frame) in enumerate(zip(compared, frames, strict=True), 1):
                if frame.bits != inventory.bits:
                    what = f"the service's video has {frame.bits} bits now, not {inventory.bits}"
                    _differs(verdict, inventory, position, what)
                else:
                    _compare(inventory, position, pack(frame), verdict)
                progress(done, len(compared))
    return len(compared)


def choose(length: int, count: int, seed: int) -> list[int]:
    """Positions of frames, ascending: one at random out of each of `count` equal parts of an archive."""
    count = min(count, length)
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    return [chance.randrange(part * length // count, (part + 1) * length // count) for part in range(count)]


def _to_compare(
    inventory: Inventory, listing: Listing, positions: Iterable[int], verdict: Verdict
) -> list[tuple[int, FrameEntry]]:
    """The frames that the service lists with the archived scale; the others are told."""
    listed: dict[tuple[object, str], list[FrameEntry]] = {}
    for entry in listing.entries:
        listed.setdefault((entry.time, entry.satellite), []).append(entry)
    compared = []
    for position in positions:
        archived = inventory.entry(position)
        candidates = listed.get((archived.time, archived.satellite), [])
        alike = [entry for entry in candidates if entry.scale.is_same(archived.scale)]
        if not candidates:
            _differs(verdict, inventory, position, "the service lists it no longer")
        elif not alike:
            scale = candidates[0].scale
            what = (
                f"its scale in the service is {scale.minimum:g} … {scale.maximum:g} now, and was"
                f" {archived.scale.minimum:g} … {archived.scale.maximum:g}"
            )
            _differs(verdict, inventory, position, what)
        else:
            entry = next((entry for entry in alike if entry.number == archived.number), alike[0])
            if entry.number != archived.number:
                verdict.note(f"{_name(inventory, position)} has the number {entry.number} in the stream now")
            compared.append((position, entry))
    return compared


def _compare(inventory: Inventory, position: int, expected: PackedFrame, verdict: Verdict) -> None:
    try:
        # As it is stored, be it the archived one or not: how far it is off tells more than that it is.
        values = inventory.rows(position, 0, inventory.grid.rows)
    except IncompatibleError as error:
        where = f"{inventory.group_key}/ndvi"
        verdict.found("source", f"it cannot be compared: {error.what}", where, _name(inventory, position))
        return
    other = values != expected.values
    if other.any():
        row, column = np.argwhere(other)[0].tolist()
        most = np.abs(values.astype(np.int32) - expected.values)[other].max() * SCALE_FACTOR
        _differs(
            verdict,
            inventory,
            position,
            f"{np.count_nonzero(other)} of {values.size} pixels are others in the service now, by up to"
            f" {most:.4f} NDVI; the first is at row {row}, column {column}",
        )


def _differs(verdict: Verdict, inventory: Inventory, position: int | None, what: str) -> None:
    name = None if position is None else _name(inventory, position)
    verdict.findings.append(Finding("source", what, inventory.group_key, name, "difference"))


def _name(inventory: Inventory, position: int) -> FrameName:
    entry = inventory.entry(position)
    return FrameName(position, entry.number, entry.time, entry.satellite)
