"""Way `refs`: all pages of a service are cleared, and then looked at, without clearing again, at the ages of a cycle.

Long and short cycles take turns (agent/cycles.py). What is referenced at a look was accessed since the pages were
cleared; the rest has been idle for as long. A process is known by sums, never by pages.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence

from udamon.agent.budget import LOOK_NS, pause_ns, touch_ns
from udamon.agent.cycles import WINDOW_S, Cycles, looks_of
from udamon.agent.figures import NS, WORKING_SET, Measured, ProcessAge, measure
from udamon.agent.looks import CLEAR, READ, SPLIT
from udamon.agent.process import PAUSE, WATCHED, Process
from udamon.agent.settings import REFS
from udamon.agent.watched import Tools, WatchedService, Way
from udamon.core.idle_time import SECONDS


class ByRefs(Way):
    via = REFS
    grain = "process"

    def __init__(self) -> None:
        self._plan = Cycles()
        self._look_ns = float(LOOK_NS)

    def cost_ns(self, processes: Collection[Process]) -> float:
        cost = self._look_ns * max(1, len(processes)) * 2
        for one in processes:
            cost += 2 * pause_ns(one) + touch_ns(one, one.referenced if one.cleared_ns else one.resident // 2)
        return cost

    def start(self, one: WatchedService, tools: Tools, now_ns: int, usage: int | None) -> None:
        self._clear(one, list(one.processes.values()), tools, now_ns)

    def take_in(self, one: WatchedService, new: Sequence[Process], tools: Tools, now_ns: int) -> None:
        self._clear(one, new, tools, now_ns)

    def _clear(self, one: WatchedService, processes: Sequence[Process], tools: Tools, now_ns: int) -> None:
        """Clear those that may be."""
        for each in processes:
            if each.state == PAUSE and pause_ns(each) <= one.settings.max_pause_ns:
                each.state = WATCHED  # it became smaller
            if each.state == WATCHED and pause_ns(each) > one.settings.max_pause_ns:
                each.forget(PAUSE)
        wanted = [each for each in processes if each.state == WATCHED]
        for some, found in tools.looks.look(wanted, CLEAR):
            for at, each in enumerate(some):
                if one.ended(each, found.error[at], tools):
                    each.restart_cycle()  # what is referenced was accessed since an earlier cycle
                    continue
                took = found.clear_ns[at]
                tools.spent.paused(took)
                if each.small_pages:
                    each.clear_ns = max(took / each.small_pages, each.clear_ns * 0.75)
                each.cleared(now_ns)

    def begin(self, one: WatchedService, tools: Tools, now_ns: int, *, scarce: bool) -> Sequence[int]:
        for each in one.processes.values():
            if each.cleared_ns:
                each.cleared(now_ns)
        if any(each.state == WATCHED and not each.cleared_ns for each in one.processes.values()):
            return looks_of(WINDOW_S, fine=False)  # one could not be cleared: that is tried again soon
        longest = one.settings.longest_age_s
        return self._plan.next(now_ns, now_ns - one.began_ns, scarce=scarce, longest_s=longest)

    def look(self, one: WatchedService, tools: Tools, now_ns: int) -> None:
        begin_ns = tools.spent.cpu_ns()
        grown: dict[int, int] = {}
        active = one.active
        for some, found in tools.looks.look(active, READ):
            for at, each in enumerate(some):
                if one.ended(each, found.error[at], tools):
                    continue
                idle_ns = each.looked_ns - each.cleared_ns if each.cleared_ns else 0
                before = each.referenced
                again = each.take(found, at, now_ns)
                if each.cleared_ns:
                    tools.spent.lost(touch_ns(each, each.referenced - before))
                if again and idle_ns >= NS:
                    highest = bisect_right(SECONDS, idle_ns / NS) - 1
                    grown[highest] = grown.get(highest, 0) + again
        if one.reached(now_ns):
            for some, found in tools.looks.look([each for each in active if each.needs_mappings], SPLIT):
                for at, each in enumerate(some):
                    if not one.ended(each, found.error[at], tools):
                        each.take(found, at, now_ns)
        if active:
            self._look_ns += ((tools.spent.cpu_ns() - begin_ns) / len(active) - self._look_ns) / 4
        self._fold(one, now_ns, grown)

    def age(self, one: WatchedService, now_ns: int) -> None:
        self._fold(one, now_ns, {})

    def _fold(self, one: WatchedService, now_ns: int, grown: dict[int, int]) -> None:
        processes = list(one.processes.values())
        figures = one.figures
        figures.grown(now_ns, grown)
        figures.told(processes)
        figures.promotions.advance(now_ns, now_ns - (one.looked_ns or now_ns))
        for at in one.reached(now_ns):
            figures.reached(at, _measured(processes, now_ns, SECONDS[at] * NS))
            if at == WORKING_SET:
                figures.need(now_ns, processes)

    def more_looks(self, looks: Sequence[int]) -> Sequence[int]:
        last, end = looks[-1], looks[-1] + WINDOW_S
        return (*(age for age in SECONDS if last < age < end), end)

    def gap(self) -> None:
        """Nothing is kept of pages."""

    def end(self, one: WatchedService, now_ns: int) -> None:
        if one.cycle_ns is not None:
            self._plan.learned(now_ns, now_ns - one.cycle_ns)
        one.figures.cycle_ended(now_ns)


def _measured(processes: Iterable[Process], now_ns: int, age_ns: int) -> Measured:
    """Of processes that were looked at now; one that was not, or was cleared later than `age_ns` ago, is not known."""

    def rows() -> Iterator[ProcessAge]:
        for one in processes:
            if one.looked_ns == now_ns and 0 < one.cleared_ns <= now_ns - age_ns:
                yield ProcessAge(
                    one.proportional, one.resident, one.idle, one.referenced, one.sure, one.resident
                )
            else:
                yield ProcessAge(one.proportional, one.resident, 0, one.resident, 0, 0)

    return measure(rows(), now_ns)
