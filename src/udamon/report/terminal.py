"""How reports look in a terminal: tables, bars, and colours only where they can be seen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from udamon import console
from udamon.text import Shown, ascii_only, cut, escape, line, pad, paint, width
from udamon.units import format_time

RGB = tuple[int, int, int]

# Dark to bright through purple and orange: reads in order in greyscale too, and for colour-blind people; the brightest
# is seen on a white terminal.
_HEAT: tuple[RGB, ...] = (
    (24, 18, 48), (66, 10, 104), (120, 28, 109), (172, 46, 88), (214, 76, 50), (240, 125, 22),
    (250, 190, 60),
)  # fmt: skip
RAMP = ".:-=+*#%@"
"""Signs for cold to hot, where there are no colours."""


LEAST_NAME = 12
"""Columns that a name has at least, while there is something else to leave out."""
_WHOLE_NAME = 24
"""Columns of a name that leave room for a bar."""
_SHORTEST_NAME = 8
_SHORTEST_BEGIN = 3  # a letter, and dots
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Terminal:
    """What can be shown: width in columns, `colours` 0, 256 or 2**24, and whether block signs can be."""

    width: int = 80
    colours: int = 0
    blocks: bool = True
    plain: bool = False
    """Whether output is for a screen reader: numbers instead of pictures."""

    @classmethod
    def of_stdout(cls, color: str = "auto") -> Terminal:
        """The terminal on stdout; `color` is auto, always or never (auto as console.wants_colour)."""
        plain = console.is_plain()
        wanted = not plain and (color == "always" or (color == "auto" and console.wants_colour(sys.stdout)))
        true = os.environ.get("COLORTERM", "") in ("truecolor", "24bit")
        return cls(
            width=console.columns(),
            colours=(1 << 24 if true else 256) if wanted else 0,
            blocks=not ascii_only(),
            plain=plain,
        )

    def bar(self, share: float, width: int) -> str:
        """A bar of `share` (0..1) of `width` columns, to an eighth of a column where signs allow; "" in plain text."""
        if self.plain:
            return ""
        eighths = round(min(1.0, max(0.0, share)) * width * 8)
        if not self.blocks:
            return "#" * round(eighths / 8)
        return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()

    def heat(self, cells: Sequence[float | None]) -> Shown:
        """A row of cells: each a share 0..1 of how hot it is, or None where no memory is."""
        if not self.colours:
            return line("".join(" " if cell is None else RAMP[ramp_step(cell)] for cell in cells))
        codes = [
            "\x1b[0m" if cell is None else f"\x1b[{self._background(colour_of(cell))}m" for cell in cells
        ]
        runs = [paint(code, " " * len(list(run)), end="") for code, run in groupby(codes)]
        return line(*runs, paint("\x1b[0m", "", end=""))

    def legend(self, of: str = "ticks accessed") -> Shown:
        """What the cells of `heat` mean, from cold to hot: shares `of` what."""
        steps = 16 if self.colours else len(RAMP) - 1
        shown = self.heat([0.0, *((step + 0.5) / steps for step in range(steps))])
        return line("0 % ", shown, f" 100 % of {of}")

    def _background(self, colour: RGB) -> str:
        red, green, blue = colour
        if self.colours > 256:
            return f"48;2;{red};{green};{blue}"
        cube = [0 if part < 48 else 1 if part < 115 else (part - 35) // 40 for part in (red, green, blue)]
        return f"48;5;{16 + 36 * cube[0] + 6 * cube[1] + cube[2]}"


def ramp_step(share: float, steps: int = len(RAMP)) -> int:
    """The sign of RAMP: 0 only for nothing at all; the rest is spread evenly over the other steps."""
    return 0 if share <= 0 else 1 + min(steps - 2, int(share * (steps - 1)))


def colour_of(share: float) -> RGB:
    """The colour for a share 0..1: the same in reports and live."""
    place = min(1.0, max(0.0, share)) * (len(_HEAT) - 1)
    low = min(int(place), len(_HEAT) - 2)
    part = place - low
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(_HEAT[low], _HEAT[low + 1], strict=True))
    return red, green, blue


def table(rows: Sequence[Sequence[str]], align: str, indent: str = _GAP) -> list[Shown]:
    """Lines of aligned columns, their cells escaped; `align` has one of < > for each; no line ends with spaces."""
    cells = [[escape(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    return [line(indent, _joined(map(pad, row, align, widths))).rstrip() for row in cells]


def fitted(
    rows: Sequence[Sequence[str]],
    align: str,
    columns: int,
    *,
    spare: Sequence[int] = (),
    least: int = LEAST_NAME,
    name: int = 0,
) -> tuple[list[Shown], list[str]]:
    """`table` fitted to the width of a terminal (`columns`), and the lines to print below it.

    The cells of the column `name` (its place in `rows`) are names, which are cut to what the others leave, and so that
    different ones still look different, if that can be. Where that is less than `least` columns, others of `spare`
    (their places) are left out, in this order. Bars, which have no title, give way to most names as a whole, and that
    is not said.
    """
    places, left_out = list(range(len(rows[0]))), []
    widths = [max(width(escape(cell)) for cell in column) for column in zip(*rows, strict=True)]

    def others() -> int:
        return sum(widths[at] + len(_GAP) for at in places if at != name) + len(_GAP)

    for place in spare:
        if others() + min(least if rows[0][place] else max(least, _WHOLE_NAME), widths[name]) <= columns:
            break
        places.remove(place)
        left_out += [rows[0][place]] if rows[0][place] else []
    room = max(_SHORTEST_NAME, columns - others())
    names = cut_apart([row[name] for row in rows], room)
    shown = [[one if at == name else row[at] for at in places] for one, row in zip(names, rows, strict=True)]
    said = [f"  left out, as the terminal is narrow: {', '.join(left_out)}"] if left_out else []
    return table(shown, "".join(align[at] for at in places), _GAP), said


def cut_apart(names: Sequence[str], room: int) -> list[Shown]:
    """Of names that their beginnings do not tell apart, the shortest end is kept that does."""
    shown = {name: shorten(name, room) for name in names}
    alike: dict[str, list[str]] = {}
    for name, cut_name in shown.items():
        alike.setdefault(str(cut_name), []).append(name)
    for group in alike.values():
        for kept in range(1, room - _SHORTEST_BEGIN) if len(group) > 1 else ():
            found = {name: shorten(name[:-kept], room, name[-kept:]) for name in group}
            if len({str(one) for one in found.values()}) == len(group):
                shown |= found
                break
    return [shown[name] for name in names]


def _joined(cells: Iterable[Shown]) -> Shown:
    first, *others = cells
    return line(first, *(part for cell in others for part in (_GAP, cell)))


def clock(time_ns: float) -> str:
    """A short time from nanoseconds: "0 s", "5 ms", "2 m 5 s"."""
    return format_time(time_ns / 1e9) if time_ns > 0 else "0 s"


def shorten(name: str, room: int, tail: str = "") -> Shown:
    """The name and `tail`, escaped, or as much of the name's beginning as fits beside it into `room` columns."""
    return cut(name, room, tail)
