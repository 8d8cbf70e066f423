"""Whose memory it is: hot and cold bytes by the code that allocated it.

Samples that were alive at the end are joined with the windows by address and time: of each it is summed up how much
was touched in the last windows (`idle_ns` long), since it was allocated (native/objects.c). A sample stands for
1 / (its chance) allocations, and so do its touched and its cold bytes.

What counts as touched is at most so much, and cold at least: a page of which any byte was touched is touched whole, an
object shares its pages with others, and of a mapping by `refs` it is not known which part was touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum
from textwrap import wrap
from typing import Any

from udamon.errors import RecordingError, UsageError
from udamon.model import MAPPING, NOWHERE, Snapshot
from udamon.report.allocations import Allocations, Call, read, resolve, unseen_head
from udamon.report.grain import grain_of
from udamon.report.objects import Inherited, Objects, objects_of, once
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal, clock, fitted
from udamon.report.untouched import AGES_S
from udamon.sites.estimate import SURE, Bytes, bytes_of, weight
from udamon.sites.stacks import PYTHON
from udamon.text import Shown, cut, escape, line, lines, ours
from udamon.units import format_size, format_time

IDLE_NS = 60_000_000_000
"""Memory that was not touched for so long is cold at most, unless --idle says otherwise."""

ENDS = 'SELECT target, max(time), min("begin") FROM regions GROUP BY target ORDER BY target'

LENGTH = """
    SELECT max(ended - begun) FROM (
        SELECT max(time) AS ended, min("begin") AS begun FROM regions GROUP BY target
    ) AS spans
"""
"""ns for which one was watched, at most; null where there is no snapshot."""

APART = (
    "refs sees mappings, so sites with memory in one mapping cannot be told apart: touched is at most, cold at least. "
    "Single pages are seen via idle or pte, which need root (udamon doctor)."
)
SMALL = (
    "A page of which any byte was touched counts whole: what is cold of objects smaller than a page is at least so "
    "much."
)
SAMPLED = (
    f"Allocations are sampled: bytes are estimates, and the true ones lie within the interval of the column 95 % in "
    f"{SURE:.0%} of cases."
)
NONE_ALIVE = "nothing that was sampled was alive at the end"
UNTOLD = "a stack that was not told"
"""The name of a site whose calls are not known."""
_WRAPPERS = ("operator new", "std::", "__gnu_cxx::", "void* operator new")
"""Functions that only allocate for their callers: they do not name a site."""

_INSTALLED = re.compile(r"/(site|dist)-packages/|/lib/python3\.\d+/|^<")
"""Files of Python code that is not the program's own: of packages, of the standard library, and frozen."""


@dataclass(slots=True)
class Site:
    """Memory that one stack allocated; bytes are estimates.

    `touched` is at most, `touched_low` at least, so `cold` at least and `cold_high` at most, of what is resident.
    `age_ns` is since it was last touched, perhaps; where that was never seen (not `accessed`), since it was allocated
    or the recording began.
    """

    calls: list[Call]
    samples: int
    size: Bytes
    resident: float
    touched: float
    touched_low: float
    cold: float
    cold_high: float
    age_ns: int
    accessed: bool

    @property
    def call(self) -> Call | None:
        """The call that names the site: the innermost one of the program's own Python code, else of any Python code,
        else the innermost that does not merely allocate for another."""
        python = [one for one in self.calls if one.module == PYTHON]
        if python:
            return next((one for one in python if not _INSTALLED.search(one.file or "")), python[0])
        own = (one for one in self.calls if not (one.function or "").startswith(_WRAPPERS))
        return next(own, self.calls[0] if self.calls else None)


@dataclass(frozen=True, slots=True)
class Sites:
    """The report: the largest site first. `idle_ns` is how long what is cold was not touched, at most the `length_ns`
    that were recorded. `notes` are what must be said of it. `anonymous`: bytes of such memory that were there at the
    end, of any origin; None where that is not known."""

    sites: list[Site]
    allocations: Allocations
    total: Bytes
    idle_ns: int
    length_ns: int
    mean: int
    grain: str
    notes: list[str]
    anonymous: int | None


