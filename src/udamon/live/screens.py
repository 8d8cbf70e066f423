"""The two screens: all targets as a list, and one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Static

from udamon.core.ages import sentence
from udamon.core.group_total import GroupTotal
from udamon.live.grid import Hottest, hottest
from udamon.live.keys import HELP
from udamon.live.listing import ListScreen, LiveScreen, LiveView, name_cell
from udamon.live.state import Detail, TargetLine, bounds_of
from udamon.live.widgets import LABEL, Curve, Heat
from udamon.live.words import EscapedText, blocks
from udamon.model import SUMMED
from udamon.report.grain import has_shares
from udamon.report.terminal import clock, shorten
from udamon.text import ours, pad
from udamon.units import counted, format_range, format_share, format_size, format_time

MAPPINGS = 7
_OTHERS = 11
"""Lines of a screen with one target beside its head and the rows of mappings: curve, heatmap, titles, keys."""

OF_A_MONITOR = (
    Binding("q", "app.quit", "quit"), Binding("space", "app.pause", "pause", key_display="space"),
    Binding("r", "app.record", "record"), Binding("b", "app.budget", "budget"),
    Binding("i", "app.interval", "interval"),
)  # fmt: skip
"""What can be done wherever a monitor is shown."""


class TargetsScreen(ListScreen):
    """Processes, those that touched most in the last window first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        HELP, Binding("enter", "look", "look", priority=True, key_display="enter"),
        Binding("s", "sort", "sort"), *OF_A_MONITOR,
    ]  # fmt: skip
    COLUMNS = ("pid", "process", "touched", "hot", "resident", "size", "command")
    NARROW = ("pid", "process", "touched", "resident", "command")
    SORTS: ClassVar[dict[str, Callable[[TargetLine], tuple[object, ...]]]] = {
        "touched": lambda line: (-line.touched, -line.size, line.index),
        "hot": lambda line: (-line.hot, line.index),
        "resident": lambda line: (-(line.resident or 0), line.index),
        "size": lambda line: (-line.size, line.index),
        "pid": lambda line: (line.pid or 0, line.index),
        "process": lambda line: (line.comm, line.pid or 0, line.index),
        "command": lambda line: (line.command, line.pid or 0, line.index),
    }
    """Largest first, names and numbers from the beginning."""

    def __init__(self, live: LiveView) -> None:
        super().__init__(live)
        self._sort = "touched"

    def action_sort(self) -> None:
        """Sort by the next column that is shown."""
        order = [name for name in self.SORTS if name in self.shown_columns()]
        self._sort = order[(order.index(self._sort) + 1) % len(order)] if self._sort in order else order[0]
        self.show()

    def show(self) -> None:
        lines = sorted(self.live.state.lines(), key=self.SORTS[self._sort])
        touched = _together(lines, self.live.state.total())
        head = EscapedText(
            ours(f"{counted(len(lines), 'target')}, {touched} · {self.live.how} · by {self._sort}")
        )
        about = EscapedText.lines([head, self.live.cost_line()])
        self.fill(about, [(line.index, _cells(line, self.shown_columns())) for line in lines])

    def action_look(self) -> None:
        index = self.under_cursor()
        if index is not None:
            self.live.look(index)


def _together(lines: Sequence[TargetLine], total: GroupTotal | None) -> str:
    """What all of them touched: each page once, between bounds, where that is known."""
    if total is None:
        most = "at most " if any(line.at_most for line in lines) else ""
        touched = most + _estimate(*(sum(column) for column in zip(*_amounts(lines), strict=True)))
        return f"{touched} touched in the last window{f' ({SUMMED})' if len(lines) > 1 else ''}"
    resident = ""
    if all(line.resident is not None for line in lines):
        resident = f" of {format_range(total.resident_low, total.resident_high)} resident"
    touched = format_range(total.low, total.high)
    return f"{touched}{resident} touched in the last window (shared memory counted once)"


def _amounts(lines: Sequence[TargetLine]) -> list[tuple[int, int, int]]:
    return [(line.touched, line.low, line.high) for line in lines] or [(0, 0, 0)]


def _estimate(touched: int, low: int, high: int) -> str:
    """A size, with its bounds where it is an estimate."""
    return format_size(touched) + (f" ({format_range(low, high)})" if low < high else "")


