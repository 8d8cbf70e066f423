"""The heatmap: how often memory was accessed, by time and address.

A cell is the mean access rate (nr_accesses / ticks) of its memory over its time, weighted by bytes and
time; None where no memory was monitored then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from udamon.model import Range
from udamon.record.naming import kind_of
from udamon.record.reader import Recording
from udamon.report.catalog import Catalog
from udamon.report.filters import ALL
from udamon.report.layout import Row, bands_of, memory, rows_of
from udamon.report.mappings import Mapped, label_of
from udamon.report.place import Axis, Place, sums
from udamon.report.source import Source, double
from udamon.report.terminal import Terminal, clock, shorten
from udamon.units import format_size

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

# A window from column `early` to column `late` weighs `w0` ns in the first and `w1` in the last. Half a
# nanosecond either way keeps rounding from spilling a window into a column where it is not.
TIMED = """
    SELECT target, start, "end", {names}, early, greatest(late, early) AS late,
        least("to", (early + 1) * {width}) - "from" AS w0, "to" - greatest(late, early) * {width} AS w1
    FROM (
        SELECT target, start, "end", {values},
            CAST("begin" - {begin} AS DOUBLE) AS "from", CAST(time - {begin} AS DOUBLE) AS "to",
            CAST(floor(("begin" - {begin} + {half}) / {width}) AS INTEGER) AS early,
            CAST(ceil((time - {begin} - {half}) / {width}) AS INTEGER) - 1 AS late
        FROM regions WHERE start IS NOT NULL
    ) AS windows WHERE rate IS NOT NULL
"""

# Regions mostly stay from one window to the next: what is alike is placed once.
ALIKE = """
    SELECT target, start, "end", early, late, {sums} FROM ({timed}) AS timed
    GROUP BY target, start, "end", early, late
"""

SUMMED = """
    SELECT early, late, first, last, {sums} FROM ({placed}) AS placed GROUP BY early, late, first, last
"""

CELLS = """
    SELECT name, slot, {totals} FROM (
        SELECT *, unnest(range(CAST(early AS BIGINT), CAST(late AS BIGINT) + 1)) AS slot FROM ({spread}) AS spread
    ) AS slots GROUP BY name, slot
