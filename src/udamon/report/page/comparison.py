"""The page of two recordings as data: levels, curves and what moved (udamon.report.diff)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from udamon.report import wss
from udamon.report.catalog import Catalog
from udamon.report.common import common_lines, damage_lines, lines_of_both
from udamon.report.diff import Diff, differences
from udamon.report.levels import PERCENTS
from udamon.report.source import RecordingSource
from udamon.units import counted

MAX_MOVED = 300
"""Lines of what moved; the page says how many are left out."""


def document(report: Diff, sources: Sequence[RecordingSource]) -> dict[str, Any]:
    """The JSON document: bytes, and seconds since the start of each recording."""
    moved = [one for one in report.moved if max(one.before.touched, one.after.touched) >= 1]
    before, after = ([*common_lines(source), *damage_lines(source)] for source in sources)
    notes = [*differences(report), *lines_of_both(before, after)]
    return {
        "schema": 1,
        "title": " against ".join(_title(source) for source in sources),
        "notes": notes,
        "sides": [
            _side(source, found, length_ns)
            for source, found, length_ns in zip(
                sources, (report.before, report.after), report.seconds_ns, strict=True
            )
        ],
        "levels": [
            level
            for name, before, after in (
                ("working set", report.before, report.after), ("footprint", *report.footprints),
            )
            for level in _levels(name, before, after)
        ],
        "moved": [
            {"label": one.label, "kind": one.kind, "before": round(one.before.touched),
             "after": round(one.after.touched), "upper_bounds": one.upper_bounds, "shared": one.shared}
            for one in moved[:MAX_MOVED]
        ],
        "moved_left_out": max(0, len(moved) - MAX_MOVED),
    }  # fmt: skip


def _title(source: RecordingSource) -> str:
    catalog = Catalog(source.recording)
    comms = (catalog.target(target).comm for target in source.targets)
    names = sorted({comm for comm in comms if comm})
    return names[0] if len(names) == 1 else counted(len(source.targets), "target")


def _side(source: RecordingSource, found: wss.WorkingSet, length_ns: int) -> dict[str, Any]:
    wall = source.recording.metadata.get("wall_ns")
    curve = (
        found.group.over_time
        if found.group is not None
        else [(at, size, size) for at, size in found.over_time]
    )
    return {
        "title": _title(source),
        "file": source.recording.path.name,
        "recorded": datetime.fromtimestamp(wall / 1e9).strftime("%Y-%m-%d %H:%M:%S")
        if isinstance(wall, int)
        else None,
        "windows": found.total.snapshots,
        "seconds": length_ns / 1e9,
        "curve": [[(at - found.start_ns) / 1e9, low, high] for at, low, high in curve],
    }


def _levels(name: str, before: wss.WorkingSet, after: wss.WorkingSet) -> list[dict[str, Any]]:
    few = before.why is not None or after.why is not None
    return [
        {"name": f"{name} {level}", "before": _bounds(before, level), "after": _bounds(after, level)}
        for level in ("p50", "p90", "max")
        if not (few and level in PERCENTS)
    ]


def _bounds(found: wss.WorkingSet, level: str) -> dict[str, int]:
    low, high = found.bounds(level)
    return {"low": low, "high": high}
