"""Mappings of files that were advised MADV_RANDOM or MADV_SEQUENTIAL, where a recording has that."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

from udamon.record.naming import FILE, LIBRARY, kind_of
from udamon.report.catalog import Catalog
from udamon.report.mappings import history_of, label_of
from udamon.report.source import RecordingSource
from udamon.text import escape
from udamon.units import format_size

SHOWN = 5


class Advised(NamedTuple):
    """A mapping of a file: its process, label and bytes, and "random" or "sequential"."""

    pid: int | None
    mapping: str
    size: int
    advice: str


def measure(source: RecordingSource) -> list[Advised]:
    """At any time of the recording; the largest first."""
    catalog, history = Catalog(source.recording), history_of(source.recording)
    found = set()
    for event in source.recording.events():
        data: Any = event.data
        if event.name != "advice" or not _asked(source, data["target"]):
            continue
        pid = catalog.target(data["target"]).pid
        for start, end, advice in data.get("mappings", ()):
            mappings = history.get(data["target"], [])
            at = bisect_right(mappings, start, key=lambda one: one.start) - 1  # they are sorted and disjoint
            if at >= 0 and start < mappings[at].end and kind_of(mappings[at].name) in (FILE, LIBRARY):
                found.add(Advised(pid, label_of(mappings[at].name), end - start, advice))
    return sorted(found, key=lambda one: (-one.size, one))


def _asked(source: RecordingSource, target: int) -> bool:
    return not source.filters.targets or target in source.filters.targets


def document(found: list[Advised]) -> list[dict[str, Any]]:
    """For JSON."""
    return [
        {"pid": one.pid, "mapping": one.mapping, "bytes": one.size, "advice": one.advice} for one in found
    ]


def sentences(found: list[Advised]) -> Iterator[str]:
    """For people: nothing where there is none."""
    if not found:
        return
    names = [f"{escape(one.mapping)} ({format_size(one.size)}, {one.advice})" for one in found[:SHOWN]]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    yield (
        f"Advised MADV_RANDOM or MADV_SEQUENTIAL: {', '.join(names)}{more}. The kernel takes no access for a reason to "
        "keep their pages, so below the limit it may drop them although they are in use."
    )
