"""The regions of one moment: where they are, how often they were accessed, for how long they are like that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any, Protocol

from udamon import text
from udamon.record.schema import RATE_COLUMNS
from udamon.report.catalog import Catalog, TargetInfo, bounds_of
from udamon.report.filters import ALL
from udamon.report.grain import has_shares
from udamon.report.groups import summed_note
from udamon.report.hot_cold import at_most_note
from udamon.report.mappings import MappingTable, NamedMapping
from udamon.report.source import RecordingSource
from udamon.report.temperature import WEIGHTS, temperature_of
from udamon.report.terminal import Terminal, clock, fitted, shorten
from udamon.text import Shown, escape, lines, ours, width
from udamon.units import counted, format_share, format_size

MOMENT = "SELECT max(seq), max(time) FROM regions WHERE time <= {until}"
AFTER = 'SELECT min(time) FROM recording WHERE "begin" IS NOT NULL AND time > {time}'
FIRST = "SELECT min(seq), min(time) FROM regions"

REGIONS = """
    SELECT target, pid, start, "end", nr_accesses, age, touched, ticks, sample_ns, time, resident,
        access_rate, rate_low, rate_high
    FROM regions WHERE seq = {seq} ORDER BY target, start
"""


_LEAST_NAME = 10
"""Columns of a mapping's name at least, while there is something else to leave out."""
_NAME = 20
"""Columns that mappings' names have before titles of processes have any."""


@dataclass(frozen=True, slots=True)
class RegionLine:
    """One region with its mapping; `age` in aggregations, `window_ns` the length of one, `rate` 0..1."""

    target: int
    pid: int | None
    start: int
    end: int
    nr_accesses: int
    age: int
    touched: int
    rate: float
    window_ns: int
    mapped: NamedMapping | None
    resident: int | None = None
    """Bytes of it that are there, where that is known."""
    temperature: int = 0
    """As damo has it (udamon.report.temperature)."""
    upper_bound: bool = False
    """`touched` may be the work of others."""
    rates: tuple[float | None, float | None, float | None] = (None, None, None)
    """The chance that a page is accessed in a tick, not rounded, and the interval around it; None where not known."""

    @property
    def size(self) -> int:
        return self.end - self.start

    @property
    def there(self) -> int:
        """What it counts for: its resident bytes, all where they are not known."""
        return self.size if self.resident is None else self.resident

    @property
    def sure(self) -> int:
        """What this target touched itself, of `touched`."""
        return 0 if self.upper_bound else self.touched


@dataclass(frozen=True, slots=True)
class Access:
    """The report: `time_ns` on CLOCK_MONOTONIC is the end of the window; `found` regions of `targets` targets before
    --top."""

    start_ns: int
    time_ns: int
    seq: int
    lines: list[RegionLine]
    found: int
    targets: int = 1


_KEYS: dict[str, Callable[[RegionLine], tuple[float, ...]]] = {
    "address": lambda line: (line.target, line.start),
    "size": lambda line: (-line.size,),
    "rate": lambda line: (-line.rate, -line.there),
    "age": lambda line: (-line.age, -line.there),
    "touched": lambda line: (-line.touched,),
    "hot": lambda line: (-line.temperature, -line.there),
    "cold": lambda line: (line.temperature, -line.there),
}
SORTS = tuple(_KEYS)


