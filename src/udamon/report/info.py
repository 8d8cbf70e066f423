"""What a recording is: attributes, way of looking, targets, length, and what the monitor itself cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from udamon.model import ASKED_FOR
from udamon.record.metadata import warmup_until
from udamon.record.reader import Recording
from udamon.report.catalog import Catalog, TargetInfo
from udamon.report.common import coverage
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal, clock, fitted, table
from udamon.targets.coverage import line as coverage_line
from udamon.text import Shown, escape, line, lines, ours, width
from udamon.units import counted, format_size, format_time

TARGETS = """
    SELECT target, max(pid), count(DISTINCT seq), min("begin"), max(time), count(start)
    FROM regions GROUP BY target ORDER BY target
"""
REGIONS = "SELECT min(number), max(number) FROM (SELECT count(start) AS number FROM regions GROUP BY seq) AS moments"
MOMENTS = 'SELECT count(DISTINCT seq), min("begin"), max(time), count(start) FROM regions'


@dataclass(frozen=True, slots=True)
class Info:
    """The report. `targets` has (info, snapshots, first begin, last end, regions); times in ns."""

    recording: Recording
    catalog: Catalog
    snapshots: int
    regions: int
    begin_ns: int
    end_ns: int
    targets: list[tuple[TargetInfo, int, int, int, int]]
    start_ns: int = 0
    """When the recording began, on CLOCK_MONOTONIC, whatever filters leave of it."""
    fewest_regions: int = 0
    most_regions: int = 0
    """Of a snapshot."""


def measure(source: RecordingSource, catalog: Catalog) -> Info:
    """All there is to say; a recording without any snapshot is described too."""
    snapshots, begin, end, regions = source.query(MOMENTS)[0]
    rows = {row[0]: row for row in source.query(TARGETS)}
    for index in [*catalog.targets, *rows]:
        catalog.target(index, rows[index][1] if index in rows else None)
    targets = [
        (catalog.target(index), *(rows[index][2:] if index in rows else (0, 0, 0, 0)))
        for index in sorted(catalog.targets)
    ]
    fewest, most = source.query(REGIONS)[0]
    return Info(
        source.recording, catalog, snapshots, regions, begin or 0, end or 0, targets, source.start_ns, fewest or 0,
        most or 0,
    )  # fmt: skip


def document(report: Info) -> dict[str, Any]:
    """The JSON document: seconds and bytes; `monitor` has nulls where the recording does not say."""
    metadata, cost = report.recording.metadata, report.catalog.cost
    cpu, kdamond = cost.get("cpu_ns"), cost.get("kdamond_cpu_ns")
    target_cost, pause = cost.get("target_cost_ns"), cost.get("longest_pause_ns")
    return {
        "schema": 1,
        "attrs": report.catalog.attrs,
        "via": metadata.get("via"),
        "why": metadata.get("why"),
        "ops": metadata.get("ops"),
        "policy": metadata.get("policy"),
        "tlb": metadata.get("tlb"),
        "tlb_missed_below_bytes": metadata.get("tlb_missed_below_bytes"),
        "snapshots": report.snapshots,
        "regions": report.regions,
        "seconds": (report.end_ns - report.begin_ns) / 1e9,
        "warmup_seconds": _warmup_ns(report) / 1e9,
        "targets": [_target(*target) for target in report.targets],
        "monitor": {
            "cpu_seconds": None if cpu is None else (cpu + (kdamond or 0)) / 1e9,
            **({} if kdamond is None else {"kdamond_cpu_seconds": kdamond / 1e9}),
            "max_rss_bytes": cost.get("max_rss_bytes"),
            "checks": cost.get("checks"),
        },
        "target_cost_seconds": None if target_cost is None else target_cost / 1e9,
        "longest_pause_seconds": None if pause is None else pause / 1e9,
        "truncated": report.recording.truncated,
        "checksums": report.recording.checksums,
        "mappings": report.catalog.mappings_seen,
        "notes": report.catalog.notes,
        "metadata": metadata,
    }


def _target(info: TargetInfo, snapshots: int, begin: int, end: int, regions: int) -> dict[str, Any]:
    return {
        "target": info.target,
        "pid": info.pid,
        "comm": info.comm,
        "cmdline": info.cmdline,
        "user": info.user,
        "snapshots": snapshots,
        "regions": regions,
        "seconds": (end - begin) / 1e9,
        "mappings": len(info.mappings),
        "ended": info.ended_why,
    }


def facts(report: Info) -> list[list[str]]:
    """What, when, how and at which cost, for people: [word, text] each."""
    seconds = (report.end_ns - report.begin_ns) / 1e9
    mean = f", {counted(round(report.regions / report.snapshots), 'region')}" if report.snapshots else ""
    alike = report.snapshots and report.fewest_regions == report.most_regions
    mean += (" each" if alike else " on average") if report.snapshots > 1 else ""
    metadata = report.recording.metadata
    sampled = metadata.get("policy") is not None
    rows = [
        ["recorded", _when(metadata)],
        [
            "length",
            f"{clock(report.end_ns - report.begin_ns)}, {counted(report.snapshots, 'snapshot')}{mean}",
        ],
        ["kept", _kept(report.recording)],
        ["warm-up", _warmup(report)],
        [
            "looked",
            ours(" · ").join(
                f"{key} {metadata[key]}"
                for key in ("via", "sees", "grain", "tlb", "ops", "policy")
                if metadata.get(key)
            ),
        ],
        ["because", _because(metadata)],
        ["attributes", _attrs(report.catalog.attrs, sampled=sampled)],
        [
            "monitor",
            _cost(report.catalog, metadata, seconds, sampled=sampled),
        ],
        ["targets", _target_cost(report.catalog, metadata, seconds)],
        ["mappings", f"{report.catalog.mappings_seen} seen" if report.catalog.mappings_seen else ""],
        ["end", "none: the recorder was killed or still runs" if report.recording.truncated else "closed"],
        ["coverage", coverage_line(coverage(report.recording))],
        ["checksums", "" if report.recording.checksums else "none: damage may pass unseen"],
        *(["damaged", damage.sentence] for damage in report.recording.damaged),
        *(["note", note] for note in report.catalog.notes),
    ]
    return [row for row in rows if row[1]]


def render(report: Info, terminal: Terminal) -> Shown:
    """For people: the facts, then whom."""
    return lines([*table(facts(report), "<<", ""), "", *_targets(report.targets, terminal)]).rstrip()


def _warmup_ns(report: Info) -> int:
    until = warmup_until(report.recording.metadata, report.recording.path)
    return 0 if until is None else max(0, until - report.start_ns)


def _warmup(report: Info) -> str:
    length = _warmup_ns(report)
    return f"the first {clock(length)}: reports leave it out unless --include-warmup" if length else ""


def _kept(recording: Recording) -> str:
    """Whether rotations have taken earlier parts away."""
    first = int(recording.metadata.get("part", 1)) - (len(recording.files) - 1)
    return "" if first <= 1 else "the latest part: what came before went, to stay below --max-size"


def _when(metadata: dict[str, Any]) -> str:
    wall = metadata.get("wall_ns")
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall / 1e9)) if wall else ""
    where = f"on {metadata['host']}" if metadata.get("host") else ""
    return f"{stamp} {where} (Linux {metadata.get('kernel', '?')})".strip()


def _because(metadata: dict[str, Any]) -> str:
    """Why this primitive was chosen, where --via did not name it."""
    why = metadata.get("why")
    return "" if why in (None, ASKED_FOR) else str(why)


def _attrs(attrs: dict[str, Any], *, sampled: bool) -> str:
    words = {"sample_us": "sample", "aggr_us": "aggregation", "update_us": "update"}
    parts = [f"{word} {format_time(attrs[key] / 1e6)}" for key, word in words.items() if key in attrs]
    low, high = attrs.get("min_nr_regions"), attrs.get("max_nr_regions")
    # A census has no policy: nothing is sampled, and mappings are what they are.
    return ", ".join([*parts, *([f"{low} to {high} regions"] if sampled and low is not None else [])])


def _cost(catalog: Catalog, metadata: dict[str, Any], seconds: float, *, sampled: bool) -> str:
    """What the recording tells of it; a figure that it does not tell is left out."""
    cost = catalog.cost
    if cost.get("cpu_ns") is None:
        return ""
    kdamond = cost.get("kdamond_cpu_ns")
    cpu = (cost["cpu_ns"] + (kdamond or 0)) / 1e9
    # Starting up is paid once: it is no part of what watching costs.
    starting = min((metadata.get("startup_cpu_ns") or 0) / 1e9, cpu)
    start = f", {format_time(starting)} of it to start" if starting else ""
    share = catalog.cpu_share(metadata, seconds)
    after = "" if share is None else f" ({share:.2%} of one CPU{' after that' if starting else ''})"
    # The kernel does not count its checks; what is told of them is an estimate.
    about = "" if kdamond is None else "about "
    inside = "" if kdamond is None else f", {format_time(kdamond / 1e9)} of it in the kernel's kdamond"
    counted_checks, rss = cost.get("checks"), cost.get("max_rss_bytes")
    checks = f", {about}{counted_checks:,} checks" if sampled and counted_checks is not None else ""
    memory = "" if rss is None else f", {format_size(rss)} resident"
    return f"{format_time(cpu)} of CPU{start}{after}{inside}{memory}{checks}"


def _target_cost(catalog: Catalog, metadata: dict[str, Any], seconds: float) -> str:
    lost, pause = catalog.cost.get("target_cost_ns"), catalog.cost.get("longest_pause_ns")
    parts = []
    if lost is not None:
        part = catalog.lost_share(metadata, seconds)
        share = "" if part is None else f" ({part:.2%} of one CPU)"
        parts.append(f"lost about {format_time(round(lost / 1e9, 4))}{share} by an estimate")
    if pause:
        parts.append(f"stopped for {format_time(round(pause / 1e9, 4))} at most at a time")
    return ", ".join(parts)


_LEAST_COMMAND = 20
"""Columns of a command line beside the figures; where there are fewer, it stands below them."""


def _targets(targets: Sequence[tuple[TargetInfo, int, int, int, int]], terminal: Terminal) -> list[str]:
    if not targets:
        return []
    rows = [["target", "snapshots", "length", "mappings", "ended", "command"]]
    for info, snapshots, begin, end, _ in targets:
        rows.append(
            [info.label, str(snapshots), clock(end - begin), str(len(info.mappings)),
             info.ended_why or "-", " ".join(info.cmdline)]
        )  # fmt: skip
    *figures, command = (max(width(escape(cell)) for cell in column) for column in zip(*rows, strict=True))
    if sum(2 + size for size in figures) + min(command, _LEAST_COMMAND) <= terminal.width:
        return list(table(rows, "<>>><<", ""))
    (head, *shown), said = fitted([row[:-1] for row in rows], "<>>><", terminal.width, spare=(3,))
    found: list[str] = [head]
    for figure, row in zip(shown, rows[1:], strict=True):
        found += [figure, line("      ", row[-1])]
    return [*found, *said]
