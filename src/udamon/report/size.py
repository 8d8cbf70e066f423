"""How much memory it needs, on one screen: bounds, what is resident, what was not touched, and how sure that is.

*Needed* is memory that was accessed at all while it was recorded. At least: the largest working set of a window, of
what the targets themselves accessed for sure. At most: where mappings are the finest that was seen, the sum over all
windows of what was touched of each mapping, and no more than was resident of it (udamon.report.untouched); else what
serves all accesses (udamon.report.right_size). Pages that several have count once (udamon.report.groups).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import Any, NamedTuple

from udamon.errors import RecordingError
from udamon.model import MAPPING
from udamon.report import groups, right_size, sampled, sampled_parts, untouched, wss
from udamon.report.catalog import Catalog
from udamon.report.common import missed_processes
from udamon.report.diff import footprint_of
from udamon.report.grain import grain_of, is_sampled
from udamon.report.levels import FEWEST
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal, clock, fitted
from udamon.report.untouched import OwnerBounds
from udamon.text import Shown, line, lines, ours
from udamon.units import counted, format_range, format_size

WIDE = 1.25
"""Bounds further apart than by this factor leave the answer open."""

HIGH, MEDIUM, LOW = "high", "medium", "low"

_LEAST_NAME = 17
"""Columns of a mapping's name at least: an anonymous one is told by its address."""
TOP = 8
"""Lines of a table on the screen."""

WINDOWS = (
    'SELECT count(DISTINCT seq), avg(CAST(time - "begin" AS DOUBLE)), min("begin"), max(time) FROM regions'
)
# Memory that was not touched for a time was not touched in any window within it: the smallest untouched amount of
# these windows is an upper bound.
GROUP_COLD = """
    SELECT min(resident_high - low) FROM ({bounds}) AS bounds JOIN (
        SELECT seq AS within, min("begin") AS begun FROM regions GROUP BY seq
    ) AS windows ON seq = within WHERE begun >= {edge}
"""
GROUP_END = "SELECT resident_high FROM ({bounds}) AS bounds ORDER BY seq DESC LIMIT 1"

Bounds = tuple[int, int]
"""Bytes at least and at most."""


@dataclass(frozen=True, slots=True)
class TargetSize:
    """One process, as in Size; what it shares with others counts in each of them."""

    target: int
    resident: int
    needed: Bounds
    cold: Bounds | None
    cold_estimate: int | None = None
    needed_estimate: Bounds | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """The report. `resident` is the most at a time, `at_end` what was there in the last window, both at most where
    memory may be shared (`shared`).

    `cold` was not touched for the last `age_s` seconds; both are None where it was watched for less than a second.
    Where pages were sampled, `cold_estimate` lies within `cold`, or `cold` is the same estimate without bounds and
    `cold_why` says why, here and in what follows; both are None otherwise.
    `unseen` says what of it was not seen at all.
    """

    grain: str | None
    needed: Bounds
    resident: int
    at_end: int
    cold: Bounds | None
    age_s: float | None
    windows: int
    window_ns: float
    length_ns: int
    shared: bool
    unseen: Sequence[str]
    targets: list[TargetSize]
    owners: list[OwnerBounds]
    sampled: bool = False
    """Pages were sampled: the bounds are estimates, above all of the first windows."""
    cold_why: str | None = None
    cold_estimate: int | None = None

    @property
    def wide(self) -> bool:
        """Whether the bounds leave the answer open."""
        return self.needed[1] > WIDE * max(self.needed[0], 1)

    @property
    def confidence(self) -> str:
        """LOW for too few windows, or where a part was not seen; MEDIUM where bounds are wide, or estimates."""
        return LOW if self.windows < FEWEST or self.unseen else MEDIUM if self.wide or self.sampled else HIGH

    @property
    def doubts(self) -> list[str]:
        """What keeps the confidence from being higher: parts of a sentence."""
        found = [counted(self.windows, "window")] if self.windows < FEWEST else []
        if self.wide:
            found.append(
                "which pages of a mapping were accessed is not known"
                if self.grain == MAPPING
                else "what one window needed is far less than what all of them did"
            )
        if self.sampled:
            found.append("pages were sampled, so that bounds are estimates")
        return [*found, *self.unseen]


class NextStep(NamedTuple):
    """What would tell more: a command that can be run, and why."""

    command: str
    why: str


