"""Ages of the memory of whole control groups, by the kernel's own generations of pages (linux/lru_gen.py): watch only.

A window begins and ends with a forced aging of the group and of all below it, on every node. What reclaim does with the
generations later is the kernel's business; whether it does other things because of the aging was measured
(docs/limits.md#what-forced-aging-changes).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from udamon.core.generations import ColdGenerations, Generations, PageGeneration, told
from udamon.errors import CannotError
from udamon.linux.lru_gen import LRU_GEN, NodeLru, age, read, within
from udamon.model import PAGE_SIZE
from udamon.ops.base import TOUCH_NS

SHORTEST_NS = 1_000_000_000
LONGEST_NS = 3_600_000_000_000
HISTORY = 5
"""Windows whose costs are remembered: the largest of them is what must be paid."""

_Key = tuple[int, str, int]


class AgedGroup(NamedTuple):
    """A group or a node of it: its pages of both kinds."""

    memcg: int
    path: str
    node: int
    anon: Generations
    file: Generations


class GroupWatch:
    """Of the group called `inside` in its hierarchy and of all below it ("/" is the whole machine), or of those that it
    says of, by their paths.

    `windows` that are complete; `aging_ns`: CPU that the last window's aging and reading took; `target_cost_ns`: what
    those in the group lose by touching pages again, an estimate; `foreign`: generations that others began.
    """

    def __init__(
        self,
        inside: str | Callable[[str], bool],
        path: Path = LRU_GEN,
        now_ns: Callable[[], int] = time.monotonic_ns,
        cpu_ns: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self.inside = inside if isinstance(inside, str) else ""
        self.chosen: Callable[[str], bool] = within(inside) if isinstance(inside, str) else inside
        self.windows = 0
        self.foreign = 0
        self.aging_ns = 0
        self.target_cost_ns = 0
        self.begin_ns = self.end_ns = 0
        self._path = path
        self._now_ns = now_ns
        self._cpu_ns = cpu_ns
        self._costs: list[int] = []
        self._parts: dict[_Key, AgedGroup] = {}
        self._newest: dict[_Key, int] = {}  # the generation that our last aging began
        self._ours = set[
            tuple[_Key, int]
        ]()  # generations that our aging has begun, of which the time is not told yet
        self._begun: dict[_Key, dict[int, int]] = {}  # when generations began that were seen, by number

    def begin(self) -> None:
        """The first window begins. Raises CannotError where the group has no generations, and OSError."""
        self._age()
        if not self._parts:
            raise CannotError(
                f"the kernel keeps no generations of the control group {self.inside!r}; enable the memory controller "
                "for it."
            )
        self.begin_ns = self.end_ns

    def window(self) -> None:
        """The window ends, and the next one begins. Raises OSError, and CannotError where the group is gone."""
        touched = self._age()
        if not self._parts:
            raise CannotError(f"the control group {self.inside!r} is gone; watch one that lives.")
        self.windows += 1
        lost = touched // PAGE_SIZE * TOUCH_NS
        self.target_cost_ns += lost
        self._costs = [*self._costs[1 - HISTORY :], self.aging_ns + lost]

    def _age(self) -> int:
        """Age, and take in what there is then. Returns the bytes touched in the window."""
        cpu = self._cpu_ns()
        self.force(read(self._path))
        now_ns = self._now_ns()
        rows = read(self._path)
        self.aging_ns = self._cpu_ns() - cpu
        return self.take(rows, now_ns)

    def force(self, rows: Iterable[NodeLru]) -> None:
        """Age the groups, which are among `rows`, all that there are now. Raises OSError."""
        for one in rows:
            if not self.chosen(one.path):
                continue
            key = _key(one)
            newest = one.generations[-1].number
            self.foreign += max(0, newest - self._newest.get(key, newest))
            if age(one, self._path):
                self._ours.add((key, newest + 1))

    def take(self, rows: Iterable[NodeLru], now_ns: int) -> int:
        """Take in what there is at `now_ns`, after that. Returns the bytes touched in the window."""
        begin, self.end_ns = self.end_ns or now_ns, now_ns
        found = {_key(one): one for one in rows if self.chosen(one.path)}
        for gone in self._parts.keys() - found.keys():
            del self._parts[gone]
        self._newest = {key: one.generations[-1].number for key, one in found.items()}
        self._begun = {key: self._births(key, one) for key, one in found.items()}
        self._ours.clear()
        for key, one in found.items():
            part = self._parts.setdefault(key, AgedGroup(*key, Generations(begin), Generations(begin)))
            births = self._begun[key]
            for kind, pages in (("anon", part.anon), ("file", part.file)):
                born = [PageGeneration(g.number, births[g.number], getattr(g, kind)) for g in one.generations]
                pages.window(born, self.end_ns)
        return round(sum(part.anon.touched + part.file.touched for part in self._parts.values()))

    def _births(self, key: _Key, one: NodeLru) -> dict[int, int]:
        """When each generation began: as seen when it did, else as the kernel tells, to a tick."""
        known = self._begun.get(key, {})
        return {
            g.number: self.end_ns
            if (key, g.number) in self._ours
            else known.get(g.number, self.end_ns - g.age_ms * 1_000_000)
            for g in one.generations
        }

    def pause_ns(self, share: float) -> int:
        """How long the window must be that keeps its cost within the share of a CPU."""
        cost = max(self._costs, default=self.aging_ns)
        return min(max(round(cost / share), SHORTEST_NS), LONGEST_NS)

    @property
    def parts(self) -> list[AgedGroup]:
        """All groups and nodes, by path."""
        return sorted(self._parts.values(), key=lambda part: (part.path, part.node))

    def cold(self, kind: str) -> ColdGenerations:
        """Bytes of "anon" or "file" by idle time."""
        return told((getattr(part, kind) for part in self._parts.values()), self.end_ns)

    def touched(self, kind: str) -> int:
        """Bytes of that kind that were accessed in the last window, or came in it."""
        found: Iterable[Generations] = (getattr(part, kind) for part in self._parts.values())
        return round(sum(one.touched for one in found))


def _key(one: NodeLru) -> _Key:
    return one.memcg, one.path, one.node
