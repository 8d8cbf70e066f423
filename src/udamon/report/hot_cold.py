"""Which mappings are hot and which are cold: size, use, and last access of every owner of memory.

A region that spreads over several mappings is shared between them by bytes: its accesses are taken to be
spread evenly. All numbers are means over the time for which the target was watched. Where a mapping is
the finest that was seen, nothing is said of the offsets of a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any

from udamon import text
from udamon.record.schema import RATE_COLUMNS
from udamon.report import groups, sampled
from udamon.report.catalog import Catalog, bounds_of
from udamon.report.grain import has_rates, rate_of
from udamon.report.owners import Owner, OwnerPart, owners_of, places_of
from udamon.report.place import Axis, sums
from udamon.report.sampled import TouchedMeans
from udamon.report.source import RecordingSource, double
from udamon.report.target_column import TargetColumn
from udamon.report.terminal import Terminal, clock, fitted, shorten
from udamon.text import Shown, ours
from udamon.units import format_share, format_size

WATCHED = """
    SELECT target, sum(ns), max(time) FROM (
        SELECT target, seq, max(time - "begin") AS ns, max(time) AS time FROM regions GROUP BY target, seq
    ) AS windows GROUP BY target
"""

# What regions of the same places have in common is summed up before anything is shared between places.
SUMMED = """
    SELECT first, last, {sums}, max(accessed) AS accessed FROM (
        SELECT first, last, "into", over, CAST(time - "begin" AS DOUBLE) AS ns,
            {rate} AS rate,
            CAST(touched AS DOUBLE) / NULLIF("end" - start, 0) AS touched,
            CAST(coalesce(resident, "end" - start) AS DOUBLE) / NULLIF("end" - start, 0) AS resident,
            rate_low, rate_high, CAST(ticks AS DOUBLE) AS ticks,
            CASE WHEN nr_accesses > 0 THEN time END AS accessed
        FROM ({placed}) AS placed
    ) AS shares GROUP BY first, last
"""
AMOUNTS = {
    "size": "ns",
    "touched": "ns * touched",
    "resident": "ns * resident",
    "heat": "ns * rate * resident",
}
BOUNDS = {
    "heat_low": "ns * coalesce(rate_low * resident, touched / NULLIF(ticks, 0))",
    "heat_high": "ns * coalesce(rate_high * resident, touched)",
}
"""Of regions that may have rates. Where one has none, a page that was touched was accessed in one tick at least, in all
of them at most."""

LAST = """
    SELECT s.name, max(accessed) FROM (
        SELECT accessed, unnest(range(CAST(first AS BIGINT), CAST(last AS BIGINT) + 1)) AS place FROM mapping_sums
    ) AS spread JOIN mapping_places AS s ON spread.place = s.place WHERE s.name IS NOT NULL GROUP BY s.name
