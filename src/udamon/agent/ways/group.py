"""Way `lru_gen`: whole control groups, by the kernel's generations of pages (modules/group_ages.py).

A window begins and ends with a forced aging, which stops no process. It tells how much is idle for how long, page cache
that is only read included, between bounds; what was accessed again after an age it does not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from udamon.agent import settings
from udamon.agent.budget import LOOK_NS
from udamon.agent.cycles import WINDOW_S, looks_of
from udamon.agent.discovery.model import Service
from udamon.agent.figures import WORKING_SET, Between, Measured
from udamon.agent.process import LOCKED, NEW, Process
from udamon.agent.watched import FULL, GROUP, Tools, WatchedService, Way
from udamon.core.idle_time import SECONDS
from udamon.errors import OutOfFiles
from udamon.linux.lru_gen import LRU_GEN, NodeLru, read
from udamon.model import PAGE_SIZE
from udamon.modules.group_ages import GroupWatch
from udamon.ops.base import TOUCH_NS

_PAGE_NS = 30
_KINDS = ("anon", "file")


class GroupReadings:
    """What the kernel tells of all groups, read once for all that are asked for at one time."""

    def __init__(self, groups: Callable[[Service], Sequence[str]]) -> None:
        self.groups = groups
        self._as_of: tuple[int, bool] | None = None
        self._found: list[NodeLru] = []

    def read(self, now_ns: int, *, aged: bool) -> list[NodeLru]:
        """`aged`: after all that begin at `now_ns` were aged, else before that. Raises OSError, OutOfFiles."""
        if self._as_of != (now_ns, aged):
            self._found, self._as_of = read(LRU_GEN), (now_ns, aged)
        return self._found


class ByGroup(Way):
    via = settings.LRU_GEN
    grain = GROUP
    hides = True

    def __init__(self, generations: GroupReadings) -> None:
        self._generations = generations
        self._watch: GroupWatch | None = None
        self._began_ns: int | None = None
        self._aged = False

    def cost_ns(self, processes: Collection[Process]) -> float:
        pages = sum(one.resident for one in processes) // PAGE_SIZE
        return LOOK_NS * 10 + pages * (_PAGE_NS + TOUCH_NS // 4)

    def start(self, one: WatchedService, tools: Tools, now_ns: int, usage: int | None) -> None:
        """Ages the group, unless another monitor watches a process of it, or may: that would clear its bits."""
        self._aged = False
        if any(each.state in (LOCKED, NEW) for each in one.processes.values()):
            return
        groups = set(self._generations.groups(one.service))
        if self._watch is None:
            self._watch = GroupWatch(groups.__contains__)
        self._watch.chosen = groups.__contains__
        try:
            self._watch.force(self._generations.read(now_ns, aged=False))
            self._aged = True
        except (OSError, OutOfFiles) as error:
            self._failed(one, error, tools)

    def begin(self, one: WatchedService, tools: Tools, now_ns: int, *, scarce: bool) -> Sequence[int]:
        watch = self._watch
        for each in one.processes.values():
            each.cleared_ns = 0  # not looked at, unless all of this comes to its end
        if self._aged and watch is not None:
            try:
                touched = watch.take(self._generations.read(now_ns, aged=True), now_ns)
            except (OSError, OutOfFiles) as error:
                self._failed(one, error, tools)
                return looks_of(WINDOW_S, fine=False)
            if not watch.parts:
                one.unfit.add(self.via)  # the memory controller is off for it
            for each in one.processes.values():
                each.cleared_ns = each.looked_ns = now_ns
            if self._began_ns is None:
                self._began_ns = now_ns
            else:
                tools.spent.lost(touched // PAGE_SIZE * TOUCH_NS)
                self._tell(one, watch, now_ns)
        return looks_of(WINDOW_S, fine=False)

    def _failed(self, one: WatchedService, error: OSError | OutOfFiles, tools: Tools) -> None:
        """What passes is tried again by the next cycle; for all else there is another way."""
        if isinstance(error, OutOfFiles) or error.errno in FULL:
            tools.dropped["descriptors"] += 1
        else:
            one.unfit.add(self.via)

    def _tell(self, one: WatchedService, watch: GroupWatch, now_ns: int) -> None:
        found = [watch.cold(kind) for kind in _KINDS]
        size = round(sum(each.size for each in found))
        figures = one.figures
        figures.told(one.processes.values())
        figures.resident = Between(size, size)
        for at, seconds in enumerate(SECONDS):
            if not WINDOW_S <= seconds <= one.settings.longest_age_s or found[0].low[at] is None:
                continue
            low, high = (
                round(sum(values))
                for values in zip(*((e.low[at] or 0, e.high[at] or 0) for e in found), strict=True)
            )
            accessed = Between(max(0, size - high), max(0, size - low))
            figures.measured[at] = Measured(now_ns, figures.resident, Between(low, high), accessed, 1.0)
            if at == WORKING_SET:
                file = found[1]
                accessed_files = round(file.size - (file.low[at] or 0))
                figures.needs.add(now_ns, round(found[0].size), accessed_files)
        one.looked_ns = now_ns
        one.version += 1

    def take_in(self, one: WatchedService, new: Sequence[Process], tools: Tools, now_ns: int) -> None:
        """The group has them already."""
        for each in new:
            each.cleared_ns = each.looked_ns = now_ns

    def look(self, one: WatchedService, tools: Tools, now_ns: int) -> None:
        """The next aging tells."""

    def age(self, one: WatchedService, now_ns: int) -> None:
        """The next aging tells."""

    def end(self, one: WatchedService, now_ns: int) -> None:
        """What clears for the next cycle tells of this one."""

    def gap(self) -> None:
        self._watch = self._began_ns = None
