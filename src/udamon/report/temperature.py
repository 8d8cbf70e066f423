"""How hot memory is: bytes by temperature, and by the time since they were accessed.

*Temperature* is damo's: a weighted sum of a region's size (bytes), access rate (whole percents) and age
(microseconds), by default with weights 0, 100 and 100, and negative where nothing was accessed. *Recency* is
damo's idle time: nothing for a region that was accessed, otherwise its age and the window itself.

A histogram has ten columns of equal width that begin at the least value. A percentile is over bytes: the least
value that at least so many percents of all bytes do not exceed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from udamon.report.source import Source
from udamon.report.terminal import Terminal, clock, table
from udamon.units import format_size

WEIGHTS = (0, 100, 100)
"""damo's defaults: of size, rate and age."""

LEVELS = (0, 1, 25, 50, 75, 99, 100)

BYTES = {"touched": 'coalesce(resident, "end" - start)', "damo": '"end" - start'}
"""What counts, by definition: memory that is there, or (damo) all addresses of a region."""

# Regions that are alike are one row before anything else is done, so the windows run over a few thousand rows.
ALIKE = """
    SELECT nr_accesses, age, ticks, sample_ns, size, CAST(sum(bytes) AS DOUBLE) AS bytes FROM (
        SELECT nr_accesses, age, ticks, sample_ns, {size} AS size, {bytes} AS bytes
        FROM regions WHERE start IS NOT NULL AND {which}
    ) AS chosen GROUP BY nr_accesses, age, ticks, sample_ns, size
"""
TEMPERATURE = """
    SELECT bytes, CAST(CASE WHEN nr_accesses = 0 THEN -1 ELSE 1 END * (
        {w_size} * CAST(size AS BIGINT)
        + {w_rate} * CAST(floor(CAST(nr_accesses AS DOUBLE) * 100 / NULLIF(ticks, 0)) AS BIGINT)
        + {w_age} * CAST(floor(CAST(age AS DOUBLE) * ticks * sample_ns / 1000) AS BIGINT)) AS BIGINT) AS value
    FROM ({alike}) AS alike
"""
RECENCY = """
    SELECT bytes, CASE WHEN nr_accesses > 0 THEN CAST(0 AS BIGINT)
        ELSE CAST(floor((CAST(age AS DOUBLE) + 1) * ticks * sample_ns / 1000) AS BIGINT) END AS value
    FROM ({alike}) AS alike
"""
HISTOGRAM = """
    WITH measured AS ({values}), ranged AS (
        SELECT bytes, value, min(value) OVER () AS low, max(value) OVER () AS high FROM measured
    ), columns AS (
        SELECT bytes, low, high, value, CAST(floor(CAST(high - low AS DOUBLE) / {columns}) AS BIGINT) + 1 AS width
        FROM ranged
    )
    SELECT low, width, CAST(floor(CAST(value - low AS DOUBLE) / width) AS INTEGER) AS col, sum(bytes)
    FROM columns GROUP BY low, width, col ORDER BY col
"""
PERCENTILES = """
    WITH measured AS ({values}), totals AS (
        SELECT value, sum(bytes) AS bytes FROM measured GROUP BY value
    ), running AS (
        SELECT value, sum(bytes) OVER (ORDER BY value ROWS UNBOUNDED PRECEDING) AS below, sum(bytes) OVER () AS total
        FROM totals
    ), levels AS (SELECT * FROM (VALUES {levels}) AS given (level))
    SELECT level, min(value) FROM running JOIN levels ON below * 100 >= level * total GROUP BY level ORDER BY level
"""

MOMENTS = "SELECT count(DISTINCT seq) FROM regions"


