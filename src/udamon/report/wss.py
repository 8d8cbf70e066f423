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
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any

from udamon import text
from udamon.report import groups
from udamon.report.catalog import Catalog
from udamon.report.grain import is_sampled
from udamon.report.groups import GroupBounds, between, distribution, light
from udamon.report.heatmap import span
from udamon.report.hot_cold import at_most_note
from udamon.report.levels import FEWEST, LEVELS, PERCENTS, told, too_few
from udamon.report.owners import Owner, no_mappings, owners_of, places_of
from udamon.report.place import Axis, sums
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal, clock, fitted, shorten
from udamon.text import Shown
from udamon.units import counted, format_size

DEFINITIONS = {
    "touched": "touched",
    "damo": 'CASE WHEN nr_accesses > 0 THEN "end" - start ELSE 0 END',
}
QUANTITIES = DEFINITIONS | {
    "resident": "resident",
    "monitored": '"end" - start',
    "regions": "CASE WHEN start IS NOT NULL THEN 1 END",
}
"""What can be summed up over a snapshot's regions, as SQL. All but `regions`, a number, are bytes."""

WORDS = {
    "touched": "working set: bytes touched",
    "damo": "working set: bytes of accessed regions (damo)",
    "resident": "footprint: bytes resident",
    "monitored": "footprint: bytes monitored",
    "regions": "number of regions",
}
BETWEEN = "Other processes may have touched what is between the bounds, of files and shared memory."
SAMPLED = "it is estimated from checks of single pages"
ESTIMATES = (
    "An estimate from checks of single pages, with bounds of 95 % confidence. "
    "The first windows rest on few checks."
)
NO_BOUNDS = "An estimate from checks of single pages, of unknown error{why}."
OTHERS = "what other processes touch of files and shared memory counts, too"
LENGTHS = 'SELECT CAST(max(time) - min("begin") AS DOUBLE) AS length FROM regions GROUP BY seq'
"""The length of each window, ns."""
WINDOWS = f"""
    SELECT min(length), max(length), quantile_cont(length, 0.1), quantile_cont(length, 0.9) FROM ({LENGTHS}) AS moments
"""
_UNEVEN = 1.5
SNAPSHOTS = """
    SELECT seq, target, max(time) AS time, CAST(coalesce(sum({value}), 0) AS DOUBLE) AS amount
    FROM {rows} GROUP BY seq, target
"""

# By mapping: of two mappings in one region each has the share that its bytes have.
BY_OWNER = """
    SELECT seq, name AS target, max(time) AS time, sum(amount) AS amount FROM ({spread}) AS spread GROUP BY seq, name
"""
SUMMED = """
    SELECT seq, first, last, max(time) AS time, {sums} FROM (
        SELECT seq, first, last, time, "into", over,
            CAST(coalesce({value}, 0) AS DOUBLE) / NULLIF("end" - start, 0) AS density
        FROM ({placed}) AS placed
    ) AS densities GROUP BY seq, first, last
"""

ESTIMATED = f"SELECT seq, target, time, {{side}} AS amount FROM ({groups.ESTIMATES}) AS estimates"
MOMENTS = "SELECT seq, max(time) AS time, sum(amount) AS amount FROM snapshots GROUP BY seq"

# Linear percentiles by hand: SQLGlot turns percentile_cont into approximate ones for Spark and Trino. Of the
# sorted values, those next to place p * (n - 1) count by how near they are, and all others not at all.
_AT = "sum(amount * greatest(CAST(0 AS DOUBLE), 1 - abs(place - CAST({level} AS DOUBLE) * last))) AS p{name}"
PERCENTILES = f"""
    WITH moments AS ({MOMENTS}), series AS (
        SELECT target, amount FROM snapshots
        UNION ALL SELECT CAST(NULL AS INTEGER) AS target, amount FROM moments
    ), ranked AS (
        SELECT target, amount,
            CAST(row_number() OVER (PARTITION BY target ORDER BY amount) - 1 AS DOUBLE) AS place,
            CAST(count(*) OVER (PARTITION BY target) - 1 AS DOUBLE) AS last
        FROM series
    )
    SELECT target, count(*) AS snapshots, min(amount) AS least,
        {", ".join(_AT.format(level=level / 100, name=level) for level in (25, 50, 75, 90))},
        max(amount) AS most, avg(amount) AS mean
    FROM ranked GROUP BY target ORDER BY target
"""

OVER_TIME = f"WITH moments AS ({MOMENTS}) SELECT time, amount FROM moments ORDER BY time"

BINNED = f"""
    WITH moments AS ({MOMENTS}), span AS (
        SELECT min(time) AS low, max(time) AS high FROM moments
    ), binned AS (
        SELECT CAST(floor(CAST(time - low AS DOUBLE) * {{bins}} / (high - low + 1)) AS INTEGER) AS bin, time, amount
        FROM moments CROSS JOIN span
    )
    SELECT min(time), avg(amount) FROM binned GROUP BY bin ORDER BY bin
"""


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
    group = None
    if definition in ("touched", "resident"):
        group = groups.measure(
            source,
            lambda source: source.query(PERCENTILES),
            LEVELS,
            over,
            resident=definition == "resident",
        )
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
        source.keep("snapshots", _by_owner(source, owners, QUANTITIES[definition]))
        if least:
            least = {None: least[None]}  # the others are of targets
            catalog = Catalog(source.recording)
            bounded = (n for n, owner in enumerate(owners) if catalog.upper_bound(owner.kind))
            least |= dict.fromkeys(bounded, (0.0,) * len(LEVELS))
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


