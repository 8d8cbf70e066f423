"""The working set as SQL: what is summed up over the regions of a snapshot, percentiles over all moments, and the curve
over time.

A table `snapshots` (seq, target, time, amount) stands between: what makes it and what asks it are apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from udamon.report import groups
from udamon.report.owners import Owner, no_mappings, places_of
from udamon.report.place import Axis, sums
from udamon.report.source import RecordingSource

DEFINITIONS = {
    "touched": "touched",
    "damo": 'CASE WHEN nr_accesses > 0 THEN "end" - start ELSE 0 END',
}
QUANTITIES = DEFINITIONS | {
    "resident": "resident",
    "monitored": '"end" - start',
    "regions": "CASE WHEN start IS NOT NULL THEN 1 END",
}
"""What can be summed up over a snapshot's regions, as SQL. All but `regions`, a number, are bytes."""

LENGTHS = 'SELECT CAST(max(time) - min("begin") AS DOUBLE) AS length FROM regions GROUP BY seq'
"""The length of each window, ns."""
WINDOWS = f"""
    SELECT min(length), max(length), quantile_cont(length, 0.1), quantile_cont(length, 0.9) FROM ({LENGTHS}) AS moments
"""
SNAPSHOTS = """
    SELECT seq, target, max(time) AS time, CAST(coalesce(sum({value}), 0) AS DOUBLE) AS amount
    FROM {rows} GROUP BY seq, target
"""

# By mapping: of two mappings in one region each has the share that its bytes have.
BY_OWNER = """
    SELECT seq, name AS target, max(time) AS time, sum(amount) AS amount FROM ({spread}) AS spread GROUP BY seq, name
"""
SUMMED = """
    SELECT seq, first, last, max(time) AS time, {sums} FROM (
        SELECT seq, first, last, time, "into", over,
            CAST(coalesce({value}, 0) AS DOUBLE) / NULLIF("end" - start, 0) AS density
        FROM ({placed}) AS placed
    ) AS densities GROUP BY seq, first, last
"""

ESTIMATED = f"SELECT seq, target, time, {{side}} AS amount FROM ({groups.ESTIMATES}) AS estimates"
MOMENTS = "SELECT seq, max(time) AS time, sum(amount) AS amount FROM snapshots GROUP BY seq"

# Linear percentiles by hand: SQLGlot turns percentile_cont into approximate ones for Spark and Trino. Of the
# sorted values, those next to place p * (n - 1) count by how near they are, and all others not at all.
_AT = "sum(amount * greatest(CAST(0 AS DOUBLE), 1 - abs(place - CAST({level} AS DOUBLE) * last))) AS p{name}"
PERCENTILES = f"""
    WITH moments AS ({MOMENTS}), series AS (
        SELECT target, amount FROM snapshots
        UNION ALL SELECT CAST(NULL AS INTEGER) AS target, amount FROM moments
    ), ranked AS (
        SELECT target, amount,
            CAST(row_number() OVER (PARTITION BY target ORDER BY amount) - 1 AS DOUBLE) AS place,
            CAST(count(*) OVER (PARTITION BY target) - 1 AS DOUBLE) AS last
        FROM series
    )
    SELECT target, count(*) AS snapshots, min(amount) AS least,
        {", ".join(_AT.format(level=level / 100, name=level) for level in (25, 50, 75, 90))},
        max(amount) AS most, avg(amount) AS mean
    FROM ranked GROUP BY target ORDER BY target
"""

OVER_TIME = f"WITH moments AS ({MOMENTS}) SELECT time, amount FROM moments ORDER BY time"

BINNED = f"""
    WITH moments AS ({MOMENTS}), span AS (
        SELECT min(time) AS low, max(time) AS high FROM moments
    ), binned AS (
        SELECT CAST(floor(CAST(time - low AS DOUBLE) * {{bins}} / (high - low + 1)) AS INTEGER) AS bin, time, amount
        FROM moments CROSS JOIN span
    )
    SELECT min(time), avg(amount) FROM binned GROUP BY bin ORDER BY bin
"""


def by_owner(source: RecordingSource, owners: Sequence[Owner], value: str) -> str:
    """A table `snapshots` by mapping, of a quantity as SQL; `target` is the number of an owner.

    Raises RecordingError where no mapping is known.
    """
    places, _ = places_of(owners)
    if not places:
        raise no_mappings(source.recording)
    axis = Axis(source, "owner", places)
    placed = axis.placed(("seq", "time", "start", '"end"', "nr_accesses", "touched", "resident"))
    summed = SUMMED.format(value=value, placed=placed, sums=sums("amount", "density"))
    return BY_OWNER.format(spread=axis.spread(("seq", "time"), ("amount",), f"({summed}) AS summed"))
