"""The heatmap as a drawing: names left, time below, the meaning of the colours under it."""

from __future__ import annotations

from collections.abc import Iterator

from udamon.report.catalog import Catalog
from udamon.report.charts.shapes import (
    LINE,
    SOFT,
    Drawing,
    Label,
    Plot,
    Polyline,
    Raster,
    Shape,
    fitting,
    palette,
    time_axis,
)
from udamon.report.page.cells import NOTHING, Picture
from udamon.report.terminal import clock
from udamon.units import format_size

WIDTH, LEFT, RIGHT, TOP = 1000, 190, 14, 44
ROW_HEIGHT, LEAST_HEIGHT, MOST_HEIGHT = 5, 220, 640


def drawing(picture: Picture, catalog: Catalog) -> Drawing:
    """The picture with its axes."""
    height = min(MOST_HEIGHT, max(LEAST_HEIGHT, ROW_HEIGHT * len(picture.rows)))
    plot = Plot(LEFT, TOP, WIDTH - LEFT - RIGHT, height)
    begin, end = picture.begin_ns - picture.start_ns, picture.end_ns - picture.start_ns
    title = _title(picture, catalog)
    colours = palette()
    shapes: list[Shape] = [
        Label(LEFT, 26, fitting(title, plot.width, 14), bold=True, size=14),
        Raster(*plot, picture.columns, picture.rates, colours),
        *_names(picture, catalog, plot),
        *time_axis(plot, begin / 1e9, end / 1e9),
        *_legend(plot, catalog.rate_of),
    ]
    return Drawing(title, WIDTH, TOP + height + 58, shapes)


def _title(picture: Picture, catalog: Catalog) -> str:
    targets = {row.band.target for row in picture.rows}
    whose = catalog.target(min(targets)).label if len(targets) == 1 else f"{len(targets)} targets"
    size = format_size(sum(row.size for row in picture.rows))
    what = catalog.rate_title.capitalize()
    return f"{what} of {whose}: {size} over {clock(picture.end_ns - picture.begin_ns)}"


def _names(picture: Picture, catalog: Catalog, plot: Plot) -> Iterator[Shape]:
    """Processes first, then the tallest bands, where there is room."""
    high = plot.height / len(picture.rows)
    many = len({row.band.target for row in picture.rows}) > 1
    firsts = [at for at, row in enumerate(picture.rows) if row.first]
    wanted: list[tuple[float, float, str, bool]] = []
    last = None
    for at, end in zip(firsts, [*firsts[1:], len(picture.rows)], strict=True):
        band, top = picture.rows[at].band, plot.y + at * high
        heads = many and band.target != last
        last = band.target
        yield Polyline([(plot.x - (LEFT if heads else 8), top), (plot.x, top)], SOFT if heads else LINE)
        if heads:
            wanted.append((0.0, top + 11, catalog.target(band.target).label, True))
        wanted.append((1 / (end - at), top + (24 if heads else 11), band.label, False))
    taken: list[float] = []
    for _, y, text, bold in sorted(wanted, key=lambda each: each[0]):
        if y <= plot.y + plot.height + 6 and all(abs(y - other) >= 12.5 for other in taken):
            taken.append(y)
            yield Label(plot.x - 10, y, fitting(text, LEFT - 16), "end", SOFT, bold)


def _legend(plot: Plot, of: str) -> Iterator[Shape]:
    y, x = plot.y + plot.height + 32, plot.x + plot.width - 330
    yield Label(x - 6, y + 10, "0 %", "end", SOFT)
    yield Raster(x, y, 140, 12, NOTHING, bytes(range(NOTHING)), palette())
    yield Label(x + 146, y + 10, f"100 % of {of}", "start", SOFT)
