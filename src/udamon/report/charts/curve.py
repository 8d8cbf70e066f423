"""The working set over time as a drawing: a line for the mean, a band from least to most."""

from __future__ import annotations

from collections.abc import Sequence

from udamon.report.charts.shapes import (
    ACCENT,
    BAND,
    SECOND,
    SOFT,
    Area,
    Drawing,
    Label,
    Plot,
    Polyline,
    Shape,
    fitting,
    size_axis,
    time_axis,
)
from udamon.report.page.curves import Bin

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1000, 300, 110, 14, 58, 30


def drawing(bins: Sequence[Bin], count: int, begin_s: float, end_s: float, whose: str) -> Drawing:
    """`bins` are those of `count` from `begin_s` to `end_s`, seconds since the start, that have a moment."""
    title = f"Working set of {whose}: bytes touched in a window"
    plot = Plot(LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
    resident = [(one.bin, one.resident) for one in bins if one.resident is not None]
    most = max((one.high for one in bins), default=0)
    # What is resident is drawn where that leaves the working set room to be seen.
    shown = resident if max((size for _, size in resident), default=0) < 4 * most else []
    top = max([most, *(size for _, size in shown), 1]) * 1.05

    def at(place: int, size: float) -> tuple[float, float]:
        return plot.x + (place + 0.5) / count * plot.width, plot.y + plot.height * (1 - size / top)

    shapes: list[Shape] = [
        Label(LEFT, 24, fitting(title, plot.width, 14), bold=True, size=14),
        *size_axis(plot, top),
        *time_axis(plot, begin_s, end_s),
        Area(
            [at(one.bin, one.high) for one in bins] + [at(one.bin, one.low) for one in reversed(bins)], BAND
        ),
        Polyline([at(one.bin, one.mean) for one in bins], ACCENT, 1.8),
        Polyline([(LEFT, 40), (LEFT + 24, 40)], ACCENT, 1.8),
        Label(LEFT + 30, 44, "touched: mean, and from least to most", colour=SOFT),
    ]
    if shown:
        shapes += [
            Polyline([at(*one) for one in shown], SECOND, 1.6, (6, 4)),
            Polyline([(LEFT + 320, 40), (LEFT + 344, 40)], SECOND, 1.6, (6, 4)),
            Label(LEFT + 350, 44, "resident", colour=SOFT),
        ]
    return Drawing(title, WIDTH, HEIGHT, shapes)
