"""The page `/`: what the archive holds, and how to open it, for people."""

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from etl import __version__
from etl.report import ago, size
from etl.serve.continents import Continent, Damaged

PAGES = Path(__file__).with_name("pages")
"""The page's template, and its style and script, which are served as they are."""

_JINJA = Environment(
    loader=FileSystemLoader(PAGES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _span(first: float, last: float, letters: str) -> str:
    """Two longitudes or latitudes in words, such as `11° W to 31° E`; the letters are of + and −."""
    ends = (f"{abs(degrees):g}° {letters[degrees < 0]}" for degrees in (first, last))
    return " to ".join(ends)


_JINJA.filters |= {"size": size, "ago": ago, "span": _span}


def landing_page(
    continents: Sequence[Continent | Damaged], url: str, built: Collection[str], catalog: bytes | None = None
) -> str:
    """The page as HTML.

    Args:
        continents: what the archive holds.
        url: the address of this server as the reader has it, without a slash at the end.
        built: which of the pages `viewer` and `browser` this installation has.
        catalog: the archive's catalog, whose title and description say what it is.
    """
    title, first, last = _texts(catalog)
    return _JINJA.get_template("landing.html").render(
        continents=[found for found in continents if isinstance(found, Continent)],
        damaged=[found for found in continents if isinstance(found, Damaged)],
        title=title,
        first=first,
        last=last,
        url=url,
        built=built,
        version=__version__,
    )


def _texts(catalog: bytes | None) -> tuple[str, str, str]:
    """The title of a catalog, and the first and the last paragraph of what it says, links as mere texts."""
    try:
        document = json.loads(catalog or b"{}")
        title, description = str(document["title"]), str(document["description"])
    except (ValueError, LookupError, TypeError):
        return "NDVI archive", "", ""
    paragraphs = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", description).replace("`", "").split("\n\n")
    return title, paragraphs[0], paragraphs[-1] if paragraphs[1:] else ""
