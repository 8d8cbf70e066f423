"""Totals over memory that several have: bounds within which the bytes lie that were accessed at least once.

The processes of a group map the same pages (files, shared memory, what fork left shared), and so may one process
that maps a file more than once. A sum counts such a page for each of them. What a recording knows of sharing
(udamon.record.schema, from `private` on) gives bounds for the bytes without repetition, for each object apart:

- At least: what is accessed in pages of one process alone, and the most that one process surely accessed of the rest.
  How much of the accesses was in shared pages is not known; as much as can be is taken to be. Where page frames were
  seen, or what each surely accessed of pages that none before it has, if that is more.
- At most: the sum, less what must be repetitions because so many bytes are not there. Of a file there is no more than
  the range of offsets that is mapped; where page frames were seen, the distinct resident bytes are known.

A recording that knows nothing of sharing (of a primitive that looks at single pages, or of an earlier version) has
wider bounds: the most that one target accessed, and the sum. There `refs` cannot tell at all what a process accessed
by itself (any process that reads a file's pages marks them), so the lower bound is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from udamon.native._native import SMALLEST_PAGE
from udamon.report.levels import told
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal
from udamon.units import counted, format_size

THERE = """
    SELECT seq, time, target, start, CAST("end" - start AS DOUBLE) AS length, {most} AS touched,
        greatest(CAST(coalesce(resident, "end" - start) AS DOUBLE) - coalesce(CAST(private AS DOUBLE), 0), 0) AS common,
        coalesce(CAST(private AS DOUBLE), 0) AS private,
        CASE WHEN private IS NOT NULL AND file_offset IS NULL
            THEN greatest(CAST(resident AS DOUBLE) - CAST(greatest(anonymous, private) AS DOUBLE), 0) ELSE 0
        END AS cached,
        {sure} AS touched_min,
        greatest({sure} - (CAST(resident AS DOUBLE) - CAST("distinct" AS DOUBLE)), 0) AS fresh,
        coalesce(object, CAST(0 AS UBIGINT)) AS object, CAST(file_offset AS DOUBLE) AS file_offset,
        CASE WHEN {frames} THEN CAST("distinct" AS DOUBLE) END AS "distinct"
    FROM {rows} WHERE start IS NOT NULL AND {alone}
"""

# Where the bytes touched of a whole snapshot are estimated, its bounds are those of the sum over its regions: all of
# them shrink alike, or grow by the same part of what was not touched.
ESTIMATED = """
    SELECT rows.*,
        CASE WHEN touched_low IS NULL OR total <= touched_low THEN CAST(touched AS DOUBLE)
            ELSE touched * (CAST(touched_low AS DOUBLE) / total) END AS at_least,
        CASE WHEN touched_high IS NULL OR total >= touched_high OR total >= there THEN CAST(touched AS DOUBLE)
            ELSE touched + (coalesce(resident, "end" - start) - touched)
                * least((CAST(touched_high AS DOUBLE) - total) / (there - total), 1) END AS at_most
    FROM {rows} AS rows JOIN (
        SELECT seq AS s, target AS t, CAST(sum(touched) AS DOUBLE) AS total,
            CAST(sum(coalesce(resident, "end" - start)) AS DOUBLE) AS there
        FROM {rows} GROUP BY seq, target
    ) AS sums ON seq = s AND target = t
"""

# Mappings of a file that have no offset in common have no page in common: islands of offsets are objects of their own.
ISLANDS = """
    SELECT *, sum(begins) OVER (
        PARTITION BY seq, object ORDER BY file_offset, target, start ROWS UNBOUNDED PRECEDING
    ) AS island FROM (
        SELECT *, CASE WHEN file_offset < max(file_offset + length) OVER (
            PARTITION BY seq, object ORDER BY file_offset, target, start
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) THEN 0 ELSE 1 END AS begins FROM ({there}) AS there
    ) AS begun
