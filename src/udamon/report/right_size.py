"""How much memory is enough: the least that serves a chosen share of all accessed page-intervals.

A *page-interval* is a page that was accessed in a window. Memory is laid out in rows (udamon.report.layout); the
rows that are accessed most, by page-intervals for each byte, are taken until they hold the share that is asked
for. So the answer is about memory whose hot part stays put: what is needed if the rest were reclaimed once and
faulted in again when it is accessed.

How sure: the recording is cut into blocks of time of equal length, and many recordings are made up of blocks
drawn from it with replacement (a block bootstrap: Carlstein, "The use of subseries values for estimating the
variance of a general statistic from a stationary sequence", Annals of Statistics 14, 1986). The interval holds
the middle 95 % of their answers. It says what chance did to this recording, not what another day would bring. Of
fewer than 20 windows it says nothing, and is left out.

Where single pages of a row were not seen, or several targets share pages, only bounds are known: there is neither a
single answer nor an interval of confidence:

- `refs` tells how much of a mapping was accessed, and not which pages. At least: if it was the same ones in every
  window, then what serves the share is that share of a mean window. At most: the rows as they are.
- Of a group (udamon.report.groups) the mean window is its lower bound. What the sums leave out of all accesses they
  count may be all of it accesses that nobody repeats; so that it stays below what may be left out of the distinct
  ones, a larger share of the sums is served. Nothing needs more than all that is resident.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from random import Random
from textwrap import wrap
from typing import Any

from udamon.errors import RecordingError, UsageError
from udamon.report import sampled, wss
from udamon.report.grain import is_sampled
from udamon.report.groups import between
from udamon.report.heatmap import times_and_rows
from udamon.report.levels import FEWEST, too_few
from udamon.report.place import AddressPlace, Axis, sums
from udamon.report.source import RecordingSource, double
from udamon.report.terminal import Terminal, clock, table
from udamon.text import Shown, lines
from udamon.units import counted, format_share, format_size

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
OTHERS = "what other processes touch of files and shared memory counts, too"
ALIKE = "refs tells how much of a mapping was accessed, and not whether it was the same pages in every window"
ESTIMATED = "which memory was accessed how often is estimated from checks of single pages, and no bounds of this follow"
SHARED = "several mappings have the same pages, and which of them were accessed is not known"


@dataclass(frozen=True, slots=True)
class RightSize:
    """The report: what serves `serve` (0..1) of accesses, in bytes at least and at most; alike where it is known.

    `interval` is what chance makes of it, with 95 % confidence; None where it was not asked for, or there is no one
    answer, or too little of a recording, and `why` says which of the latter two. `resident` is what was in memory on
    average, at most for a group. `curve` has (share served, bytes at least, at most) for other shares. `blocks` of
    `block_ns` each were drawn from.
    """

    serve: float
    low: int
    high: int
    interval: tuple[int, int] | None
    why: str | None
    resident: int
    curve: list[tuple[float, int, int]]
    blocks: int
    block_ns: float
    moments: int
    group: bool
    estimated: str | None = None
    """Why the answer, whose bounds are alike, is an estimate without bounds; None where it is not."""

    @property
    def need(self) -> int | None:
        """The answer; None where only bounds are known."""
        return self.high if self.low == self.high else None

    @property
    def saved(self) -> tuple[int, int]:
        """`resident` minus the needed bytes: lower and upper bound."""
        return max(0, self.resident - self.high), max(0, self.resident - self.low)


def measure(source: RecordingSource, serve: float = 0.99, *, seed: int | None = None) -> RightSize:
    """`seed`: of the draws behind the interval; None where none is wanted, for they cost more than all the rest.

    Raises RecordingError when there is no snapshot or nothing was accessed, UsageError for a senseless share.
    """
    if not 0 < serve <= 1:
        raise UsageError(f"--serve {serve:g} is no share of accesses; give one above 0 and up to 100%.")
    begin, end, lines = times_and_rows(source, ROWS)
    moments = source.moments
    blocks = max(1, min(BLOCKS, moments // 2))
    places = [
        AddressPlace(row.band.target, *piece, number)
        for number, row in enumerate(lines)
        for piece in row.pieces
    ]
    touched, resident = _amounts(source, places, len(lines), blocks, begin, end)
    sizes = [size / moments for size in resident]
    total = [sum(column) for column in zip(*touched, strict=True)]
    if sum(total) <= 0:
        raise RecordingError(
            f"{source.recording.path}: nothing was accessed in {counted(moments, 'window')}, so no size serves "
            "accesses; record a program at work."
        )
    working_set = wss.measure(source, bins=1)
    group = working_set.group
    census = source.recording.metadata.get("via") == "refs"
    mean = sum(total) / moments
    least = mean
    if group is not None or census:
        least = min(mean, float(working_set.total.least["mean"] if group is None else group.low["mean"]))
    there = round(sum(sizes)) if group is None else min(round(sum(sizes)), group.resident["max"])

    def bounds(share: float) -> tuple[int, int]:
        # Accesses that were another's may be any of those counted: then the rest have to be served by themselves.
        served = 1 - (1 - share) * (least / mean)
        most = min(needed(total, sizes, served), there)
        return (min(most, ceil(share * least)) if group is not None or census else most), most

    low, high = bounds(serve)
    interval, why = None, None
    if low != high:
        why = SHARED if group is not None else ALIKE if least == mean else f"{ALIKE}; {OTHERS}"
    elif moments < FEWEST:
        why = too_few(moments, "an interval of confidence")
    elif seed is not None:
        interval = _interval(touched, sizes, serve, Random(seed))
    return RightSize(
        serve, low, high, interval, why, there,
        [(share, *bounds(share)) for share in (0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)],
        blocks, (end - begin) / blocks, moments, group is not None, _estimated(source) if group is None else None,
    )  # fmt: skip


def _estimated(source: RecordingSource) -> str | None:
    return ESTIMATED if is_sampled(source.recording.metadata) else sampled.unbounded(source)


def _amounts(
    source: RecordingSource, places: Sequence[AddressPlace], rows: int, blocks: int, begin: int, end: int
) -> tuple[list[list[float]], list[float]]:
    """Touched bytes of every block and row, and resident bytes of every row, summed over windows."""
    axis = Axis(source, "right_size", places)
    placed = axis.placed(("time", "start", '"end"', "touched", "resident"))
    columns = ", ".join(sums(name, name) for name in ("touched", "resident"))
    width = double(max(1, end - begin) / blocks)
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
        "bounds": None if report.estimated else {"low": report.low, "high": report.high},
        "group": {"low": report.low, "high": report.high, "resident": report.resident}
        if report.group
        else None,
        "why": "; ".join(filter(None, (report.estimated, report.why))) or None,
        "interval": None
        if report.interval is None
        else {
            "low": report.interval[0],
            "high": report.interval[1],
            "confidence": SURE,
            "method": "block bootstrap over time (Carlstein 1986)",
            "blocks": report.blocks,
            "block_seconds": report.block_ns / 1e9,
            "draws": DRAWS,
        },
        "resident_bytes": report.resident,
        "saved_bytes": report.saved[0] if report.need is not None else None,
        "saved_bounds": None if report.estimated else {"low": report.saved[0], "high": report.saved[1]},
        "curve": [
            {
                "serve": share,
                "bytes": most if least == most else None,
                "low": None if report.estimated else least,
                "high": None if report.estimated else most,
            }
            for share, least, most in report.curve
        ],
        "snapshots": report.moments,
    }


def render(report: RightSize, terminal: Terminal) -> Shown:
    """For people."""
    top = max((most for *_, most in report.curve), default=0) or 1
    room = max(10, terminal.width - 48)
    rows = [
        [f"{served:.1%}", between(least, most), terminal.bar(most / top, room)]
        for served, least, most in report.curve
    ]
    low, high = (format_share(amount / (report.resident or 1)) for amount in report.saved)
    share = low if low == high else f"{low} to {high}"
    said: list[str] = [
        f"to serve {report.serve:.4g} of all accessed page-intervals: {between(report.low, report.high)}"
    ]
    for why in filter(None, (report.estimated, report.why)):
        said += wrap(why + ".", terminal.width, initial_indent="  ", subsequent_indent="  ")
    if report.interval is not None:
        least, most = map(format_size, report.interval)
        few = "" if report.blocks >= 8 else " (few blocks: record longer for an interval to rely on)"
        said.append(f"  between {least} and {most} with {SURE:.0%} confidence{few}")
    saved = f"{between(*report.saved)} ({share})"
    there = f"{format_size(report.resident)} were in memory: reclaiming the rest would save {saved}"
    said += [
        *wrap(there, terminal.width, initial_indent="  ", subsequent_indent="  "),
        "",
        *table([["served", "needs", ""], *rows], ">><"),
    ]
    if report.interval is not None:
        said += [
            "",
            f"Block bootstrap: {DRAWS} draws of {report.blocks} blocks of {clock(report.block_ns)}. It is about chance",
            "in this recording; another load needs another recording.",
        ]
    return lines(said)