def usual_idle(length_ns: int) -> int:
    """How long memory is not touched that is cold, of a recording of that length: up to IDLE_NS, and a round time of at
    most half of it, for over all of its time nearly everything was touched once."""
    half = length_ns // 2
    return max((round(age * 1e9) for age in AGES_S if age * 1e9 <= min(half, IDLE_NS)), default=half)


def measure(source: RecordingSource, idle_ns: int | None = None) -> Sites:
    """`idle_ns` is by default `usual_idle`. Raises RecordingError where there is no snapshot, or no allocation was
    recorded; UsageError for filters that choose regions."""
    if not source.filters.whole_snapshots:
        raise UsageError(
            "report sites is about allocations: of the filters, only --time and --target go with it."
        )
    spans = {target: (end, begin) for target, end, begin in source.query(ENDS)}
    if not spans:
        raise source.nothing()
    found = read(source.recording, {target: end for target, (end, _) in spans.items()})
    grain = grain_of(source.recording)
    length_ns = max(end - begin for end, begin in spans.values())
    idle_ns = usual_idle(length_ns) if idle_ns is None else min(idle_ns, length_ns)
    objects = {
        target: objects_of(image, live, spans[target][1], spans[target][0])
        for target, (image, live) in found.live.items()
    }
    there: dict[int, int | None] = {}
    for snapshot in _windows(source, spans):
        if snapshot.target in objects:
            there[snapshot.target] = _anonymous(snapshot)
        if (of := objects.get(snapshot.target)) is not None:
            of.add(snapshot, alike=grain != MAPPING, idle_ns=idle_ns, several=len(objects) > 1)
    by_stack: dict[int, dict[tuple[int, int], Inherited]] = {}
    for of in objects.values():
        for place, stack in enumerate(of.stacks):
            allocation = (of.starts[place], of.since[place])
            by_stack.setdefault(stack, {}).setdefault(allocation, []).append((of, place))
    missing = resolve(found, by_stack)
    sites = sorted(
        (_site(found.calls(stack), list(some.values())) for stack, some in by_stack.items()), key=_order
    )
    every = [one for some in by_stack.values() for one in some.values()]
    total = bytes_of(_samples(every)) if every else Bytes(0, 0, 0)
    mean = max(image.mean for image in found.images.values())
    notes = _notes(source, found, objects, grain, missing)
    known = [size for size in there.values() if size is not None]
    anonymous = sum(known) if len(known) == len(there) > 0 else None
    resident = fsum(site.resident for site in sites)
    if anonymous is not None and resident < anonymous / 2:
        notes.append(
            f"{format_size(anonymous)} of anonymous memory were there at the end, {format_size(resident)} of it "
            "of these sites: the rest was taken otherwise (heaps of JavaScript, stacks of threads, brk, system calls)."
        )
    return Sites(sites, found, total, idle_ns, length_ns, mean, grain, notes, anonymous)


def _anonymous(snapshot: Snapshot) -> int | None:
    """Bytes of anonymous memory that are there; None where that is not known."""
    if snapshot.sharing is None or NOWHERE in snapshot.sharing.anonymous:
        return None
    return sum(snapshot.sharing.anonymous)


def _windows(source: RecordingSource, spans: dict[int, tuple[int, int]]) -> Iterable[Snapshot]:
    since = source.filters.since_ns or 0
    for snapshot in source.recording.snapshots():
        span = spans.get(snapshot.target)
        again = snapshot.sharing is not None and source.filters.repeats(snapshot.sharing.same_as)
        if span is None or again or snapshot.begin_ns < since:
            continue
        low, high = (None if side is None else side + source.start_ns for side in source.filters.time)
        if (low is None or snapshot.end_ns >= low) and (high is None or snapshot.end_ns <= high):
            yield snapshot