"""


COLD = 0.1
"""A mean rate below it is called cold."""


@dataclass(slots=True)
class Use:
    """How memory is used: means over time, in bytes. `resident` is all of it where that is not known; `heat` is
    resident bytes times rate, between `heat_low` and `heat_high` where regions have rates with bounds."""

    size: float = 0.0
    touched: float = 0.0
    resident: float = 0.0
    heat: float = 0.0
    last_ns: int | None = None
    heat_low: float = 0.0
    heat_high: float = 0.0

    def add(self, other: Use) -> None:
        self.size += other.size
        self.touched += other.touched
        self.resident += other.resident
        self.heat += other.heat
        self.heat_low += other.heat_low
        self.heat_high += other.heat_high
        self.last_ns = max(self.last_ns or 0, other.last_ns or 0) or None

    @classmethod
    def sum(cls, uses: Iterable[Use]) -> Use:
        found = cls()
        for one in uses:
            found.add(one)
        return found

    @property
    def unused(self) -> float:
        """Resident bytes that were not touched in a window."""
        return max(self.resident - self.touched, 0.0)

    @property
    def rate(self) -> float:
        """The mean access rate of its resident bytes, 0..1."""
        return self.heat / self.resident if self.resident else 0.0


@dataclass(slots=True)
class OwnerUse:
    """An owner of memory and its use; of a file also by offsets, (low, high) in bytes."""

    owner: Owner
    use: Use = field(default_factory=Use)
    offsets: list[tuple[int, int, Use]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Mappings:
    """The report, hottest first. `end_ns` is the end of a target's last window, on CLOCK_MONOTONIC. Where pages were
    sampled, `means` bounds what was touched of each target, or `why` says why figures are estimates without bounds.
    `rates`: a use has bounds of its heat."""

    lines: list[OwnerUse]
    start_ns: int
    end_ns: dict[int, int]
    means: Mapping[int, TouchedMeans] = field(default_factory=dict)
    why: str | None = None
    rates: bool = False

    def coldest(self, count: int) -> list[OwnerUse]:
        """Those with most resident bytes that were not touched: where memory can be had. First those that are
        accessed less than COLD; of equal ones the less accessed."""
        there = [line for line in self.lines if line.use.unused >= 1]
        return sorted(there, key=_coldness)[:count]

    def hottest(self, count: int) -> list[OwnerUse]:
        """Those with most bytes accessed in a tick: resident bytes times rate."""
        return [line for line in self.lines if line.use.heat > 0][:count]


def _coldness(line: OwnerUse) -> tuple[bool, int, float]:
    return line.use.rate >= COLD, -round(line.use.unused), line.use.rate


def measure(source: RecordingSource, *, offsets: bool = True) -> Mappings:
    """Every owner of memory that the filters leave. Raises RecordingError when there is none, or no snapshot."""
    watched = {target: (max(ns, 1), end) for target, ns, end in source.query(WATCHED)}
    if not watched:
        raise source.nothing()
    offsets = offsets and source.recording.metadata.get("via") != "refs"
    owners = owners_of(source.recording)
    places, names = places_of(owners, parts=offsets)
    lines = [OwnerUse(owner) for owner in owners]
    if places:
        for name, use in _uses(source, Axis(source, "mapping", places)).items():
            _add(lines, names[name], use, watched[owners[names[name].owner].target][0])
    lines = [line for line in lines if line.use.size > 0]
    for line in lines:
        line.offsets.sort(key=lambda offset: offset[0])
    lines.sort(key=lambda line: (-line.use.heat, -line.use.size, line.owner.target, line.owner.start))
    return Mappings(
        lines,
        source.start_ns,
        {target: end for target, (_, end) in watched.items()},
        sampled.means(source) if groups.estimated(source) else {},
        sampled.unbounded(source),
        has_rates(source.recording.metadata),
    )


def _uses(source: RecordingSource, axis: Axis) -> dict[int, Use]:
    columns = (
        "start",
        '"end"',
        "time",
        '"begin"',
        "nr_accesses",
        "ticks",
        "touched",
        "resident",
        *RATE_COLUMNS,
    )
    amounts = AMOUNTS | (BOUNDS if has_rates(source.recording.metadata) else {})
    columns_of = ", ".join(sums(name, f"coalesce({value}, {double(0)})") for name, value in amounts.items())
    source.keep(
        "mapping_sums",
        SUMMED.format(sums=columns_of, placed=axis.placed(columns), rate=rate_of(source.recording.metadata)),
    )
    found = {
        name: Use(size, touched, resident, heat, None, *bounds)
        for name, size, touched, resident, heat, *bounds in source.query(
            axis.spread((), tuple(amounts), "mapping_sums")
        )
    }
    for name, last in source.query(LAST):
        found[name].last_ns = last
    return found


def _add(lines: Sequence[OwnerUse], part: OwnerPart, use: Use, ns: int) -> None:
    mean = Use(
        use.size / ns, use.touched / ns, use.resident / ns, use.heat / ns, use.last_ns,
        use.heat_low / ns, use.heat_high / ns,
    )  # fmt: skip
    line = lines[part.owner]
    line.use.add(mean)
    if part.low is not None and part.high is not None:
        line.offsets.append((part.low, part.high, mean))


def document(report: Mappings, catalog: Catalog) -> dict[str, Any]:
    """The JSON document: bytes are means over time, `rate` 0..1, `last_access` seconds on CLOCK_MONOTONIC."""
    return {
        "schema": 1,
        "why": report.why,
        "mappings": [
            {
                "target": line.owner.target,
                "pid": catalog.target(line.owner.target).pid,
                "mapping": line.owner.name or "[anon]",
                "label": line.owner.label,
                "kind": line.owner.kind,
                "guess": line.owner.guess,
                "start": line.owner.start,
                "end": line.owner.pieces[-1].end,
                **_use(line.use),
                "upper_bound": catalog.upper_bound(line.owner.kind),
                "bounds": _bounds(line, catalog, report.means),
                "rate_bounds": _rate_bounds(line, report),
                "offsets": [{"start": low, "end": high, **_use(use)} for low, high, use in line.offsets],
            }
            for line in report.lines
        ],
    }


def _bounds(line: OwnerUse, catalog: Catalog, means: Mapping[int, TouchedMeans]) -> dict[str, int] | None:
    """Of touched bytes; of samples by what was touched of all of the target."""
    touched = round(line.use.touched)
    if (known := means.get(line.owner.target)) is not None:
        low, high = map(round, known.touched_of(line.use.resident))
        return {"low": min(low, touched), "high": max(high, touched)}
    return bounds_of(touched, 0 if catalog.upper_bound(line.owner.kind) else touched)


def heat_bounds(report: Mappings, target: int, use: Use) -> tuple[float, float] | None:
    """Between which bytes the heat of a part of a target lies, as far as its samples or its rates tell; None where
    there are neither. Rates differ in when they are off: their means over time and memory have bounds no wider."""
    if report.rates:
        return use.heat_low, use.heat_high
    known = report.means.get(target)
    return None if known is None else known.accessed_of(use.resident)


def _rate_bounds(line: OwnerUse, report: Mappings) -> dict[str, float] | None:
    bounds, there = heat_bounds(report, line.owner.target, line.use), line.use.resident
    if bounds is None or not there:
        return None
    low, high = bounds
    return {"low": min(low / there, line.use.rate), "high": max(high / there, line.use.rate)}


def amounts(use: Use) -> dict[str, Any]:
    """A use in a JSON document: bytes, and the rate 0..1."""
    return {
        "bytes": round(use.size),
        "resident_bytes": round(use.resident),
        "touched_bytes": round(use.touched),
        "rate": use.rate,
    }


def _use(use: Use) -> dict[str, Any]:
    return {**amounts(use), "last_access": None if use.last_ns is None else use.last_ns / 1e9}


def render(report: Mappings, catalog: Catalog, terminal: Terminal, top: int = 10) -> Shown:
    """For people: the hottest and the coldest, with bars of how much of each is touched."""
    if not report.lines:
        seen = catalog.mappings_seen
        why = (
            f"{seen} were, and not where memory was looked at"
            if seen
            else "this recording has no names of memory"
        )
        return text.lines([f"no mapping is known: {why}"])
    whose = TargetColumn(catalog, (line.owner.target for line in report.lines))
    parts: list[str] = []
    tables = (("hottest", report.hottest(top)), ("coldest", report.coldest(top)))
    for title, lines in tables:
        if not lines:
            parts += [f"{title}: nothing was accessed" if title == "hottest" else f"{title}: none", ""]
            continue
        rows = [["mapping", *whose.title, "resident", "touched", catalog.rate_word, "idle", ""]]
        for line in lines:
            at_most = _at_most(line, catalog)
            rows.append([
                line.owner.place, *whose.cell(line.owner.target),
                format_size(line.use.resident), at_most + format_size(line.use.touched),
                format_share(line.use.rate, at_most), _idle(line, report), terminal.bar(line.use.rate, 10),
            ])  # fmt: skip
        idle, bar = len(rows[0]) - 2, len(rows[0]) - 1
        shown, narrow = fitted(rows, f"<{whose.align}>>>><", terminal.width, spare=(bar, idle))
        parts += [f"{title} {len(lines)} of {len(report.lines)} mappings", *shown, *narrow, ""]
        if title == "hottest":
            parts += _offsets(lines)
    shown_lines = [line for _, lines in tables for line in lines]
    if any(line.owner.guess for line in shown_lines):
        parts.append("? a guess from the shape of the memory: the kernel does not name it.")
    if any(_at_most(line, catalog) for line in shown_lines):
        parts.append(at_most_note())
    if report.means:
        parts += wrap("Estimates from checks of single pages; --json has bounds of each mapping, which follow from "
                      "those of all of its process.", terminal.width)  # fmt: skip
    elif report.rates:
        parts += wrap("Rates are estimates; --json has bounds of each.", terminal.width)
    elif report.why is not None:
        parts += wrap("How far these estimates may be from the truth is not known.", terminal.width)
    return text.lines(parts).rstrip()


def at_most_note() -> str:
    """What the sign of upper bounds means, below a table."""
    return ours("≤ at most: what other processes did to files and shared memory counts, too.")


def _at_most(line: OwnerUse, catalog: Catalog) -> str:
    return ours("≤") if catalog.upper_bound(line.owner.kind) and line.use.touched >= 1 else ""


def _idle(line: OwnerUse, report: Mappings) -> str:
    if line.use.last_ns is None:
        return "always"
    return clock(report.end_ns[line.owner.target] - line.use.last_ns)


def _offsets(lines: Sequence[OwnerUse]) -> list[str]:
    """Which parts of the hottest files are used."""
    found = []
    for line in lines:
        used = [offset for offset in line.offsets if offset[2].heat > 0]
        if len(line.offsets) > 1 and used:
            hottest = sorted(used, key=lambda offset: -offset[2].rate)[:3]
            spans = ", ".join(
                f"{low:#x}-{high:#x} {format_share(use.rate)}"
                for low, high, use in sorted(hottest, key=lambda o: o[0])
            )
            found.append(f"  {shorten(line.owner.label, 22)}: {spans}")
    return ["offsets of files that are used most", *found, ""] if found else []
