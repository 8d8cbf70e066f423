"""What follows for memory that was not accessed for a time, and for access rates, from the bounds of samples.

A recording of samples by the policy adaptive says of each window between how many bytes of a target were touched
(docs/adaptive.md), and not which. Of the bytes there, at the end of a window, were not accessed for a time T

- at least: all, less all that was touched in the windows that cover T, as if nothing was touched twice. Or what is idle
  for T by its age, without what regions have beside that, and no more than was taken for idle in each of these windows;
  less what was touched of it in them unseen. Of n checks that spanned a window in b bytes taken for idle, k met an
  access that did not make a part of it known as accessed, and stand for k b / n bytes. That is a sum of weighted
  Poisson numbers, of whose mean the upper limit with a confidence of 97.5 % is that of Fay and Feuer 1997, with the
  quantiles of Wilson and Hilferty 1931. None where windows do not cover T, where there were times between them without
  a look, or where one of them had no such check.
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
"""SQL: of a region, whether it counts as idle."""
UNSEEN = f"mean * power(1 - square / (9 * mean * mean) + {double(NORMAL)} * sqrt(square) / (3 * mean), 3)"
"""SQL: the largest mean of a sum of weighted Poisson numbers (udamon.core.sampled_idle.most_of)."""

TOGETHER_TARGET = -1
"""Stands for all targets, where they may have pages in common."""

WINDOWS = """
    SELECT seq, target, "begin", time, there, there AS there_low,
        coalesce(low, 0) AS low, coalesce(high, there) AS high, ticks, idle, cold - mixed AS cold, hits,
        CASE WHEN idle = 0 THEN 0 WHEN checks > 0 THEN idle / checks END AS weight
    FROM (
        SELECT seq, target, min("begin") AS "begin", max(time) AS time, max(ticks) AS ticks,
            coalesce(sum({size}), 0) AS there,
            CAST(max(touched_low) AS DOUBLE) AS low, CAST(max(touched_high) AS DOUBLE) AS high,
            coalesce(sum(CASE WHEN {taken} AND {aged} THEN {size} END), 0) AS cold,
            CAST(coalesce(max(idle_mixed), 0) AS DOUBLE) AS mixed,
            CAST(coalesce(max(idle_bytes), 0) AS DOUBLE) AS idle,
            CAST(max(idle_checks) AS DOUBLE) AS checks, CAST(max(idle_hits) AS DOUBLE) AS hits
        FROM shared_regions WHERE {once} GROUP BY seq, target
    ) AS sums
"""
"""Each window of a target: bytes there; touched of them at least and at most; taken for idle, and for idle so long; and
of checks of such memory the accesses, and how many bytes each check stands for (null where there was none)."""
MOMENTS = """
    SELECT bounds.seq AS seq, CAST({together} AS INTEGER) AS target, "begin", bounds.time AS time,
        resident_high AS there, resident_low AS there_low, low, high,
        CAST(0 AS DOUBLE) AS idle, CAST(0 AS DOUBLE) AS cold, CAST(0 AS DOUBLE) AS hits, CAST(NULL AS DOUBLE) AS weight
    FROM ({bounds}) AS bounds JOIN (SELECT seq, min("begin") AS "begin" FROM regions GROUP BY seq) AS windows
        ON bounds.seq = windows.seq
"""
"""The same of all targets together, which may have pages in common: what is cold of one may be hot of another."""
FRAMES = """
    SELECT *, sum(high) OVER covering AS accessed, min("begin") OVER covering AS since,
        min(idle) OVER covering AS always_idle, count(*) OVER covering - count(weight) OVER covering AS unchecked,
        sum(weight * hits) OVER covering + max(weight) OVER covering AS mean,
        sum(weight * weight * hits) OVER covering + max(weight * weight) OVER covering AS square,
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
        CASE WHEN covered THEN greatest(there_low - accessed, coalesce(least(cold, always_idle) - unseen, 0), 0)
            ELSE 0 END AS low,
        CASE WHEN room < 0 THEN there ELSE least(there, untouched) END AS high
    FROM (
        SELECT *, gaps = 0 AND since <= time - {age} + {gap} * (time - "begin") AS covered,
            CASE WHEN unchecked > 0 THEN NULL WHEN mean > 0 THEN {unseen} ELSE 0 END AS unseen
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
    return SPANS.format(frames=frames, age=age_ns, gap=GAP, unseen=UNSEEN)


def _windows(once: str = "TRUE", age_ns: int = 0) -> str:
    return WINDOWS.format(once=once, size=SIZE, taken=TAKEN_FOR_IDLE, aged=IDLE.format(age=age_ns))


def touched(source: RecordingSource) -> dict[int, int]:
    """Of each target, what was touched in a window at least, the largest; of a recording that has bounds."""
    return {target: round(low) for target, low in source.query(TOUCHED.format(windows=_windows()))}


def means(source: RecordingSource) -> Mapping[int, TouchedMeans]:
    """By target; of a recording that has bounds."""
    rows = source.query(MEANS.format(windows=_windows()))
    return {target: TouchedMeans(*amounts) for target, *amounts in rows}