def _samples(some: Iterable[Inherited]) -> Iterable[tuple[int, int, int]]:
    return ((of.ends[at] - of.starts[at], of.requested[at], of.image.mean) for (of, at), *_ in some)


def _site(calls: list[Call], some: Sequence[Inherited]) -> Site:
    weights = [weight(of.requested[at], of.image.mean) for (of, at), *_ in some]
    found = [once(one) for one in some]

    def summed(values: Iterable[float]) -> float:
        return fsum(each * value for each, value in zip(weights, values, strict=True))

    members = [member for one in some for member in one]
    last = [of.end_ns - of.last[at] for of, at in members if of.last[at]]
    ages = last or [of.end_ns - max(of.since[at], of.begin_ns) for of, at in members]
    return Site(
        calls,
        len(some),
        bytes_of(_samples(some)),
        summed(one.resident for one in found),
        summed(one.touched for one in found),
        summed(one.touched_low for one in found),
        summed(one.resident - one.touched for one in found),
        summed(one.resident - one.touched_low for one in found),
        max(0, min(last) if last else max(ages)),
        bool(last),
    )


def _order(site: Site) -> tuple[float, str]:
    return -site.size.estimate, str(site.calls)


def _notes(
    source: RecordingSource, found: Allocations, objects: dict[int, Objects], grain: str, missing: list[str]
) -> list[str]:
    notes = [APART if grain == MAPPING else SMALL]
    if found.unwatched:
        notes.append(
            f"Allocations of {found.unwatched} more processes were recorded, whose accesses were not: without "
            "--children they are not watched, and with it not those that end before a first look."
        )
    if len(objects) > 1:
        notes.append(
            "What forked processes inherited counts once; of its memory, what they share once, and each copy."
        )
    allocated, size, freed = found.lost
    if allocated or freed:
        notes.append(
            f"{allocated:,} samples of {format_size(size)} were lost, and {freed:,} ends of samples: the recorder was "
            "late; sites may be smaller or larger than shown. A larger --sites-mean makes fewer."
        )
    if any(not stack for stack in found.stacks.values()):
        notes.append("Some stacks were not told, and are one site without a name.")
    return notes + [f"There are {one}." for one in missing]


def document(report: Sites) -> dict[str, Any]:
    """The JSON document: bytes, seconds."""
    return {
        "schema": 1,
        "sites": [_document(site) for site in report.sites],
        "bytes": round(report.total.estimate),
        "bytes_low": round(report.total.low),
        "bytes_high": round(report.total.high),
        "confidence": SURE,
        "idle_seconds": report.idle_ns / 1e9,
        "mean_bytes": report.mean,
        "anonymous_bytes": report.anonymous,
        "unseen": [{"pid": pid, "comm": comm, "why": why} for pid, comm, why in report.allocations.unseen],
        "unwatched_processes": report.allocations.unwatched,
        "lost": dict(zip(("samples", "bytes", "freed"), report.allocations.lost, strict=True)),
        "notes": report.notes,
    }


def _document(site: Site) -> dict[str, Any]:
    call = site.call
    return {
        "function": call and call.function,
        "file": call and call.file,
        "line": call and call.line,
        "module": call and call.module,
        "stack": [
            {
                "function": one.function,
                "file": one.file,
                "line": one.line,
                "module": one.module,
                "address": one.address,
            }
            for one in site.calls
        ],
        "bytes": round(site.size.estimate),
        "bytes_low": round(site.size.low),
        "bytes_high": round(site.size.high),
        "samples": site.samples,
        "resident_bytes": round(site.resident),
        "touched_bytes": round(site.touched),
        "touched_bytes_low": round(site.touched_low),
        "cold_bytes": round(site.cold),
        "cold_bytes_high": round(site.cold_high),
        "age_seconds": site.age_ns / 1e9,
        "accessed": site.accessed,
    }


