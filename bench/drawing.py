"""Small line charts side by side, as SVG: no script, no link and no font of its own, so that it shows on any page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import log10
from typing import NamedTuple

COLUMNS = 3
WIDTH, HEIGHT = 250, 150
LEFT, RIGHT, TOP, BOTTOM = 44, 16, 34, 40
HEAD = 58
INK, FAINT, PAPER = "#222222", "#d9d9d9", "#ffffff"
FONT = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"

Point = tuple[float, float]


class Style(NamedTuple):
    """How a curve looks. Colour alone never tells curves apart: dashes or marks do as well."""

    colour: str
    dash: str = ""
    width: float = 1.8
    mark: str = ""  # "circle", "square", "triangle", "diamond", or none


class Panel(NamedTuple):
    """One chart: y from 0 to 1, x logarithmic from `x_range[0]` to `x_range[1]`. Curves by the name of their style.

    `line` are points that a faint line connects, if any.
    """

    title: str
    x_label: str
    x_range: tuple[float, float]
    curves: Mapping[str, Sequence[Point]]
    line: Sequence[Point] = ()


def svg(title: str, y_label: str, styles: Mapping[str, Style], panels: Sequence[Panel]) -> str:
    """The panels in rows of COLUMNS, below a legend of all styles."""
    wide, high = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM
    rows = -(-len(panels) // COLUMNS)
    width, height = wide * min(COLUMNS, len(panels)), HEAD + high * rows
    box = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>',
        f'<g font-family="{FONT}" font-size="11" fill="{INK}">',
        _text(LEFT, 22, title, 'font-size="14" font-weight="bold"'),
        *_legend(styles),
    ]
    for i, panel in enumerate(panels):
        parts.append(
            f'<g transform="translate({wide * (i % COLUMNS) + LEFT} {HEAD + high * (i // COLUMNS) + TOP})">'
        )
        parts += _panel(panel, y_label, styles)
        parts.append("</g>")
    return "\n".join([*parts, "</g>", "</svg>"]) + "\n"


def _legend(styles: Mapping[str, Style]) -> Iterator[str]:
    x = float(LEFT)
    for name, style in styles.items():
        yield _curve([(x, 40), (x + 28, 40)], style)
        yield from _marks([(x + 14, 40)], style)
        yield _text(x + 34, 44, name)
        x += 34 + 6.2 * len(name) + 18


def _panel(panel: Panel, y_label: str, styles: Mapping[str, Style]) -> Iterator[str]:
    yield _text(0, -10, panel.title, 'font-size="12" font-weight="bold"')
    for step in range(6):
        y = HEIGHT * (1 - step / 5)
        yield f'<path d="M0 {y:.1f}H{WIDTH}" stroke="{FAINT}" fill="none"/>'
        yield _text(-6, y + 4, f"{step / 5:g}", 'text-anchor="end"')
    low, high = panel.x_range
    for tick in ticks(low, high):
        x = _x(tick, panel)
        yield f'<path d="M{x:.1f} 0V{HEIGHT}" stroke="{FAINT}" fill="none"/>'
        yield _text(x, HEIGHT + 15, short(tick), 'text-anchor="middle"')
    yield _text(WIDTH / 2, HEIGHT + 30, panel.x_label, 'text-anchor="middle"')
    yield f'<text transform="translate(-32 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>'
    if panel.line:
        yield _curve([_at(point, panel) for point in panel.line], Style("#888888", "", 1))
    for name, style in styles.items():
        points = [_at(point, panel) for point in panel.curves.get(name, ()) if low <= point[0] <= high]
        if len(points) > 1:
            yield _curve(points, style)
        # A mark here and there tells a long curve from its neighbours.
        yield from _marks(
            points if len(points) < 4 else points[len(points) // 6 :: max(1, len(points) // 3)], style
        )


def _x(value: float, panel: Panel) -> float:
    low, high = panel.x_range
    return WIDTH * (log10(value) - log10(low)) / (log10(high) - log10(low))


def _at(point: Point, panel: Panel) -> Point:
    return _x(point[0], panel), HEIGHT * (1 - point[1])


def _curve(points: Sequence[Point], style: Style) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dash = f' stroke-dasharray="{style.dash}"' if style.dash else ""
    return f'<path d="M{path}" fill="none" stroke="{style.colour}" stroke-width="{style.width}"{dash}/>'


def _marks(points: Sequence[Point], style: Style) -> Iterator[str]:
    shapes = {
        "circle": "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z", "square": "m-3.2 -3.2h6.4v6.4h-6.4z",
        "triangle": "m0 -4.2l4 7h-8z", "diamond": "m0 -4.6l4.2 4.6l-4.2 4.6l-4.2 -4.6z",
    }  # fmt: skip
    if style.mark:
        for x, y in points:
            yield f'<path d="M{x:.1f} {y:.1f}{shapes[style.mark]}" fill="{style.colour}" stroke="{PAPER}"/>'


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{" " + more if more else ""}>{escape(text)}</text>'


def ticks(low: float, high: float) -> list[float]:
    """The powers of ten from `low` to `high`; with 3 times each where those are fewer than three."""
    powers = [10.0**n for n in range(-3, 13)]
    found = [power for power in powers if low <= power <= high]
    return found if len(found) > 2 else [t for p in powers for t in (p, 3 * p) if low <= t <= high]


def short(value: float) -> str:
    """1000 as 1k, 1,000,000 as 1M."""
    for size, sign in ((1_000_000, "M"), (1000, "k")):
        if value >= size:
            return f"{value / size:g}{sign}"
    return f"{value:g}"