"""
IN_SLOT = "CASE WHEN slot = early THEN {name} WHEN slot = late THEN {name}_end ELSE {name}_all * {width} END"

VALUES = {
    "rate": "CAST(nr_accesses AS DOUBLE) / NULLIF(ticks, 0)",
    "age": "CAST(age AS DOUBLE) * ticks * sample_ns",
}
"""What a cell may tell of a region: its access rate 0..1, and its age in ns."""


@dataclass(frozen=True, slots=True)
class Heatmap:
    """The report: `cells[row][column]`; times in ns on CLOCK_MONOTONIC, columns of equal length."""

    rows: list[Row]
    cells: list[list[float | None]]
    start_ns: int
    begin_ns: int
    end_ns: int


def measure(source: Source, rows: int, columns: int) -> Heatmap:
    """About `rows` x exactly `columns` cells over all that the filters leave. RecordingError if nothing."""
    begin, end = span(source)
    lines = lines_of(source, rows)
    if begin is None or end is None or not lines:
        raise source.nothing()
    cells: list[list[float | None]] = [[None] * columns for _ in lines]
    for line, slot, rate in cells_of(source, lines, begin, (end - begin) / columns):
        if 0 <= slot < columns:
            cells[line][slot] = rate
    return Heatmap(lines, cells, source.start_ns, begin, end)


def span(source: Source) -> tuple[int | None, int | None]:
    """The begin of the first window and the end of the last one, ns; None where nothing is left."""
    # The first and the last snapshots are among the few, and only those filters leave them out.
    few = source.filters.time == ALL and not source.filters.targets
    begin, end = source.query(SPAN.replace("regions", "some_regions") if few else SPAN)[0]
    return begin, end


def cells_of(
    source: Source, lines: Sequence[Row], begin: int, width: float, values: Sequence[str] = ("rate",)
) -> list[tuple[Any, ...]]:
    """(line, column, mean of each of `values`) of all cells with memory; columns are `width` ns from `begin` on.

    `values` are names of VALUES, rate first; means are weighted by bytes and time.
    """
    places = [Place(row.band.target, *piece, line) for line, row in enumerate(lines) for piece in row.pieces]
    axis = Axis(source, "heatmap", places)
    timed = TIMED.format(
        begin=begin, width=double(width), half=double(0.5), names=", ".join(values),
        values=", ".join(f"{VALUES[name]} AS {name}" for name in values),
    )  # fmt: skip
    # Of each amount: its sum in a window's first column, in its last one, and between them, for a ns.
    factors = {"bytes": double(1)} | {f"{name}_sum": name for name in values}
    amounts: dict[str, str] = {}
    for name, factor in factors.items():
        amounts |= {name: f"w0 * {factor}", f"{name}_end": f"w1 * {factor}", f"{name}_all": factor}
    alike = ALIKE.format(
        timed=timed, sums=", ".join(f"sum({value}) AS {name}" for name, value in amounts.items())
    )
    placed = axis.placed(("early", "late", *amounts), rows=f"({alike})")
    summed = SUMMED.format(placed=placed, sums=", ".join(sums(name, name) for name in amounts))
    spread = axis.spread(("early", "late"), tuple(amounts), f"({summed}) AS summed")
    totals = ", ".join(f"sum({IN_SLOT.format(name=name, width=double(width))})" for name in factors)
    found: dict[tuple[int, int], list[float]] = {}
    for part in source.in_parts(CELLS.format(spread=spread, totals=totals)):
        for line, slot, *more in part:
            known = found.get((line, slot), [0.0] * len(more))
            found[line, slot] = [one + other for one, other in zip(known, more, strict=True)]
    return [(*cell, *(total / weight for total in rest)) for cell, (weight, *rest) in found.items() if weight]


def lines_of(source: Source, rows: int) -> list[Row]:
    """About `rows` rows for all memory that the filters leave, in address order; none for none."""
    mappings = mappings_of(source.recording)
    bands = []
    # What filters leave may be in none of the few snapshots.
    found = source.query(EDGES) or source.query(EDGES.replace("some_regions", "regions"))
    for target, edges in groupby(found, key=lambda edge: int(edge[0])):
        bands += bands_of(target, memory(list(_islands(edges)), mappings.get(target, [])))
    return rows_of(bands, rows) if bands else []


def _islands(edges: Iterator[tuple[Any, ...]]) -> Iterator[Range]:
    """Sorted (target, address, steps) as the ranges that some snapshot covers."""
    depth, start = 0, 0
    for _, address, steps in edges:
        if depth == 0:
            start = address
        depth += int(steps)
        if depth == 0:
            yield Range(start, address)


def mappings_of(recording: Recording) -> dict[int, list[Mapped]]:
    """Every target's mappings of all times, sorted and disjoint: of two in one place, the later one."""
    found: dict[int, dict[int, Mapped]] = {}
    for event in recording.events():
        if event.name == "mappings":
            data: Any = event.data
            known = found.setdefault(data["target"], {})
            for start, end, perms, _offset, _inode, name in data.get("add", ()):
                known[start] = Mapped(start, end, perms, name)
    return {target: list(_disjoint(known)) for target, known in found.items()}


def _disjoint(known: dict[int, Mapped]) -> Iterator[Mapped]:
    at = 0
    for start in sorted(known):
        mapped = known[start]
        if mapped.end > at:
            yield mapped._replace(start=max(start, at))
            at = mapped.end


def document(report: Heatmap) -> dict[str, Any]:
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
                "bytes": sum(piece.size for piece in row.pieces),
                "mapping": row.band.name or "[anon]",
                "kind": kind_of(row.band.name),
                "label": row.band.label,
            }
            for row in report.rows
        ],
        "cells": report.cells,
    }


LABEL = 27
"""Columns left of the picture: address, name, a space each."""


def render(report: Heatmap, catalog: Catalog, terminal: Terminal) -> str:
    """For people: address downwards, time to the right, each band's name beside its first row."""
    size = sum(piece.size for row in report.rows for piece in row.pieces)
    length = clock(report.end_ns - report.begin_ns)
    lines = [f"access rate of {format_size(size)} over {length} (gaps between memory left out)"]
    targets = {row.band.target for row in report.rows}
    last = None
    for row, cells in zip(report.rows, report.cells, strict=True):
        if row.band.target != last:
            last = row.band.target
            lines.append(f"{catalog.target(last).label}" if len(targets) > 1 or catalog.targets else "")
        lines.append(_line(row, cells, terminal))
    return "\n".join([*lines, *_axis(report, len(report.cells[0])), f"{'':{LABEL}}{terminal.legend()}"])


def _line(row: Row, cells: Sequence[float | None], terminal: Terminal) -> str:
    name = shorten(label_of(row.band.name), 13, row.band.others) if row.first else ""
    address = f"{row.range.start:012x}" if row.first else ""
    return f"{address:12} {name:13} {terminal.heat(cells)}".rstrip()


def _axis(report: Heatmap, columns: int) -> list[str]:
    first, last = clock(report.begin_ns - report.start_ns), clock(report.end_ns - report.start_ns)
    return [f"{'':{LABEL}}{first}{last:>{max(1, columns - len(first))}}"]
