"""The heatmap as a drawing: names left, time below, the meaning of the colours under it."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

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
    with_notes,
)
from udamon.report.hot_cold import at_most_note
from udamon.report.page.cells import NOTHING, Picture
from udamon.report.terminal import clock
from udamon.text import ours
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
    bounded = {rows for rows in _bands(picture) if _bounded(picture, rows, catalog)}
    shapes: list[Shape] = [
        Label(LEFT, 26, fitting(title, plot.width, 14), bold=True, size=14),
        Raster(*plot, picture.columns, picture.rates, colours),
        *_names(picture, catalog, plot, bounded),
        *time_axis(plot, begin / 1e9, end / 1e9),
        *_legend(plot, catalog.rate_of),
    ]
    drawn = Drawing(title, WIDTH, TOP + height + 58, shapes)
    return with_notes(drawn, [at_most_note()] if bounded else [])


def _title(picture: Picture, catalog: Catalog) -> str:
    targets = {row.band.target for row in picture.rows}
    whose = catalog.target(min(targets)).label if len(targets) == 1 else f"{len(targets)} targets"
    size = format_size(sum(row.size for row in picture.rows))
    what = catalog.rate_title.capitalize()
    return f"{what} of {whose}: {size} over {clock(picture.end_ns - picture.begin_ns)}"


def _bands(picture: Picture) -> Iterator[range]:
    """The rows of each band."""
    firsts = [at for at, row in enumerate(picture.rows) if row.first]
    yield from map(range, firsts, [*firsts[1:], len(picture.rows)])


def _names(picture: Picture, catalog: Catalog, plot: Plot, bounded: AbstractSet[range]) -> Iterator[Shape]:
    """Processes first, then the tallest bands, where there is room; a sign before those of `bounded` rows."""
    high = plot.height / len(picture.rows)
    many = len({row.band.target for row in picture.rows}) > 1
    wanted: list[tuple[float, float, str, bool]] = []
    last = None
    for rows in _bands(picture):
        band, top = picture.rows[rows.start].band, plot.y + rows.start * high
        heads = many and band.target != last
        last = band.target
        yield Polyline([(plot.x - (LEFT if heads else 8), top), (plot.x, top)], SOFT if heads else LINE)
        if heads:
            wanted.append((0.0, top + 11, catalog.target(band.target).label, True))
        at_most = ours("≤ ") if rows in bounded else ""
        wanted.append((1 / len(rows), top + (24 if heads else 11), at_most + band.label, False))
    taken: list[float] = []
    for _, y, text, bold in sorted(wanted, key=lambda each: each[0]):
        if y <= plot.y + plot.height + 6 and all(abs(y - other) >= 12.5 for other in taken):
            taken.append(y)
            yield Label(plot.x - 10, y, fitting(text, LEFT - 16), "end", SOFT, bold)


def _bounded(picture: Picture, rows: range, catalog: Catalog) -> bool:
    """Whether rates of these rows of one band are upper bounds: of what others did, too, if it was accessed at all."""
    codes = picture.rates[rows.start * picture.columns : rows.stop * picture.columns]
    return any(0 < code < NOTHING for code in codes) and catalog.upper_bound_of(
        picture.rows[rows.start].band.names
    )


def _legend(plot: Plot, of: str) -> Iterator[Shape]:
    y, x = plot.y + plot.height + 32, plot.x + plot.width - 330
    yield Label(x - 6, y + 10, "0 %", "end", SOFT)
    yield Raster(x, y, 140, 12, NOTHING, bytes(range(NOTHING)), palette())
    yield Label(x + 146, y + 10, f"100 % of {of}", "start", SOFT)
