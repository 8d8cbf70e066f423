"""The heatmap: how often memory was accessed, by time and address.

A cell is the mean access rate (nr_accesses / ticks) of its memory over its time, weighted by bytes (resident ones,
where they are known) and time; None where no memory was there then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from udamon import text
from udamon.model import Range
from udamon.record.naming import kind_of
from udamon.report.catalog import Catalog
from udamon.report.cells import cells_of
from udamon.report.filters import ALL
from udamon.report.groups import summed_note
from udamon.report.hot_cold import at_most_note
from udamon.report.layout import Area, PictureRow, bands_of, memory, rows_of
from udamon.report.mappings import history_of, label_of
from udamon.report.place import AddressPlace, Axis, sums
from udamon.report.source import RecordingSource
from udamon.report.terminal import LEAST_NAME, Terminal, clock, shorten
from udamon.text import Shown, ours
from udamon.units import format_share, format_size

SPAN = 'SELECT min("begin"), max(time) FROM regions'

# Regions that touch cancel out in the sum: what is left are the edges of memory.
EDGES = """
    WITH edges AS (
        SELECT target, start AS address, 1 AS step FROM some_regions WHERE coalesce(resident, 1) > 0
        UNION ALL
        SELECT target, "end" AS address, -1 AS step FROM some_regions WHERE coalesce(resident, 1) > 0
    )
    SELECT target, address, sum(step) AS steps FROM edges WHERE address IS NOT NULL
    GROUP BY target, address HAVING sum(step) <> 0 ORDER BY target, address
"""


THERE = """
    SELECT first, last, {sums} FROM (
        SELECT first, last, "into", over, CAST(1 AS DOUBLE) AS covered,
            CAST(coalesce(resident, "end" - start) AS DOUBLE) / NULLIF("end" - start, 0) AS there
        FROM ({placed}) AS placed
    ) AS densities GROUP BY first, last
"""


@dataclass(frozen=True, slots=True)
class Heatmap:
    """The report: `cells[row][column]`; times in ns on CLOCK_MONOTONIC, columns of equal length."""

    rows: list[PictureRow]
    cells: list[list[float | None]]
    start_ns: int
    begin_ns: int
    end_ns: int


def measure(source: RecordingSource, rows: int, columns: int) -> Heatmap:
    """About `rows` x exactly `columns` cells over all that the filters leave. RecordingError if nothing."""
    begin, end, lines = times_and_rows(source, rows)
    cells: list[list[float | None]] = [[None] * columns for _ in lines]
    for line, column, rate in cells_of(source, lines, begin, end, columns):
        cells[line][column] = rate
    return Heatmap(lines, cells, source.start_ns, begin, end)


def span(source: RecordingSource) -> tuple[int | None, int | None]:
    """The begin of the first window and the end of the last one, ns; None where nothing is left."""
    # The first and the last snapshots are among the few, and only those filters leave them out.
    filters = source.filters
    few = filters.time == ALL and filters.since_ns is None and not filters.targets
    begin, end = (source.few(SPAN.replace("regions", "some_regions")) if few else source.query(SPAN))[0]
    return begin, end


def times_and_rows(source: RecordingSource, rows: int) -> tuple[int, int, list[PictureRow]]:
    """The begin of the first window, the end of the last one, ns, and about `rows` rows for all memory that the filters
    leave, in address order. Raises RecordingError where they leave nothing."""
    begin, end = span(source)
    lines = _lines_of(source, rows)
    if begin is None or end is None or not lines:
        raise source.nothing()
    return begin, end, lines


def _lines_of(source: RecordingSource, rows: int) -> list[PictureRow]:
    mappings = history_of(source.recording)
    bands = []
    # What filters leave may be in none of the few snapshots.
    rows_in = "some_regions"
    if not (found := source.few(EDGES)):
        rows_in = "regions"
        found = source.query(EDGES.replace("some_regions", rows_in))
    areas = {
        target: list(memory(list(_islands(edges)), mappings.get(target, [])))
        for target, edges in groupby(found, key=lambda edge: int(edge[0]))
    }
    there = _there(source, areas, rows_in)
    for target, here in areas.items():
        bands += bands_of(target, here, there[target])
    return rows_of(bands, rows) if bands else []


def _there(source: RecordingSource, areas: Mapping[int, Sequence[Area]], rows: str) -> dict[int, list[float]]:
    """Bytes of each area that are resident while it is there; all of it where that is not known."""
    known = source.query(f"SELECT count(resident) FROM {rows}")[0][0]
    found = {target: [float(area.size) for area, _ in here] for target, here in areas.items()}
    if not known:
        return found
    order = [(target, at) for target, here in areas.items() for at in range(len(here))]
    places = [
        AddressPlace(target, *areas[target][at][0], number) for number, (target, at) in enumerate(order)
    ]
    axis = Axis(source, "areas", places)
    placed = axis.placed(("start", '"end"', "resident"), rows=rows)
    columns = ", ".join(sums(name, name) for name in ("there", "covered"))
    summed = THERE.format(placed=placed, sums=columns)
    for number, there, covered in source.query(
        axis.spread((), ("there", "covered"), f"({summed}) AS summed")
    ):
        target, at = order[number]
        if covered > 0:
            found[target][at] = max(1.0, found[target][at] * min(1.0, there / covered))
    return found


def _islands(edges: Iterator[tuple[Any, ...]]) -> Iterator[Range]:
    """Sorted (target, address, steps) as the ranges that some snapshot covers."""
    depth, start = 0, 0
    for _, address, steps in edges:
        if depth == 0:
            start = address
        depth += int(steps)
        if depth == 0:
            yield Range(start, address)


def document(report: Heatmap, catalog: Catalog) -> dict[str, Any]:
    """The JSON document: `cells` has a list of rates (0..1 or null) per row; times in seconds."""
    columns = len(report.cells[0])
    return {
        "schema": 1,
        "start": report.start_ns / 1e9,
        "begin": report.begin_ns / 1e9,
        "end": report.end_ns / 1e9,
        "columns": columns,
        "column_seconds": (report.end_ns - report.begin_ns) / columns / 1e9,
        "rows": [
            {
                "target": row.band.target,
                "start": row.range.start,
                "end": row.range.end,
                "bytes": row.size,
                "mapping": row.band.name or "[anon]",
                "kind": kind_of(row.band.name),
                "label": row.band.label,
                "upper_bound": catalog.upper_bound_of(row.band.names),
            }
            for row in report.rows
        ],
        "cells": report.cells,
    }


LABEL = 27
"""Columns left of the picture: address, name, a space each; the sign of an upper bound stands in the last one."""
_NAME = 13


def render(report: Heatmap, catalog: Catalog, terminal: Terminal) -> Shown:
    """For people: address downwards, time to the right, each band's name beside its first row."""
    size = sum(row.size for row in report.rows)
    length = clock(report.end_ns - report.begin_ns)
    lines: list[str] = [
        f"{catalog.rate_title} of {format_size(size)} over {length} (gaps between memory left out)"
    ]
    targets = {row.band.target for row in report.rows}
    last, marked = None, False
    for row, cells in zip(report.rows, report.cells, strict=True):
        if row.band.target != last:
            last = row.band.target
            lines.append(catalog.target(last).label if len(targets) > 1 or catalog.targets else "")
        at_most = sign(row, cells, catalog)
        marked |= bool(at_most)
        lines.append(
            _figures(report, row, cells, at_most, terminal)
            if terminal.plain
            else _line(row, cells, at_most, terminal)
        )
    if not terminal.plain:
        lines += [
            *_axis(report, len(report.cells[0]), catalog),
            _legend(terminal, catalog),
        ]
    return text.lines([*lines, *(["", at_most_note()] if marked else []), *summed_note(targets)])


