"""How hot memory is: bytes by temperature, and by the time since they were accessed.

*Temperature* is damo's: a weighted sum of a region's size (bytes), access rate (whole percents) and age
(microseconds), by default with weights 0, 100 and 100, and negative where nothing was accessed. *Recency* is
damo's idle time: nothing for a region that was accessed, otherwise its age and the window itself.

Both take all bytes of a region that was accessed as accessed. By mapping (refs) that is known to be too many: how
many more than were touched is told beside them.

A histogram has ten columns of equal width that begin at the least value. A percentile is over bytes: the least
value that at least so many percents of all bytes do not exceed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from udamon.errors import RecordingError
from udamon.report.grain import has_shares
from udamon.report.groups import summed_note
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal, clock, table
from udamon.text import Shown, lines
from udamon.units import format_size

WEIGHTS = (0, 100, 100)
"""damo's defaults: of size, rate and age."""

LEVELS = (0, 1, 25, 50, 75, 99, 100)

BYTES = {"touched": 'coalesce(resident, "end" - start)', "damo": '"end" - start'}
"""What counts, by definition: memory that is there, or (damo) all addresses of a region."""

# Regions that are alike are one row before anything else is done, so the windows run over a few thousand rows.
# The same pass counts the moments, as rows of the other grouping.
ALIKE = """
    SELECT nr_accesses, age, ticks, sample_ns, size, CAST(sum(bytes) AS DOUBLE) AS bytes, grouping(seq) AS alike FROM (
        SELECT nr_accesses, age, ticks, sample_ns, seq, {size} AS size, {bytes} AS bytes FROM regions WHERE {which}
    ) AS chosen GROUP BY GROUPING SETS ((nr_accesses, age, ticks, sample_ns, size), (seq))
"""
MOMENTS = "SELECT count(*) FROM alike_regions WHERE alike = 0"
TEMPERATURE = """
    SELECT bytes, CAST(CASE WHEN nr_accesses = 0 THEN -1 ELSE 1 END * least({most}, (
        {w_size} * CAST(size AS HUGEINT)
        + {w_rate} * CAST(floor(CAST(nr_accesses AS DOUBLE) * 100 / NULLIF(ticks, 0)) AS BIGINT)
        + {w_age} * CAST(floor(least({most}, CAST(age AS DOUBLE) * ticks * sample_ns / 1000)) AS HUGEINT))
        ) AS BIGINT) AS value
    FROM alike_regions WHERE alike = 1 AND nr_accesses IS NOT NULL
"""
RECENCY = """
    SELECT bytes, CASE WHEN nr_accesses > 0 THEN CAST(0 AS BIGINT)
        ELSE CAST(floor(least({most}, (CAST(age AS DOUBLE) + 1) * ticks * sample_ns / 1000)) AS BIGINT) END AS value
    FROM alike_regions WHERE alike = 1 AND nr_accesses IS NOT NULL
"""
MOST = 4 * 10**18
"""A recording that was not made by udamon may have ages above 127,000 years, whose microseconds exceed 64 bits."""
UNTOUCHED = """
    SELECT sum(CASE WHEN nr_accesses > 0 AND touched < {bytes} THEN {bytes} - touched ELSE 0 END)
        / greatest(count(DISTINCT seq), 1) FROM regions WHERE {which}
"""
"""Bytes that count as accessed and were not touched, a mean over moments."""
HISTOGRAM = """
    WITH measured AS ({values}), ranged AS (
        SELECT bytes, value, min(value) OVER () AS low, max(value) OVER () AS high FROM measured
    ), columns AS (
        SELECT bytes, low, high, value, (high - low) // {columns} + 1 AS width
        FROM ranged
    )
    SELECT low, width, CAST((value - low) // width AS INTEGER) AS col, sum(bytes)
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


@dataclass(frozen=True, slots=True)
class Histogram:
    """`columns` has (low, high, bytes): values in [low, high); microseconds for recency."""

    what: str
    columns: list[tuple[int, int, float]]
    untouched: int | None = None
    """Of the bytes that count as accessed, those that are known not to have been; None where no region was told so."""
    targets: Sequence[int] = ()
    """Whose memory it is."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """`levels` has (percent, value); microseconds for recency."""

    what: str
    levels: list[tuple[float, int]]
    untouched: int | None = None
    """As of a histogram."""
    targets: Sequence[int] = ()
    """As of a histogram."""


def histogram(
    source: RecordingSource, what: str, seq: int | None, *, definition: str = "touched",
    weights: tuple[int, int, int] = WEIGHTS, columns: int = 10,
) -> Histogram:  # fmt: skip
    """Bytes by `what`, "temperature" or "recency", of the regions of the moment `seq`; with None, of all moments,
    when bytes are their means. Raises RecordingError when no region is left."""
    rows = source.query(
        HISTOGRAM.format(values=_values(source, what, seq, definition, weights), columns=columns)
    )
    if not rows:
        raise _nothing(source, seq)
    low, width = rows[0][:2]
    moments = source.query(MOMENTS)[0][0]
    found = {column: size / moments for _, _, column, size in rows}
    return Histogram(
        what,
        [(low + width * at, low + width * (at + 1), found.get(at, 0.0)) for at in range(columns)],
        _untouched(source, seq, definition),
        _targets(source, seq),
    )


def percentiles(
    source: RecordingSource, what: str, seq: int | None, *, definition: str = "touched",
    weights: tuple[int, int, int] = WEIGHTS, levels: Sequence[float] = LEVELS,
) -> Percentiles:  # fmt: skip
    """The `what` of bytes at each level (0 to 100), of a moment or (None) of all.

    Raises RecordingError when no region is left.
    """
    values = _values(source, what, seq, definition, weights)
    given = ", ".join(f"({level})" for level in levels)
    rows = source.query(PERCENTILES.format(values=values, levels=given))
    if not rows:
        raise _nothing(source, seq)
    found = [(float(level), value) for level, value in rows]
    return Percentiles(what, found, _untouched(source, seq, definition), _targets(source, seq))


def _targets(source: RecordingSource, seq: int | None) -> list[int]:
    found = source.query(f"SELECT DISTINCT target FROM regions WHERE {_which(seq)}")
    return [target for (target,) in found]


def _which(seq: int | None) -> str:
    """SQL: the rows of the moment, or all."""
    return "TRUE" if seq is None else f"seq = {seq}"


def _untouched(source: RecordingSource, seq: int | None, definition: str) -> int | None:
    if not has_shares(source.recording.metadata):
        return None
    (found,) = source.query(UNTOUCHED.format(bytes=BYTES[definition], which=_which(seq)))[0]
    return round(found or 0)


def _nothing(source: RecordingSource, seq: int | None) -> RecordingError:
    if seq is None:
        return source.nothing()
    return RecordingError(
        f"{source.recording.path}: no region is left at that moment; choose another with --at, or widen the filters."
    )


def _values(
    source: RecordingSource, what: str, seq: int | None, definition: str, weights: tuple[int, int, int]
) -> str:
    """The query for bytes and their values, over a table that is made here."""
    size = '"end" - start' if weights[0] else "CAST(0 AS UBIGINT)"
    source.keep("alike_regions", ALIKE.format(size=size, bytes=BYTES[definition], which=_which(seq)))
    if what == "recency":
        return RECENCY.format(most=MOST)
    return TEMPERATURE.format(w_size=weights[0], w_rate=weights[1], w_age=weights[2], most=MOST)


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
        return {"schema": 1, "what": report.what, "histogram": columns, "untouched_bytes": report.untouched}
    levels = [{"percent": level, "value": value * unit} for level, value in report.levels]
    return {"schema": 1, "what": report.what, "percentiles": levels, "untouched_bytes": report.untouched}


def render(report: Histogram | Percentiles, terminal: Terminal) -> Shown:
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
        return lines([f"bytes by {name}", "", *table(rows, ">><"), *_note(report)])
    low = min(value for _, value in report.levels)
    high = max(value for _, value in report.levels)
    room = max(10, terminal.width - 36)
    rows = [
        [f"p{level:g}", _value(report.what, value), terminal.bar((value - low) / ((high - low) or 1), room)]
        for level, value in report.levels
    ]
    return lines([f"{name} of bytes, percentiles", "", *table(rows, ">><"), *_note(report)])


def _note(report: Histogram | Percentiles) -> list[str]:
    if not report.untouched:
        return summed_note(report.targets)
    bound = "idle times are at least" if report.what == "recency" else "temperatures are at most"
    size = format_size(report.untouched)
    return [
        "",
        f"{size} of mappings that were touched in part were not; they count as touched, so {bound} these.",
        *summed_note(report.targets),
    ]


def _value(what: str, value: int) -> str:
    return clock(value * 1000) if what == "recency" else f"{value:,}"
