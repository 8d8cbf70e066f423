"""The windows of a recording: when they were, how long they were, and the time between them that was not watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from udamon import text
from udamon.report.source import RecordingSource
from udamon.report.terminal import clock, table
from udamon.text import Shown
from udamon.units import counted

MOMENTS = """
    SELECT seq, min("begin") AS "begin", max(time) AS time, count(DISTINCT target) AS targets, count(start) AS regions
    FROM regions GROUP BY seq
"""
GAPS = """
    SELECT seq, "begin", time, targets, regions,
        greatest("begin" - lag(time) OVER (ORDER BY seq), 0) AS gap FROM moments
"""
SUMMARY = f"""
    WITH gaps AS ({GAPS})
    SELECT count(*), min("begin"), max(time), min(time - "begin"), avg(CAST(time - "begin" AS DOUBLE)),
        max(time - "begin"), coalesce(sum(gap), 0), coalesce(max(gap), 0) FROM gaps
"""
LIST = f'WITH gaps AS ({GAPS}) SELECT seq, "begin", time, coalesce(gap, 0), targets, regions FROM gaps ORDER BY seq'
LARGEST = f"""
    WITH gaps AS ({GAPS})
    SELECT "begin" - gap AS since, gap FROM gaps WHERE gap > 0 ORDER BY gap DESC, seq LIMIT 5
"""


@dataclass(frozen=True, slots=True)
class WindowTimes:
    """The report, ns: windows (shortest, mean, longest), all gaps and the largest (since, length), and with
    `every` all moments: (seq, begin, end, gap before, targets, regions)."""

    moments: int
    start_ns: int
    begin_ns: int
    end_ns: int
    window_ns: tuple[int, float, int]
    unseen_ns: int
    gaps: list[tuple[int, int]]
    every: list[tuple[int, int, int, int, int, int]]


def measure(source: RecordingSource, *, every: bool = False) -> WindowTimes:
    """Raises RecordingError when there is no snapshot."""
    source.keep("moments", MOMENTS)
    moments, begin, end, shortest, mean, longest, unseen, _ = source.query(SUMMARY)[0]
    if not moments:
        raise source.nothing()
    gaps = [(since, gap) for since, gap in source.query(LARGEST)]
    rows: Sequence[Any] = source.query(LIST) if every else ()
    found = [(seq, low, high, gap, targets, regions) for seq, low, high, gap, targets, regions in rows]
    return WindowTimes(
        moments, source.start_ns, begin, end, (shortest, mean, longest), int(unseen), gaps, found
    )


def document(report: WindowTimes) -> dict[str, Any]:
    """The JSON document: seconds; `moments` only with --every."""
    return {
        "schema": 1,
        "snapshots": report.moments,
        "begin": report.begin_ns / 1e9,
        "end": report.end_ns / 1e9,
        "seconds": (report.end_ns - report.begin_ns) / 1e9,
        "window_seconds": dict(
            zip(("min", "mean", "max"), (ns / 1e9 for ns in report.window_ns), strict=True)
        ),
        "unseen_seconds": report.unseen_ns / 1e9,
        "gaps": [{"begin": since / 1e9, "seconds": gap / 1e9} for since, gap in report.gaps],
        "moments": [
            {
                "seq": seq,
                "begin": low / 1e9,
                "end": high / 1e9,
                "gap": gap / 1e9,
                "targets": targets,
                "regions": regions,
            }
            for seq, low, high, gap, targets, regions in report.every
        ],
    }


def render(report: WindowTimes) -> Shown:
    """For people."""
    length = report.end_ns - report.begin_ns
    shortest, mean, longest = map(clock, report.window_ns)
    lines: list[str] = [
        f"{counted(report.moments, 'snapshot')} in {clock(length)}: windows of {mean} ({shortest} to {longest})",
        f"not seen between windows: {clock(report.unseen_ns)} ({report.unseen_ns / (length or 1):.1%})",
    ]
    if report.gaps:
        rows = [[f"{clock(gap)}", f"at {clock(since - report.start_ns)}"] for since, gap in report.gaps]
        lines += ["largest gaps:", *table(rows, "><")]
    if report.every:
        rows = [["snapshot", "begin", "window", "gap", "targets", "regions"]]
        rows += [
            [
                str(seq),
                f"{(low - report.start_ns) / 1e9:.3f} s",
                clock(high - low),
                clock(gap),
                str(targets),
                str(count),
            ]
            for seq, low, high, gap, targets, count in report.every
        ]
        lines += ["", *table(rows, ">>>>>>")]
    return text.lines(lines)