def sign(row: PictureRow, cells: Iterable[float | None], catalog: Catalog) -> str:
    """What stands before the rates of a row: of what others did, too, where it was accessed at all."""
    return ours("≤") if any(cells) and catalog.upper_bound_of(row.band.names) else ""


def _figures(
    report: Heatmap, row: PictureRow, cells: Sequence[float | None], at_most: str, terminal: Terminal
) -> Shown:
    """A row in words: its mean rate, and its highest one with the time."""
    known = [(rate, column) for column, rate in enumerate(cells) if rate is not None]
    if not known:
        return _named(row, "not there", terminal)
    most, column = max(known, key=lambda one: (one[0], -one[1]))
    mean = sum(rate for rate, _ in known) / len(known)
    step = (report.end_ns - report.begin_ns) / len(cells)
    at = clock(report.begin_ns - report.start_ns + step * column)
    if not most:
        return _named(row, "never accessed", terminal)
    shares = format_share(mean, at_most), format_share(most, at_most)
    return _named(row, f"mean {shares[0]}, highest {shares[1]} at {at}", terminal)


def _named(row: PictureRow, said: str, terminal: Terminal) -> Shown:
    """What is said of a row; its name is cut to the room that is left."""
    head = f"{row.range.start:012x}, {format_size(row.size)} of "
    room = max(LEAST_NAME, terminal.width - len(head) - len(said) - 2)
    return text.line(head, shorten(label_of(row.band.name), room, row.band.others), ": ", said)


def _line(row: PictureRow, cells: Sequence[float | None], at_most: str, terminal: Terminal) -> Shown:
    room = _NAME - max(0, len(at_most) - 1)  # "<=" where there is only ASCII
    name = shorten(label_of(row.band.name), room - bool(at_most), row.band.others) if row.first else ""
    address = f"{row.range.start:012x}" if row.first else ""
    return text.line(
        f"{address:12} ", text.pad(name, "<", room), at_most or " ", terminal.heat(cells)
    ).rstrip()


def _legend(terminal: Terminal, catalog: Catalog) -> Shown:
    """What cells mean, below them, or further left where it would not end in the terminal."""
    shown = terminal.legend(catalog.rate_of)
    return text.line(" " * max(0, min(LABEL, terminal.width - text.width(shown))), shown)


def _axis(report: Heatmap, columns: int, catalog: Catalog) -> list[str]:
    ends = report.begin_ns, report.end_ns
    first, last = (f"{clock(time - report.start_ns)}{catalog.wall(time)}" for time in ends)
    if len(first) + len(last) >= columns:
        first, last = (clock(time - report.start_ns) for time in ends)
    return [f"{'':{LABEL}}{first} {last:>{max(1, columns - len(first) - 1)}}"]
