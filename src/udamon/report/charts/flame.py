"""Sites as a flame graph: bytes wide, callers below what they call, coloured by the share that is touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from udamon.report.charts.shapes import SOFT, Box, Drawing, Label, Shape, palette
from udamon.report.sites import Sites, name_of
from udamon.text import escape
from udamon.units import format_size

WIDTH, ROW, MARGIN, HEAD = 1200, 18, 10, 60
LETTER = 6.6
"""Pixels of a letter, about."""

LEAST = 0.5
"""Narrower boxes are not drawn."""


@dataclass(slots=True)
class _Node:
    """A call with what was allocated below it: bytes, and those resident that were touched and that were cold."""

    size: float = 0.0
    touched: float = 0.0
    cold: float = 0.0
    below: dict[str, _Node] = field(default_factory=dict)

    @property
    def heat(self) -> float:
        there = self.touched + self.cold
        return self.touched / there if there else 0.0


def drawing(report: Sites) -> Drawing:
    """The picture."""
    root = _Node()
    for site in report.sites:
        node = root
        for name in (None, *(escape(name_of(call), plain=False) for call in reversed(site.calls))):
            if name is not None:
                node = node.below.setdefault(name, _Node())
            node.size += site.size.estimate
            node.touched += site.touched
            node.cold += site.cold
    rows = _depth(root)
    height = HEAD + ROW * rows + MARGIN
    colours = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in palette()[:255]]
    title = f"{format_size(root.size)} of live allocations by the code that made them"
    words = "width: bytes; colour: share of resident bytes that were touched, from pale (none) to dark (all)"
    shapes: list[Shape] = [Label(MARGIN, 24, title, bold=True), Label(MARGIN, 44, words, colour=SOFT)]
    scale = (WIDTH - 2 * MARGIN) / (root.size or 1)
    shapes += _boxes("all", root, MARGIN, height - MARGIN - ROW, scale, colours)
    return Drawing(title, WIDTH, height, shapes)


def _depth(node: _Node) -> int:
    level, rows = [node], 0
    while level:
        rows += 1
        level = [below for one in level for below in one.below.values()]
    return rows


def _boxes(
    name: str, root: _Node, left: float, bottom: float, scale: float, colours: list[str]
) -> Iterator[Shape]:
    waiting = [(name, root, left, bottom)]
    while waiting:
        called, node, x, y = waiting.pop()
        width = node.size * scale
        if width < LEAST:
            continue
        touched, cold = format_size(node.touched), format_size(node.cold)
        about = f"{called}: {format_size(node.size)}, touched {touched}, cold {cold}"
        shade = round(node.heat * 254)
        yield Box(x, y, max(width - 0.5, 0.3), ROW - 1, colours[shade], about)
        room = int((width - 6) / LETTER)
        if room >= 3:
            text = called if len(called) <= room else f"{called[: room - 2]}.."
            yield Label(x + 3, y + 13, text, colour="#ffffff" if shade > 150 else "#1d1d24", size=11)
        for below_name, below in sorted(node.below.items(), key=lambda one: -one[1].size):
            waiting.append((below_name, below, x, y - ROW))
            x += below.size * scale