def measure(source: RecordingSource) -> Size:
    """Raises RecordingError where there is no snapshot."""
    count, window_ns, begin, end = source.query(WINDOWS)[0]
    if not count:
        raise source.nothing()
    grain, age_s = grain_of(source.recording), untouched.age_of(source)
    owners = untouched.measure(source, age_s)
    working_set = wss.measure(source, bins=1)
    most = wss.measure(source, footprint_of(source), bins=1).bounds("max")[1]
    low = working_set.bounds("max")[0]
    high = max(low, min(_at_most(source, grain, owners), most))
    at_end = round(sum(one.at_end for one in owners))
    shared = working_set.group is not None
    cold = _sum(one.cold for one in owners)
    bounded, why = groups.estimated(source), sampled.unbounded(source)
    if cold is not None and (bounded or why is not None):
        owners = [replace(one, cold_estimate=one.cold and one.cold[0]) for one in owners]
    touched = sampled.touched(source) if bounded else {}
    if bounded:
        owners = sampled_parts.needed(owners, touched, high)
    if bounded and cold is not None:
        owners, cold = sampled_parts.cold(source, owners, round((age_s or 0) * 1e9))
    if shared:
        bounds = groups.query_of(source)
        at_end = min(at_end, round(source.query(GROUP_END.format(bounds=bounds))[0][0]))
        if cold is not None and not bounded:
            edge = end - round((age_s or 0) * 1e9)
            within = source.query(GROUP_COLD.format(bounds=bounds, edge=edge))[0][0]
            # A page that one target does not touch may be touched by another: only pages of a single target are sure.
            upper = min(cold[1], at_end) if within is None else min(cold[1], at_end, round(within))
            cold = min(round(sum(one.cold_alone for one in owners)), upper), upper
    targets = _targets(owners)
    if bounded:
        targets = [
            _bounded(one, touched[one.target], max(touched[one.target], min(one.needed[1], high)))
            for one in targets
        ]
    estimates = [one.cold_estimate for one in targets if one.cold_estimate is not None]
    estimate = min(max(sum(estimates), cold[0]), cold[1]) if cold is not None and estimates else None
    if len(targets) == 1 and not shared:
        whole = _bounded(targets[0], low, high)
        targets = [replace(whole, resident=most, cold=cold, cold_estimate=estimate)]
    return Size(
        grain, (low, high), most, at_end, cold, age_s, count, window_ns, end - begin, shared, _unseen(source), targets,
        sorted(owners, key=lambda one: (-one.resident, one.target, one.owner.start if one.owner else 0)),
        is_sampled(source.recording.metadata), None if cold is None else why, estimate,
    )  # fmt: skip


def _at_most(source: RecordingSource, grain: str | None, owners: Sequence[OwnerBounds]) -> int:
    parts = round(sum(one.used[1] for one in owners))
    if grain == MAPPING:
        return parts
    try:
        return min(right_size.measure(source, 1.0).high, parts)
    except RecordingError:
        return 0  # nothing was accessed


def _sum(found: Iterable[tuple[float, float] | None]) -> Bounds | None:
    known = [one for one in found if one is not None]
    return (round(sum(low for low, _ in known)), round(sum(high for _, high in known))) if known else None


def _targets(owners: Sequence[OwnerBounds]) -> list[TargetSize]:
    """The largest first."""
    by_target: dict[int, list[OwnerBounds]] = {}
    for one in owners:
        by_target.setdefault(one.target, []).append(one)
    found = [
        TargetSize(
            target,
            round(sum(one.resident for one in mine)),
            _sum(one.used for one in mine) or (0, 0),
            _sum(one.cold for one in mine),
            round(sum(one.cold_estimate or 0.0 for one in mine))
            if any(one.cold_estimate is not None for one in mine)
            else None,
            _sum(one.used_estimate for one in mine),
        )
        for target, mine in by_target.items()
    ]
    return sorted(found, key=lambda one: (-one.resident, one.target))


def _bounded(target: TargetSize, low: int, high: int) -> TargetSize:
    """With bounds of what it needs, between which estimates lie."""
    estimate = target.needed_estimate
    if estimate is not None:
        estimate = min(max(estimate[0], low), high), min(max(estimate[1], low), high)
    return replace(target, needed=(low, high), needed_estimate=estimate)


def _unseen(source: RecordingSource) -> list[str]:
    found = []
    if missed := missed_processes(source):
        found.append(f"{counted(missed, 'process', 'processes')} not seen")
    if any(recording.damaged for recording in source.recordings):
        found.append("the recording is damaged")
    return found


def totals(report: Size) -> dict[str, Any]:
    """What the JSON document says of all together: bytes and seconds."""
    return {
        "resident_bytes": report.resident,
        "resident_end_bytes": report.at_end,
        "needed_bytes": _document(report.needed),
        **_cold(report.cold, report.cold_estimate, report),
        "cold_seconds": report.age_s,
        "cold_why": report.cold_why,
        "windows": report.windows,
        "window_seconds": report.window_ns / 1e9,
        "seconds": report.length_ns / 1e9,
        "shared": report.shared,
        "confidence": report.confidence,
        "why": "; ".join(report.doubts) or None,
    }


def document(report: Size, catalog: Catalog, step: NextStep) -> dict[str, Any]:
    """The JSON document."""
    return {
        "schema": 1,
        **totals(report),
        "targets": [
            {
                "target": one.target,
                "pid": catalog.target(one.target).pid,
                "label": catalog.target(one.target).label,
                "resident_bytes": one.resident,
                "needed_bytes": _document(one.needed),
                "needed_estimate_bytes": _document(one.needed_estimate),
                **_cold(one.cold, one.cold_estimate, report),
            }
            for one in report.targets
        ],
        "mappings": [
            _mapping(one, catalog) | _cold(one.cold, one.cold_estimate, report) for one in report.owners
        ],
        "next": {"command": step.command, "why": step.why},
    }


