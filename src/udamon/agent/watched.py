"""A service that the agent watches: its processes, where it is in its cycle, and what is known of it.

How it is looked at is its way (agent/ways/), which may become another one between two cycles.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from udamon.agent import cycles
from udamon.agent.cycles import WINDOW_S
from udamon.agent.discovery.classes import ServiceClass
from udamon.agent.discovery.model import Service
from udamon.agent.figures import NS, WORKING_SET, Figures
from udamon.agent.looks import NEW, Looks
from udamon.agent.process import DENIED, GIVEN, LOCKED, PAUSE, WATCHED, Process
from udamon.agent.process import NEW as NOT_YET
from udamon.agent.spending import Spending
from udamon.errors import OutOfFiles

GONE = frozenset((errno.ESRCH, errno.ENOENT))
REFUSED = frozenset((errno.EACCES, errno.EPERM))
FULL = frozenset((errno.EMFILE, errno.ENFILE))

GROUP = "group"
"""The grain of a way that looks at whole control groups."""

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
    """Counts of services and processes that were not looked at, by reason."""


class WatchedService:
    """One service. Not safe for several threads."""

    def __init__(self, service: Service, settings: ServiceClass, way: Way, now_ns: int) -> None:
        self.service = service
        self.settings = settings
        self.way = way
        self.unfit: set[str] = set()
        """Ways in which it cannot be looked at, which was found out by trying."""
        self.processes: dict[int, Process] = {}
        self.figures = Figures()
        self.began_ns = self.waits_since_ns = now_ns
        self.cycle_ns: int | None = None
        """When its pages were cleared; None between cycles."""
        self.looked_ns: int | None = None
        self.empty_until_ns = 0
        """It had no process, and is not asked again until then; 0 where it was not asked, or had one."""
        self.unsized = False
        """Whether it may have processes of which not even the size is known, for want of descriptors or of a right."""
        self.members_refused = False
        """Whether its members may not be read."""
        self.given = False
        """Whether a recording has it."""
        self.version = 0
        """Changes whenever a figure does."""
        self.looks: Sequence[int] = ()
        """Seconds after clearing at which this cycle looks."""
        self.usage: int | None = None
        self.usage_at_clear: int | None = None
        """The CPU time that its group had used before the last look, and before its pages were cleared."""
        self.resident = self._watched_bytes = 0
        self.spent_ns = self.longest_pause_ns = 0
        """What looking has cost so far, us and its processes; how long one look stopped a process, at most, since
        somebody set this to 0."""
        self.cost_ns = way.cost_ns(())
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

    def reached(self, now_ns: int) -> list[int]:
        """Ages (indices of SECONDS) that a look now tells of; none between cycles."""
        if self.cycle_ns is None:
            return []
        return cycles.reached(now_ns - self.cycle_ns, (self.looked_ns or self.cycle_ns) - self.cycle_ns)

    def due_ns(self) -> int | None:
        """When it is to be looked at next; None between cycles."""
        if self.cycle_ns is None:
            return None
        before_s = ((self.looked_ns or self.cycle_ns) - self.cycle_ns) / NS
        at = bisect_right(self.looks, before_s)
        return self.cycle_ns + self.looks[at] * NS if at < len(self.looks) else self.looked_ns

    def take_way(self, way: Way) -> None:
        """Look at it in another way from now on, between two cycles; ages begin anew."""
        for one in self.processes.values():
            one.restart_cycle()
        self.way = way
        self.figures.gap()
        self.figures.measured.clear()
        self.count()

    def refresh(self, pids: Iterable[int], tools: Tools, now_ns: int) -> None:
        """Take in who came and who went; new ones are looked at, and cleared where the service is in a cycle."""
        with self._charged(tools.spent):
            self._refresh(pids, tools, now_ns)

    def _refresh(self, pids: Iterable[int], tools: Tools, now_ns: int) -> None:
        wanted = set(pids)
        gone = [pid for pid in self.processes if pid not in wanted]
        for pid in gone:
            self.processes.pop(pid).forget(GIVEN)
        self.unsized = False
        new = self._newcomers(wanted, tools)
        for some, found in tools.looks.look(new, NEW):
            for at, one in enumerate(some):
                if not self.ended(one, found.error[at], tools):
                    one.guest = bool(found.guest[at])
                    one.take(found, at, now_ns)
                    self.processes[one.pid] = one
                    self._admit(one, tools)
        if self.cycle_ns is not None:
            taken = [one for one in new if one.pid in self.processes and one.state != NOT_YET]
            self.way.take_in(self, taken, tools, now_ns)
        if self.processes:
            self.empty_until_ns = 0
        if new or gone:
            self.count()

    def _newcomers(self, wanted: set[int], tools: Tools) -> list[Process]:
        """Those that came, and those whose first look or lock failed."""
        new = []
        known = {pid for pid, one in self.processes.items() if one.state != NOT_YET}
        for pid in sorted(wanted - known):
            try:
                found = tools.looks.identify(pid)
            except OutOfFiles:
                tools.dropped["descriptors"] += 1
                self.unsized |= pid not in self.processes
                continue
            if found is not None:
                new.append(Process(pid, found.start_time))
            else:
                self.processes.pop(pid, None)
        return new

    def _admit(self, one: Process, tools: Tools) -> None:
        try:
            one.admit(tools.lock)
        except OutOfFiles:  # who has the lock is not known; it is tried again
            tools.dropped["descriptors"] += 1

    @contextmanager
    def _charged(self, spent: Spending) -> Iterator[None]:
        before_ns, spent.recent_pause_ns = spent.total_ns, 0
        try:
            yield
        finally:
            self.spent_ns += spent.total_ns - before_ns
            self.longest_pause_ns = max(self.longest_pause_ns, spent.recent_pause_ns)

    def start(self, tools: Tools, now_ns: int, usage: int | None) -> None:
        """Clear its pages, and fold what was accessed until then where its way does so. `usage`: the group's CPU time
        before that."""
        with self._charged(tools.spent):
            self._start(tools, now_ns, usage)

    def _start(self, tools: Tools, now_ns: int, usage: int | None) -> None:
        for one in self.processes.values():
            if one.state in (LOCKED, PAUSE) and one.release is None:
                self._admit(one, tools)  # its way says again whether the pause is too long
            elif one.state == DENIED:
                self._refused(one, tools)
        self.way.start(self, tools, now_ns, usage)

    def begin(self, tools: Tools, now_ns: int, usage: int | None, *, scarce: bool) -> None:
        """A cycle begins, after all pages were cleared."""
        self.looks = self.way.begin(self, tools, now_ns, scarce=scarce)
        self.cycle_ns = self.looked_ns = now_ns
        self.usage = self.usage_at_clear = usage
        self.count()

    def may_age(self, usage: int | None) -> bool:
        """Whether nothing of it ran since the last look, so that its pages were not accessed: they only became older.
        Not for virtual machines, whose memory others access, nor where memory is shared: others may access it."""
        if usage is None or usage != self.usage or self.settings.always_look:
            return False
        return not any(one.guest or one.shmem for one in self.processes.values())

    def look(self, now_ns: int, tools: Tools, usage: int | None) -> None:
        """Look at all that are watched, and fold what is seen. `usage`: the group's CPU time before."""
        with self._charged(tools.spent):
            self.way.look(self, tools, now_ns)
        self.usage = usage
        self._looked(now_ns)

    def age(self, now_ns: int) -> None:
        """Nothing was accessed since the last look."""
        for one in self.active:
            one.looked_ns = now_ns
        self.way.age(self, now_ns)
        self._looked(now_ns)

    def _looked(self, now_ns: int) -> None:
        self.looked_ns = now_ns
        self.count()

    def count(self) -> None:
        """Sums over processes, which are asked for more often than they change."""
        self.version += 1
        self.resident = sum(one.resident for one in self.processes.values())
        self._watched_bytes = sum(
            one.resident - one.unknown for one in self.processes.values() if one.cleared_ns
        )
        self.cost_ns = self.way.cost_ns(self.processes.values())

    def at_end(self, usage: int | None) -> bool:
        """Whether the cycle is over. One in which nothing ran at all may go on: its pages are as clear as ever."""
        if self.cycle_ns is None or self.looked_ns is None:
            return True
        age_s = (self.looked_ns - self.cycle_ns) / NS
        if age_s < self.looks[-1]:
            return False
        idle = usage is not None and usage == self.usage_at_clear and self.may_age(usage)
        if idle and age_s < self.settings.longest_age_s and (more := self.way.more_looks(self.looks)):
            self.looks = more
            return False
        return True

    def end(self, now_ns: int) -> None:
        """The cycle is over."""
        if self.cycle_ns is not None:
            self.way.end(self, now_ns)
            self.version += 1
        self.cycle_ns = None
        self.waits_since_ns = now_ns

    def give(self) -> None:
        """Let a recording have its processes: their locks are free, and nothing is known of what it does to them."""
        self.given = True
        for one in self.processes.values():
            one.forget(GIVEN)
        self.processes.clear()
        self.way.gap()
        self.count()
        self.figures.gap()
        self.cycle_ns = None

    def take_back(self, now_ns: int) -> None:
        """The recording has ended; its processes are new."""
        self.given = False
        self.waits_since_ns = now_ns

    def close(self) -> None:
        for one in self.processes.values():
            one.forget(GIVEN)
        self.processes.clear()

    def ended(self, one: Process, error: int, tools: Tools) -> bool:
        """Whether a look failed, by its errno: the process is gone, or may not be looked at."""
        if not error:
            return False
        if error in GONE:
            self.processes.pop(one.pid, one).forget(GIVEN)
        elif error in REFUSED:
            self._refused(one, tools)
            tools.dropped["permission"] += 1
            self.processes[one.pid] = one
        else:
            tools.dropped["descriptors" if error in FULL else "error"] += 1
            if one.state == NOT_YET:
                self._not_seen(one, tools)
        return True

    def _not_seen(self, one: Process, tools: Tools) -> None:
        """Its first look failed: it is there, and was not seen."""
        self.processes[one.pid] = one
        try:
            one.not_yet(tools.looks.resident(one.pid))
        except OutOfFiles:
            self.unsized = True

    def _refused(self, one: Process, tools: Tools) -> None:
        """The kernel does not allow a look at this process. Without a free descriptor its last size stays."""
        try:
            one.refused(tools.looks.resident(one.pid))
        except OutOfFiles:
            tools.dropped["descriptors"] += 1
            one.refused(one.resident)


