"""The cells of a heatmap: means of the regions in each place and column of time, weighted by bytes and time. Bytes
are resident ones where those are known, spread evenly over their region.

They are defined as SQL, which needs no more than an engine and serves all filters. Where filters choose whole
snapshots or nothing at all, the same sums come from C (udamon.native, cells.c) on the recording's own batches: a
tenth of the time. tests/property/test_cells.py holds the two equal.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from udamon.native._native import add_cells
from udamon.report.filters import Filters
from udamon.report.grain import has_shares, rate_of
from udamon.report.layout import PictureRow
from udamon.report.place import AddressPlace, Axis, sums
from udamon.report.source import RecordingSource, double

Cell = tuple[Any, ...]
"""Line, column, and the mean of each value."""

# A window from column `early` to column `late` weighs `w0` ns in the first and `w1` in the last. Half a
# nanosecond either way keeps rounding from spilling a window into a column where it is not.
TIMED = """
    SELECT target, start, "end", {names}, there, early, greatest(late, early) AS late,
        least("to", (early + 1) * {width}) - "from" AS w0, "to" - greatest(late, early) * {width} AS w1
    FROM (
        SELECT target, start, "end", {values},
            CAST(coalesce(resident, "end" - start) AS DOUBLE) / NULLIF("end" - start, 0) AS there,
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
    "rate": "{rate}",
    "age": "CAST(age AS DOUBLE) * ticks * sample_ns",
}
"""What a cell may tell of a region: its access rate 0..1, and its age in ns."""

_FIRST, _LAST = -(1 << 63), (1 << 63) - 1


def cells_of(
    source: RecordingSource, lines: Sequence[PictureRow], begin: int, end: int, columns: int,
    values: Sequence[str] = ("rate",),
) -> list[Cell]:  # fmt: skip
    """All cells with memory: line, column, and the mean of each of `values`, the first one or more of VALUES.

    The `columns` are of equal length and reach from `begin` to `end`, ns on CLOCK_MONOTONIC.
    """
    places = [
        AddressPlace(row.band.target, *piece, line) for line, row in enumerate(lines) for piece in row.pieces
    ]
    whole = source.filters == Filters(time=source.filters.time, targets=source.filters.targets)
    by = by_batches if whole and end > begin else by_query
    # A window of no length, which other tools may write, is in a column of some length.
    return by(source, places, begin, max(1, end - begin) / columns, columns, values)


def by_query(
    source: RecordingSource,
    places: Sequence[AddressPlace],
    begin: int,
    width: float,
    columns: int,
    values: Sequence[str],
) -> list[Cell]:
    """The definition, for any filters. Memory does not grow with the recording's length."""
    axis, rate = Axis(source, "heatmap", places), rate_of(source.recording.metadata)
    timed = TIMED.format(
        begin=begin, width=double(width), half=double(0.5), names=", ".join(values),
        values=", ".join(f"{VALUES[name].format(rate=rate)} AS {name}" for name in values),
    )  # fmt: skip
    # Of each amount: its sum in a window's first column, in its last one, and between them, for a ns.
    factors = {"bytes": "there"} | {f"{name}_sum": f"there * {name}" for name in values}
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
        for line, column, *more in part:
            if 0 <= column < columns:  # a rounding error can reach beyond the last one
                known = found.get((line, column), [0.0] * len(more))
                found[line, column] = [one + other for one, other in zip(known, more, strict=True)]
    return [(*cell, *(total / weight for total in rest)) for cell, (weight, *rest) in found.items() if weight]


def by_batches(
    source: RecordingSource,
    places: Sequence[AddressPlace],
    begin: int,
    width: float,
    columns: int,
    values: Sequence[str],
) -> list[Cell]:
    """The same for filters that choose snapshots only: places leave out the targets that are not wanted."""
    known = sorted(places)
    target, line = (
        array("i", [place.target for place in known]),
        array("i", [place.name or 0 for place in known]),
    )
    lows, highs = array("Q", [place.low for place in known]), array("Q", [place.high for place in known])
    amounts = 1 + len(values)
    count = (1 + max((place.name or 0 for place in known), default=-1)) * columns
    cells = array("d", bytes(8 * amounts * count))
    shares = int(has_shares(source.recording.metadata))
    low, high = source.filters.time
    first = _FIRST if low is None else min(int(low) + source.start_ns, _LAST)
    last = _LAST if high is None else min(int(high) + source.start_ns, _LAST)
    for batch in source.recording.scan():
        schema, capsule = batch.__arrow_c_array__()
        add_cells(
            schema=schema, batch=capsule, target=target, low=lows, high=highs, line=line, cells=cells, columns=columns,
            amounts=amounts, shares=shares, begin_ns=begin, width_ns=width, first_ns=first, last_ns=last,
        )  # fmt: skip
    return [
        (*divmod(cell, columns), *(total / weight for total in cells[at + 1 : at + amounts]))
        for cell in range(count)
        if (weight := cells[at := cell * amounts])
    ]