def render(report: Sites, terminal: Terminal, top: int) -> Shown:
    """For people: two lines a site."""
    if not report.sites:
        return lines([NONE_ALIVE, "", *_said(report, terminal.width)])
    rows = [["bytes", "95 %", "touched", "cold", "last touched", "samples"]]
    rows += [_row(site) for site in report.sites[:top]]
    (head, *figures), narrow = fitted(rows, "><>>>>", terminal.width, spare=(5, 4))
    cold = f"cold: not touched for {clock(report.idle_ns)}{_of_length(report)}, or since it was allocated"
    found: list[str] = [
        f"{_interval(report.total)} of allocations alive at the end, {format_size(report.total.estimate)} by estimate;",
        *wrap(cold, terminal.width),
        "",
        head,
    ]
    for shown, site in zip(figures, report.sites[:top], strict=True):
        found += [shown, line("      ", cut(chain_of(site.call, site.calls), terminal.width - 6))]
    if len(report.sites) > top:
        rest = bytes_of_sites(report.sites[top:])
        found.append(f"  {len(report.sites) - top} more sites, {format_size(rest)} (--top)")
    found += narrow
    return lines([*found, "", *_said(report, terminal.width)])


def bytes_of_sites(sites: Sequence[Site]) -> float:
    """The bytes of these sites, by estimate."""
    return fsum(site.size.estimate for site in sites)


def _row(site: Site) -> list[str]:
    age = format_time(site.age_ns / 1e9) if site.age_ns else "0 s"
    return [
        format_size(site.size.estimate),
        _interval(site.size),
        _signed("≤", site.touched, site.touched_low),
        _signed("≥", site.cold, site.cold_high),
        f"{age} ago" if site.accessed else f"not in {age}",
        str(site.samples),
    ]


def _of_length(report: Sites) -> str:
    """What --idle may be."""
    recorded = clock(report.length_ns)
    return (
        ", all that was recorded"
        if report.idle_ns == report.length_ns
        else f" (--idle TIME: up to {recorded})"
    )


def _signed(sign: str, told: float, other: float) -> str:
    """A bound, with its sign where the other one looks different."""
    shown = format_size(told)
    return shown if shown == format_size(other) else ours(sign) + shown


def _interval(size: Bytes) -> str:
    low, high = format_size(size.low), format_size(size.high)
    return low if low == high else f"{low} to {high}"


def name_of(call: Call) -> str:
    """For people: the function, or the file of code and the address where that is not known."""
    if call.function is not None:
        return call.function
    where = "code made at run time" if call.module is None else call.module.rsplit("/", 1)[-1]
    return f"{where}+{call.address:#x}"


def place_of(call: Call | None) -> str | None:
    """The file of source and the line of a call; the file alone where the line is not known, None where neither is."""
    if call is None or not call.file:
        return None
    return f"{call.file}:{call.line}" if call.line else call.file


def chain_of(own: Call | None, calls: list[Call], *, places: bool = True) -> str:
    """The calls from `own`, one of them, outwards; with its place in the source where that is known."""
    if own is None:
        return UNTOLD
    at = calls.index(own)
    known = place_of(own) if places else None
    place = "" if known is None else f" ({known.rsplit('/', 1)[-1]})"
    return " < ".join([name_of(own) + place, *map(name_of, calls[at + 1 :])])


def _said(report: Sites, width: int) -> list[str]:
    """What must be said, in lines; a process that nothing was seen of has one for its name."""
    notes = [SAMPLED, *report.notes] if report.sites else report.notes
    found: list[str] = [row for note in notes for row in wrap(note, width)]
    for pid, comm, why in report.allocations.unseen:
        found.append(cut(unseen_head(pid, comm), width))
        found += wrap(escape(why), width, initial_indent="  ", subsequent_indent="  ") or [""]
    return found


def require_some(report: Sites) -> None:
    """Raises RecordingError where nothing is left to draw."""
    if not report.sites:
        raise RecordingError(f"{NONE_ALIVE}, so there is nothing to draw.")
