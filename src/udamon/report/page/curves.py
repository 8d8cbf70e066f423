"""What a page tells over time and over bytes: working set and footprint, and memory by rate and by age."""

from __future__ import annotations

from dataclasses import dataclass

from udamon.report import groups
from udamon.report.grain import rate_of
from udamon.report.source import RecordingSource

# A moment's sum over all targets, then the moments of each bin: its least, mean and most.
BINS = """
    WITH moments AS (
        SELECT seq, min("begin") AS low, max(time) AS high, CAST(sum(touched) AS DOUBLE) AS touched,
            CAST(sum(resident) AS DOUBLE) AS resident,
            sum(CAST("end" AS DOUBLE) - start) AS monitored
        FROM regions GROUP BY seq
    ), binned AS (
        SELECT CAST(floor(({middle} - {begin}) / {column}) AS INTEGER) AS bin,
            coalesce(touched, 0) AS touched, resident, coalesce(monitored, 0) AS monitored
        FROM moments
    )
    SELECT bin, min(touched), avg(touched), max(touched), avg(resident), avg(monitored)
    FROM binned GROUP BY bin ORDER BY bin
"""
# The same of a group: from the lower bound to the upper one (udamon.report.groups).
GROUP_BINS = """
    WITH moments AS (
        SELECT whole.seq, "from" AS low, time AS high, bounds.low AS least, bounds.high AS most,
            resident_high, monitored
        FROM (
            SELECT seq, min("begin") AS "from", sum(CAST("end" AS DOUBLE) - start) AS monitored
            FROM regions GROUP BY seq
        ) AS whole JOIN ({bounds}) AS bounds ON whole.seq = bounds.seq
    )
    SELECT CAST(floor(({middle} - {begin}) / {column}) AS INTEGER) AS bin, min(least), avg(most), max(most),
        avg(resident_high), avg(coalesce(monitored, 0))
    FROM moments GROUP BY bin ORDER BY bin
"""
# The same of estimates: from the lower bound to the upper one.
ESTIMATED_BINS = """
    WITH moments AS (
        SELECT seq, min("begin") AS low, max(time) AS high, sum(touched) AS touched, sum(low) AS least,
            sum(high) AS most, sum(resident) AS resident, sum(monitored) AS monitored
        FROM ({estimates}) AS estimates GROUP BY seq
    )
    SELECT CAST(floor(({middle} - {begin}) / {column}) AS INTEGER) AS bin, min(least), avg(touched), max(most),
        avg(resident), avg(coalesce(monitored, 0))
    FROM moments GROUP BY bin ORDER BY bin
"""
MIDDLE = "(CAST(low AS DOUBLE) + high) / 2"

AGE_STEPS = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)
"""Seconds that part the steps of the histogram by age."""
AGE_LABELS = ("< 100 ms", "100 ms – 1 s", "1 – 10 s", "10 s – 1 m", "1 – 10 m", "10 m – 1 h", "≥ 1 h")
RATE_LABELS = ("none", *(f"{step * 10}–{step * 10 + 10} %" for step in range(10)))

_AGE_STEP = " ".join(f"WHEN age < {edge} THEN {step}" for step, edge in enumerate(AGE_STEPS))

# One pass for both: bytes by step of rate and step of age.
STEPS = f"""
    SELECT rate, CASE {_AGE_STEP} ELSE {len(AGE_STEPS)} END AS step, sum(bytes) FROM (
        SELECT CASE WHEN nr_accesses = 0 OR ticks = 0 THEN 0
                ELSE 1 + least(9, CAST(floor({{rate}} * 10) AS INTEGER)) END AS rate,
            CAST(age AS DOUBLE) * ticks * sample_ns / 1e9 AS age,
            CAST(coalesce(resident, "end" - start) AS DOUBLE) AS bytes
        FROM regions WHERE start IS NOT NULL
    ) AS measured GROUP BY rate, step
"""


@dataclass(frozen=True, slots=True)
class Bin:
    """A stretch of time: bytes touched at least, on average and at most in a window; means of the others. Of a group
    the mean is that of the upper bound; of estimates, bounds are those of the windows."""

    bin: int
    low: float
    mean: float
    high: float
    resident: float | None
    monitored: float


@dataclass(frozen=True, slots=True)
class Histograms:
    """Mean bytes of a snapshot as (idle, accessed): by rate in 11 steps (none, then tenths of all ticks), and by
    age in the steps between AGE_STEPS."""

    by_rate: list[tuple[float, float]]
    by_age: list[tuple[float, float]]


def over_time(source: RecordingSource, begin_ns: int, end_ns: int, bins: int) -> list[Bin]:
    """The bins from `begin_ns` to `end_ns` that have a moment."""
    known = {"begin": begin_ns, "column": max(1, end_ns - begin_ns) / bins, "middle": MIDDLE}
    if groups.needed(source):
        query = GROUP_BINS.format(bounds=groups.query_of(source), **known)
    else:
        query = (ESTIMATED_BINS if groups.estimated(source) else BINS).format(
            estimates=groups.ESTIMATES, **known
        )
    return [Bin(min(max(at, 0), bins - 1), *rest) for at, *rest in source.query(query)]


def histograms(source: RecordingSource) -> Histograms:
    """Where bytes lie by rate and age. Resident bytes where they are known, else all of a region's."""
    count = source.moments or 1
    by_rate = [[0.0, 0.0] for _ in RATE_LABELS]
    by_age = [[0.0, 0.0] for _ in AGE_LABELS]
    for rate, age, size in source.query(STEPS.format(rate=rate_of(source.recording.metadata))):
        by_rate[rate][rate > 0] += size / count
        by_age[age][rate > 0] += size / count
    return Histograms([(idle, hot) for idle, hot in by_rate], [(idle, hot) for idle, hot in by_age])