def measure(
    source: RecordingSource, *, at_ns: int | None = None, sort: str = "address", top: int | None = None,
    weights: tuple[int, int, int] = WEIGHTS,
) -> Access:  # fmt: skip
    """The regions of the last moment, or of the last one at `at_ns` after the recording's start.

    `weights` are those of temperature. Mappings are those of that moment. Raises RecordingError when there
    is no snapshot.
    """
    seq = moment(source, at_ns)
    rows = source.query(REGIONS.format(seq=seq))
    time = max(row[9] for row in rows)
    shares = has_shares(source.recording.metadata)

    def named(rows: Sequence[Sequence[Any]], until_ns: int | None) -> list[RegionLine]:
        catalog = Catalog(source.recording, until_ns=until_ns)
        return [
            line_of(row, catalog.target(row[0], row[1]).mappings, catalog.upper_bound, weights, shares=shares)
            for row in rows
        ]

    there = [row for row in rows if row[2] is not None]
    made = named(there, time)
    # Names come with the next update: what is not known yet may be so by the end of the next window.
    if missing := [at for at, one in enumerate(made) if one.mapped is None]:
        after = source.query(AFTER.format(time=time))[0][0]
        for at, one in zip(missing, named([there[at] for at in missing], after), strict=True):
            made[at] = one
    found = sorted(made, key=_KEYS[sort])
    return Access(source.start_ns, time, seq, found[:top], len(found), len({line.target for line in found}))


def moment(source: RecordingSource, at_ns: int | None = None) -> int:
    """The number of the last moment, or of the last one at `at_ns` after the start. Raises RecordingError."""
    until = (1 << 63) - 1 if at_ns is None else source.start_ns + at_ns
    # Of what the filters leave, the last is among the few unless a filter or --at chooses by time or target.
    few = at_ns is None and source.filters.time == ALL and not source.filters.targets
    query = MOMENT.format(until=until)
    seq = source.query(query.replace("regions", "some_regions") if few else query)[0][0]
    if seq is None:
        seq = source.query(FIRST)[0][0]  # before the first window's end, the first is the nearest
    if seq is None:
        raise source.nothing()
    return int(seq)


def line_of(
    row: Sequence[Any],
    mappings: MappingTable,
    upper_bound: Callable[[str | None], bool],
    weights: tuple[int, int, int] = WEIGHTS,
    *,
    shares: bool = False,
) -> RegionLine:
    """A row of REGIONS; `mappings` are those of its target, `upper_bound` is as in catalog, `shares` as has_shares."""
    target, pid, start, end, nr_accesses, age, touched, ticks, sample_ns, _, resident, *rates = row
    mapped = mappings.largest_overlap(start, end)
    known = None if resident is None else round(resident)
    rate = nr_accesses / ticks if ticks else 0.0
    if shares and known:
        rate = min(1.0, touched / known)
    elif rates[0] is not None:
        rate = rates[0]
    window = ticks * sample_ns
    heat = temperature_of(end - start, nr_accesses, ticks, age * window, weights)
    bound = upper_bound(None if mapped is None else mapped.kind)
    return RegionLine(
        target,
        pid,
        start,
        end,
        nr_accesses,
        age,
        round(touched),
        rate,
        window,
        mapped,
        known,
        heat,
        bound,
        (rates[0], rates[1], rates[2]),
    )


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
                "pid": line.pid,
                "start": line.start,
                "end": line.end,
                "nr_accesses": line.nr_accesses,
                "rate": line.rate,
                **dict(zip(RATE_COLUMNS, line.rates, strict=True)),
                "age": line.age,
                "touched_bytes": line.touched,
                "resident_bytes": line.resident,
                "upper_bound": line.upper_bound,
                "bounds": bounds_of(line.touched, line.sure),
                "temperature": line.temperature,
                "mapping": (line.mapped.name or "[anon]") if line.mapped else None,
                "kind": line.mapped.kind if line.mapped else None,
            }
            for line in report.lines
        ],
    }


