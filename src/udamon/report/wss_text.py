"""The working set for people: the distribution with bars, what each process or mapping has of it, and the curve over
time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import wrap

from udamon import text
from udamon.report import groups
from udamon.report.catalog import Catalog
from udamon.report.groups import between, distribution, light
from udamon.report.hot_cold import at_most_note
from udamon.report.levels import LEVELS, told
from udamon.report.target_column import TargetColumn
from udamon.report.terminal import Terminal, clock, fitted
from udamon.report.wss import Series, WorkingSet
from udamon.report.wss_queries import DEFINITIONS
from udamon.text import Shown
from udamon.units import counted, format_size

WORDS = {
    "touched": "working set: bytes touched",
    "damo": "working set: bytes of accessed regions (damo)",
    "resident": "footprint: bytes resident",
    "monitored": "footprint: bytes monitored",
    "regions": "number of regions",
}
BETWEEN = "Other processes may have touched what is between the bounds, of files and shared memory."
ESTIMATES = (
    "An estimate from checks of single pages, with bounds of 95 % confidence. "
    "The first windows rest on few checks."
)
NO_BOUNDS = "An estimate from checks of single pages, of unknown error{why}."


def render(report: WorkingSet, catalog: Catalog, terminal: Terminal) -> Shown:
    """For people: the distribution with bars, then over time."""
    what = "mappings" if report.owners is not None else "targets"
    many = f" of {len(report.targets)} {what}" if len(report.targets) > 1 else ""
    lines: list[str] = [
        f"{WORDS[report.definition]} per snapshot{many}, {counted(report.total.snapshots, 'snapshot')}",
        "",
    ]
    if report.group is None:
        lines += _distribution(report.total, terminal, _shown(report))
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


def _shown(report: WorkingSet) -> Callable[[float], str]:
    """How an amount is written."""
    return (lambda amount: f"{amount:,.0f}") if report.definition == "regions" else format_size


def _owners(report: WorkingSet, catalog: Catalog, terminal: Terminal, top: int = 20) -> list[str]:
    owners, amount = report.owners or [], _shown(report)
    first = sorted(report.targets, key=lambda one: (-one.bytes["mean"], one.target or 0))
    levels = ["min", "p50", "p90", "max", "mean"]
    whose = TargetColumn(catalog, (owner.target for owner in owners))
    rows = [["mapping", *whose.title, *levels]]
    for one in first[:top]:
        owner = owners[one.target or 0]
        rows.append([owner.place, *whose.cell(owner.target), *_told(one, levels, amount)])
    rest = len(first) - top
    guessed = any(owners[one.target or 0].guess for one in first[:top])
    at = 1 + whose.shown
    found, narrow = fitted(rows, f"<{whose.align}>>>>>", terminal.width, spare=(at, at + 3, at + 1))
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
    amount = _shown(report)
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
        _shown(report),
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
        label = _shown(report)(top) if level == height else _shown(report)(0) if level == 1 else ""
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