"""

# One mapping of a file has no page twice; of anonymous memory a whole process has none. A private mapping of a file of
# which some pages were written counts as anonymous memory: the others (cached) may be mapped as pages of the file, too,
# and count there.
MEMBERS = """
    SELECT seq, object, CASE WHEN file_offset IS NULL THEN 0 ELSE island END AS island, target,
        CASE WHEN file_offset IS NULL THEN 0 ELSE start END AS member,
        sum(greatest(least(common, touched_min) - cached, 0)) AS sure,
        sum(greatest(touched_min - common, 0)) AS own,
        sum(greatest(coalesce(fresh, 0) - cached, 0)) AS fresh,
        sum(touched) AS touched, sum(greatest(touched - private, 0)) AS elsewhere,
        sum(common) AS common, sum(common - cached) AS surely,
        sum(cached) AS cached, sum(private) AS private, sum("distinct") AS "distinct",
        sum(CASE WHEN "distinct" IS NULL THEN 1 ELSE 0 END) AS hidden,
        min(file_offset) AS low, max(file_offset + length) AS high, sum(length) AS length
    FROM ({islands}) AS islands GROUP BY 1, 2, 3, 4, 5
"""

OBJECTS = """
    SELECT seq, greatest(sure + own, fresh) AS sure, touched, elsewhere, private, most, hidden, twice,
        greatest(surely, CASE WHEN hidden = 0 THEN "distinct" - private - cached ELSE 0 END) AS there_min,
        greatest(most, least(common, coalesce(range, common),
            CASE WHEN hidden = 0 THEN "distinct" - private ELSE common END)) AS there
    FROM (
        SELECT seq, max(sure) AS sure, sum(own) AS own, sum(fresh) AS fresh, sum(touched) AS touched,
            sum(elsewhere) AS elsewhere,
            sum(private) AS private, sum(common) AS common, max(surely) AS surely,
            sum(cached) AS cached, max(common) AS most, sum("distinct") AS "distinct",
            sum(hidden) AS hidden, max(high) - min(low) AS range,
            CASE WHEN sum(length) - (max(high) - min(low)) > {page} * (count(*) - 1) THEN 1 ELSE 0 END AS twice
        FROM ({members}) AS members GROUP BY seq, object, island
    ) AS objects
"""

BOUNDS = """
    SELECT seq, max(time) AS time, sum(low) AS low, sum(high) AS high, sum(resident_low) AS resident_low,
        sum(resident_high) AS resident_high, max(hidden) AS hidden, max(twice) AS twice
    FROM (
        SELECT seq, time, 0 AS low, 0 AS high, 0 AS resident_low, 0 AS resident_high, 0 AS hidden, 0 AS twice
        FROM {rows}
        UNION ALL SELECT seq, CAST(NULL AS BIGINT), least(sure, touched - greatest(elsewhere - there, 0)),
            touched - greatest(elsewhere - there, 0), there_min + private, there + private, hidden, twice
        FROM ({objects}) AS objects
    ) AS bounds GROUP BY seq