def _bound(source: RecordingSource, snapshots: str, over: str) -> tuple[_ByTarget, list[int]]:
    """One side of bounds, by the query for a table `snapshots`: by level for each target and all of them (None), and
    over time."""
    source.keep("snapshots", snapshots)
    by_target: _ByTarget = {row[0]: row[2:] for row in source.query(PERCENTILES)}
    return by_target, [round(size) for _, size in source.query(over)]


def _by_owner(source: RecordingSource, owners: Sequence[Owner], value: str) -> str:
    places, _ = places_of(owners)
    if not places:
        raise no_mappings(source.recording)
    axis = Axis(source, "owner", places)
    placed = axis.placed(("seq", "time", "start", '"end"', "nr_accesses", "touched", "resident"))
    summed = SUMMED.format(value=value, placed=placed, sums=sums("amount", "density"))
    return BY_OWNER.format(spread=axis.spread(("seq", "time"), ("amount",), f"({summed}) AS summed"))


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


def render(report: WorkingSet, catalog: Catalog, terminal: Terminal) -> Shown:
    """For people: the distribution with bars, then over time."""
    what = "mappings" if report.owners is not None else "targets"
    many = f" of {len(report.targets)} {what}" if len(report.targets) > 1 else ""
    lines: list[str] = [
        f"{WORDS[report.definition]} per snapshot{many}, {counted(report.total.snapshots, 'snapshot')}",
        "",
    ]
    if report.group is None:
        lines += _distribution(report.total, terminal, shown(report))
    else:
        lines += distribution(report.group, report.total.snapshots, terminal)
    if report.sampled:
        lines += wrap(_estimated(report), terminal.width, initial_indent="  ", subsequent_indent="  ")
    if report.why is not None:
        lines.append(f"  {report.why}")
    if report.uneven and report.definition in DEFINITIONS:
        shortest, longest = map(clock, report.windows_ns)
        lines.append(f"  Windows were of {shortest} to {longest}: in a longer one more is touched.")
    if report.owners is not None:
        lines += ["", *_owners(report, catalog, terminal)]
    elif len(report.targets) > 1:
        lines += ["", *_targets(report, catalog, terminal)]
    lines += ["", *(_moments if report.every else _chart)(report, catalog, terminal)]
    if report.group is None and report.definition in ("damo", "monitored"):
        numbers = [one.target for one in report.targets if one.target is not None]
        lines += groups.summed_note(report.owners[at].target if report.owners else at for at in numbers)
    return text.lines(lines)


def shown(report: WorkingSet) -> Callable[[float], str]:
    """How an amount is written."""
    return (lambda amount: f"{amount:,.0f}") if report.definition == "regions" else format_size


def _owners(report: WorkingSet, catalog: Catalog, terminal: Terminal, top: int = 20) -> list[str]:
    owners, amount = report.owners or [], shown(report)
    first = sorted(report.targets, key=lambda one: (-one.bytes["mean"], one.target or 0))
    levels, many = ["min", "p50", "p90", "max", "mean"], len({owner.target for owner in owners}) > 1
    rows = [["mapping", *(["target"] if many else []), *levels]]
    for one in first[:top]:
        owner = owners[one.target or 0]
        whose = [shorten(catalog.target(owner.target).label, 14)] if many else []
        rows.append([owner.place, *whose, *_told(one, levels, amount)])
    rest = len(first) - top
    guessed = any(owners[one.target or 0].guess for one in first[:top])
    at = 1 + many
    found, narrow = fitted(rows, f"{'<' * at}>>>>>", terminal.width, spare=(at, at + 3, at + 1))
    return [
        *found,
        *narrow,
        *([text.ours(f"  … and {rest} smaller ones")] if rest > 0 else []),
        *_legend(report),
        *(["  ? a guess from the shape of the memory"] if guessed else []),
    ]


def _distribution(series: Series, terminal: Terminal, amount: Callable[[float], str]) -> list[str]:
    if series.most != series.bytes:
        return _estimates(series, terminal)
    if series.bounds is not None:
        return [*groups.bars(series.least, series.bytes, series.snapshots, terminal), f"  {BETWEEN}"]
    top = series.bytes["max"] or 1
    room = max(10, terminal.width - 22)
    return [f"  {name:4}  {amount(size):>10}  {terminal.bar(size / top, room)}".rstrip()
            for name, size in told(series.bytes, series.snapshots).items() if size is not None]  # fmt: skip