def render(report: Access, catalog: Catalog, columns: int = 80) -> Shown:
    """For people: one line a region; its name is cut to the room that the other cells leave in `columns`."""
    elapsed = f"{clock(report.time_ns - report.start_ns)}{catalog.wall(report.time_ns)}"
    total, touched = sum(line.there for line in report.lines), sum(line.touched for line in report.lines)
    some = f"{len(report.lines)} of " if len(report.lines) < report.found else ""
    shown = f"{some}{counted(report.found, 'region')}"
    many = report.targets > 1
    bounded = any(map(sign, report.lines))
    head = (
        f"at {elapsed}: {shown}, {format_size(total)}, {'at most ' if bounded else ''}{format_size(touched)} "
        "touched"
    )
    if not report.lines:
        return lines([head])
    rated = any(line.rates[0] is not None for line in report.lines)
    between = ["between"] if rated else []
    rows = [
        [
            "start",
            "size",
            catalog.rate_word,
            *between,
            "age",
            "touched",
            *(["target"] if many else []),
            "mapping",
        ]
    ]
    rows += [_cells(line, catalog if many else None, rated=rated) for line in report.lines]
    spare = (rows[0].index("age"), 1)
    align = ">" * (6 if rated else 5) + ("<<" if many else "<")
    if many:
        _shorten_targets(rows, [catalog.target(line.target) for line in report.lines], columns)
    shown_rows, narrow = fitted(rows, align, columns, spare=spare, least=_LEAST_NAME, name=len(rows[0]) - 1)
    owner = "" if many else f"{catalog.target(report.lines[0].target).label}, "
    note = [*(["", at_most_note()] if bounded else []), *summed_note(line.target for line in report.lines)]
    return lines(
        [
            owner + head,
            "",
            *shown_rows,
            *narrow,
            *note,
        ]
    )


def _shorten_targets(rows: list[list[str]], targets: Sequence[TargetInfo], columns: int) -> None:
    """Cut titles of processes to what the other cells leave, and their mappings; at least pids are left."""
    widths = [max(width(escape(cell)) for cell in column) for column in zip(*rows, strict=True)]
    room = columns - sum(2 + size for size in widths[:-2]) - min(_NAME, widths[-1]) - 4
    for row, target in zip(rows[1:], targets, strict=True):
        least = target.label if target.pid is None else f"pid {target.pid}"
        row[-2] = shorten(row[-2], room) if room > width(least) + 4 else least


class _Touched(Protocol):
    @property
    def upper_bound(self) -> bool: ...
    @property
    def touched(self) -> int: ...


def sign(line: _Touched) -> str:
    """What stands before touched bytes and shares of a region, or of a group of them."""
    return ours("≤") if line.upper_bound and line.touched else ""


def _cells(line: RegionLine, catalog: Catalog | None, *, rated: bool) -> list[str]:
    rate, low, high = line.rates
    known = rate is not None and low is not None and high is not None
    at_most = sign(line)
    return [
        f"{line.start:x}",
        format_size(line.size),
        format_share(line.rate if rate is None else rate, at_most),
        *([f"{low:.0%}-{format_share(high or 0.0)}" if known else "-"] if rated else []),
        clock(line.age * line.window_ns),
        at_most + format_size(line.touched),
        *([catalog.target(line.target).label] if catalog else []),
        line.mapped.label if line.mapped else "-",
    ]


def boxes(report: Access, terminal: Terminal, rate_of: str) -> Shown:
    """For people: a box a region, as long as its age (a step for each doubling), as dark as its rate."""
    head = f"at {clock(report.time_ns - report.start_ns)}: {counted(len(report.lines), 'region')}; boxes grow with age"
    room = max(8, terminal.width - 47)
    longest = max((line.age for line in report.lines), default=0)
    rows = []
    for line in report.lines:
        width = max(1, round(room * log2(line.age + 1) / max(log2(longest + 1), 1)))
        box = terminal.heat([line.rate] * width)
        rate = format_share(line.rate, sign(line))
        figures = f"  {format_size(line.there):>10} {rate:>6} {clock(line.age * line.window_ns):>9} |"
        name = "" if line.mapped is None else f" {shorten(line.mapped.label, 14)}"
        rows.append(text.line(figures, box, "|", name))
    note = ["", at_most_note()] if any(map(sign, report.lines)) else []
    return lines([head, "", *rows, "", text.line("  ", terminal.legend(rate_of)), *note])
