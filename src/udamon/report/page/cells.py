"""The picture of a page: rates and ages of every cell of a heatmap, in one byte each.

A rate's code is 0 for none, 1 to 254 for rates up to 1, and 255 where no memory was monitored. An age's code
is 0 for none, and then grows by one with every eighth of a doubling from a millisecond on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

from udamon.report.cells import cells_of
from udamon.report.heatmap import times_and_rows
from udamon.report.layout import PictureRow
from udamon.report.source import RecordingSource

NOTHING = 255
"""The code of a cell without memory."""


@dataclass(frozen=True, slots=True)
class Picture:
    """`rates` and `ages` have `columns` codes for each row, row after row; times are ns on CLOCK_MONOTONIC."""

    rows: list[PictureRow]
    columns: int
    start_ns: int
    begin_ns: int
    end_ns: int
    rates: bytes
    ages: bytes


def measure(source: RecordingSource, rows: int, columns: int) -> Picture:
    """About `rows` rows, and at most `columns` columns: no more than there are moments.

    Cells are means by bytes and time. Raises RecordingError when there is no snapshot.
    """
    begin, end, lines = times_and_rows(source, rows)
    columns = max(1, min(columns, source.moments))
    rates = bytearray([NOTHING]) * (columns * len(lines))
    ages = bytearray(columns * len(lines))
    for line, column, rate, age in cells_of(source, lines, begin, end, columns, ("rate", "age")):
        rates[line * columns + column] = rate_code(rate)
        ages[line * columns + column] = age_code(age / 1e9)
    return Picture(lines, columns, source.start_ns, begin, end, bytes(rates), bytes(ages))


def rate_code(rate: float) -> int:
    """The byte for a rate from 0 to 1."""
    return 0 if rate <= 0 else min(254, 1 + round(rate * 253))


def age_code(seconds: float) -> int:
    """The byte for an age."""
    return 0 if seconds <= 0 else max(1, min(254, 1 + round(log2(seconds * 1000) * 8)))