@dataclass(frozen=True, slots=True)
class Histogram:
    """`columns` has (low, high, bytes): values in [low, high); microseconds for recency."""

    what: str
    columns: list[tuple[int, int, float]]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """`levels` has (percent, value); microseconds for recency."""

    what: str
    levels: list[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Which:
    """Which regions: those of the moment `seq`, or of all moments (None), when bytes are means of `moments`."""

    seq: int | None
    moments: int = 1


def histogram(
    source: Source, what: str, which: Which, *, definition: str = "touched",
    weights: tuple[int, int, int] = WEIGHTS, columns: int = 10,
) -> Histogram:  # fmt: skip
    """Bytes by `what`, "temperature" or "recency". Raises RecordingError when no region is left."""
    rows = source.query(HISTOGRAM.format(values=_values(what, which, definition, weights), columns=columns))
    if not rows:
        raise source.nothing()
    low, width = rows[0][:2]
    found = {column: size / which.moments for _, _, column, size in rows}
    return Histogram(
        what,
        [(low + width * at, low + width * (at + 1), found.get(at, 0.0)) for at in range(columns)],
    )


def percentiles(
    source: Source, what: str, which: Which, *, definition: str = "touched",
    weights: tuple[int, int, int] = WEIGHTS, levels: Sequence[float] = LEVELS,
) -> Percentiles:  # fmt: skip
    """The `what` of bytes at each level (0 to 100). Raises RecordingError when no region is left."""
    values = _values(what, which, definition, weights)
    given = ", ".join(f"({level})" for level in levels)
    rows = source.query(PERCENTILES.format(values=values, levels=given))
    if not rows:
        raise source.nothing()
    return Percentiles(what, [(float(level), value) for level, value in rows])


def _values(what: str, which: Which, definition: str, weights: tuple[int, int, int]) -> str:
    size = '"end" - start' if weights[0] else "0"
    chosen = "TRUE" if which.seq is None else f"seq = {which.seq}"
    alike = ALIKE.format(size=size, bytes=BYTES[definition], which=chosen)
    if what == "recency":
        return RECENCY.format(alike=alike)
    return TEMPERATURE.format(alike=alike, w_size=weights[0], w_rate=weights[1], w_age=weights[2])


def temperature_of(
    size: int, nr_accesses: int, ticks: int, age_ns: int, weights: tuple[int, int, int] = WEIGHTS
) -> int:
    """The temperature of one region, as the queries have it."""
    sum_of = (
        weights[0] * size + weights[1] * (nr_accesses * 100 // max(ticks, 1)) + weights[2] * (age_ns // 1000)
    )
    return sum_of if nr_accesses else -sum_of


def document(report: Histogram | Percentiles) -> dict[str, Any]:
    """The JSON document: temperatures as they are, recency in seconds."""
    unit = 1e-6 if report.what == "recency" else 1
    if isinstance(report, Histogram):
        columns = [
            {"from": low * unit, "to": high * unit, "bytes": round(size)}
            for low, high, size in report.columns
        ]
        return {"schema": 1, "what": report.what, "histogram": columns}
    levels = [{"percent": level, "value": value * unit} for level, value in report.levels]
    return {"schema": 1, "what": report.what, "percentiles": levels}


def render(report: Histogram | Percentiles, terminal: Terminal) -> str:
    """For people: a bar a line."""
    name = "idle time" if report.what == "recency" else "temperature"
    if isinstance(report, Histogram):
        most = max((size for _, _, size in report.columns), default=0) or 1
        spans = [
            f"{_value(report.what, low)} to {_value(report.what, high)}" for low, high, _ in report.columns
        ]
        rows = [
            [
                span,
                format_size(size),
                terminal.bar(size / most, max(10, terminal.width - max(map(len, spans)) - 18)),
            ]
            for span, (_, _, size) in zip(spans, report.columns, strict=True)
        ]
        return "\n".join([f"bytes by {name}", "", *table(rows, ">><")])
    low = min(value for _, value in report.levels)
    high = max(value for _, value in report.levels)
    room = max(10, terminal.width - 36)
    rows = [
        [f"p{level:g}", _value(report.what, value), terminal.bar((value - low) / ((high - low) or 1), room)]
        for level, value in report.levels
    ]
    return "\n".join([f"{name} of bytes, percentiles", "", *table(rows, ">><")])


def _value(what: str, value: int) -> str:
    return clock(value * 1000) if what == "recency" else f"{value:,}"
