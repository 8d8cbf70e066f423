"""Pictures of the live view, drawn by lines of signs: the newest window is at the right edge."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from udamon.live.grid import Column, Grid
from udamon.live.state import Detail
from udamon.live.words import picture, segment
from udamon.report.layout import PictureRow
from udamon.report.mappings import label_of
from udamon.report.terminal import RAMP, clock, colour_of, ramp_step, shorten
from udamon.text import ascii_only, pad
from udamon.units import format_size

LABEL = 20
"""Columns left of the pictures, for names and sizes."""

_SOFT = Style(dim=True)
_PLAIN = Style()
_CURVE = Style(color="#56b4e9")
_EIGHTHS = " ▁▂▃▄▅▆▇█"


class _Lines(Widget):
    """A widget of ready-made lines, made anew when what they show or the size changes."""

    DEFAULT_CSS = "_Lines { background: $background; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._detail: Detail | None = None
        self._made: list[list[Segment]] = []
        self._made_for: object = None

    def show(self, detail: Detail | None) -> None:
        """Show this from now on."""
        self._detail = detail
        self._made_for = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
        key = (self.size.width, self.size.height)
        if key != self._made_for:
            self._made_for = key
            room = self.size.width - LABEL
            known = self._detail is not None and self._detail.snapshots and room > 0 and self.size.height > 1
            self._made = self.lines(self._detail, room, self.size.height) if known and self._detail else []
        segments = self._made[y] if y < len(self._made) else []
        return Strip(segments).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def lines(self, detail: Detail, room: int, height: int) -> list[list[Segment]]:
        """The lines, of LABEL + `room` columns each; `detail` has a window or more."""
        raise NotImplementedError


class Curve(_Lines):
    """The working set of each window, from 0 to the most of those that are shown."""

    def lines(self, detail: Detail, room: int, height: int) -> list[list[Segment]]:
        sizes = [sum(one.touched) for one in detail.snapshots[-room:]]
        most = max(*sizes, 1)
        found = []
        for level in range(height):
            label = format_size(most) if level == 0 else "0 B" if level == height - 1 else ""
            signs = "".join(_part(size / most * height - (height - 1 - level)) for size in sizes)
            found.append(
                [
                    segment(f"{label:>{LABEL - 1}} ", _SOFT),
                    segment(" " * (room - len(sizes))),
                    picture(signs, _CURVE),
                ]
            )
        return found


def _part(filled: float) -> str:
    return _EIGHTHS[round(min(1.0, max(0.0, filled)) * 8)]


class Heat(_Lines):
    """The scrolling heatmap: two rows of memory in a line, a column a window, and when that was below."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._grid = Grid()

    def lines(self, detail: Detail, room: int, height: int) -> list[list[Segment]]:
        many = _rows_a_line()
        rows = self._grid.rows(detail, many * (height - 1))
        columns = self._grid.columns(detail, many * (height - 1), room)
        blank = segment(" " * (room - len(columns)))
        found = [
            [
                segment(f"{pad(_name(rows, top), '>', LABEL - 1)} ", _SOFT),
                blank,
                *_cells(columns, top, len(rows)),
            ]
            for top in range(0, len(rows), many)
        ]
        found += [[] for _ in range(height - 1 - len(found))]
        return [*found, _times(detail, len(columns), room)]


def _name(rows: Sequence[PictureRow], top: int) -> str:
    """The name of the band that begins in one of the line's two rows; of two, the larger one's."""
    begins = max(
        (row for row in rows[top : top + _rows_a_line()] if row.first),
        key=lambda row: row.band.size,
        default=None,
    )
    return "" if begins is None else shorten(label_of(begins.band.name), LABEL - 1, begins.band.others)


def _cells(columns: Sequence[Column], top: int, rows: int) -> list[Segment]:
    """The upper row in the colour of the sign, the lower one in that of its background."""
    found: list[Segment] = []
    for column in columns:
        upper, lower = column[top], column[top + 1] if top + 1 < rows and _rows_a_line() == 2 else None
        sign, style = _cell(upper, lower)
        if found and found[-1].style is style:
            found[-1] = picture(found[-1].text + sign, style)
        else:
            found.append(picture(sign, style))
    return found


def _rows_a_line() -> int:
    """Half blocks show two rows in a line; where there is only ASCII, a line is a row."""
    return 1 if ascii_only() else 2


_STEPS = 31


def _cell(upper: float | None, lower: float | None) -> tuple[str, Style]:
    if upper is None and lower is None:
        return " ", _PLAIN
    high, low = _step(upper), _step(lower)
    if ascii_only():
        return RAMP[ramp_step(upper or 0.0)], _style(max(high, _STEPS // 4), -1)
    return ("▄" if high < 0 else "▀"), _style(high, low)


@lru_cache(maxsize=(_STEPS + 2) ** 2)
def _style(high: int, low: int) -> Style:
    if high < 0:
        return Style(color=_hex(low))
    return Style(color=_hex(high), bgcolor=_hex(low) if low >= 0 else None)


def _step(rate: float | None) -> int:
    """-1 for no memory, 0 for none at all, and then steps of equal width."""
    return -1 if rate is None else 0 if rate <= 0 else 1 + min(_STEPS - 1, int(rate * _STEPS))


def _hex(step: int) -> str:
    red, green, blue = colour_of(step / _STEPS)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _times(detail: Detail, columns: int, room: int) -> list[Segment]:
    """How long ago the first column was, and that the last one is now; the colours' meaning left of it."""
    first, last = detail.snapshots[-columns], detail.snapshots[-1]
    since = f"-{clock(last.end_ns - first.begin_ns)}"
    line = f"{since:<{max(0, columns - 3)}}now" if columns >= len(since) + 4 else "now"
    scale = [picture("█", _style(step, -1)) for step in range(0, _STEPS + 1, 4)]
    legend = [segment("0% ", _SOFT), *scale, segment(" 100% ", _SOFT)]
    legend = [segment(" " * (LABEL - sum(part.cell_length for part in legend))), *legend]
    return [*legend, segment(f"{line[:room]:>{room}}", _SOFT)]
