"""Drawings: a few kinds of shapes that SVG and PNG both can show, and the colours and axes charts share.

Lengths are pixels, y grows downwards. Paper is white in both: a picture is put on pages of either kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, log2, log10
from textwrap import wrap
from typing import NamedTuple

from udamon.report.terminal import RGB, clock
from udamon.text import escape
from udamon.units import format_size

INK, SOFT, LINE, PAPER = "#1d1d24", "#5a5a66", "#d9d9e0", "#ffffff"
ACCENT, SECOND, IDLE, BAND = "#0072b2", "#b35900", "#b9bcc6", "#cce3f0"
"""Blue and orange of Okabe and Ito's palette, which colour-blind people tell apart."""

# Pale to dark through orange and purple: lightness falls all the way.
_SCALE: tuple[RGB, ...] = (
    (250, 246, 234), (249, 220, 138), (247, 174, 75), (236, 116, 52), (204, 66, 88), (147, 38, 103),
    (86, 16, 110), (27, 12, 65),
)  # fmt: skip
NO_MEMORY: RGB = (255, 255, 255)
FONT_SIZE = 12


class Box(NamedTuple):
    """A filled rectangle; `title` is shown where a pointer rests on it, in SVG."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    title: str = ""


class Polyline(NamedTuple):
    """A line through points; `dash` is (on, off)."""

    points: Sequence[tuple[float, float]]
    stroke: str
    width: float = 1.0
    dash: tuple[float, float] | None = None


class Area(NamedTuple):
    """A filled polygon."""

    points: Sequence[tuple[float, float]]
    fill: str


class Label(NamedTuple):
    """Text whose baseline is at y; `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    colour: str = INK
    bold: bool = False
    size: int = FONT_SIZE


class Raster(NamedTuple):
    """A picture of `columns` pixels a row, stretched to its box: each byte of `codes` is a place in `palette`."""

    x: float
    y: float
    width: float
    height: float
    columns: int
    codes: bytes
    palette: Sequence[RGB]


Shape = Box | Polyline | Area | Label | Raster


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart: `title` says what it shows, also to those who cannot see it."""

    title: str
    width: int
    height: int
    shapes: Sequence[Shape]


def palette() -> list[RGB]:
    """The colours of codes 0 to 255 of udamon.report.page.cells."""
    return [*(_between(code / 254 * (len(_SCALE) - 1)) for code in range(255)), NO_MEMORY]


def _between(place: float) -> RGB:
    low = min(int(place), len(_SCALE) - 2)
    red, green, blue = (
        round(a + (b - a) * (place - low)) for a, b in zip(_SCALE[low], _SCALE[low + 1], strict=True)
    )
    return red, green, blue


class Plot(NamedTuple):
    """The inside of a chart's axes."""

    x: float
    y: float
    width: float
    height: float


def time_axis(plot: Plot, begin_s: float, end_s: float) -> Iterator[Shape]:
    """Ticks and times below the plot."""
    span = max(end_s - begin_s, 1e-9)
    step = _time_step(span / max(2, plot.width / 100))
    bottom = plot.y + plot.height
    for number in range(ceil(begin_s / step - 1e-9), int(end_s / step + 1e-9) + 1):
        x = plot.x + (number * step - begin_s) / span * plot.width
        yield Polyline([(x, bottom), (x, bottom + 4)], SOFT)
        anchor = "end" if x > plot.x + plot.width - 20 else "start" if x < plot.x + 10 else "middle"
        yield Label(x, bottom + 17, clock(number * step * 1e9), anchor, SOFT)


def _time_step(least: float) -> float:
    if least > 0.5:
        for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400):
            if step >= least:
                return step
    power = 10.0 ** int(log10(least) // 1)
    return power * next(one for one in (1, 2, 5, 10) if one * power >= least * 0.999999)


def size_axis(plot: Plot, top: float) -> Iterator[Shape]:
    """Lines and sizes left of a plot that reaches from 0 to `top` bytes."""
    step = 2.0 ** ceil(log2(max(top, 1) / 4))
    for number in range(int(top / step) + 1):
        y = plot.y + plot.height * (1 - number * step / top)
        yield Polyline([(plot.x, y), (plot.x + plot.width, y)], LINE)
        yield Label(plot.x - 8, y + 4, format_size(number * step), "end", SOFT)


def fitting(text: str, width: float, size: int = FONT_SIZE) -> str:
    """As much of the text, as it is shown (udamon.text), as surely fits into `width`."""
    text = escape(text, plain=False)
    room = max(1, int(width / (size * 0.6)))
    return text if len(text) <= room else text[: room - 1] + "…"


def with_notes(drawing: Drawing, notes: Sequence[str]) -> Drawing:
    """The drawing with sentences below it, in small letters."""
    size, left = 10, 14
    room = int((drawing.width - 2 * left) / (size * 0.6))
    lines = [line for note in notes for line in wrap(note, room)]
    if not lines:
        return drawing
    labels = [
        Label(left, drawing.height + 10 + 14 * at, line, colour=SOFT, size=size)
        for at, line in enumerate(lines)
    ]
    return replace(drawing, height=drawing.height + 14 * len(lines) + 6, shapes=[*drawing.shapes, *labels])
