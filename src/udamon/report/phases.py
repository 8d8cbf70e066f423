"""When the pattern of accesses changed: the recording cut into phases that are alike within.

The columns of a heatmap (access rates of all memory at a time) are a series of points; the distance of two is
the squared difference of their rates, averaged over bytes. Phases are the cuts with the least sum of squared
distances to the mean of their phase and a penalty for each cut: exactly the least, by optimal partitioning
(Jackson et al., "An algorithm for optimal partitioning of data on an interval", IEEE Signal Processing Letters
12, 2005), with a penalty in proportion to the logarithm of the number of columns as in Schwarz's criterion (Yao,
"Estimating the number of change-points via Schwarz' criterion", 1988). The noise in it is estimated from
neighbouring columns, by the median of their distances, so changes themselves hardly count.

The heat of a phase is bytes times rate. Where the grain is mappings, it is the bytes touched in a window, the mean over
the phase, with their bounds (udamon.report.groups). Of single pages of several processes it is at least that of the
process with most, and at most the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, sqrt
from statistics import median
from typing import Any

from udamon.model import MAPPING
from udamon.report import groups, heatmap
from udamon.report.catalog import Catalog
from udamon.report.grain import grain_of
from udamon.report.hot_cold import at_most_note
from udamon.report.layout import PictureRow
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal, clock, cut_apart, fitted, table
from udamon.text import Shown, escape, lines, ours
from udamon.text import width as text_width
from udamon.units import format_share, format_size

ROWS, COLUMNS = 48, 240
SHORTEST = 3
"""Columns that a phase has at least: a window in which the pattern changed is in two, and is no phase."""

STRAIGHT = 1.1
"""A way at most this much longer than the straight one is straight."""

PENALTY = 3.0
"""Of a cut, in units of noise times the logarithm of the number of columns (Yao's consistency needs over 2)."""

MEDIAN = 0.455
"""Of chi-squared with one degree of freedom, whose mean is 1; with more degrees the two are closer."""

LEAST_NOISE = 0.01**2
"""Rates that differ by one percent are never a change, however quiet the rest is."""

# A window counts in each phase by how long it was in it.
TOUCHED = """
    SELECT number, coalesce(sum(moments.low * weight) / nullif(sum(weight), 0), 0),
        coalesce(sum(moments.high * weight) / nullif(sum(weight), 0), 0)
    FROM (
        SELECT spans.number, moments.low, moments.high,
            CAST(least(moments.time, spans.until) - greatest(moments."begin", spans.since) AS DOUBLE) AS weight
        FROM ({moments}) AS moments JOIN phase_spans AS spans
            ON moments."begin" < spans.until AND moments.time > spans.since
    ) AS moments GROUP BY number
"""


@dataclass(frozen=True, slots=True)
class AccessPhase:
    """One phase, [begin_ns, end_ns) on CLOCK_MONOTONIC: `rates` of every row, and `heat`, bytes times rate: at most,
    and at least `sure`."""

    begin_ns: int
    end_ns: int
    rates: list[float]
    heat: float
    sure: float

    @property
    def bounds(self) -> dict[str, int] | None:
        """For JSON; None where the heat is exact."""
        low, high = round(self.sure), round(self.heat)
        return None if low == high else {"low": low, "high": high}


@dataclass(frozen=True, slots=True)
class Phases:
    """The report. `rows` are the rows of memory that the rates are of, `sizes` their bytes."""

    rows: list[PictureRow]
    sizes: list[int]
    phases: list[AccessPhase]
    start_ns: int
    column_ns: float

    def moved(self, number: int, count: int = 3) -> list[tuple[PictureRow, float, float]]:
        """What changed most, by bytes, as phase `number` began: (row, rate before, rate in it)."""
        before, after = self.phases[number - 1].rates, self.phases[number].rates
        change = [abs(now - then) * size for then, now, size in zip(before, after, self.sizes, strict=True)]
        order = sorted(range(len(change)), key=lambda row: -change[row])
        return [(self.rows[row], before[row], after[row]) for row in order[:count] if change[row] > 0]

    def hot(self, number: int, count: int = 3) -> list[tuple[PictureRow, float]]:
        """Where most of the heat of phase `number` is: (row, rate)."""
        rates = self.phases[number].rates
        order = sorted(range(len(rates)), key=lambda row: -rates[row] * self.sizes[row])
        return [(self.rows[row], rates[row]) for row in order[:count] if rates[row] > 0]


def measure(source: RecordingSource) -> Phases:
    """Raises RecordingError when there is no snapshot."""
    if not source.moments:
        raise source.nothing()
    picture = heatmap.measure(source, ROWS, max(1, min(COLUMNS, source.moments)))
    sizes = [row.size for row in picture.rows]
    total = sum(sizes) or 1  # rows of less than a byte have none
    columns = [[cell or 0.0 for cell in column] for column in zip(*picture.cells, strict=True)]
    weights = [sqrt(size / total) for size in sizes]
    points = [[rate * weight for rate, weight in zip(column, weights, strict=True)] for column in columns]
    width = (picture.end_ns - picture.begin_ns) / len(columns)
    found = spans(points)
    edges = [[picture.begin_ns + round(place * width) for place in span] for span in found]
    rates = [[sum(row) / (b - a) for row in zip(*columns[a:b], strict=True)] for a, b in found]
    if grain_of(source.recording) == MAPPING:
        heats = _touched(source, edges)
    else:
        added = groups.needed(source)
        heats = [_heat(picture.rows, each, added=added) for each in rates]
    phases = [
        AccessPhase(begin, end, each, high, min(low, high))
        for (begin, end), each, (low, high) in zip(edges, rates, heats, strict=True)
    ]
    return Phases(picture.rows, sizes, phases, picture.start_ns, width)


def _touched(source: RecordingSource, edges: Sequence[Sequence[int]]) -> list[tuple[float, float]]:
    """Of each phase: bounds of the bytes touched in a window, at the mean."""
    rows = [(number, *edge) for number, edge in enumerate(edges)]
    source.table("phase_spans", "number INTEGER, since BIGINT, until BIGINT", rows)
    found = {
        number: bounds for number, *bounds in source.query(TOUCHED.format(moments=groups.of_moments(source)))
    }
    return [(low, high) for low, high in (found.get(number, (0.0, 0.0)) for number in range(len(edges)))]


def _heat(rows: Sequence[PictureRow], rates: Sequence[float], *, added: bool) -> tuple[float, float]:
    """Bytes times rate. With `added` pages of several targets may be the same: no more is sure than one of them has."""
    by_target: dict[int, float] = {}
    for row, rate in zip(rows, rates, strict=True):
        by_target[row.band.target] = by_target.get(row.band.target, 0.0) + rate * row.size
    total = sum(by_target.values())
    return max(by_target.values(), default=0.0) if added else total, total


def spans(points: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """The phases of a series of points, as [begin, end) of their numbers."""
    count = len(points)
    if count < 2 * SHORTEST:
        return [(0, count)]
    steps = [_distance(one, other) for one, other in pairwise(points)]
    penalty = PENALTY * max(median(steps) / 2 / MEDIAN, LEAST_NOISE) * log(count)
    cost = _Costs(points)
    best = [-penalty, *[float("inf")] * count]
    came = [0] * (count + 1)
    for end in range(SHORTEST, count + 1):
        for begin in (0, *range(SHORTEST, end - SHORTEST + 1)):
            if (found := best[begin] + cost.of(begin, end) + penalty) < best[end]:
                best[end], came[end] = found, begin
    found_spans, end = [], count
    while end > 0:
        found_spans.append((came[end], end))
        end = came[end]
    return _without_ramps(found_spans[::-1], points)


def _without_ramps(found: list[tuple[int, int]], points: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Without short phases on the straight way from one to the next: there a window saw both."""
    number = 1
    while number < len(found) - 1:
        (first, begin), (_, end), (_, last) = found[number - 1 : number + 2]
        before, here, after = (_mean(points[a:b]) for a, b in ((first, begin), (begin, end), (end, last)))
        way = sqrt(_distance(before, here)) + sqrt(_distance(here, after))
        if end - begin < 2 * SHORTEST and way < STRAIGHT * sqrt(_distance(before, after)):
            near = (_distance(point, before) <= _distance(point, after) for point in points[begin:end])
            cut = begin + sum(near)
            found[number - 1 : number + 2] = [(first, cut), (cut, last)]
        else:
            number += 1
    return found


def _mean(points: Sequence[Sequence[float]]) -> list[float]:
    return [sum(values) / len(points) for values in zip(*points, strict=True)]


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


class _Costs:
    """Squared distances to the mean of any stretch of points, from running sums."""

    def __init__(self, points: Sequence[Sequence[float]]) -> None:
        self._sums = [[0.0] * len(points[0])]
        self._squares = [0.0]
        for point in points:
            self._sums.append([total + value for total, value in zip(self._sums[-1], point, strict=True)])
            self._squares.append(self._squares[-1] + sum(value * value for value in point))

    def of(self, begin: int, end: int) -> float:
        within = _distance(self._sums[end], self._sums[begin]) / (end - begin)
        return max(0.0, self._squares[end] - self._squares[begin] - within)


def document(report: Phases, catalog: Catalog) -> dict[str, Any]:
    """The JSON document: seconds since the recording's start, rates 0..1, bytes."""
    return {
        "schema": 1,
        "method": "optimal partitioning of the heatmap's columns, penalty by Schwarz's criterion",
        "resolution_seconds": report.column_ns / 1e9,
        "phases": [
            {
                "begin": (phase.begin_ns - report.start_ns) / 1e9,
                "end": (phase.end_ns - report.start_ns) / 1e9,
                "hot_bytes": round(phase.heat),
                "bounds": phase.bounds,
                "hot": [{**_row(row, catalog), "rate": rate} for row, rate in report.hot(number)],
                "moved": [
                    {**_row(row, catalog), "rate_before": before, "rate": now}
                    for row, before, now in (report.moved(number) if number else [])
                ],
            }
            for number, phase in enumerate(report.phases)
        ],
    }


def _row(row: PictureRow, catalog: Catalog) -> dict[str, Any]:
    return {
        "target": row.band.target,
        "start": row.range.start,
        "end": row.range.end,
        "label": row.band.label,
        "upper_bound": catalog.upper_bound_of(row.band.names),
    }


def render(report: Phases, catalog: Catalog, terminal: Terminal) -> Shown:
    """For people: a line a phase, and what moved."""
    many = len({row.band.target for row in report.rows}) > 1
    most = max(phase.heat for phase in report.phases) or 1
    bounded = any(phase.bounds for phase in report.phases)
    rows = [["from", "to", *(["at least", "at most"] if bounded else ["heat"]), ""]]
    moved: list[list[tuple[str, str]]] = []
    marked = False
    arrow = "→" if terminal.blocks else " -> "
    for number, phase in enumerate(report.phases):
        changes: list[tuple[str, str]] = []
        for row, before, now in report.moved(number, 2) if number else []:
            at_most = ours("≤") if catalog.upper_bound_of(row.band.names) else ""
            marked |= bool(at_most)
            shares = [format_share(share, at_most if share else "") for share in (before, now)]
            changes.append((_name(row, catalog if many else None), arrow.join(shares)))
        heat = [format_size(phase.sure), format_size(phase.heat)] if bounded else [format_size(phase.heat)]
        rows.append([
            clock(phase.begin_ns - report.start_ns),
            clock(phase.end_ns - report.start_ns),
            *heat, terminal.bar(phase.heat / most, 8),
        ])  # fmt: skip
        moved.append(changes)
    shown, said = _table(rows, moved, terminal)
    count = len(report.phases)
    head = "one phase: the pattern did not change" if count == 1 else f"{count} phases"
    head += f", from 0 s{catalog.wall(report.start_ns)} on" if catalog.wall(report.start_ns) else ""
    what = "bytes touched in a window" if catalog.by_mapping else f"bytes times {catalog.rate_title}"
    notes = [
        f"{'at least, at most' if bounded else 'heat'}: {what}; changes are found to {clock(report.column_ns)}"
    ]
    if bounded and many:
        notes.append("pages that several targets have count once: hence the bounds")
    if marked:
        notes.append(at_most_note())
    return lines([head, "", *shown, "", *said, *notes])


_BESIDE = 28
"""Columns that the names of what changed have at least, to stand beside the figures and not below them."""


def _table(
    rows: list[list[str]], moved: Sequence[Sequence[tuple[str, str]]], terminal: Terminal
) -> tuple[list[Shown], list[str]]:
    """A line a phase, and what changed (its name, and how) beside it; below it where there is no room. Also what to say
    of that."""
    align = ">" * (len(rows[0]) - 1) + "<"
    bare = table(rows, align)
    names, how = (
        [text_width(escape(change[at])) for changes in moved for change in changes] for at in (0, 1)
    )
    beside = 2 + min(_BESIDE, max(names, default=0)) + 2 + max(how, default=0)
    if max(map(text_width, bare)) + beside <= terminal.width:
        full = [[*rows[0], "what changed", ""]]
        for row, changes in zip(rows[1:], moved, strict=True):
            first, *others = changes or [("-", "")]
            full += [[*row, *first], *([*[""] * len(row), *other] for other in others)]
        return fitted(full, align + "<<", terminal.width, name=len(rows[0]))
    found = [bare[0]]
    for line, changes in zip(bare[1:], moved, strict=True):
        found.append(line)
        if changes:
            room = terminal.width - max(how) - 8
            cells = zip(cut_apart([name for name, _ in changes], room), changes, strict=True)
            found += table([[name, what] for name, (_, what) in cells], "<<", "      ")
    return found, ["below a phase: what changed most as it began"] if any(moved) else []


def _name(row: PictureRow, catalog: Catalog | None) -> str:
    """The memory, and with `catalog` the pid, since a process's title would leave the mapping no room."""
    target = catalog.target(row.band.target) if catalog else None
    whose = "" if target is None else f"{target.label if target.pid is None else f'pid {target.pid}'} "
    return f"{whose}{row.band.label} {row.range.start:x}"
