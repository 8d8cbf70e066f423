"""A service that the agent watches: its processes, and where it is in its cycle."""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from udamon.agent import cycles
from udamon.agent.budget import LOOK_NS, pause_ns, touch_ns
from udamon.agent.cycles import WINDOW_S, Cycles
from udamon.agent.discovery.classes import ServiceClass
from udamon.agent.discovery.model import Service
from udamon.agent.figures import NS, WORKING_SET, Figures, measure
from udamon.agent.looks import CLEAR, NEW, READ, SPLIT, Looks
from udamon.agent.process import DENIED, GIVEN, LOCKED, PAUSE, WATCHED, Process
from udamon.agent.spending import Spending
from udamon.core.idle_time import SECONDS

GONE = frozenset((errno.ESRCH, errno.ENOENT))
REFUSED = frozenset((errno.EACCES, errno.EPERM))
FULL = frozenset((errno.EMFILE, errno.ENFILE))

LATE_S = 12
"""A look may come so late."""

TakeLock = Callable[[int, int], Callable[[], None] | None]
"""Lock a process (pid, start time): what gives it back; None where another monitor has it."""


class Tools(NamedTuple):
    """What a service is looked at with."""

    looks: Looks
    lock: TakeLock
    spent: Spending
    dropped: Counter[str]
    """What was not looked at, by reason."""


