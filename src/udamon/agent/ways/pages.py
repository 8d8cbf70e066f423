"""Ways `pte` and `idle`: single pages, and for each of them one of 15 times at which it was accessed last.

A cycle is one window of 120 s or more: it ends with the look that clears for the next one. That look tells all ages
from the window's length on; those below are told by looks in between, once an hour, which do not clear.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence

from udamon.agent.budget import LOOK_NS
from udamon.agent.cycles import WINDOW_S, Cycles
from udamon.agent.epochs import UNCHANGED, Epochs
from udamon.agent.figures import NS, WORKING_SET, ProcessAge, measure
from udamon.agent.looks import READ
from udamon.agent.page_states import PageStates
from udamon.agent.pages import Folded, PageCounts, PageTimes, Room, counted_pages
from udamon.agent.process import DENIED, GIVEN, PAUSE, WATCHED, Process
from udamon.agent.watched import LATE_S, Tools, WatchedService, Way
from udamon.core.idle_time import SECONDS
from udamon.errors import CannotError, NotPermitted, NotSupported, OutOfFiles, PauseTooLong, TargetGone
from udamon.linux.procfs import ProcessId
from udamon.model import PAGE, PAGE_SIZE
from udamon.ops.base import TOUCH_NS


class ByPages(Way):
    """`room` is that of all services."""

    grain = PAGE

    def __init__(self, states: PageStates, room: Room) -> None:
        self.via = states.via
        self.hides = states.hides
        self._states = states
        self._room = room
        self._plan = Cycles()
        self._epochs = Epochs()
        self._began_ns: int | None = None
        """When its pages were cleared for the first time."""
        self._told_ns: int | None = None
        """When the ages of all pages were told last; accesses have been seen since then."""
        self._cleared_ns = 0
        self._cleared_now = False
        self._cost_ns: float | None = None

    def cost_ns(self, processes: Collection[Process]) -> float:
        pages = sum(one.resident for one in processes if one.state != DENIED) // PAGE_SIZE
        touched = (
            sum(
                one.referenced if one.cleared_ns else one.resident // 2
                for one in processes
                if one.state != DENIED
            )
            // PAGE_SIZE
        )
        own = self._cost_ns
        if own is None:
            own = LOOK_NS * max(1, len(processes)) * 3 + pages * self._states.page_ns
        return max(own, LOOK_NS) + touched * TOUCH_NS

    def start(self, one: WatchedService, tools: Tools, now_ns: int, usage: int | None) -> None:
        active = [each for each in one.processes.values() if each.state in (WATCHED, PAUSE)]
        known = bool(self._epochs.epochs) and all(each.pages is not None for each in active)
        if known and usage == one.usage_at_clear and one.may_age(usage):
            for each in active:
                each.looked_ns, each.referenced = now_ns, 0
            self._tell(one, now_ns, {})
            return
        begin_ns = tools.spent.cpu_ns()
        remap = self._epochs.open(self._cleared_ns, now_ns)
        again: dict[int, int] = {}
        for each in self._sized(one, active, tools, now_ns):
            folded = self._fold(one, each, tools, now_ns, remap)
            if folded is not None:
                self._add_again(folded, again)
        for each in active:
            if each.pages is not None and each.looked_ns != now_ns:
                each.restart_cycle()  # it was not looked at: its pages have numbers of before this window
        self._epochs.counted(each.pages.pages for each in one.processes.values() if each.pages is not None)
        self._cost_ns = float(tools.spent.cpu_ns() - begin_ns)
        self._tell(one, now_ns, again)
        self._cleared_ns, self._cleared_now = now_ns, True

    def _sized(
        self, one: WatchedService, processes: Sequence[Process], tools: Tools, now_ns: int
    ) -> Iterator[Process]:
        """Those that can be looked at, their sizes known as of now."""
        for some, found in tools.looks.look(processes, READ):
            for at, each in enumerate(some):
                if not one.ended(each, found.error[at], tools):
                    each.take(found, at, now_ns)
                    yield each

    def _fold(
        self, one: WatchedService, each: Process, tools: Tools, now_ns: int, remap: bytes
    ) -> Folded | None:
        """Look at a process and clear it; None where that cannot be done. `remap`: see PageTimes.fold."""
        process = ProcessId(each.pid, each.start_time)
        if each.pages is None:
            each.pages = PageTimes(self._room, now_ns, lambda: self._states.forget(process))
        gibs = self._states.look(process, one.settings.max_pause_ns, clear=True)
        try:
            folded = each.pages.fold(gibs, remap, self._epochs.newest)
        except CannotError as error:
            self._failed(one, each, error, tools)
            return None
        if each.state == PAUSE:
            each.state = WATCHED
        if each.pages.left_out:
            tools.dropped["memory"] += 1
        each.cleared_ns = now_ns
        each.referenced = min(each.resident, folded.touched * PAGE_SIZE)
        each.unknown = max(0, each.resident - each.pages.counted)
        if each.pages.since_ns < now_ns:
            tools.spent.lost(folded.touched * TOUCH_NS)
        if self._states.held_ns:
            tools.spent.paused(self._states.held_ns)
        return folded

    def _failed(self, one: WatchedService, each: Process, error: CannotError, tools: Tools) -> None:
        each.restart_cycle()
        if isinstance(error, TargetGone):
            one.processes.pop(each.pid, each).forget(GIVEN)
        elif isinstance(error, PauseTooLong):
            each.state = PAUSE
            one.unfit.add(self.via)
        elif isinstance(error, OutOfFiles):
            tools.dropped["descriptors"] += 1
        else:
            tools.dropped["permission" if isinstance(error, NotPermitted) else "error"] += 1
            if isinstance(error, NotPermitted | NotSupported):
                one.unfit.add(self.via)

    def _add_again(self, folded: Folded, again: dict[int, int]) -> None:
        """Bytes accessed again, by the highest age that they surely had when the window began."""
        for epoch, pages in zip(self._epochs.epochs, folded.again, strict=False):
            idle_ns = self._cleared_ns - epoch.newest_ns
            if pages and idle_ns >= NS:
                highest = bisect_right(SECONDS, idle_ns / NS) - 1
                again[highest] = again.get(highest, 0) + pages * PAGE_SIZE

    def begin(self, one: WatchedService, tools: Tools, now_ns: int, *, scarce: bool) -> Sequence[int]:
        if self._cleared_now:
            # What a TLB hid until now is not seen: it may have been accessed until now.
            self._epochs.cleared(now_ns)
            for each in one.processes.values():
                if each.pages is not None and each.pages.since_ns == self._cleared_ns:
                    each.pages.since_ns = now_ns
            self._cleared_ns, self._cleared_now = now_ns, False
        self._began_ns = self._began_ns or now_ns
        return self._plan.next(now_ns, now_ns - one.began_ns, scarce=False, longest_s=WINDOW_S)

    def take_in(self, one: WatchedService, new: Sequence[Process], tools: Tools, now_ns: int) -> None:
        """Its pages have the newest epoch, which is older than they may be: of ages before `now_ns` nothing is told."""
        for each in new:
            if each.state == WATCHED:
                self._fold(one, each, tools, now_ns, UNCHANGED)

    def look(self, one: WatchedService, tools: Tools, now_ns: int) -> None:
        at = _reached(one, now_ns)
        if not at:
            return  # the look that clears tells all
        latest_ns = now_ns - SECONDS[at[-1]] * NS
        cleared = [each for each in one.active if each.pages is not None and 0 < each.cleared_ns <= latest_ns]
        touched = {
            each.pid: each.referenced for each in cleared
        }  # in a whole window, as the next one will cost
        seen: dict[int, PageCounts] = {}
        for each in self._sized(one, cleared, tools, now_ns):
            each.referenced = min(each.resident, touched[each.pid])
            process = ProcessId(each.pid, each.start_time)
            try:
                gibs = self._states.look(process, one.settings.max_pause_ns, clear=False)
                found = [counted_pages(states) for _, states in gibs]
            except CannotError as error:
                self._failed(one, each, error, tools)
            else:
                seen[each.pid] = PageCounts(
                    sum(part.resident for part in found), sum(part.touched for part in found)
                )
        rows = []
        for each in one.processes.values():
            pages = seen.get(each.pid, PageCounts(0, 0))
            idle = (pages.resident - pages.touched) * PAGE_SIZE
            rows.append(_row(each, pages.resident * PAGE_SIZE, idle, idle))
        for each_age in at:
            one.figures.reached(each_age, measure(rows, now_ns))

    def age(self, one: WatchedService, now_ns: int) -> None:
        for at in _reached(one, now_ns):
            rows = [
                _row(each, size, size, size) for each in one.processes.values() for size in [_counted(each)]
            ]
            one.figures.reached(at, measure(rows, now_ns))

    def _tell(self, one: WatchedService, now_ns: int, again: dict[int, int]) -> None:
        """All ages that are known at the end of a window."""
        figures, processes = one.figures, list(one.processes.values())
        figures.told(processes)
        figures.promotions.advance(now_ns, 0 if self._told_ns is None else now_ns - self._told_ns)
        self._told_ns = now_ns
        figures.grown(now_ns, again)
        figures.cycle_ended(now_ns)
        one.looked_ns = now_ns
        one.version += 1
        for at, seconds in enumerate(SECONDS):
            age_ns = seconds * NS
            known = self._began_ns is not None and now_ns - self._began_ns >= age_ns
            if not known or not WINDOW_S <= seconds <= one.settings.longest_age_s:
                continue
            figures.reached(at, measure([self._known(each, now_ns, age_ns) for each in processes], now_ns))
            if at == WORKING_SET:
                figures.need(now_ns, processes)

    def _known(self, each: Process, now_ns: int, age_ns: int) -> ProcessAge:
        if each.pages is None or each.looked_ns != now_ns or now_ns - each.pages.since_ns < age_ns:
            return _row(each, 0, 0, 0)
        low, high = self._epochs.idle(each.pages.pages, now_ns, age_ns, LATE_S * NS)
        return _row(each, each.pages.counted, low * PAGE_SIZE, high * PAGE_SIZE)

    def end(self, one: WatchedService, now_ns: int) -> None:
        """What clears for the next cycle tells of this one."""

    def gap(self) -> None:
        self._epochs = Epochs()
        self._began_ns = self._told_ns = None


def _reached(one: WatchedService, now_ns: int) -> list[int]:
    """Ages below a window (indices of SECONDS) that a look within a cycle tells of."""
    return [at for at in one.reached(now_ns) if SECONDS[at] < WINDOW_S]


def _counted(each: Process) -> int:
    return 0 if each.pages is None else each.pages.counted


def _row(each: Process, counted: int, low: int, high: int) -> ProcessAge:
    """Of `counted` bytes of a process's pages, what was not accessed: at least and at most."""
    counted = min(counted, each.resident)
    return ProcessAge(
        each.proportional, each.resident, max(0, low - each.shared), each.resident - min(low, counted),
        max(0, counted - high - each.shared), counted,
    )  # fmt: skip
