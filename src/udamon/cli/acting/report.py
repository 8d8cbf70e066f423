"""What the commands that act say: a line while they run, totals at the end, and the document of --json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from udamon.core.scheme import Action, SchemeStats, SchemeStatus
from udamon.modules.dry_run import PassWatch
from udamon.text import Shown, lines
from udamon.units import counted, format_length, format_size, format_time


@dataclass(frozen=True, slots=True)
class ActingReport:
    """How far acting has come: `statuses` of all schemes, and what is told beside them.

    `dry`: nothing was done. `refaulted`: bytes of what was moved that came back, None where not measured. `left`:
    bytes in reach that were left alone, by reason. `resident`: of what a dry run would have tried, bytes in memory.
    `half_used`: bytes, by scheme, that were untouched in the last window but lie in mappings that as a whole are
    accessed too much for it, where nothing finer is seen. `held`: what keeps all schemes from acting, ""
    when nothing does. `passes` counts what each pass tried. `removed`: schemes that the file has no more, as they were
    last; what they did is part of all totals.
    """

    statuses: Sequence[SchemeStatus]
    seconds: float
    cpu_share: float
    start_cpu_seconds: float
    dry: bool
    passes: PassWatch
    refaulted: int | None = None
    left: Mapping[str, int] = field(default_factory=dict)
    resident: int | None = None
    held: str = ""
    half_used: Mapping[int, int] = field(default_factory=dict)
    removed: Sequence[SchemeStatus] = ()

    @property
    def ever(self) -> Sequence[SchemeStatus]:
        """All schemes that there were."""
        return (*self.statuses, *self.removed)

    @property
    def came_back(self) -> int | None:
        """Of what pageout moved; None where nothing is paged out, which is all that can come back."""
        pages_out = any(status.scheme.action is Action.PAGEOUT for status in self.ever)
        return self.refaulted if pages_out and self.moved is not None else None

    @property
    def tried(self) -> int:
        return sum(status.stats.sz_tried for status in self.ever)

    @property
    def advised(self) -> int:
        """What the calls said they did: the kernel's sz_applied."""
        return sum(status.stats.sz_applied for status in self.ever)

    @property
    def moved(self) -> int | None:
        """What really moved; None where something was advised and no scheme measures what moved."""
        looked = [status.stats.sz_moved for status in self.ever if status.stats.sz_moved is not None]
        if self.dry or (self.advised and not looked):
            return None
        return sum(looked)


def line(account: ActingReport) -> str:
    """How acting is doing, in one line."""
    several = len(account.statuses) > 1
    parts = [_one(account, status, named=several) for status in account.statuses]
    if account.came_back is not None:
        parts.append(f"refaulted {format_size(account.came_back)}")
    if account.held:
        parts.append(f"held back: {account.held}")
    time = format_length(account.seconds)
    return "  ".join([time, *parts, f"monitor {account.cpu_share:.1%} CPU"])


def _one(account: ActingReport, status: SchemeStatus, *, named: bool) -> str:
    action, stats = status.scheme.action, status.stats
    number = f"{status.index} " if named else ""
    if account.dry or action is Action.STAT:
        would = "" if action is Action.STAT else "would "
        last = format_size(account.passes.last.get(status.index, 0))
        text = f"{number}{would}{action}: {last} in the last pass, {_met_words(account, status)} in all"
    else:
        text = (
            f"{number}{action}: tried {format_size(stats.sz_tried)}, advised {format_size(stats.sz_applied)}"
        )
        if stats.sz_moved is not None:
            text += f", moved {format_size(stats.sz_moved)}"
    if status.why:
        text += f" ({'waiting' if status.active else 'inactive'}: {status.why})"
    elif why := _half_used(account, status):
        text += f" ({why})"
    return text


def _half_used(account: ActingReport, status: SchemeStatus) -> str:
    """Why a scheme does little though memory lies idle; "" where it did more than what it cannot have."""
    stats, size = status.stats, account.half_used.get(status.index, 0)
    moved = stats.sz_applied if stats.sz_moved is None else stats.sz_moved
    done = _met(account, status) if account.dry else moved
    if status.scheme.action is Action.STAT or size <= done:
        return ""
    return f"{format_size(size)} untouched lie in mappings that are used in part, and refs cannot tell which pages"