"""


@dataclass(frozen=True, slots=True)
class GroupBounds:
    """Bounds of a total, and at most how many distinct bytes were resident, by level of their percentiles over all
    snapshots.

    `over_time` has (ns on CLOCK_MONOTONIC, low, high), of bins or of every moment. `frames_seen`: `resident` was
    counted by page frames. `shared_known` is False where the recording knows nothing of sharing, for some of its rows
    at least.
    """

    low: dict[str, int]
    high: dict[str, int]
    resident: dict[str, int]
    frames_seen: bool
    over_time: list[tuple[int, int, int]]
    shared_known: bool
    framed: tuple[int, int] = (0, 0)
    """In how many of how many windows page frames were counted."""
    estimated: bool = False
    """What each of them touched is an estimate, of which the bounds count."""

    @property
    def exact(self) -> bool:
        """Both bounds are the same: this is no estimate."""
        return self.low == self.high

    @property
    def document(self) -> dict[str, Any]:
        """For JSON: bytes by level."""
        return {
            "low": self.low,
            "high": self.high,
            "resident": self.resident,
            "frames_seen": self.frames_seen,
            "sharing_known": self.shared_known,
        }


KNOWN = "SELECT count(*) - count(private), count(private) FROM shared_regions WHERE start IS NOT NULL"


def sure(source: RecordingSource) -> str:
    """SQL over `shared_regions`: bytes that the target itself accessed, for sure."""
    unknown = "0" if source.recording.metadata.get("via") == "refs" else "CAST(touched AS DOUBLE)"
    return (
        f"CASE WHEN private IS NOT NULL THEN CAST(least(touched_min, touched) AS DOUBLE) ELSE {unknown} END"
    )


def estimated(source: RecordingSource) -> bool:
    """Whether the bytes touched are estimates with bounds, of whole snapshots as the filters leave them."""
    return source.filters.whole_snapshots and source.bounded


def query_of(source: RecordingSource, rows: str = "shared_regions") -> str:
    """The bounds of every moment, as SQL: seq, time, low, high, resident_low, resident_high, hidden, twice."""
    # Sums of first occurrences say nothing once some of the rows are filtered out.
    frames = "TRUE" if source.filters.whole_moments else "FALSE"
    alone = source.filters.once
    if estimated(source):
        bounded = f"({ESTIMATED.format(rows=rows)}) AS estimated"
        there = THERE.format(rows=bounded, frames=frames, alone=alone, sure="at_least", most="at_most")
    else:
        most = "CAST(touched AS DOUBLE)"
        there = THERE.format(rows=rows, frames=frames, alone=alone, sure=sure(source), most=most)
    members = MEMBERS.format(islands=ISLANDS.format(there=there))
    page = source.recording.metadata.get("page_size") or SMALLEST_PAGE
    return BOUNDS.format(rows=rows, objects=OBJECTS.format(members=members, page=page))


MOMENT_BOUNDS = """
    SELECT bounds.seq, windows."begin", windows.time, bounds.low, bounds.high
    FROM ({bounds}) AS bounds JOIN (
        SELECT seq, min("begin") AS "begin", max(time) AS time FROM regions GROUP BY seq
    ) AS windows ON bounds.seq = windows.seq
"""
OWN_BOUNDS = """
    SELECT seq, coalesce(sum({sure}), 0) AS low, CAST(coalesce(sum(touched), 0) AS DOUBLE) AS high
    FROM shared_regions GROUP BY seq
"""
ESTIMATES = """
    SELECT seq, target, min("begin") AS "begin", max(time) AS time,
        CAST(coalesce(sum(touched), 0) AS DOUBLE) AS touched,
        CAST(coalesce(max(touched_low), sum(touched), 0) AS DOUBLE) AS low,
        CAST(coalesce(max(touched_high), sum(touched), 0) AS DOUBLE) AS high,
        CAST(sum(resident) AS DOUBLE) AS resident, sum(CAST("end" AS DOUBLE) - start) AS monitored
    FROM shared_regions GROUP BY seq, target
