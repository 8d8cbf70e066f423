"""All services of the node in turn, under one budget.

A service waits until the budget can pay for a cycle of it. The next one is that with the largest product of waiting
time and resident bytes, divided by what its cycle costs: so all bytes are looked at about equally often. Services
that begin together are cleared together; making accesses visible that TLBs hide costs CPU each time, which limits how
often that is. After that, a service is looked at once for each age of its cycle. A look is skipped if no process of
its control group has run since the previous look.
"""

from __future__ import annotations

import heapq
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count

from udamon.agent.budget import Budget
from udamon.agent.cycles import NS
from udamon.agent.discovery.classes import OFF
from udamon.agent.discovery.model import Discovery, Service, ServiceEnded
from udamon.agent.process import NEW as NOT_YET
from udamon.agent.process import PAUSE, WATCHED
from udamon.agent.settings import Settings
from udamon.agent.watched import Tools, WatchedService, coverage
from udamon.agent.ways.choice import Ways
from udamon.core.clock import Clock
from udamon.errors import NotPermitted, OutOfFiles

STATES = ("watched", "partial", "waiting", "pause", "refused", "given", "off")
"""What a service may be in."""

REASONS = (
    "budget", "descriptors", "memory", "permission", "error", "handover", "series", "name", "state", "spool", "otlp",
)  # fmt: skip
"""For which something was not looked at, or not told. All are counted from 0 on: of a counter that was not there before
nobody sees the first step."""

IDLE_NS = NS
"""The longest time without asking for changes."""
_BATCH_NS = 2 * NS
_EXPOSING = 0.1
"""Of the budget: what making accesses visible may take."""
_STEP_NS = 200_000_000
_LATE_WAIT_S = 30
_EMPTY_S = 30
_FEW = 64

ReadUsage = Callable[[Service, Sequence[int]], int | None]
"""CPU time that a service's control group has used, None where that is not known of all of its processes."""


