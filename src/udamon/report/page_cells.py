"""The picture of a page: rates and ages of every cell, in one byte each, from two passes over the recording.

A rate's code is 0 for none, 1 to 254 for rates up to 1, and 255 where no memory was monitored. An age's code
is 0 for none, and then grows by one with every eighth of a doubling from a millisecond on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from udamon.report.heatmap import lines_of
from udamon.report.layout import Row
from udamon.report.source import Source

NOTHING = 255
"""The code of a cell without memory."""

SPAN = 'SELECT min("begin"), max(time) FROM regions'
MOMENTS = "SELECT count(DISTINCT seq) FROM regions"

# What regions of one place have in common is summed up before anything is joined: most regions stay where
# they are, so that a column of a long recording costs no more than one of a short one.
CELLS = """
    WITH spans AS (
        SELECT target, start, "end", "begin", time, CAST(nr_accesses AS DOUBLE) / NULLIF(ticks, 0) AS rate,
            CAST(age AS DOUBLE) * ticks * sample_ns AS age,
            unnest(range(CAST(floor(CAST("begin" - {begin} AS DOUBLE) / {column}) AS BIGINT),
                         CAST(ceil(CAST(time - {begin} AS DOUBLE) / {column}) AS BIGINT))) AS slot
        FROM regions WHERE start IS NOT NULL
    ), weighed AS (
        SELECT target, start, "end", slot, rate, age,
            least(CAST(time - {begin} AS DOUBLE), (slot + 1) * {column})
                - greatest(CAST("begin" - {begin} AS DOUBLE), slot * {column}) AS weight
        FROM spans
    ), places AS (
        SELECT target, start, "end", slot, sum(rate * weight) AS rate, sum(age * weight) AS age,
            sum(weight) AS weight
        FROM weighed GROUP BY target, start, "end", slot
    ), shares AS (
        SELECT line, slot, rate, age, weight,
            CAST(least("end", high) AS DOUBLE) - greatest(start, low) AS bytes
        FROM places JOIN page_pieces ON places.target = page_pieces.target AND start < high AND "end" > low
    )
    SELECT line, slot, sum(rate * bytes) / sum(weight * bytes), sum(age * bytes) / sum(weight * bytes)
    FROM shares GROUP BY line, slot HAVING sum(weight * bytes) > 0
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """`rates` and `ages` have `columns` codes for each row, row after row; times are ns on CLOCK_MONOTONIC."""

    rows: list[Row]
    columns: int
    start_ns: int
    begin_ns: int
    end_ns: int
    rates: bytes
    ages: bytes


def measure(source: Source, rows: int, columns: int) -> Picture:
    """About `rows` rows, and at most `columns` columns: no more than there are moments.

    Cells are means by bytes and time. Raises RecordingError when there is no snapshot.
    """
    begin, end = source.query(SPAN)[0]
    lines = lines_of(source, rows)
    if begin is None or not lines:
        raise source.nothing()
    columns = max(1, min(columns, source.query(MOMENTS)[0][0]))
    pieces = [(row.band.target, line, *piece) for line, row in enumerate(lines) for piece in row.pieces]
    source.table("page_pieces", "target INTEGER, line INTEGER, low UBIGINT, high UBIGINT", pieces)
    rates = bytearray([NOTHING]) * (columns * len(lines))
    ages = bytearray(columns * len(lines))
    query = CELLS.format(begin=begin, column=(end - begin) / columns)
    for line, slot, rate, age in source.query(query):
        if 0 <= slot < columns and rate is not None:  # a rounding error can reach beyond the last column
            rates[line * columns + slot] = rate_code(rate)
            ages[line * columns + slot] = age_code(age / 1e9)
    return Picture(lines, columns, source.start_ns, begin, end, bytes(rates), bytes(ages))


def rate_code(rate: float) -> int:
    """The byte for a rate from 0 to 1."""
    return 0 if rate <= 0 else min(254, 1 + round(rate * 253))


def age_code(seconds: float) -> int:
    """The byte for an age."""
    return 0 if seconds <= 0 else max(1, min(254, 1 + round(log2(seconds * 1000) * 8)))


def grid(picture: Picture) -> Sequence[bytes]:
    """The rates' codes, a row each."""
    return [picture.rates[at : at + picture.columns] for at in range(0, len(picture.rates), picture.columns)]