_SHRUNK = 0.9
"""Where less than this share of the resident bytes was left at the end, that is said."""


def _document(bounds: tuple[float, float] | None) -> dict[str, int] | None:
    return None if bounds is None else {"low": round(bounds[0]), "high": round(bounds[1])}


def _cold(bounds: tuple[float, float] | None, estimate: float | None, report: Size) -> dict[str, Any]:
    """The keys of what was cold: its bounds, where it has some, and the estimate, where it is one."""
    return {
        "cold_bytes": _document(bounds) if report.cold_why is None else None,
        "cold_estimate_bytes": None if estimate is None else round(estimate),
    }


def _mapping(one: OwnerBounds, catalog: Catalog) -> dict[str, Any]:
    owner = one.owner
    return {
        "target": one.target,
        "pid": catalog.target(one.target).pid,
        "mapping": None if owner is None else owner.name or "[anon]",
        "label": None if owner is None else owner.label,
        "kind": None if owner is None else owner.kind,
        "guess": None if owner is None else owner.guess,
        "start": None if owner is None else owner.start,
        "resident_bytes": round(one.resident),
        "needed_bytes": _document(one.used),
        "needed_estimate_bytes": _document(one.used_estimate),
        "upper_bound": catalog.upper_bound(None if owner is None else owner.kind),
    }


def render(report: Size, catalog: Catalog, terminal: Terminal, step: NextStep) -> Shown:
    """For people, on one screen; the command is one line, however long, so that it can be copied."""
    at_most = "at most " if report.shared else ""
    resident = f"resident {at_most}{format_size(report.resident)}"
    said: list[Shown | str] = [f"needs {format_range(*report.needed)} (grain: {report.grain}), {resident}"]
    if report.cold is None or report.age_s is None:
        said += wrap(
            f"not touched: unknown, as only {clock(report.length_ns)} were watched; it takes 1 s or more",
            terminal.width,
        )
    else:
        # A program that ended, say, gave memory back: what is cold is of what was left.
        left = f", of {at_most}{format_size(report.at_end)} at the end" if _has_shrunk(report) else ""
        amount, sort = format_range(*report.cold), ""
        if report.cold_estimate is not None:
            amount = format_size(report.cold_estimate)
            error = format_range(*report.cold) if report.cold_why is None else "error unknown"
            sort = f", an estimate ({error})"
        said.append(f"not touched for at least {clock(report.age_s * 1e9)}: {amount}{left}{sort}")
    if report.shared:
        said.append("shared memory counted once")
    doubts = f": {', '.join(report.doubts)}" if report.doubts else ""
    said += wrap(f"confidence {report.confidence}{doubts}", terminal.width, subsequent_indent="  ")
    cold = "cold" if report.age_s is None else f"cold for {clock(report.age_s * 1e9)}"
    many = len(report.targets) > 1
    if many:
        rows = [
            [
                catalog.target(one.target).label,
                *_cells(one.resident, one.needed_estimate or one.needed, _shown(one)),
            ]
            for one in report.targets
        ]
        said += ["", *_top([["process", "resident", "needs", cold], *rows], "processes", terminal.width)]
    rows = []
    for one in report.owners:
        whose = catalog.target(one.target)
        pid = "" if not many else f"{whose.label if whose.pid is None else whose.pid} "
        name = "no known mapping" if one.owner is None else one.owner.place
        rows.append(
            [f"{pid}{name}", *_cells(round(one.resident), one.used_estimate or one.used, _shown(one))]
        )
    said += ["", *_top([["mapping", "resident", "needs", cold], *rows], "mappings", terminal.width)]
    if any(one.used_estimate is not None for one in report.owners):
        cold = "" if report.cold is None else ", and what was cold,"
        said += wrap(
            f"what each needs{cold} is estimated; --json has the bounds", terminal.width,
            initial_indent="  ", subsequent_indent="  ",
        )  # fmt: skip
    if any(one.owner and one.owner.guess for one in report.owners[:TOP]):
        said.append("  ? a guess from the shape of the memory: the kernel does not name it")
    said += ["", *wrap(f"{step.why}:", terminal.width), line("  ", step.command)]
    return lines(said)


def _shown(one: TargetSize | OwnerBounds) -> tuple[float, float] | None:
    """What was cold in a table: its bounds, or the estimate."""
    return one.cold if one.cold_estimate is None else (one.cold_estimate,) * 2


def _has_shrunk(report: Size) -> bool:
    return report.at_end < _SHRUNK * report.resident


def _cells(resident: int, needed: tuple[float, float], cold: tuple[float, float] | None) -> list[str]:
    return [format_size(resident), format_range(*needed), "-" if cold is None else format_range(*cold)]


def _top(rows: Sequence[Sequence[str]], what: str, columns: int) -> Iterator[str]:
    shown, narrow = fitted(rows[: TOP + 1], "<>>>", columns, spare=(1,), least=_LEAST_NAME)
    yield from shown
    if len(rows) > TOP + 1:
        yield ours(f"  … and {len(rows) - TOP - 1} smaller {what}")
    yield from narrow