class Rotation:
    """`guard` is held while anything changes; readers take it, too."""

    def __init__(
        self,
        discovery: Discovery,
        tools: Tools,
        clock: Clock,
        budget: Budget,
        settings: Settings,
        usage: ReadUsage,
        ways: Ways | None = None,
    ) -> None:
        self._discovery = discovery
        self._tools = tools
        self._clock = clock
        self._budget = budget
        self._usage = usage
        self._ways = ways or Ways()
        self.settings = settings
        self.guard = threading.RLock()
        self.services: dict[str, WatchedService] = {}
        self.off: dict[str, Service] = {}
        """Services of a class that is switched off."""
        self._holders: Counter[str] = Counter()
        """How many recordings have each service that was given."""
        self.dropped = tools.dropped
        self.dropped.update(dict.fromkeys(REASONS, 0))
        """What was not looked at, by reason."""
        self.steps = 0
        self.coming: Callable[[WatchedService], None] = lambda _: None
        """Called with each service that comes, and again when its name became known."""
        self.going: Callable[[WatchedService], None] = lambda _: None
        """Called with each service that ends."""
        self._due: list[tuple[int, int, WatchedService]] = []
        self._stale = 0
        self._numbers = count()
        self._class_budgets = _class_budgets(settings, clock.now_ns())
        self._next_batch_ns = clock.now_ns()

    def step(self) -> int:
        """Do what is due now; returns when something will be."""
        with self.guard:
            now_ns = self._clock.now_ns()
            self.steps += 1
            for budget in (self._budget, *self._class_budgets.values()):
                budget.advance(now_ns)
            self._tools.spent.settle()
            self._take_changes(now_ns)
            while self._due and self._due[0][0] <= now_ns and self._has_time(now_ns):
                _, _, watched = heapq.heappop(self._due)
                if self.services.get(watched.service.key) is watched:
                    self._look(watched)
            self._begin_some(now_ns)
            self._tools.spent.settle()
            now_ns = self._clock.now_ns()
            return min(
                now_ns + IDLE_NS,
                self._due[0][0] if self._due else now_ns + IDLE_NS,
                max(self._next_batch_ns, now_ns + _BATCH_NS // 20) if self._waiting() else now_ns + IDLE_NS,
            )

    def now_ns(self) -> int:
        """By the clock of this rotation."""
        return self._clock.now_ns()

    def apply(self, settings: Settings) -> None:
        """New settings: services of other classes begin anew."""
        with self.guard:
            self.settings = settings
            self._budget.share = settings.budget
            self._class_budgets = _class_budgets(settings, self._clock.now_ns())
            known = [*(one.service for one in self.services.values()), *self.off.values()]
            for service in known:
                one = self.services.get(service.key)
                if one is not None and one.settings == settings.class_of(service):
                    continue
                self._end(service.key)
                self._take(service, self._clock.now_ns())

    def give(self, keys: Sequence[str]) -> None:
        """Let a recording have these services' processes, also one that another recording has already."""
        with self.guard:
            for key in keys:
                if (one := self.services.get(key)) is None:
                    continue
                self._holders[key] += 1
                if not one.given:
                    one.give()
                    self.dropped["handover"] += 1

    def take_back(self, keys: Sequence[str]) -> None:
        """A recording has ended; a service that no other one has is watched again."""
        with self.guard:
            for key in keys:
                self._holders -= Counter((key,))
                if key not in self._holders and (one := self.services.get(key)) is not None and one.given:
                    one.take_back(self._clock.now_ns())

    def key_of(self, pid: int) -> str | None:
        """The service that a process is watched as part of."""
        with self.guard:
            return next((key for key, one in self.services.items() if pid in one.processes), None)

    def close(self) -> None:
        with self.guard:
            for one in self.services.values():
                one.close()
            self.services.clear()
            self._due.clear()

    def present(self) -> list[WatchedService]:
        """All but those that were found to have no process of their own."""
        return [one for one in self.services.values() if not one.empty]

    def states(self) -> Counter[str]:
        """Services by what is known of them now, and `off`; groups without processes of their own are none."""
        now_ns = self._clock.now_ns()
        found: Counter[str] = Counter(dict.fromkeys(STATES, 0))
        found["off"] = len(self.off)
        for one in self.present():
            fresh, resident = one.fresh_bytes(now_ns), one.resident
            if one.given:
                found["given"] += 1
            elif resident and fresh >= resident and not one.unsized:
                found["watched"] += 1
            elif fresh:
                found["partial"] += 1
            elif any(each.state == PAUSE for each in one.processes.values()):
                found["pause"] += 1
            elif (one.members_refused or one.processes) and not any(
                each.state in (WATCHED, NOT_YET) for each in one.processes.values()
            ):
                found["refused"] += 1
            else:
                found["waiting"] += 1
        return found

    def coverage(self) -> float | None:
        """Of all services."""
        return coverage(self.services.values(), self._clock.now_ns())

    def _take_changes(self, now_ns: int) -> None:
        try:
            changes = self._discovery.changes()
        except OutOfFiles:
            self.dropped["descriptors"] += 1
            return
        for change in changes:
            if isinstance(change, ServiceEnded):
                self._end(change.key)
            elif (
                known := self.services.get(change.key)
            ) is not None and known.service.cgroup == change.cgroup:
                known.service = change  # its name became known
                if known.settings == self.settings.class_of(change):
                    known.version += 1
                    self.coming(known)
                else:
                    self._end(change.key)
                    self._take(change, now_ns)
            else:
                self._end(change.key)
                self._take(change, now_ns)

    def _take(self, service: Service, now_ns: int) -> None:
        settings = self.settings.class_of(service)
        if settings.via == OFF:
            self.off[service.key] = service
            return
        one = WatchedService(service, settings, self._ways.first(settings.via), now_ns)
        one.given = service.key in self._holders
        self.services[service.key] = one
        self.coming(one)

    def _end(self, key: str) -> None:
        self.off.pop(key, None)
        one = self.services.pop(key, None)
        if one is not None:
            self.going(one)
            one.close()
            self._stale += 1
            if self._stale > _FEW and self._stale > len(self.services):
                self._due = [due for due in self._due if self.services.get(due[2].service.key) is due[2]]
                heapq.heapify(self._due)
                self._stale = 0

    def _look(self, one: WatchedService) -> None:
        now_ns = self._clock.now_ns()
        if one.cycle_ns is None or one.given:
            return
        usage = self._usage(one.service, list(one.processes))
        aged = one.may_age(usage)
        if self._budget.in_debt and not aged:
            self.dropped["budget"] += 1
            one.end(now_ns)
            return
        if not self._refresh(one):  # who was moved here came without using any CPU
            heapq.heappush(self._due, (now_ns + NS, next(self._numbers), one))
            return
        if not one.processes:
            one.end(now_ns)
            one.empty_until_ns = now_ns + _EMPTY_S * NS
            return
        if aged:
            one.age(now_ns)
        else:
            one.look(now_ns, self._tools, usage)
        if not one.at_end(usage):
            self._plan(one)
            return
        one.end(now_ns)

    def _refresh(self, one: WatchedService) -> bool:
        try:
            one.refresh(self._discovery.members(one.service), self._tools, self._clock.now_ns())
        except OutOfFiles:
            self.dropped["descriptors"] += 1
            one.unsized |= not one.processes
            return False
        except NotPermitted:
            self.dropped["permission"] += 1
            one.members_refused = True
            one.unsized |= not one.processes
            return False
        one.members_refused = False
        return True

    def _plan(self, one: WatchedService) -> None:
        due_ns = one.due_ns()
        if due_ns is not None:
            heapq.heappush(self._due, (due_ns, next(self._numbers), one))

    def _has_time(self, began_ns: int) -> bool:
        """Whether a step that began then may go on: others want what is guarded."""
        return self._clock.now_ns() - began_ns < _STEP_NS

    def _waiting(self) -> list[WatchedService]:
        """Services between cycles, but those that were found empty not long ago."""
        now_ns = self._clock.now_ns()
        return [
            one
            for one in self.services.values()
            if one.cycle_ns is None and not one.given and one.empty_until_ns <= now_ns
        ]

    def _begin_some(self, now_ns: int) -> None:
        """Begin cycles of those that wait, as far as they can be paid for."""
        if now_ns < self._next_batch_ns or not (waiting := self._waiting()):
            return
        cost_ns = self._tools.looks.expose_ns()
        self._next_batch_ns = now_ns + max(_BATCH_NS, int(cost_ns / (_EXPOSING * self._budget.share)))

        def urgency(one: WatchedService) -> float:
            return (now_ns - one.waits_since_ns + NS) * (one.resident + 1) / one.cost_ns

        late = sum(now_ns - one.waits_since_ns > _LATE_WAIT_S * NS for one in waiting)
        for one in waiting:
            if not one.processes and not self._budget.in_debt and self._has_time(now_ns):
                self._refresh(one)  # how large it is
        begun: list[tuple[WatchedService, int | None]] = []
        for one in sorted(waiting, key=urgency, reverse=True):
            if not self._budget.allows(one.cost_ns) or not self._has_time(now_ns):
                break
            own = self._class_budgets.get(one.settings.name)
            if own is not None and not own.allows(one.cost_ns):
                continue  # before it is read what is in it
            if not self._refresh(one):
                continue
            if not one.processes:
                one.empty_until_ns = now_ns + _EMPTY_S * NS
                continue
            try:
                via = self._ways.best(one, self._budget.share)
            except OutOfFiles:
                self.dropped["descriptors"] += 1
                continue
            if not self._budget.allows(one.cost_ns):
                break
            if own is not None:
                if not own.allows(one.cost_ns):
                    continue
                own.charge(int(one.cost_ns))
            usage = self._usage(one.service, list(one.processes))
            if via != one.way.via:
                one.take_way(self._ways.make(via))
            one.start(self._tools, now_ns, usage)
            self._tools.spent.settle()
            begun.append((one, usage))
        if begun:
            self._tools.looks.expose(hidden=any(one.way.hides for one, _ in begun))
        # Ages count from here, when all is cleared: what is said to be idle for a time was idle for no less.
        now_ns = self._clock.now_ns()
        for one, usage in begun:
            one.begin(self._tools, now_ns, usage, scarce=late > 1)
            self._plan(one)


def _class_budgets(settings: Settings, now_ns: int) -> dict[str, Budget]:
    """Of the classes that have one of their own, by name."""
    classes = (*settings.classes, settings.default)
    return {one.name: Budget(one.budget, now_ns) for one in classes if one.budget is not None}
