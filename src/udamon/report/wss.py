"""The working set: how many bytes were accessed, as percentiles over all snapshots, and over time.

A *moment* is one aggregation of the monitor (one `seq`). The total of a moment is the sum over the targets
that have a snapshot of it: a target that has not come yet or has ended adds nothing, as it has no memory. A
target's own percentiles are over its own snapshots. A snapshot without regions counts as 0 bytes, and none
is skipped. Moments at which no target lived left no snapshot and are not counted.

Targets may have pages in common, and then the sum counts those more than once: the total of touched or resident bytes
is given as two bounds instead (udamon.report.groups). damo's definition, monitored bytes and numbers stay sums.

Touched bytes by `refs` are an upper bound for files and shared memory, because the kernel marks a page for all who map
it when anybody reads it: each figure has its lower bound, what the target itself accessed for sure. Where single pages
are sampled, they are estimates, of whole targets with bounds (docs/adaptive.md).

udamon.report.wss_queries has the SQL, udamon.report.wss_text the report for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from udamon.report import groups
from udamon.report.catalog import Catalog
from udamon.report.grain import is_sampled
from udamon.report.groups import GroupBounds
from udamon.report.heatmap import span
from udamon.report.levels import FEWEST, LEVELS, PERCENTS, told, too_few
from udamon.report.owners import Owner, owners_of
from udamon.report.source import RecordingSource
from udamon.report.wss_queries import (
    BINNED,
    ESTIMATED,
    OVER_TIME,
    PERCENTILES,
    QUANTITIES,
    SNAPSHOTS,
    WINDOWS,
    by_owner,
)

_UNEVEN = 1.5


def portable(definition: str = "touched") -> str:
    """The percentiles as one query over a table `regions`, for any engine (translated by SQLGlot)."""
    snapshots = SNAPSHOTS.format(value=QUANTITIES[definition], rows="regions")
    return PERCENTILES.replace("WITH moments", f"WITH snapshots AS ({snapshots}), moments", 1)


_ByTarget = dict[int | None, Sequence[float]]
"""Percentiles of a target, or of all of them (None)."""


@dataclass(frozen=True, slots=True)
class Series:
    """The working set of one target, or of all (`target` None): bytes by level, over `snapshots`.

    By mapping, `target` is the number of an owner.
    """

    target: int | None
    snapshots: int
    bytes: dict[str, int]
    least: dict[str, int]
    most: dict[str, int]
    """At least and at most; the same as `bytes` where these are exact."""

    @property
    def exact(self) -> bool:
        return self.least == self.bytes == self.most

    @property
    def bounds(self) -> dict[str, Any] | None:
        """For JSON; None where `bytes` are exact."""
        if self.exact:
            return None
        return {"low": told(self.least, self.snapshots), "high": told(self.most, self.snapshots)}


@dataclass(frozen=True, slots=True)
class WorkingSet:
    """The report. `over_time` has (ns on CLOCK_MONOTONIC, bytes): every moment, or means of bins.

    Where `group` is given, `total` and `over_time` are sums that may count memory several times: the truth lies within
    the group's bounds.
    """

    definition: str
    total: Series
    targets: list[Series]
    over_time: list[tuple[int, int]]
    start_ns: int
    every: bool
    owners: list[Owner] | None = None
    """By mapping: whose memory each of `targets` is."""
    group: GroupBounds | None = None
    sampled: bool = False
    """What was touched is estimated, from checks of single pages."""
    over_bounds: list[tuple[int, int]] = field(default_factory=list)
    """Parallel to `over_time` where bounds of it are known: bytes at least and at most."""
    windows_ns: tuple[float, float] = (0.0, 0.0)
    """The shortest and the longest window."""
    uneven: bool = False
    """Windows are of unlike lengths, and not only the first or the last of them."""
    end_ns: int = 0
    """The end of the last moment: the last of `over_time` may be where a bin begins."""

    @property
    def exact(self) -> dict[str, int | None] | None:
        """The total by level; None where only bounds are known. A level is None where there are too few windows."""
        if self.group is None:
            return told(self.total.bytes, self.total.snapshots)
        return told(self.group.high, self.total.snapshots) if self.group.exact else None

    @property
    def estimated(self) -> bool:
        """The total is an estimate with bounds."""
        return self.sampled and self.group is None and not self.total.exact

    @property
    def why(self) -> str | None:
        """Why there are no percentiles; None where there are."""
        count = self.total.snapshots
        return None if count >= FEWEST else too_few(count, "percentiles")

    @property
    def group_document(self) -> dict[str, Any] | None:
        """For JSON: the bounds; None where the total is a plain sum."""
        if self.group is None:
            return None
        found = self.group.document
        return found | {key: told(found[key], self.total.snapshots) for key in ("low", "high", "resident")}

    @property
    def bounds_document(self) -> dict[str, Any] | None:
        """For JSON: the total's bounds by level; None where it is exact."""
        if self.group is None:
            return self.total.bounds
        found = self.group_document or {}
        return None if self.group.exact else {key: found[key] for key in ("low", "high")}

    def bounds(self, level: str) -> tuple[int, int]:
        """The total at a level: at least, and at most. Alike where it is exact. A percentile of too few windows is
        only known to be from the least to the most."""
        low, high = self.total.least, self.total.most
        if self.group is not None:
            low, high = self.group.low, self.group.high
        if level in PERCENTS and self.why is not None:
            return low["min"], high["max"]
        return low[level], high[level]


