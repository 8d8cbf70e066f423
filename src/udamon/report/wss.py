"""The working set: how many bytes were accessed, as percentiles over all snapshots, and over time.

A *moment* is one aggregation of the monitor (one `seq`). The total of a moment is the sum over the targets
that have a snapshot of it: a target that has not come yet or has ended adds nothing, as it has no memory. A
target's own percentiles are over its own snapshots. A snapshot without regions counts as 0 bytes, and none
is skipped. Moments at which no target lived left no snapshot and are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from udamon.report.catalog import Catalog
from udamon.report.source import Source
from udamon.report.terminal import Terminal, clock, table
from udamon.units import format_size

DEFINITIONS = {
    "touched": "touched",
    "damo": 'CASE WHEN nr_accesses > 0 THEN "end" - start ELSE 0 END',
}
_LEVELS = ("min", "p25", "p50", "p75", "p90", "max", "mean")

MOMENTS = """
    WITH snapshots AS (
        SELECT seq, target, max(time) AS time, CAST(coalesce(sum({bytes}), 0) AS DOUBLE) AS bytes
        FROM regions GROUP BY seq, target
    ), moments AS (
        SELECT seq, max(time) AS time, sum(bytes) AS bytes FROM snapshots GROUP BY seq
    )
"""

PERCENTILES = (
    MOMENTS
    + """, series AS (
        SELECT target, bytes FROM snapshots
        UNION ALL SELECT CAST(NULL AS INTEGER) AS target, bytes FROM moments
    )
    SELECT target, count(*) AS snapshots, min(bytes),
        percentile_cont(0.25) WITHIN GROUP (ORDER BY bytes), percentile_cont(0.5) WITHIN GROUP (ORDER BY bytes),
        percentile_cont(0.75) WITHIN GROUP (ORDER BY bytes), percentile_cont(0.9) WITHIN GROUP (ORDER BY bytes),
        max(bytes), avg(bytes)
    FROM series GROUP BY target ORDER BY target
"""
)

OVER_TIME = MOMENTS + "SELECT time, bytes FROM moments ORDER BY time"

BINNED = (
    MOMENTS
    + """, span AS (SELECT min(time) AS low, max(time) AS high FROM moments), binned AS (
        SELECT CAST(floor(CAST(time - low AS DOUBLE) * {bins} / (high - low + 1)) AS INTEGER) AS bin, time, bytes
        FROM moments CROSS JOIN span
    )
    SELECT min(time), avg(bytes) FROM binned GROUP BY bin ORDER BY bin
"""
)


@dataclass(frozen=True, slots=True)
class Series:
    """The working set of one target, or of all (`target` None): bytes by level, over `snapshots`."""

    target: int | None
    snapshots: int
    bytes: dict[str, int]


@dataclass(frozen=True, slots=True)
class WorkingSet:
    """The report. `over_time` has (ns on CLOCK_MONOTONIC, bytes): every moment, or means of bins."""

    definition: str
    total: Series
    targets: list[Series]
    over_time: list[tuple[int, int]]
    start_ns: int
    every: bool


def measure(
    source: Source, definition: str = "touched", *, every: bool = False, bins: int = 120
) -> WorkingSet:
    """The working set by `definition` (see DEFINITIONS), over time in `bins`, or with `every` moment.

    Raises RecordingError when there is no snapshot.
    """
    size = DEFINITIONS[definition]
    series = [_series(row) for row in source.query(PERCENTILES.format(bytes=size))]
    if not series:
        raise source.nothing()
    over = OVER_TIME.format(bytes=size) if every else BINNED.format(bytes=size, bins=bins)
    return WorkingSet(
        definition,
        next(one for one in series if one.target is None),
        [one for one in series if one.target is not None],
        [(time, round(size)) for time, size in source.query(over)],
        source.start_ns,
        every,
    )


def _series(row: Sequence[Any]) -> Series:
    target, count, *values = row
    return Series(target, count, {name: round(value) for name, value in zip(_LEVELS, values, strict=True)})


def document(report: WorkingSet, catalog: Catalog, *, over_time: bool = False) -> dict[str, Any]:
    """The JSON document: bytes, and times in seconds on CLOCK_MONOTONIC."""
    found: dict[str, Any] = {
        "schema": 1,
        "snapshots": report.total.snapshots,
        "definition": report.definition,
        "start": report.start_ns / 1e9,
        "bytes": report.total.bytes,
        "targets": [
            {"target": one.target, "pid": catalog.target(one.target or 0).pid, "snapshots": one.snapshots,
             "bytes": one.bytes}
            for one in report.targets
        ],
    }  # fmt: skip
    if over_time:
        found["over_time"] = [{"time": time / 1e9, "bytes": size} for time, size in report.over_time]
    return found


def render(report: WorkingSet, catalog: Catalog, terminal: Terminal) -> str:
    """For people: the distribution with bars, then over time."""
    words = "bytes touched" if report.definition == "touched" else "bytes of accessed regions (damo)"
    many = f" of {len(report.targets)} targets" if len(report.targets) > 1 else ""
    lines = [f"working set{many}: {words} per snapshot, {report.total.snapshots} snapshots", ""]
    lines += _distribution(report.total, terminal)
    if len(report.targets) > 1:
        lines += ["", *_targets(report.targets, catalog)]
    lines += ["", *(_moments if report.every else _chart)(report, terminal)]
    return "\n".join(lines)


def _distribution(series: Series, terminal: Terminal) -> list[str]:
    top = series.bytes["max"] or 1
    room = max(10, terminal.width - 22)
    return [f"  {name:4}  {format_size(size):>10}  {terminal.bar(size / top, room)}".rstrip()
            for name, size in series.bytes.items()]  # fmt: skip


def _targets(targets: Sequence[Series], catalog: Catalog) -> list[str]:
    head = ["target", *(name for name in _LEVELS if name in ("min", "p50", "p90", "max")), "snapshots"]
    rows = [
        [
            catalog.target(one.target or 0).label,
            *(format_size(one.bytes[name]) for name in head[1:-1]),
            str(one.snapshots),
        ]
        for one in targets
    ]
    return table([head, *rows], "<>>>>>")


def _moments(report: WorkingSet, terminal: Terminal) -> list[str]:
    """A line for every moment."""
    top = report.total.bytes["max"] or 1
    room = max(10, terminal.width - 26)
    return [
        f"  {(time - report.start_ns) / 1e9:8.2f} s  {format_size(size):>10}  {terminal.bar(size / top, room)}".rstrip()
        for time, size in report.over_time
    ]


def _chart(report: WorkingSet, terminal: Terminal, height: int = 8) -> list[str]:
    """Columns over time, from 0 to the largest."""
    sizes = [size for _, size in report.over_time]
    room = max(10, terminal.width - 16)
    columns = [sizes[column * len(sizes) // room] for column in range(room)]
    top = max(columns) or 1
    lines = []
    for level in range(height, 0, -1):
        label = format_size(top) if level == height else "0 B" if level == 1 else ""
        lines.append(
            f"  {label:>10}  {''.join(_block(size / top * height - level + 1, terminal) for size in columns)}".rstrip()
        )
    first, end = (clock(report.over_time[side][0] - report.start_ns) for side in (0, -1))
    return [*lines, f"{'':14}{first}{end:>{max(1, room - len(first))}}"]


def _block(filled: float, terminal: Terminal) -> str:
    if not terminal.blocks:
        return "#" if filled >= 0.5 else " "
    return " ▁▂▃▄▅▆▇█"[round(min(1.0, max(0.0, filled)) * 8)]
