"""What the looks at a service's processes say of the service: bytes idle for each age, and accessed again after it.

Lower and upper bounds, for three reasons. Pages of files and shared memory are marked by others, too (docs/limits.md),
so of those it is not known that this service accessed them. A page that several processes have counts once, but it is
not known which pages of two processes are the same. It is known that private ones differ, and that the sum of
proportional sizes counts no page more than once. Of a process that was not watched for an age, nothing is known at that
age.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from udamon.agent.needs import Needs
from udamon.agent.process import Process
from udamon.agent.promotions import Promotions
from udamon.core.idle_time import SECONDS

NS = 1_000_000_000
WORKING_SET = SECONDS.index(120)
_AFTER_NS = 300 * NS


class Between(NamedTuple):
    """Bytes: at least, at most."""

    low: int
    high: int


class Measured(NamedTuple):
    """What a look said of an age: when that was; of what is resident, what was not accessed for at least so long, and
    what was accessed within. `coverage`: the share of resident bytes whose process was watched for so long."""

    at_ns: int
    resident: Between
    cold: Between
    accessed: Between
    coverage: float


class ProcessAge(NamedTuple):
    """What is known of a process at an age, in bytes: proportional and resident size; private ones that were not
    accessed within it (at least); what was accessed, with what is not known (at most), and by the process itself (at
    least); and of how much that is known."""

    proportional: int
    resident: int
    idle: int
    touched: int
    sure: int
    known: int


def measure(rows: Iterable[ProcessAge], now_ns: int) -> Measured:
    """Of a service, from its processes."""
    proportional = resident = private_cold = touched = surely = known = 0
    for row in rows:
        proportional += row.proportional
        resident += row.resident
        private_cold += row.idle
        touched += row.touched
        surely += row.sure
        known += row.known
    accessed = Between(min(surely, resident), min(touched, resident))
    cold = Between(max(private_cold, proportional - touched), resident - accessed.low)
    return Measured(
        now_ns, Between(proportional, resident), cold, accessed, known / resident if resident else 1.0
    )


class Figures:
    """The figures of one service, by index of SECONDS; None for ages that it was not watched for."""

    def __init__(self) -> None:
        self.measured: dict[int, Measured] = {}
        self.promoted: dict[int, int] = {}
        """Bytes accessed again after an age, since the agent began: at ages that were watched."""
        self.promotions = Promotions()
        self.needs = Needs()
        self.resident = Between(0, 0)
        self.swapped = 0
        self._open: dict[int, list[int]] = {}  # age → when its window began, bytes accessed again since

    def grown(self, now_ns: int, grown: dict[int, int]) -> None:
        """A look saw bytes accessed that had been idle at the look before: how many, by the highest age reached."""
        total = 0
        for at in range(len(SECONDS) - 1, -1, -1):
            total += grown.get(at, 0)
            if at in self.promoted:
                self.promoted[at] += total
            window = self._open.get(at)
            if window is not None:
                window[1] += total
                if now_ns - window[0] >= _AFTER_NS:
                    self._close(at, now_ns)

    def reached(self, at: int, found: Measured) -> None:
        """A look at an age. Where it knows of nothing that was watched for so long, the age has no figure."""
        if not found.coverage:
            self.measured.pop(at, None)
            return
        self.measured[at] = found
        self.promoted.setdefault(at, 0)
        self._open[at] = [found.at_ns, 0]

    def cycle_ended(self, now_ns: int) -> None:
        """The pages are going to be cleared."""
        for at in list(self._open):
            self._close(at, now_ns)

    def gap(self) -> None:
        """Nobody looked for some time: windows that were open tell nothing."""
        self._open.clear()

    def told(self, processes: Iterable[Process]) -> None:
        """Sizes as of the last look."""
        proportional = resident = swapped = 0
        for one in processes:
            proportional += one.proportional
            resident += one.resident
            swapped += one.swapped
        self.resident, self.swapped = Between(proportional, resident), swapped

    def need(self, now_ns: int, processes: Collection[Process]) -> None:
        """A window has ended: what of it can go nowhere, and the files that were accessed. Nothing where the age of a
        window is not known."""
        if WORKING_SET not in self.measured:
            return
        kept = sum(one.kept for one in processes)
        files = sum(min(one.referenced, one.resident - one.kept) for one in processes)
        self.needs.add(now_ns, kept, files)

    @property
    def working_set(self) -> Between | None:
        found = self.measured.get(WORKING_SET)
        return None if found is None else found.accessed

    @property
    def safe(self) -> int | None:
        """Index of the age from which on memory may be called cold; None where that is not known."""
        at = self.promotions.safe()
        return at if at in self.measured else None

    def _close(self, at: int, now_ns: int) -> None:
        begin, again = self._open.pop(at)
        working_set = self.working_set
        if now_ns > begin and working_set is not None and working_set.high:
            self.promotions.add(at, again / working_set.high * 60 * NS / (now_ns - begin))