def _sign(line: TargetLine, name: str, size: int) -> str:
    """What stands before what others may have touched."""
    return ours("≤") if line.at_most and size and name in ("touched", "hot") else ""


def _cells(line: TargetLine, columns: Sequence[str]) -> list[EscapedText]:
    sizes = {"touched": line.touched, "hot": line.hot, "resident": line.resident, "size": line.size}
    cells = {
        "pid": EscapedText("" if line.pid is None else str(line.pid), right=True),
        "process": name_cell(line.comm),
        "command": EscapedText(line.title),
    } | {
        name: EscapedText("-" if size is None else _sign(line, name, size) + format_size(size), right=True)
        for name, size in sizes.items()
    }
    return [cells[name] for name in columns]


class DetailScreen(LiveScreen):
    """One target: its working set, its memory over time, and its hottest mappings."""

    CSS = """
    DetailScreen #about { height: auto; min-height: 2; max-height: 50%; padding: 0 1; }
    DetailScreen #curve { height: 4; }
    DetailScreen #heat { height: 1fr; min-height: 4; }
    DetailScreen #mappings { height: 9; padding-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        HELP, Binding("escape", "app.list", "list", key_display="esc"), *OF_A_MONITOR,
    ]  # fmt: skip

    def compose(self) -> ComposeResult:
        yield Static(id="about")
        yield Curve(id="curve")
        yield Heat(id="heat")
        yield Static(id="mappings")
        yield Footer()

    def on_resize(self) -> None:
        self.show()

    def show(self) -> None:
        """Draw what the state has now."""
        detail = self.live.state.detail()
        self.query_one(Curve).show(detail)
        self.query_one(Heat).show(detail)
        hot = [] if detail is None else hottest(detail)
        head = EscapedText("nothing is looked at" if detail is None else _about(detail, hot))
        told = None if detail is None or detail.ages is None else sentence(detail.ages)
        idle = [] if told is None else [EscapedText(told)]
        about = EscapedText.lines([head, *idle, self.live.cost_line()])
        self.query_one("#about", Static).update(about)
        size, mappings = self.app.size, self.query_one("#mappings", Static)
        # What is said of the figures has its lines first.
        said = min(size.height // 2, len(about.wrap(self.app.console, max(1, size.width - 2))))
        count = min(MAPPINGS, max(1, size.height - said - _OTHERS))
        mappings.styles.height = count + 2
        mappings.update(_mappings(detail, hot[:count], size.width))


def _about(detail: Detail, hot: Sequence[Hottest]) -> str:
    """`hot` are all of its mappings."""
    who = detail.comm or detail.command or f"target {detail.index}"
    words = [who if detail.pid is None else f"{who} (pid {detail.pid})"]
    if detail.ended is not None:
        words.append(f"has ended ({detail.ended})")
    if not detail.snapshots:
        return ours(" · ").join([*words, "the first window is not over yet"])
    last = detail.snapshots[-1]
    there = "" if last.resident is None else f" of {format_size(sum(last.resident))} resident"
    # What others did to files and shared memory counts, too, where it cannot be told from the target's own.
    most = "at most " if any(one.at_most for one in hot) else ""
    words.append(
        f"{most}{_estimate(sum(last.touched), *bounds_of(last))}{there} touched in a window of "
        f"{clock(last.end_ns - last.begin_ns)}"
    )
    words.append(counted(len(last), "region"))
    return ours(" · ").join(words)


def _mappings(detail: Detail | None, lines: Sequence[Hottest], width: int) -> EscapedText:
    """A line each, with a bar where there is room for one."""
    if detail is None or not lines:
        return EscapedText()
    figures, named = 30, max(8, min(LABEL + 8, width - 40))
    bar = max(0, min(20, width - named - figures - 1))
    word = "share" if has_shares({"via": detail.via}) else "rate"
    head = f"{'hottest mappings':>{named}.{named}} {'touched':>10} {'size':>10} {word:>6} "
    found = [EscapedText(head, "dim")]
    for line in lines:
        name = pad(shorten(line.label, named), ">", named)
        filled = round(line.touched / max(line.size, 1) * bar)
        most = ours("≤") if line.at_most else ""
        touched, rate = most + format_size(line.touched), format_share(line.rate, most)
        row = f"{name} {touched:>10} {format_size(line.size):>10} {rate:>6} "
        found.append(EscapedText(row).append(blocks("█" * filled), style="#56b4e9"))
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
