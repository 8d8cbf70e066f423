"""The two screens: all targets as a list, and one of them."""

from __future__ import annotations

from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Static

from udamon.live.grid import hottest
from udamon.live.listing import ListScreen, LiveScreen
from udamon.live.state import Detail, TargetLine
from udamon.live.widgets import LABEL, Curve, Heat
from udamon.live.words import EscapedText
from udamon.model import SUMMED
from udamon.report.terminal import clock, shorten
from udamon.text import escape, ours, pad
from udamon.units import format_size, format_time

MAPPINGS = 7

OF_A_MONITOR = (
    Binding("space", "app.pause", "pause"), Binding("b", "app.budget", "budget"),
    Binding("i", "app.interval", "interval"), Binding("r", "app.record", "record"), Binding("q", "app.quit", "quit"),
)  # fmt: skip
"""What can be done wherever a monitor is shown."""


class TargetsScreen(ListScreen):
    """Processes, those that touched most in the last window first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "look", "look at it", priority=True), *OF_A_MONITOR,
    ]  # fmt: skip
    COLUMNS = ("pid", "process", "touched", "hot", "resident", "size", "command")

    def show(self) -> None:
        lines = self.live.state.lines()
        touched = format_size(sum(line.touched for line in lines))
        # What processes share could be counted once only where it is known who else has each page.
        how = f" ({SUMMED})" if len(lines) > 1 else ""
        head = EscapedText(
            ours(f"{len(lines)} targets, {touched} touched in the last window{how} · {self.live.how}")
        )
        about = EscapedText.lines([head, self.live.cost_line()])
        self.fill(about, [(line.index, _cells(line)) for line in lines])

    def action_look(self) -> None:
        index = self.under_cursor()
        if index is not None:
            self.live.look(index)


def _cells(line: TargetLine) -> list[EscapedText]:
    sizes = [line.touched, line.hot, line.resident, line.size]
    return [
        EscapedText("" if line.pid is None else str(line.pid), right=True),
        EscapedText(line.comm),
        *(EscapedText("-" if size is None else format_size(size), right=True) for size in sizes),
        EscapedText(line.command),
    ]


class DetailScreen(LiveScreen):
    """One target: its working set, its memory over time, and its hottest mappings."""

    CSS = """
    DetailScreen #about { height: 2; padding: 0 1; }
    DetailScreen #curve { height: 4; }
    DetailScreen #heat { height: 1fr; min-height: 4; }
    DetailScreen #mappings { height: 9; padding-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.list", "all targets"), *OF_A_MONITOR,
    ]  # fmt: skip

    def compose(self) -> ComposeResult:
        yield Static(id="about")
        yield Curve(id="curve")
        yield Heat(id="heat")
        yield Static(id="mappings")
        yield Footer()

    def show(self) -> None:
        """Draw what the state has now."""
        detail = self.live.state.detail()
        self.query_one(Curve).show(detail)
        self.query_one(Heat).show(detail)
        self.query_one("#mappings", Static).update(_mappings(detail))
        head = EscapedText(_about(detail)) if detail is not None else EscapedText("nothing is looked at")
        self.query_one("#about", Static).update(EscapedText.lines([head, self.live.cost_line()]))


def _about(detail: Detail) -> str:
    who = detail.comm or detail.command or f"target {detail.index}"
    words = [who if detail.pid is None else f"{who} (pid {detail.pid})"]
    if detail.ended is not None:
        words.append(f"has ended ({detail.ended})")
    if not detail.snapshots:
        return ours(" · ").join([*words, "the first window is not over yet"])
    last = detail.snapshots[-1]
    there = "" if last.resident is None else f" of {format_size(sum(last.resident))} resident"
    words.append(
        f"{format_size(sum(last.touched))}{there} touched in a window of {clock(last.end_ns - last.begin_ns)}"
    )
    words.append(f"{len(last)} regions")
    return ours(" · ").join(words)


def _mappings(detail: Detail | None) -> EscapedText:
    lines = [] if detail is None else hottest(detail, MAPPINGS)
    if not lines:
        return EscapedText()
    head = f"{'hottest mappings':>{LABEL + 8}} {'touched':>12} {'size':>12} {'rate':>6}"
    found = [EscapedText(head, "dim")]
    for line in lines:
        name = pad(shorten(line.label, LABEL + 8), ">", LABEL + 8)
        filled = round(line.touched / max(line.size, 1) * 20)
        row = f"{name} {format_size(line.touched):>12} {format_size(line.size):>12} {line.rate:>6.0%} "
        found.append(EscapedText(row).append(escape("█" * filled, plain=False), style="#56b4e9"))
    return EscapedText.lines(found)


def cost_words(cost: dict[str, object], attrs: dict[str, object]) -> str:
    """What the monitor and the screen take, and how it looks."""
    words = []
    elapsed = cost.get("elapsed_ns")
    if isinstance(elapsed, int) and elapsed > 0:
        own, whole = (cast(int, cost.get(key) or 0) for key in ("monitor_cpu_ns", "cpu_ns"))
        kdamond = cast(int, cost.get("kdamond_cpu_ns") or 0)
        words.append(
            f"monitor {own / elapsed:.1%}, screen {max(0, whole + kdamond - own) / elapsed:.1%} of a CPU"
        )
    if cost.get("max_rss_bytes"):
        words.append(format_size(cast(int, cost["max_rss_bytes"])))
    if cost.get("checks"):
        words.append(f"{cost['checks']:,} checks")
    if attrs.get("aggr_us"):
        words.append(f"window {format_time(cast(int, attrs['aggr_us']) / 1e6)}")
    return ", ".join(words)