def coverage(services: Collection[WatchedService], now_ns: int) -> float | None:
    """The share of their resident bytes that was looked at in the last window; None where no size is known, or that of
    some is not (WatchedService.unsized)."""
    if any(one.unsized for one in services):
        return None
    resident = sum(one.resident for one in services)
    return sum(one.fresh_bytes(now_ns) for one in services) / resident if resident else None


class Way(ABC):
    """Of looking at one service. A cycle is `start` (clear), `begin` when all that were started together are cleared,
    looks, and `end`.

    `via` names the primitive, `grain` the smallest unit whose accesses it sees. `hides`: clearing never flushes a
    TLB, so that accesses through it are not seen until they are made visible.
    """

    via: str
    grain: str
    hides = False

    @abstractmethod
    def cost_ns(self, processes: Collection[Process]) -> float:
        """What a cycle will cost, about: looks, clearing (ours, and the targets' pause) and touching again."""

    @abstractmethod
    def start(self, one: WatchedService, tools: Tools, now_ns: int, usage: int | None) -> None:
        """See WatchedService.start."""

    @abstractmethod
    def begin(self, one: WatchedService, tools: Tools, now_ns: int, *, scarce: bool) -> Sequence[int]:
        """The cycle begins now. Returns the seconds after which it looks, ascending."""

    @abstractmethod
    def take_in(self, one: WatchedService, new: Sequence[Process], tools: Tools, now_ns: int) -> None:
        """Processes that came within a cycle."""

    @abstractmethod
    def look(self, one: WatchedService, tools: Tools, now_ns: int) -> None:
        """Look, and fold what is seen into the service's figures."""

    @abstractmethod
    def age(self, one: WatchedService, now_ns: int) -> None:
        """The same where nothing was accessed since the last look."""

    def more_looks(self, looks: Sequence[int]) -> Sequence[int]:
        """A cycle in which nothing ran may go on with these; () where it may not."""
        return ()

    @abstractmethod
    def end(self, one: WatchedService, now_ns: int) -> None:
        """The cycle is over."""

    @abstractmethod
    def gap(self) -> None:
        """Nobody will look for some time: what is known of pages is not true any more."""
