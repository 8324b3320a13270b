"""The pictures of a film: a coloured map, and below it the date, the satellites and the colours' meaning."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from etl.catalog.colormap import COLOUR_RANGE, TABLE, colour
from etl.catalog.quicklook import block_means

NO_DATA = (216, 220, 224)
"""sRGB of no data and of all that lies outside of the region: no colour of NDVI."""

PAPER, INK, PALE_INK = (255, 255, 255), (32, 36, 40), (106, 112, 118)

_TICKS = (0.0, 0.3, 0.6, 0.9)
_SMALLEST_TEXT, _LARGEST_TEXT = 10, 28
_FOOTER, _LEGEND = 3.4, 2.3
"""Height of what is below the map, in heights of its text, and what a legend of its own lines adds."""

_BESIDE = 30
"""In heights of the text, the width from which on the legend is beside the date."""

Rgb = NDArray[np.uint8]


class Pictures:
    """Draws pictures of one size.

    Attributes:
        columns: width in pixels, even, as H.264 needs it.
        rows: height in pixels, even, with what is below the map.
    """

    def __init__(self, columns: int, map_rows: int, title: str) -> None:
        """Draw what all of them share.

        Args:
            columns: width of the map in pixels, even.
            map_rows: its height in pixels.
            title: what is shown.
        """
        self._text = min(_LARGEST_TEXT, max(_SMALLEST_TEXT, columns // 36))
        self._is_beside = columns >= _BESIDE * self._text
        self.columns, self._map_rows = columns, map_rows
        footer = round((_FOOTER if self._is_beside else _FOOTER + _LEGEND) * self._text)
        self.rows = map_rows + footer + (map_rows + footer) % 2
        self._title = " ".join(title.split())
        self._font, self._small = _font(self._text), _font(round(self._text * 0.75))
        self._blank = Image.new("RGB", (columns, self.rows), PAPER)
        begins = self._draw_legend()
        self._room = (begins if self._is_beside else columns) - 2 * self._text

    def draw(self, values: NDArray[np.int16], caption: str) -> Rgb:
        """One picture.

        Args:
            values: stored values of the region, shape (rows, columns), north up, NDVI / 0.0001, −32768 = no
                data. They fill the map; where it has fewer pixels, each shows the mean of what it covers.
            caption: what is written large.

        Returns:
            sRGB, uint8 of shape (rows, columns, 3).
        """
        picture = self._blank.copy()
        picture.paste(Image.fromarray(self._map(values)), (0, 0))
        pen = ImageDraw.Draw(picture)
        left, top = self._text, self._map_rows
        caption = _fitting(caption, self._font, self._room)
        pen.text((left, top + 1.45 * self._text), caption, INK, self._font, "ls")
        title = _fitting(self._title, self._small, self._room)
        pen.text((left, top + 2.65 * self._text), title, PALE_INK, self._small, "ls")
        return np.asarray(picture)

    def _map(self, values: NDArray[np.int16]) -> Rgb:
        rows, columns = values.shape
        if rows > self._map_rows or columns > self.columns:
            values, _ = block_means(values, min(rows, self._map_rows), min(columns, self.columns))
        rgba = colour(values)
        rgba[rgba[..., 3] == 0, :3] = NO_DATA
        down, across = _nearest(values.shape[0], self._map_rows), _nearest(values.shape[1], self.columns)
        enlarged: Rgb = rgba[..., :3][down[:, None], across]
        return enlarged

    def _draw_legend(self) -> int:
        """Draw the colours and their NDVI at the right; return where that begins."""
        pen, text = ImageDraw.Draw(self._blank), self._text
        words, square = self._small.getlength("no data"), round(0.6 * text)
        begins = text + round(words + 0.9 * text) + square
        width = self.columns * 3 // 10 if self._is_beside else self.columns - text - begins
        left, right = self.columns - text - width, self.columns - text
        above = self._map_rows + (0 if self._is_beside else round(_LEGEND * text))
        top, base = above + round(0.75 * text), above + 2.65 * text
        bottom = top + round(0.75 * text)
        bar = TABLE[_nearest(len(TABLE), right - left)]
        self._blank.paste(Image.fromarray(np.repeat(bar[None], bottom - top, axis=0)), (left, top))
        first, last = COLOUR_RANGE
        for tick in _TICKS:
            x = left + (right - left) * (tick - first) / (last - first)
            anchor = "ls" if tick == first else "rs" if tick == last else "ms"
            pen.text((x, base), f"{tick:g}", PALE_INK, self._small, anchor)
        x = left - 0.5 * text
        pen.text((x, bottom), "NDVI", PALE_INK, self._small, "rs")
        pen.text((x, base), "no data", PALE_INK, self._small, "rs")
        corner = round(x - words - 0.4 * text) - square
        pen.rectangle((corner, round(base) - square, corner + square, round(base)), NO_DATA)
        return corner


def _nearest(source: int, target: int) -> NDArray[np.intp]:
    """For each of `target` pixels along a line, which of `source` its centre lies in."""
    positions: NDArray[np.intp] = ((np.arange(target) + 0.5) * source / target).astype(np.intp)
    return positions


def _fitting(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """The text, shortened where it is longer than there is room."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"{text}…") > room:
        text = text[:-1]
    return f"{text.rstrip()}…" if text else ""


def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra of the package

    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)