def _estimates(series: Series, terminal: Terminal) -> list[str]:
    """A line for each level: the estimate and its bounds; the bar is full up to the estimate, and light up to the upper
    bound."""
    top, known = max(series.most["max"], 1), told(series.bytes, series.snapshots)
    rows = [
        (
            name,
            format_size(size),
            f"{format_size(series.least[name])} to {format_size(series.most[name])}",
            size,
        )
        for name, size in known.items()
        if size is not None
    ]
    width = max((len(bounds) for _, _, bounds, _ in rows), default=0)
    room = max(10, terminal.width - 22 - width)
    lines = []
    for name, size, bounds, amount in rows:
        sure = terminal.bar(amount / top, room)
        rest = light(terminal, round(series.most[name] / top * room) - len(sure))
        lines.append(f"  {name:4}  {size:>10}  {bounds:>{width}}  {sure}{rest}".rstrip())
    return lines


def _estimated(report: WorkingSet) -> str:
    if report.total.most != report.total.bytes:
        return ESTIMATES
    if report.group is not None and report.group.estimated:
        return (
            "What each of them touched is estimated from checks of single pages; the bounds count that, too."
        )
    return NO_BOUNDS.format(why="" if report.owners is None else "; bounds are known of whole targets only")


def _told(series: Series, levels: Sequence[str], amount: Callable[[float], str]) -> list[str]:
    known = told(series.bytes, series.snapshots)
    return [
        "-" if (size := known[name]) is None else f"{_sign(series, name)}{amount(size)}" for name in levels
    ]


def _sign(series: Series, level: str = "max") -> str:
    bounded = series.bytes[level] == series.most[level] > series.least[level]
    return text.ours("≤") if bounded else ""


def _legend(report: WorkingSet) -> list[str]:
    if report.sampled:
        bounded = report.owners is None and any(not one.exact for one in report.targets)
        return ["  estimates; --json has the bounds of each target"] if bounded else []
    return [f"  {at_most_note()}"] if any(not one.exact for one in report.targets) else []


def _targets(report: WorkingSet, catalog: Catalog, terminal: Terminal) -> list[str]:
    amount = shown(report)
    head = ["target", *(name for name in LEVELS if name in ("min", "p50", "p90", "max")), "snapshots"]
    rows = [
        [
            catalog.target(one.target or 0).label,
            *_told(one, head[1:-1], amount),
            str(one.snapshots),
        ]
        for one in report.targets
    ]
    found, narrow = fitted([head, *rows], "<>>>>>", terminal.width, spare=(1, 5, 2))
    return [*found, *narrow, *_legend(report)]


def _moments(report: WorkingSet, catalog: Catalog, terminal: Terminal) -> list[str]:
    """A line for every moment."""
    if report.group is not None:
        return [
            f"  {(time - report.start_ns) / 1e9:8.2f} s{catalog.wall(time)}  {between(low, high)}"
            for time, low, high in report.group.over_time
        ]
    if report.over_bounds and report.estimated:
        return [
            f"  {(time - report.start_ns) / 1e9:8.2f} s{catalog.wall(time)}  {format_size(size):>11}  "
            f"{format_size(low)} to {format_size(high)}"
            for (time, size), (low, high) in zip(report.over_time, report.over_bounds, strict=True)
        ]
    top = report.total.bytes["max"] or 1
    room, amount, sign = (
        max(10, terminal.width - 38),
        shown(report),
        _sign(report.total),
    )
    rows = (
        (
            f"{(time - report.start_ns) / 1e9:8.2f} s{catalog.wall(time)}",
            f"{sign}{amount(size)}",
            terminal.bar(size / top, room),
        )
        for time, size in report.over_time
    )
    return [f"  {when}  {size:>11}  {bar}".rstrip() for when, size, bar in rows]


def _chart(report: WorkingSet, catalog: Catalog, terminal: Terminal, height: int = 8) -> list[str]:
    """Columns over time, from 0 to the largest; of a group the upper bound. Nothing of it is left in plain text."""
    if terminal.plain:
        return ["  --over-time lists every moment."]
    sizes = [size for _, size in report.over_time]
    if report.group is not None:
        sizes = [high for *_, high in report.group.over_time]
    room = max(10, terminal.width - 16)
    columns = [sizes[column * len(sizes) // room] for column in range(room)]
    top = max(columns) or 1
    lines = []
    for level in range(height, 0, -1):
        label = shown(report)(top) if level == height else shown(report)(0) if level == 1 else ""
        lines.append(
            f"  {label:>10}  {''.join(_block(size / top * height - level + 1, terminal) for size in columns)}".rstrip()
        )
    ends = report.over_time[0][0], report.end_ns
    first, end = (f"{clock(time - report.start_ns)}{catalog.wall(time)}" for time in ends)
    bounded = report.group is not None or report.total.least != report.total.bytes == report.total.most
    note = ["  over time: the upper bound"] if bounded else []
    return [*lines, f"{'':14}{first}{end:>{max(1, room - len(first))}}", *note]


def _block(filled: float, terminal: Terminal) -> str:
    if not terminal.blocks:
        return "#" if filled >= 0.5 else " "
    return " ▁▂▃▄▅▆▇█"[round(min(1.0, max(0.0, filled)) * 8)]
