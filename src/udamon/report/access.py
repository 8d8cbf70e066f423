"""The regions of one moment: where they are, how often they were accessed, for how long they are like that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from udamon.report.catalog import Catalog
from udamon.report.mappings import Mapped
from udamon.report.source import Source
from udamon.report.terminal import clock, table
from udamon.units import format_size

MOMENT = "SELECT max(seq), max(time) FROM regions WHERE time <= {until}"
FIRST = "SELECT min(seq), min(time) FROM regions"

REGIONS = """
    SELECT target, pid, start, "end", nr_accesses, age, touched, ticks, sample_ns, time, "begin"
    FROM regions WHERE seq = {seq} ORDER BY target, start
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One region with its mapping; `age` in aggregations, `window_ns` the length of one, `rate` 0..1."""

    target: int
    start: int
    end: int
    nr_accesses: int
    age: int
    touched: int
    rate: float
    window_ns: int
    mapped: Mapped | None

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Access:
    """The report: `time_ns` on CLOCK_MONOTONIC is the end of the window; `found` regions before --top."""

    start_ns: int
    time_ns: int
    seq: int
    lines: list[Line]
    found: int


_KEYS: dict[str, Callable[[Line], tuple[float, ...]]] = {
    "address": lambda line: (line.target, line.start),
    "size": lambda line: (-line.size,),
    "rate": lambda line: (-line.rate, -line.size),
    "age": lambda line: (-line.age, -line.size),
    "touched": lambda line: (-line.touched,),
}


def measure(
    source: Source, *, at_ns: int | None = None, sort: str = "address", top: int | None = None
) -> Access:
    """The regions of the last moment, or of the last one at `at_ns` after the recording's start.

    Mappings are those of that moment. Raises RecordingError when there is no snapshot.
    """
    until = (1 << 63) - 1 if at_ns is None else source.start_ns + at_ns
    seq, time = source.query(MOMENT.format(until=until))[0]
    if seq is None:
        seq, time = source.query(FIRST)[0]  # before the first window's end, the first is the nearest
    if seq is None:
        raise source.nothing()
    rows = source.query(REGIONS.format(seq=seq))
    time = max(row[9] for row in rows)
    catalog = Catalog(source.recording, until_ns=time)
    lines = sorted((_line(row, catalog) for row in rows if row[2] is not None), key=_KEYS[sort])
    return Access(source.start_ns, time, seq, lines[:top], len(lines))


def _line(row: Sequence[Any], catalog: Catalog) -> Line:
    target, pid, start, end, nr_accesses, age, touched, ticks, sample_ns, _, _ = row
    mapped = catalog.target(target, pid).mappings.largest_overlap(start, end)
    rate = nr_accesses / ticks if ticks else 0.0
    return Line(target, start, end, nr_accesses, age, round(touched), rate, ticks * sample_ns, mapped)


def document(report: Access) -> dict[str, Any]:
    """The JSON document: times in seconds (`time` on CLOCK_MONOTONIC), `age` in aggregations."""
    return {
        "schema": 1,
        "time": report.time_ns / 1e9,
        "elapsed": (report.time_ns - report.start_ns) / 1e9,
        "seq": report.seq,
        "regions": [
            {
                "target": line.target,
                "start": line.start,
                "end": line.end,
                "nr_accesses": line.nr_accesses,
                "rate": line.rate,
                "age": line.age,
                "touched_bytes": line.touched,
                "mapping": (line.mapped.name or "[anon]") if line.mapped else None,
                "kind": line.mapped.kind if line.mapped else None,
            }
            for line in report.lines
        ],
    }


def render(report: Access, catalog: Catalog) -> str:
    """For people: one line a region."""
    elapsed = clock(report.time_ns - report.start_ns)
    total, touched = sum(line.size for line in report.lines), sum(line.touched for line in report.lines)
    shown = (
        f"{len(report.lines)} of {report.found}" if len(report.lines) < report.found else str(report.found)
    )
    many = len({line.target for line in report.lines}) > 1
    head = f"at {elapsed}: {shown} regions, {format_size(total)}, {format_size(touched)} touched"
    if not report.lines:
        return head
    rows = [["start", "size", "rate", "age", "touched", *(["target"] if many else []), "mapping"]]
    rows += [_cells(line, catalog if many else None) for line in report.lines]
    owner = "" if many else f"{catalog.target(report.lines[0].target).label}, "
    return "\n".join([owner + head, "", *table(rows, ">>>>><<" if many else ">>>>><")])


def _cells(line: Line, catalog: Catalog | None) -> list[str]:
    return [
        f"{line.start:x}",
        format_size(line.size),
        f"{line.rate:.0%}",
        clock(line.age * line.window_ns),
        format_size(line.touched),
        *([catalog.target(line.target).label] if catalog else []),
        line.mapped.label if line.mapped else "-",
    ]