"""
"""Of each target in each moment, where what was touched is estimated: bytes, and the bounds of those touched."""
ESTIMATED_BOUNDS = (
    f"SELECT seq, sum(low) AS low, sum(high) AS high FROM ({ESTIMATES}) AS estimates GROUP BY seq"
)


def of_moments(source: RecordingSource) -> str:
    """Bounds of the touched bytes of every moment, also of a single process, as SQL: seq, begin, time, low, high."""
    own = ESTIMATED_BOUNDS if estimated(source) else OWN_BOUNDS.format(sure=sure(source))
    bounds = query_of(source) if needed(source) else own
    return MOMENT_BOUNDS.format(bounds=bounds)


def needed(source: RecordingSource) -> bool:
    """Whether a total may count a page more than once: there are several targets, or one maps a file twice."""
    if source.recording.metadata.get("via") == "sim":
        return False  # simulated memory is not shared
    if len(source.targets) > 1:
        return True
    few = source.query(f"SELECT max(twice) FROM ({query_of(source, 'some_shared')}) AS bounds")
    return bool(few and few[0][0])


def measure(
    source: RecordingSource, percentiles: Callable[[RecordingSource], Sequence[tuple[Any, ...]]], levels: Sequence[str],
    over_time: str, *, resident: bool = False,
) -> GroupBounds | None:  # fmt: skip
    """Bounds of the touched bytes (of the resident ones, with `resident`); None where a total is a plain sum.

    `percentiles` answers for a table `snapshots` as udamon.report.wss_queries has it, `over_time` is its query. Raises
    RecordingError when there is no snapshot.
    """
    if not needed(source):
        return None
    low, high = ("resident_low", "resident_high") if resident else ("low", "high")
    source.keep("bounds", query_of(source))
    series = (low, high, "resident_high")
    source.keep(
        "snapshots",
        " UNION ALL ".join(
            f"SELECT seq, {number} AS target, time, CAST({name} AS DOUBLE) AS amount FROM bounds"
            for number, name in enumerate(series)
        ),
    )
    rows = {row[0]: row[2:] for row in percentiles(source) if row[0] is not None}
    if not rows:
        raise source.nothing()
    by_level = [dict(zip(levels, map(round, rows[number]), strict=True)) for number in range(len(series))]
    curves = []
    for name in (low, high):
        source.keep(
            "snapshots", f"SELECT seq, 0 AS target, time, CAST({name} AS DOUBLE) AS amount FROM bounds"
        )
        curves.append(source.query(over_time))
    unknown, known = source.query(KNOWN)[0]
    windows, framed = source.query("SELECT count(*), count(*) FILTER (hidden = 0) FROM bounds")[0]
    of_frames = known > 0 and not unknown
    return GroupBounds(
        by_level[0], by_level[1], by_level[2], of_frames and framed == windows,
        [(time, round(least), round(most)) for (time, least), (_, most) in zip(*curves, strict=True)],
        not unknown, (framed if of_frames else 0, windows), estimated(source),
    )  # fmt: skip


_WORDS = len("between 1023.9 MiB and 1023.9 MiB")
_BEFORE_BARS = len("  mean  ") + _WORDS + len("  ")


def distribution(group: GroupBounds, snapshots: int, terminal: Terminal) -> list[str]:
    """A line for each level, and why they are bounds."""
    return [*bars(group.low, group.high, snapshots, terminal), *_why(group)]


def bars(low: dict[str, int], high: dict[str, int], snapshots: int, terminal: Terminal) -> list[str]:
    """A line for each level: the bar is full up to the lower bound and light up to the upper one."""
    top = max(high["max"], 1)
    room = max(10, terminal.width - _BEFORE_BARS)
    lines = []
    for name, most in told(high, snapshots).items():
        if most is None:
            continue
        least = low[name]
        words = between(least, most)
        sure = terminal.bar(least / top, room)
        rest = light(terminal, round(most / top * room) - len(sure))
        lines.append(f"  {name:4}  {words:>{_WORDS}}  {sure}{rest}".rstrip())
    return lines


def light(terminal: Terminal, cells: int) -> str:
    """What follows a bar where it may go on."""
    return "" if terminal.plain else ("░" if terminal.blocks else ".") * cells


def between(least: float, most: float) -> str:
    """Two bounds for people; one size where they look alike."""
    low, high = format_size(least), format_size(most)
    return high if low == high else f"between {low} and {high}"


SUMMED = "Sums over processes: memory that they share counts in each."


def summed_note(targets: Iterable[int]) -> list[str]:
    """What is below bytes that are plain sums over `targets`; nothing below those of one."""
    return ["", SUMMED] if len(set(targets)) > 1 else []


def _why(group: GroupBounds) -> list[str]:
    there = format_size(group.resident["max"])
    bounds = "" if group.exact else ", so these are bounds"
    lines = [f"  Pages that several mappings have count once{bounds}."]
    if group.frames_seen:
        lines.append(f"  {there} were resident at most, counted by page frames.")
    elif group.framed[0]:
        some, all_ = group.framed
        lines.append(
            f"  Page frames were counted in {some} of {counted(all_, 'window')}: in these they are closer."
        )
    elif not group.shared_known:
        lines.append("  The recording does not tell which memory is shared: they are wide.")
    else:
        lines.append(
            "  Page frames are counted in recordings made as root and reported without filters: then they are closer."
        )
    return lines
