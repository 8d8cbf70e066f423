"""What follows for memory that was not accessed for a time, and for access rates, from the bounds of samples.

A recording of samples by the policy adaptive says of each window between how many bytes of a target were touched
(docs/adaptive.md), and not which. Of the bytes there, at the end of a window, were not accessed for a time T

- at least: all, less all that was touched in the windows that cover T, as if nothing was touched twice. Or what is idle
  for T by its age, less what was touched of it in these windows unseen. Of n checks that spanned one of them in memory
  taken for idle, k met an access that did not make a part of it known as accessed. This is a Poisson number, and its
  mean at most U(k) with a confidence of 97.5 % (Wilson and Hilferty 1931), so that at most a share U(k) / n of what was
  taken for idle in all these windows was touched in them. None where windows do not cover T, or there were times
  between them without a look.
- at most: what was there and not touched in a window that lies within T. Each of these windows has such a bound, and
  their mean is one: the largest of many estimates is too large more often than each of them.

Sums and means of bounds hold at least as often as the bounds of one window, for the errors of their estimates add up at
most. Of a part of a target's memory, the cold bytes are at least those of all of it less the bytes of the rest, and at
most those of all of it.

A byte accessed in one tick is touched in the window, and one touched in the window was accessed in at least one of its
ticks. So in the mean tick at most what was touched is accessed, and at least that divided by the number of ticks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from udamon.core.idle_time import GAP
from udamon.core.sampled_idle import IDLE_SHARE, NORMAL
from udamon.report import groups
from udamon.report.grain import is_sampled
from udamon.report.source import RecordingSource, double
from udamon.report.untouched import IDLE, SIZE

UNBOUNDED = "pages were sampled, and how far this estimate may be from the truth is not known"
FOREIGN = "it is another tool's estimate, and how far it may be from the truth is not known"
BOUNDED = (
    "it is estimated from checks of single pages, and which pages were accessed in every window is not known"
)

TAKEN_FOR_IDLE = f"nr_accesses = 0 AND touched <= {double(IDLE_SHARE)} * {SIZE}"
MOST_HITS = (
    f"(hits + 1) * power(1 - {double(1)} / (9 * (hits + 1)) + {double(NORMAL)} / (3 * sqrt(hits + 1)), 3)"
)
"""SQL: of a region, whether it counts as idle; and the mean of a Poisson number at most (udamon.core.sampled_idle)."""

TOGETHER_TARGET = -1
"""Stands for all targets, where they may have pages in common."""

WINDOWS = """
    SELECT seq, target, "begin", time, there, there AS there_low,
        coalesce(low, 0) AS low, coalesce(high, there) AS high, ticks, idle, cold, checks, hits
    FROM (
        SELECT seq, target, min("begin") AS "begin", max(time) AS time, max(ticks) AS ticks,
            coalesce(sum({size}), 0) AS there,
            CAST(max(touched_low) AS DOUBLE) AS low, CAST(max(touched_high) AS DOUBLE) AS high,
            coalesce(sum(CASE WHEN {taken} THEN {size} END), 0) AS idle,
            coalesce(sum(CASE WHEN {taken} AND {aged} THEN {size} END), 0) AS cold,
            CAST(coalesce(max(idle_checks), 0) AS DOUBLE) AS checks,
            CAST(coalesce(max(idle_hits), 0) AS DOUBLE) AS hits
        FROM shared_regions WHERE {once} GROUP BY seq, target
    ) AS sums
"""
"""Each window of a target: bytes there; touched of them at least and at most; taken for idle, and for idle so long; and
checks of such memory, and accesses among them."""
MOMENTS = """
    SELECT bounds.seq AS seq, CAST({together} AS INTEGER) AS target, "begin", bounds.time AS time,
        resident_high AS there, resident_low AS there_low, low, high,
        CAST(0 AS DOUBLE) AS idle, CAST(0 AS DOUBLE) AS cold, CAST(0 AS DOUBLE) AS checks, CAST(0 AS DOUBLE) AS hits
    FROM ({bounds}) AS bounds JOIN (SELECT seq, min("begin") AS "begin" FROM regions GROUP BY seq) AS windows
        ON bounds.seq = windows.seq
"""
"""The same of all targets together, which may have pages in common: what is cold of one may be hot of another."""
FRAMES = """
    SELECT *, sum(high) OVER covering AS accessed, min("begin") OVER covering AS since,
        sum(idle) OVER covering AS idle_of_all, sum(checks) OVER covering AS checks_of_all,
        sum(hits) OVER covering AS hits_of_all,
        sum(CASE WHEN "begin" - before > {gap} * (time - "begin") THEN 1 ELSE 0 END) OVER covering AS gaps,
        avg(there - low) OVER inside AS untouched
    FROM (
        SELECT *, lag(time) OVER (PARTITION BY target ORDER BY time) AS before,
            greatest(CAST({age} AS BIGINT) - (time - "begin"), -1) AS room
        FROM ({windows}) AS windows
    ) AS followed
    WINDOW covering AS (PARTITION BY target ORDER BY time RANGE BETWEEN {age} - 1 PRECEDING AND CURRENT ROW),
        inside AS (
            PARTITION BY target ORDER BY "begin" RANGE BETWEEN greatest(room, 0) PRECEDING AND CURRENT ROW
        )
