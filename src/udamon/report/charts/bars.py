"""Memory by access rate and by age as a drawing: two histograms side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from udamon.report.catalog import Catalog
from udamon.report.charts.shapes import ACCENT, IDLE, SOFT, Box, Drawing, Label, Shape, fitting
from udamon.report.page.curves import AGE_LABELS, RATE_LABELS, Histograms
from udamon.units import format_size

WIDTH, HALF, TOP, STEP = 1000, 500, 66, 20
LABEL, BAR = 100, 290


def drawing(histograms: Histograms, whose: str, catalog: Catalog) -> Drawing:
    """Both histograms, with what their colours mean."""
    title = f"Memory of {whose} by {catalog.rate_title} and by age, mean of all windows"
    of = f"{'' if catalog.rate_word == 'share' else 'access rate, '}share of {catalog.rate_of}"
    shapes: list[Shape] = [
        Label(14, 24, fitting(title, WIDTH - 28, 14), bold=True, size=14),
        *_key(WIDTH - 230),
        *_bars(14, of, RATE_LABELS, histograms.by_rate),
        *_bars(HALF + 14, "age: unchanged for", AGE_LABELS, histograms.by_age),
    ]
    return Drawing(title, WIDTH, TOP + STEP * len(RATE_LABELS) + 12, shapes)


def _key(x: float) -> Iterator[Shape]:
    for offset, fill, text in ((0, ACCENT, "accessed"), (90, IDLE, "not accessed")):
        yield Box(x + offset, 42, 12, 12, fill)
        yield Label(x + offset + 17, 53, text, colour=SOFT)


def _bars(
    x: float, title: str, labels: Sequence[str], sizes: Sequence[tuple[float, float]]
) -> Iterator[Shape]:
    most = max(max(sum(pair) for pair in sizes), 1.0)
    yield Label(x, 53, title, bold=True)
    for line, (label, (idle, hot)) in enumerate(zip(labels, sizes, strict=True)):
        y = TOP + STEP * line
        yield Label(x + LABEL - 8, y + 13, label, "end", SOFT)
        yield Box(x + LABEL, y + 2, hot / most * BAR, 14, ACCENT)
        yield Box(x + LABEL + hot / most * BAR, y + 2, idle / most * BAR, 14, IDLE)
        text = format_size(idle + hot) if idle + hot else "–"
        yield Label(x + LABEL + (idle + hot) / most * BAR + 6, y + 13, text)
