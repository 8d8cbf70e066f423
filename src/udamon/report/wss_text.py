"""The working set for people: the distribution with bars, by target or mapping, and over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from udamon import text
from udamon.report.catalog import Catalog
from udamon.report.groups_text import between, distribution
from udamon.report.levels import LEVELS, told
from udamon.report.terminal import Terminal, clock, shorten, table
from udamon.report.wss import OTHERS, WORDS, Series, WorkingSet
from udamon.text import Shown
from udamon.units import format_size


def render(report: WorkingSet, catalog: Catalog, terminal: Terminal) -> Shown:
    """For people: the distribution with bars, then over time."""
    what = "mappings" if report.owners is not None else "targets"
    many = f" of {len(report.targets)} {what}" if len(report.targets) > 1 else ""
    lines: list[str] = [
        f"{WORDS[report.definition]} per snapshot{many}, {report.total.snapshots} snapshots",
        "",
    ]
    if report.group is None:
        lines += _distribution(report.total, terminal, shown(report))
    else:
        lines += distribution(report.group, report.total.snapshots, terminal)
    if report.group is None and report.total.bounds is not None:
        surely = format_size(report.total.least["mean"])
        lines += [f"  Of the mean, {surely} are sure: {OTHERS}."]
    if report.why is not None:
        lines.append(f"  {report.why}")
    if report.owners is not None:
        lines += ["", *_owners(report)]
    elif len(report.targets) > 1:
        lines += ["", *_targets(report, catalog)]
    lines += ["", *(_moments if report.every else _chart)(report, terminal)]
    return text.lines(lines)


def shown(report: WorkingSet) -> Callable[[float], str]:
    """How an amount is written."""
    return (lambda amount: f"{amount:,.0f}") if report.definition == "regions" else format_size


def _owners(report: WorkingSet, top: int = 20) -> list[str]:
    owners, amount = report.owners or [], shown(report)
    first = sorted(report.targets, key=lambda one: (-one.bytes["mean"], one.target or 0))
    rows = [["mapping", "min", "p50", "p90", "max", "mean"]]
    rows += [
        [shorten(owners[one.target or 0].place, 26), *_told(one, rows[0][1:], amount)] for one in first[:top]
    ]
    rest = len(first) - top
    guessed = any(owners[one.target or 0].guess for one in first[:top])
    return [
        *table(rows, "<>>>>>"),
        *([text.ours(f"  … and {rest} smaller ones")] if rest > 0 else []),
        *(["  ? a guess from the shape of the memory"] if guessed else []),
    ]


def _distribution(series: Series, terminal: Terminal, amount: Callable[[float], str]) -> list[str]:
    top = series.bytes["max"] or 1
    room = max(10, terminal.width - 22)
    return [f"  {name:4}  {amount(size):>10}  {terminal.bar(size / top, room)}".rstrip()
            for name, size in told(series.bytes, series.snapshots).items() if size is not None]  # fmt: skip


def _told(series: Series, levels: Sequence[str], amount: Callable[[float], str]) -> list[str]:
    known = told(series.bytes, series.snapshots)
    return ["-" if (size := known[name]) is None else amount(size) for name in levels]


def _targets(report: WorkingSet, catalog: Catalog) -> list[Shown]:
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
    return table([head, *rows], "<>>>>>")


def _moments(report: WorkingSet, terminal: Terminal) -> list[str]:
    """A line for every moment."""
    if report.group is not None:
        return [
            f"  {(time - report.start_ns) / 1e9:8.2f} s  {between(low, high)}"
            for time, low, high in report.group.over_time
        ]
    top = report.total.bytes["max"] or 1
    room, amount = max(10, terminal.width - 26), shown(report)
    return [
        f"  {(time - report.start_ns) / 1e9:8.2f} s  {amount(size):>10}  {terminal.bar(size / top, room)}".rstrip()
        for time, size in report.over_time
    ]


def _chart(report: WorkingSet, terminal: Terminal, height: int = 8) -> list[str]:
    """Columns over time, from 0 to the largest; of a group the upper bound."""
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
    first, end = (clock(report.over_time[side][0] - report.start_ns) for side in (0, -1))
    note = ["  over time: the upper bound"] if report.group is not None else []
    return [*lines, f"{'':14}{first}{end:>{max(1, room - len(first))}}", *note]


def _block(filled: float, terminal: Terminal) -> str:
    if not terminal.blocks:
        return "#" if filled >= 0.5 else " "
    return " ▁▂▃▄▅▆▇█"[round(min(1.0, max(0.0, filled)) * 8)]