"""
SPANS = """
    SELECT seq, target, time, there, covered,
        CASE WHEN covered THEN greatest(there_low - accessed, cold - unseen, 0) ELSE 0 END AS low,
        CASE WHEN room < 0 THEN there ELSE least(there, untouched) END AS high
    FROM (
        SELECT *, gaps = 0 AND since <= time - {age} + {gap} * (time - "begin") AS covered,
            CASE WHEN checks_of_all > 0 THEN idle_of_all * {most_hits} / checks_of_all ELSE cold END AS unseen
        FROM ({frames}) AS frames
    ) AS spans
"""
TOGETHER = """
    SELECT spans.seq AS seq, target, time, there, CASE WHEN every THEN low ELSE 0 END AS low, high
    FROM ({spans}) AS spans JOIN (
        SELECT seq, bool_and(covered) AS every FROM ({of_targets}) AS of_targets GROUP BY seq
    ) AS covered ON spans.seq = covered.seq
"""
MEANS = """
    SELECT target, sum(there * ns) / sum(ns), sum(low * ns) / sum(ns), sum(high * ns) / sum(ns), max(ticks)
    FROM (SELECT *, CAST(greatest(time - "begin", 1) AS DOUBLE) AS ns FROM ({windows}) AS windows) AS weighed
    GROUP BY target
"""
TOUCHED = "SELECT target, max(low) FROM ({windows}) AS windows GROUP BY target"
LAST = "SELECT target, there, low, high FROM ({spans}) AS spans WHERE seq = (SELECT max(seq) FROM regions)"


@dataclass(frozen=True, slots=True)
class TouchedMeans:
    """Of one target, means over its time: bytes `there`, and touched of them at least and at most in a window of at
    most `ticks` ticks."""

    there: float
    low: float
    high: float
    ticks: int

    def touched_of(self, size: float) -> tuple[float, float]:
        """Bytes touched in a window, at least and at most, of a part of `size` bytes."""
        return max(self.low - max(self.there - size, 0.0), 0.0), min(self.high, size)

    def accessed_of(self, size: float) -> tuple[float, float]:
        """Bytes accessed in a tick: the same."""
        low, high = self.touched_of(size)
        return low / max(self.ticks, 1), high


def unbounded(source: RecordingSource) -> str | None:
    """Why figures of accesses are estimates whose error is not known; None where they are exact, or have bounds."""
    metadata = source.recording.metadata
    if is_sampled(metadata):
        return None if groups.estimated(source) else UNBOUNDED
    return FOREIGN if metadata.get("read_from") is not None else None


def spans(source: RecordingSource, age_ns: int) -> str:
    """SQL: of each window of a target (of each moment, as target -1, where targets may have pages in common) bytes
    `there`, and at least and at most how many of them were not accessed for `age_ns`: seq, target, time, there, low,
    high. Of a recording that has bounds (udamon.report.groups.estimated)."""
    of_targets = _spans(_windows(source.filters.once, age_ns), age_ns)
    if not groups.needed(source):
        return of_targets
    together = _spans(MOMENTS.format(bounds=groups.query_of(source), together=TOGETHER_TARGET), age_ns)
    return TOGETHER.format(spans=together, of_targets=of_targets)


def _spans(windows: str, age_ns: int) -> str:
    frames = FRAMES.format(windows=windows, age=age_ns, gap=GAP)
    return SPANS.format(
        frames=frames, age=age_ns, gap=GAP, most_hits=MOST_HITS.replace("hits", "hits_of_all")
    )


def _windows(once: str = "TRUE", age_ns: int = 0) -> str:
    return WINDOWS.format(once=once, size=SIZE, taken=TAKEN_FOR_IDLE, aged=IDLE.format(age=age_ns))


def touched(source: RecordingSource) -> dict[int, int]:
    """Of each target, what was touched in a window at least, the largest; of a recording that has bounds."""
    return {target: round(low) for target, low in source.query(TOUCHED.format(windows=_windows()))}


def means(source: RecordingSource) -> Mapping[int, TouchedMeans]:
    """By target; of a recording that has bounds."""
    rows = source.query(MEANS.format(windows=_windows()))
    return {target: TouchedMeans(*amounts) for target, *amounts in rows}
