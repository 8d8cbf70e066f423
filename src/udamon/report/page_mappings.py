"""The page's table of mappings: how large each was, how much of it was touched, how often, and when last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from udamon.record.naming import kind_of
from udamon.report.heatmap import mappings_of
from udamon.report.mappings import label_of
from udamon.report.source import Source

WATCHED = """
    WITH snapshots AS (SELECT DISTINCT target, seq, "begin", time FROM regions)
    SELECT target, sum(time - "begin") FROM snapshots GROUP BY target
"""

# Regions of one place are summed up first; what spreads over several mappings is shared by bytes.
MAPPINGS = """
    WITH places AS (
        SELECT target, start, "end", sum(CAST(touched AS DOUBLE) * (time - "begin")) AS touched,
            sum(CAST(resident AS DOUBLE) * (time - "begin")) AS resident,
            sum(CAST(nr_accesses AS DOUBLE) / NULLIF(ticks, 0) * (time - "begin")) AS rate,
            sum(CAST(time - "begin" AS DOUBLE)) AS ns,
            max(CASE WHEN nr_accesses > 0 THEN time END) AS last
        FROM regions WHERE start IS NOT NULL GROUP BY target, start, "end"
    ), shares AS (
        SELECT places.target, entry, touched, resident, rate, ns, last, CAST("end" - start AS DOUBLE) AS size,
            CAST(least("end", high) AS DOUBLE) - greatest(start, low) AS bytes
        FROM places JOIN page_mapped ON places.target = page_mapped.target AND start < high AND "end" > low
    )
    SELECT entry, sum(bytes * ns), sum(touched * bytes / size), sum(resident * bytes / size),
        sum(rate * bytes) / sum(ns * bytes), max(last)
    FROM shares GROUP BY entry
"""


@dataclass(frozen=True, slots=True)
class MappingRow:
    """All memory of one name in one target. Bytes are means over the time the target was watched; `rate` is
    0..1; `last_ns` is when it was seen accessed last, on CLOCK_MONOTONIC, None for never."""

    target: int
    name: str
    size: float
    touched: float
    resident: float | None
    rate: float
    last_ns: int | None

    @property
    def label(self) -> str:
        return label_of(self.name)

    @property
    def kind(self) -> str:
        return kind_of(self.name)


def measure(source: Source) -> list[MappingRow]:
    """The mappings by touched bytes, most first; none where the recording tells of none."""
    entries, pieces = _entries(source)
    if not pieces:
        return []
    source.table("page_mapped", "target INTEGER, entry INTEGER, low UBIGINT, high UBIGINT", pieces)
    watched = dict(source.query(WATCHED))
    found = [_row(entries, watched, *row) for row in source.query(MAPPINGS)]
    return sorted(found, key=lambda row: (-row.touched, -row.size, row.target, row.name))


def _row(
    entries: list[tuple[int, str]],
    watched: dict[int, int],
    entry: int,
    size: float,
    touched: float,
    resident: float | None,
    rate: float | None,
    last: int | None,
) -> MappingRow:
    target, name = entries[entry]
    ns = max(1, watched[target])
    there = None if resident is None else resident / ns
    return MappingRow(target, name, size / ns, touched / ns, there, rate or 0.0, last)


def _entries(source: Source) -> tuple[list[tuple[int, str]], list[tuple[Any, ...]]]:
    """The (target, name) of each line of the table, and where its memory is."""
    numbers: dict[tuple[int, str], int] = {}
    pieces = [
        (target, numbers.setdefault((target, name), len(numbers)), start, end)
        for target, start, end, name in _accessible(source)
    ]
    return list(numbers), pieces


def _accessible(source: Source) -> Iterator[tuple[int, int, int, str]]:
    """Mappings that somebody may access; neighbours of one name as one."""
    for target, known in mappings_of(source.recording).items():
        last: tuple[int, int, int, str] | None = None
        for mapped in known:
            if mapped.perms.startswith("---"):
                continue
            if last is not None and last[2:] == (mapped.start, mapped.name):
                last = (target, last[1], mapped.end, mapped.name)
                continue
            if last is not None:
                yield last
            last = (target, mapped.start, mapped.end, mapped.name)
        if last is not None:
            yield last