class Watched:
    """One service. Not safe for several threads."""

    def __init__(self, service: Service, settings: ServiceClass, now_ns: int) -> None:
        self.service = service
        self.settings = settings
        self.processes: dict[int, Process] = {}
        self.figures = Figures()
        self.began_ns = self.waits_since_ns = now_ns
        self.cycle_ns: int | None = None
        """When its pages were cleared; None between cycles."""
        self.looked_ns: int | None = None
        self.empty_until_ns = 0
        """It had no process, and is not asked again until then; 0 where it was not asked, or had one."""
        self.given = False
        """Whether a recording has it."""
        self.version = 0
        """Changes whenever a figure does."""
        self._looks: Sequence[int] = ()
        self._plan = Cycles()
        self._usage: int | None = None
        self._usage_at_clear: int | None = None
        self._look_ns = float(LOOK_NS)
        self.resident = self._watched_bytes = 0
        self.cost_ns = float(LOOK_NS)
        """What a cycle will cost, about: looks, clearing (ours, and the targets' pause) and touching again."""

    @property
    def active(self) -> list[Process]:
        """Those that are looked at."""
        return [one for one in self.processes.values() if one.state in (WATCHED, PAUSE)]

    @property
    def empty(self) -> bool:
        """Whether it was found to have no process of its own: a group of groups, or one that all have left."""
        return not self.processes and self.empty_until_ns > 0

    def fresh_bytes(self, now_ns: int) -> int:
        """Resident bytes of processes that were watched for a whole window which ended not long ago."""
        late = self.looked_ns is None or now_ns - self.looked_ns > (WINDOW_S + LATE_S) * NS
        return 0 if late or WORKING_SET not in self.figures.measured else self._watched_bytes

    def due_ns(self) -> int | None:
        """When it is to be looked at next; None between cycles."""
        if self.cycle_ns is None:
            return None
        before_s = ((self.looked_ns or self.cycle_ns) - self.cycle_ns) / NS
        at = bisect_right(self._looks, before_s)
        return self.cycle_ns + self._looks[at] * NS if at < len(self._looks) else self.looked_ns

    def refresh(self, pids: Iterable[int], tools: Tools, now_ns: int) -> None:
        """Take in who came and who went; new ones are looked at, and cleared where the service is in a cycle. Raises
        OutOfFiles."""
        wanted = set(pids)
        for pid in [pid for pid in self.processes if pid not in wanted]:
            self.processes.pop(pid).forget(GIVEN)
        new = []
        for pid in sorted(wanted - self.processes.keys()):
            known = tools.looks.identify(pid)
            if known is not None:
                new.append(Process(pid, known.start_time))
        for some, found in tools.looks.look(new, NEW):
            for at, one in enumerate(some):
                if not self._ended(one, found.error[at], tools):
                    one.guest = bool(found.guest[at])
                    one.take(found, at, now_ns)
                    self.processes[one.pid] = one
                    _admit(one, tools.lock)
        if self.cycle_ns is not None:
            self.clear([one for one in new if one.pid in self.processes], tools, now_ns)
        self._count()

    def clear(self, processes: Sequence[Process], tools: Tools, now_ns: int) -> None:
        """Clear those that may be."""
        for one in processes:
            if one.state == LOCKED:
                _admit(one, tools.lock)
            if one.state == PAUSE and pause_ns(one) <= self.settings.max_pause_ns:
                one.state = WATCHED  # it became smaller
            if one.state == WATCHED and pause_ns(one) > self.settings.max_pause_ns:
                one.forget(PAUSE)
        wanted = [one for one in processes if one.state == WATCHED]
        for some, found in tools.looks.look(wanted, CLEAR):
            for at, one in enumerate(some):
                if self._ended(one, found.error[at], tools):
                    continue
                took = found.clear_ns[at]
                tools.spent.paused(took)
                if one.small_pages:
                    one.clear_ns = max(took / one.small_pages, one.clear_ns * 0.75)
                one.cleared(now_ns)

    def begin(self, now_ns: int, usage: int | None, *, scarce: bool) -> None:
        """A cycle begins, after all pages were cleared; `usage`: the group's CPU time before that."""
        for one in self.processes.values():
            if one.cleared_ns:
                one.cleared(now_ns)
        longest = self.settings.longest_age_s
        self._looks = self._plan.next(now_ns, now_ns - self.began_ns, scarce=scarce, longest_s=longest)
        self.cycle_ns = self.looked_ns = now_ns
        self._usage = self._usage_at_clear = usage
        self._count()

    def may_age(self, usage: int | None) -> bool:
        """Whether nothing of it ran since the last look, so that its pages were not accessed: they only became older.
        Not for virtual machines, whose memory others access, nor where memory is shared with who knows whom."""
        if usage is None or usage != self._usage or self.settings.always_look:
            return False
        return not any(one.guest or one.shmem for one in self.processes.values())

    def look(self, now_ns: int, tools: Tools, usage: int | None) -> None:
        """Look at all that are watched, and fold what is seen. `usage`: the group's CPU time before."""
        begin_ns = tools.spent.cpu_ns()
        grown: dict[int, int] = {}
        active = self.active
        for some, found in tools.looks.look(active, READ):
            for at, one in enumerate(some):
                if self._ended(one, found.error[at], tools):
                    continue
                idle_ns = one.looked_ns - one.cleared_ns if one.cleared_ns else 0
                before = one.referenced
                again = one.take(found, at, now_ns)
                if one.cleared_ns:
                    tools.spent.lost(touch_ns(one, one.referenced - before))
                if again and idle_ns >= NS:
                    highest = bisect_right(SECONDS, idle_ns / NS) - 1
                    grown[highest] = grown.get(highest, 0) + again
        if self.cycle_ns is not None and self._reached(now_ns):
            for some, found in tools.looks.look([one for one in active if one.vague], SPLIT):
                for at, one in enumerate(some):
                    if not self._ended(one, found.error[at], tools):
                        one.take(found, at, now_ns)
        if active:
            self._look_ns += ((tools.spent.cpu_ns() - begin_ns) / len(active) - self._look_ns) / 4
        self._usage = usage
        self.figures.grown(now_ns, grown)
        self._fold(now_ns)

    def age(self, now_ns: int) -> None:
        """Nothing was accessed since the last look."""
        for one in self.active:
            one.looked_ns = now_ns
        self.figures.grown(now_ns, {})
        self._fold(now_ns)

    def _count(self) -> None:
        """Sums over processes, which are asked for more often than they change."""
        self.resident = self._watched_bytes = 0
        self.cost_ns = self._look_ns * max(1, len(self.processes)) * 2
        for one in self.processes.values():
            self.resident += one.resident
            touched = one.resident // 2
            if one.cleared_ns:
                self._watched_bytes += one.resident
                touched = one.referenced
            self.cost_ns += 2 * pause_ns(one) + touch_ns(one, touched)

    def _fold(self, now_ns: int) -> None:
        processes = list(self.processes.values())
        figures = self.figures
        figures.told(processes)
        figures.promotions.watched_ns += now_ns - (self.looked_ns or now_ns)
        figures.promotions.advance(now_ns)
        if self.cycle_ns is not None:
            for at in self._reached(now_ns):
                figures.reached(at, measure(processes, now_ns, SECONDS[at] * NS))
                if at == WORKING_SET:
                    self._need(processes, now_ns)
        self.looked_ns = now_ns
        self._count()
        self.version += 1

    def _reached(self, now_ns: int) -> list[int]:
        """Ages (indices of SECONDS) that a look now tells of."""
        cycle_ns = self.cycle_ns or now_ns
        return cycles.reached(now_ns - cycle_ns, (self.looked_ns or cycle_ns) - cycle_ns)

    def _need(self, processes: Sequence[Process], now_ns: int) -> None:
        kept = sum(one.kept for one in processes)
        files = sum(min(one.referenced, one.resident - one.kept) for one in processes)
        self.figures.needs.add(now_ns, kept, files)

    def at_end(self, usage: int | None) -> bool:
        """Whether the cycle is over. One in which nothing ran at all goes on: its pages are as clear as ever."""
        if self.cycle_ns is None or self.looked_ns is None:
            return True
        age_s = (self.looked_ns - self.cycle_ns) / NS
        if age_s < self._looks[-1]:
            return False
        idle = usage is not None and usage == self._usage_at_clear and self.may_age(usage)
        if idle and age_s < self.settings.longest_age_s:
            last, end = self._looks[-1], self._looks[-1] + WINDOW_S
            self._looks = (*(age for age in SECONDS if last < age < end), end)
            return False
        return True

    def end(self, now_ns: int) -> None:
        """The cycle is over."""
        if self.cycle_ns is not None:
            self._plan.learned(now_ns, now_ns - self.cycle_ns)
            self.figures.cycle_ended(now_ns)
        self.cycle_ns = None
        self.waits_since_ns = now_ns

    def give(self) -> None:
        """Let a recording have its processes: their locks are free, and nothing is known of what it does to them."""
        self.given = True
        for one in self.processes.values():
            one.forget(GIVEN)
        self.processes.clear()
        self._count()
        self.figures.gap()
        self.cycle_ns = None
        self.version += 1

    def take_back(self, now_ns: int) -> None:
        """The recording has ended; its processes are new."""
        self.given = False
        self.waits_since_ns = now_ns

    def close(self) -> None:
        for one in self.processes.values():
            one.forget(GIVEN)
        self.processes.clear()

    def _ended(self, one: Process, error: int, tools: Tools) -> bool:
        """Whether a look failed: the process is gone, or may not be looked at."""
        if not error:
            return False
        if error in GONE:
            self.processes.pop(one.pid, one).forget(GIVEN)
        elif error in REFUSED:
            one.forget(DENIED)
            self.processes[one.pid] = one
        else:
            tools.dropped["descriptors" if error in FULL else "error"] += 1
        return True


def _admit(one: Process, lock: TakeLock) -> None:
    release = lock(one.pid, one.start_time)
    one.state, one.release = (LOCKED, None) if release is None else (WATCHED, release)