def summary(account: ActingReport, stopped_by: str) -> Shown:
    """The totals, in some lines."""
    found = [f"{format_length(account.seconds)}, ended by {stopped_by}; {_cost(account)}"]
    found += [f"scheme {_totals(account, status)}" for status in account.statuses]
    found += [f"before, scheme {_removed(account, status)}" for status in account.removed]
    found += [
        f"scheme {status.index} is inactive at the end: {status.why}"
        for status in account.statuses
        if not status.active and status.why
    ]
    if account.held:
        found.append(f"held back at the end: {account.held}")
    for status in account.statuses:
        if why := _half_used(account, status):
            found.append(f"scheme {status.index} could not have more: {why}")
    if account.dry:
        there = "" if account.resident is None else f"; {format_size(account.resident)} of it was in memory"
        found.append(f"dry run: nothing was done{there}")
    elif account.came_back is not None:
        found.append(f"came back within a minute: {format_size(account.came_back)}")
    left = [f"{format_size(size)} {why}" for why, size in sorted(account.left.items()) if size]
    if left:
        found.append(f"left alone: {', '.join(left)}")
    return lines(found)


def _cost(account: ActingReport) -> str:
    start = format_time(round(account.start_cpu_seconds, 2))
    return f"the monitor took {account.cpu_share:.2%} of a CPU, after {start} of CPU to start"


def _totals(account: ActingReport, status: SchemeStatus) -> str:
    stats, index = status.stats, status.index
    nothing_done = _nothing_done(account, status)
    size = _met_words(account, status) if nothing_done else format_size(stats.sz_tried)
    tried = f"{index} {status.scheme.action}: tried {size} in {counted(stats.nr_tried, 'region')}"
    if (passes := account.passes.passes.get(index, 0)) > 0:
        tried += f" and {counted(passes, 'pass', 'passes')} (at most {format_size(account.passes.most[index])} in one)"
    return tried if nothing_done else f"{tried}{_done(stats)}"


def _nothing_done(account: ActingReport, status: SchemeStatus) -> bool:
    return account.dry or status.scheme.action is Action.STAT


def _done(stats: SchemeStats) -> str:
    moved = "" if stats.sz_moved is None else f", moved {format_size(stats.sz_moved)}"
    full = f", quota used up {counted(stats.qt_exceeds, 'time')}" if stats.qt_exceeds else ""
    return f", advised {format_size(stats.sz_applied)}{moved}{full}"


def _removed(account: ActingReport, status: SchemeStatus) -> str:
    """The line of a scheme that is no longer in the file, without its number of passes: later schemes with the same
    number are counted in it."""
    stats = status.stats
    tried = f"{status.index} {status.scheme.action}: tried {format_size(stats.sz_tried)} in all passes"
    return tried if _nothing_done(account, status) else f"{tried}{_done(stats)}"


def _met(account: ActingReport, status: SchemeStatus) -> int:
    """What was tried where nothing is done: the same memory matches again and again, and counts once."""
    different = account.passes.different(status.index)
    return status.stats.sz_tried if different is None else different


def _met_words(account: ActingReport, status: SchemeStatus) -> str:
    """Passes are charged for bytes in memory where these are known, and what was met is ranges of addresses: where
    these are more than all passes were charged for, that is said."""
    size = _met(account, status)
    if 0 < status.stats.sz_tried < size:
        return (
            f"{format_size(size)} of addresses ({format_size(status.stats.sz_tried)} in memory, pass by pass)"
        )
    return format_size(size)


def document(account: ActingReport, stopped_by: str, more: Mapping[str, object]) -> dict[str, object]:
    """What --json prints: the totals, `more`, and each scheme."""
    return {
        "schema": 1,
        "advised_bytes": account.advised,
        "moved_bytes": account.moved,
        "refault_bytes": account.came_back,
        "seconds": round(account.seconds, 3),
        "stopped_by": stopped_by,
        "dry_run": account.dry,
        "tried_bytes": account.tried,
        "resident_bytes": account.resident,
        "left_bytes": dict(account.left),
        "monitor_cpu_share": round(account.cpu_share, 6),
        "monitor_start_cpu_seconds": round(account.start_cpu_seconds, 6),
        **more,
        "schemes": [_scheme(account, status) for status in account.statuses],
        "removed_schemes": [
            {"action": str(status.scheme.action), "stats": asdict(status.stats)} for status in account.removed
        ],
    }


def _scheme(account: ActingReport, status: SchemeStatus) -> dict[str, object]:
    passes, index = account.passes, status.index
    return {
        "action": str(status.scheme.action),
        "active": status.active,
        "why": status.why,
        "effective_bytes": status.effective_bytes,
        "passes": passes.passes.get(index),
        "tried_bytes_last_pass": passes.last.get(index),
        "tried_bytes_largest_pass": passes.most.get(index),
        "tried_bytes_different": passes.different(index),
        "stats": asdict(status.stats),
    }