def measure(
    source: RecordingSource,
    definition: str = "touched",
    *,
    every: bool = False,
    bins: int = 120,
    by: str = "process",
) -> WorkingSet:
    """The working set by `definition` (see QUANTITIES), over time in `bins`, or with `every` moment.

    The series are those of every "process", or of every "mapping", of memory that a mapping is known of.
    Raises RecordingError when there is no snapshot.
    """
    owners = owners_of(source.recording) if by == "mapping" else None
    over = OVER_TIME if every else BINNED.format(bins=bins)
    group = _group(source, over, definition)
    least: _ByTarget = {}
    most: _ByTarget = {}
    over_bounds: list[tuple[int, int]] = []
    sure_over_time: list[int] = []
    if definition == "touched" and owners is None and groups.estimated(source):
        low, high = (_bound(source, ESTIMATED.format(side=side), over) for side in ("low", "high"))
        least, most, over_bounds = low[0], high[0], list(zip(low[1], high[1], strict=True))
    if definition == "touched" and source.recording.metadata.get("via") == "refs":
        sure = SNAPSHOTS.format(value=groups.sure(source), rows="shared_regions")
        least, sure_over_time = _bound(source, sure, over)
    if owners is None:
        source.keep("snapshots", SNAPSHOTS.format(value=QUANTITIES[definition], rows="regions"))
    else:
        source.keep("snapshots", by_owner(source, owners, QUANTITIES[definition]))
        if least:
            least = {None: least[None], **_least_of(owners, Catalog(source.recording))}
    series = [_series(row, least, most) for row in source.query(PERCENTILES)]
    if not series:
        raise source.nothing()
    total = next(one for one in series if one.target is None)
    over_time = [(time, round(size)) for time, size in source.query(over)]
    if owners is None and sure_over_time and not total.exact:
        over_bounds = [(low, size) for low, (_, size) in zip(sure_over_time, over_time, strict=True)]
    windows = source.query(WINDOWS)[0]
    return WorkingSet(
        definition,
        total,
        [one for one in series if one.target is not None],
        over_time,
        source.start_ns,
        every,
        owners,
        group,
        definition == "touched" and is_sampled(source.recording.metadata),
        over_bounds,
        (windows[0], windows[1]),
        windows[3] > _UNEVEN * windows[2],
        span(source)[1] or 0,
    )


def _group(source: RecordingSource, over: str, definition: str) -> GroupBounds | None:
    """Bounds of the total; None where it is a plain sum."""
    if definition not in ("touched", "resident"):
        return None
    resident = definition == "resident"
    return groups.measure(source, lambda source: source.query(PERCENTILES), LEVELS, over, resident=resident)


def _least_of(owners: Sequence[Owner], catalog: Catalog) -> _ByTarget:
    """Lower bounds: 0 where others may have touched the owner's memory instead; without one the figure is exact."""
    bounded = (number for number, owner in enumerate(owners) if catalog.upper_bound(owner.kind))
    return dict.fromkeys(bounded, (0.0,) * len(LEVELS))


def _bound(source: RecordingSource, snapshots: str, over: str) -> tuple[_ByTarget, list[int]]:
    """One side of bounds, by the query for a table `snapshots`: by level for each target and all of them (None), and
    over time."""
    source.keep("snapshots", snapshots)
    by_target: _ByTarget = {row[0]: row[2:] for row in source.query(PERCENTILES)}
    return by_target, [round(size) for _, size in source.query(over)]


def _series(
    row: Sequence[Any],
    least: Mapping[int | None, Sequence[float]],
    most: Mapping[int | None, Sequence[float]],
) -> Series:
    target, count, *values = row
    return Series(
        target,
        count,
        *(_levels(found) for found in (values, least.get(target, values), most.get(target, values))),
    )


def _levels(values: Sequence[float]) -> dict[str, int]:
    return {name: round(value) for name, value in zip(LEVELS, values, strict=True)}


def document(report: WorkingSet, catalog: Catalog, *, over_time: bool = False) -> dict[str, Any]:
    """The JSON document: bytes, and times in seconds on CLOCK_MONOTONIC."""
    found: dict[str, Any] = {
        "schema": 1,
        "snapshots": report.total.snapshots,
        "definition": report.definition,
        "start": report.start_ns / 1e9,
        "bytes": report.exact,
        "bounds": report.bounds_document,
        "group": report.group_document,
        "why": report.why,
        "window_seconds": dict(zip(("min", "max"), (ns / 1e9 for ns in report.windows_ns), strict=True)),
        "targets": [
            {
                **_whose(report, one, catalog),
                "snapshots": one.snapshots,
                "bytes": told(one.bytes, one.snapshots),
                "bounds": one.bounds,
            }
            for one in report.targets
        ],
    }  # fmt: skip
    if over_time:
        if report.group is None:
            found["over_time"] = [{"time": time / 1e9, "bytes": size} for time, size in report.over_time]
            for one, (low, high) in zip(found["over_time"], report.over_bounds, strict=False):
                one |= {"low": low, "high": high}
        else:
            found["over_time"] = [
                {"time": time / 1e9, "bytes": low if low == high else None, "low": low, "high": high}
                for time, low, high in report.group.over_time
            ]
    return found


def _whose(report: WorkingSet, one: Series, catalog: Catalog) -> dict[str, Any]:
    if report.owners is None:
        return {"target": one.target, "pid": catalog.target(one.target or 0).pid}
    owner = report.owners[one.target or 0]
    return {
        "target": owner.target,
        "pid": catalog.target(owner.target).pid,
        "mapping": owner.name or "[anon]",
        "label": owner.label,
        "kind": owner.kind,
        "guess": owner.guess,
        "start": owner.start,
    }
