"""How much memory is enough: the least that serves a chosen share of all accessed page-intervals.

A *page-interval* is a page that was accessed in a window. Memory is laid out in rows (udamon.report.layout); the
rows that are accessed most, by page-intervals for each byte, are taken until they hold the share that is asked
for. So the answer is about memory whose hot part stays put: what is needed if the rest were reclaimed once and
faulted in again when it is accessed.

How sure: the recording is cut into blocks of time of equal length, and many recordings are made up of blocks
drawn from it with replacement (a block bootstrap: Carlstein, "The use of subseries values for estimating the
variance of a general statistic from a stationary sequence", Annals of Statistics 14, 1986). The interval holds
the middle 95 % of their answers. It says what chance did to this recording, not what another day would bring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from random import Random
from typing import Any

from udamon.errors import UsageError
from udamon.report.heatmap import lines_of, span
from udamon.report.place import Axis, Place, sums
from udamon.report.source import Source, double
from udamon.report.terminal import Terminal, clock, table
from udamon.text import Shown, lines
from udamon.units import format_size

ROWS, BLOCKS, DRAWS = 512, 32, 500
SURE = 0.95

SUMMED = """
    SELECT block, first, last, {sums} FROM (
        SELECT first, last, "into", over,
            CAST(floor((CAST(time AS DOUBLE) - {begin} - {half}) / {width}) AS INTEGER) AS block,
            CAST(touched AS DOUBLE) / NULLIF("end" - start, 0) AS touched,
            CAST(coalesce(resident, "end" - start) AS DOUBLE) / NULLIF("end" - start, 0) AS resident
        FROM ({placed}) AS placed
    ) AS densities GROUP BY block, first, last
"""
MOMENTS = "SELECT count(DISTINCT seq) FROM regions"


@dataclass(frozen=True, slots=True)
class RightSize:
    """The report: `need` bytes serve `serve` (0..1) of accesses, most likely between `low` and `high`.

    `resident` is what was in memory on average, `saved` what is left of it beyond `need`. `curve` has
    (share served, bytes) for other shares. `blocks` of `block_ns` each were drawn from.
    """

    serve: float
    need: int
    low: int
    high: int
    resident: int
    curve: list[tuple[float, int]]
    blocks: int
    block_ns: float
    moments: int

    @property
    def saved(self) -> int:
        return max(0, self.resident - self.need)


def measure(source: Source, serve: float = 0.99, *, seed: int = 1) -> RightSize:
    """Raises RecordingError when there is no snapshot or nothing was accessed, UsageError for a senseless share."""
    if not 0 < serve <= 1:
        raise UsageError(f"--serve {serve:g} is no share of accesses; give one above 0 and up to 100%.")
    begin, end = span(source)
    lines = lines_of(source, ROWS)
    if begin is None or end is None or not lines:
        raise source.nothing()
    moments = source.query(MOMENTS)[0][0]
    blocks = max(1, min(BLOCKS, moments // 2))
    places = [
        Place(row.band.target, *piece, number) for number, row in enumerate(lines) for piece in row.pieces
    ]
    touched, resident = _amounts(source, places, len(lines), blocks, begin, end)
    sizes = [size / moments for size in resident]
    total = [sum(column) for column in zip(*touched, strict=True)]
    if sum(total) <= 0:
        raise source.nothing()
    low, high = _interval(touched, sizes, serve, Random(seed))
    return RightSize(
        serve, needed(total, sizes, serve), low, high, round(sum(sizes)),
        [(share, needed(total, sizes, share)) for share in (0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)],
        blocks, (end - begin) / blocks, moments,
    )  # fmt: skip


def _amounts(
    source: Source, places: Sequence[Place], rows: int, blocks: int, begin: int, end: int
) -> tuple[list[list[float]], list[float]]:
    """Touched bytes of every block and row, and resident bytes of every row, summed over windows."""
    axis = Axis(source, "right_size", places)
    placed = axis.placed(("time", "start", '"end"', "touched", "resident"))
    columns = ", ".join(sums(name, name) for name in ("touched", "resident"))
    width = double((end - begin) / blocks)
    summed = SUMMED.format(sums=columns, placed=placed, begin=double(begin), half=double(0.5), width=width)
    touched = [[0.0] * rows for _ in range(blocks)]
    resident = [0.0] * rows
    for block, row, accessed, there in source.query(
        axis.spread(("block",), ("touched", "resident"), f"({summed}) AS summed")
    ):
        touched[min(max(block, 0), blocks - 1)][row] += accessed
        resident[row] += there
    return touched, resident


def needed(touched: Sequence[float], sizes: Sequence[float], serve: float) -> int:
    """The bytes of the rows that are accessed most, until they hold `serve` of all touched bytes; the last
    row counts in part."""
    order = sorted(
        (row for row in range(len(sizes)) if touched[row] > 0),
        key=lambda row: -touched[row] / max(sizes[row], 1.0),
    )
    rest, need = serve * sum(touched), 0.0
    for row in order:
        if touched[row] >= rest:
            return ceil(need + sizes[row] * rest / touched[row])
        rest -= touched[row]
        need += sizes[row]
    return ceil(need)


def _interval(
    touched: Sequence[Sequence[float]], sizes: Sequence[float], serve: float, random: Random
) -> tuple[int, int]:
    found = sorted(
        needed(
            [sum(column) for column in zip(*random.choices(touched, k=len(touched)), strict=True)],
            sizes,
            serve,
        )
        for _ in range(DRAWS)
    )
    tail = (1 - SURE) / 2
    return found[int(tail * DRAWS)], found[min(DRAWS - 1, ceil((1 - tail) * DRAWS) - 1)]


def document(report: RightSize) -> dict[str, Any]:
    """The JSON document: bytes, shares, seconds."""
    return {
        "schema": 1,
        "serve": report.serve,
        "bytes": report.need,
        "interval": {
            "low": report.low,
            "high": report.high,
            "confidence": SURE,
            "method": "block bootstrap over time (Carlstein 1986)",
            "blocks": report.blocks,
            "block_seconds": report.block_ns / 1e9,
            "draws": DRAWS,
        },
        "resident_bytes": report.resident,
        "saved_bytes": report.saved,
        "curve": [{"serve": share, "bytes": need} for share, need in report.curve],
        "snapshots": report.moments,
    }


def render(report: RightSize, terminal: Terminal) -> Shown:
    """For people."""
    share = report.saved / report.resident if report.resident else 0.0
    top = max((need for _, need in report.curve), default=0) or 1
    rows = [
        [f"{served:.1%}", format_size(need), terminal.bar(need / top, max(10, terminal.width - 26))]
        for served, need in report.curve
    ]
    saved = f"{format_size(report.saved)} ({share:.0%})"
    few = "" if report.blocks >= 8 else " (few blocks: record longer for an interval to rely on)"
    return lines(
        [
            f"to serve {report.serve:.4g} of all accessed page-intervals: {format_size(report.need)}",
            f"  between {format_size(report.low)} and {format_size(report.high)} with {SURE:.0%} confidence{few}",
            f"  {format_size(report.resident)} were in memory: reclaiming the rest would save {saved}",
            "",
            *table([["served", "needs", ""], *rows], ">><"),
            "",
            f"Block bootstrap: {DRAWS} draws of {report.blocks} blocks of {clock(report.block_ns)}. It is about chance",
            "in this recording; another load needs another recording.",
        ]
    )
