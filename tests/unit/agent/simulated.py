"""A node in simulated time: services whose processes touch parts of their memory at known periods."""

from __future__ import annotations

import errno
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from udamon.agent.budget import Budget
from udamon.agent.discovery.model import Service, ServiceEnded
from udamon.agent.looks import CLEAR, READ
from udamon.agent.pages import Gib
from udamon.agent.process import Process
from udamon.agent.rotation import Rotation
from udamon.agent.settings import Settings
from udamon.agent.spending import Spending
from udamon.agent.watched import Tools
from udamon.agent.ways.choice import Ways
from udamon.core.clock import ManualClock
from udamon.errors import CannotError, TargetGone
from udamon.linux.procfs import ProcessId
from udamon.native._native import PAGE_ACCESSED, PAGE_MAPPED, ProcessLooks

MIB = 1 << 20
NS = 1_000_000_000
LOOK_NS, CLEAR_NS_A_PAGE = 40_000, 20


@dataclass
class Program:
    """`parts`: bytes by the period in seconds at which they are touched, 0 never again. Private memory, but `files` and
    `shmem` bytes that others have as well."""

    parts: Mapping[float, int]
    files: int = 0
    shmem: int = 0
    guest: bool = False
    error: int = 0
    cleared_s: float | None = None
    clears: int = 0
    looks: int = 0

    @property
    def private(self) -> int:
        return sum(self.parts.values())

    @property
    def busy(self) -> bool:
        return any(self.parts.keys())

    def touched(self, begin_s: float, end_s: float) -> int:
        return sum(
            size for period, size in self.parts.items() if period and end_s // period > begin_s // period
        )


@dataclass
class Node:
    """It is discovery, looks, and the control groups' CPU time, all in one."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(1200 * NS))
    programs: dict[str, dict[int, Program]] = field(default_factory=dict)
    told: list[Service | ServiceEnded] = field(default_factory=list)
    cpu_ns: int = 0
    locked: set[int] = field(default_factory=set)
    held: set[int] = field(default_factory=set)
    exposed: int = 0
    labels: Mapping[str, str] | None = None
    pids: Iterator[int] = field(default_factory=lambda: count(100))

    def add(self, key: str, *programs: Program) -> Service:
        self.programs[key] = {next(self.pids): program for program in programs}
        service = Service(key, Path("/nowhere") / key, "cgroup", self.labels or {"service": key}, {}, "path")
        self.told.append(service)
        return service

    def remove(self, key: str) -> None:
        del self.programs[key]
        self.told.append(ServiceEnded(key))

    def program(self, pid: int) -> Program | None:
        return next((some[pid] for some in self.programs.values() if pid in some), None)

    # Discovery

    def services(self) -> Sequence[Service]:
        raise NotImplementedError

    def changes(self) -> Sequence[Service | ServiceEnded]:
        told, self.told = self.told, []
        return told

    def members(self, service: Service) -> Sequence[int]:
        return sorted(self.programs.get(service.key, {}))

    def groups(self, service: Service) -> Sequence[str]:
        return [f"/{service.key}"]

    def remarks(self) -> Sequence[str]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    # Looks

    def identify(self, pid: int) -> ProcessId | None:
        return ProcessId(pid, 7) if self.program(pid) is not None else None

    def look(
        self, processes: Sequence[Process], what: int
    ) -> Iterator[tuple[Sequence[Process], ProcessLooks]]:
        if processes:
            rows = [self._one(one.pid, what) for one in processes]
            columns = list(zip(*rows, strict=True))
            kinds = "i" + "Q" * 11 + "B" + "Q" * 2
            arrays = [array(kind, column) for kind, column in zip(kinds, columns, strict=True)]
            yield processes, ProcessLooks(arrays)  # type: ignore[call-arg, arg-type]

    def resident(self, pid: int) -> int:
        program = self.program(pid)
        return program.private + program.files + program.shmem if program else 0

    def expose(self, *, hidden: bool) -> None:
        self.exposed += 1

    def expose_ns(self) -> int:
        return 0

    def _one(self, pid: int, what: int) -> tuple[int, ...]:
        program = self.program(pid)
        if program is None or program.error:
            return (program.error if program else errno.ESRCH, *[0] * 14)
        now_s = self.clock.now_ns() / NS
        resident = program.private + program.files + program.shmem
        referenced, look_ns, clear_ns = 0, 0, 0
        if what & READ:
            program.looks += 1
            look_ns = LOOK_NS
            begin_s = -1.0 if program.cleared_s is None else program.cleared_s
            referenced = program.touched(begin_s, now_s)
            if program.cleared_s is None:
                referenced = resident
        if what & CLEAR:
            program.clears += 1
            program.cleared_s = now_s
            clear_ns = resident // 4096 * CLEAR_NS_A_PAGE
        self.cpu_ns += look_ns + clear_ns
        proportional = program.private + (program.files + program.shmem) // 2
        return (
            0, resident, proportional, program.private, program.private, 0, 0, program.shmem // 2, 0, referenced,
            look_ns, clear_ns, program.guest, max(0, program.private - referenced),
            max(0, referenced - program.files - program.shmem),
        )  # fmt: skip

    # What else there is

    def lock(self, pid: int, start_time: int) -> object:
        if pid in self.locked or pid in self.held:
            return None
        self.held.add(pid)
        return lambda: self.held.discard(pid)

    def usage(self, service: Service, pids: Sequence[int]) -> int | None:
        some = self.programs.get(service.key, {})
        return self.clock.now_ns() if any(program.busy for program in some.values()) else 5

    def rotation(self, settings: Settings | None = None, ways: Ways | None = None) -> Rotation:
        settings = settings or Settings()
        self.budget = Budget(settings.budget, self.clock.now_ns())
        self.spent = Spending(self.budget, lambda: self.cpu_ns)
        tools = Tools(self, self.lock, self.spent, Counter())  # type: ignore[arg-type]
        return Rotation(self, tools, self.clock, self.budget, settings, self.usage, ways)

    def run(self, rotation: Rotation, seconds: float) -> None:
        end_ns = self.clock.now_ns() + int(seconds * NS)
        while self.clock.now_ns() < end_ns:
            self.clock.wait_until(min(rotation.step(), end_ns))
        rotation.step()


class Pages:
    """Single pages of a node's programs (agent.page_states.PageStates): the parts one after the other, from an address
    on that is in the middle of a GiB; then the files and shared ones, never accessed."""

    hides = False
    FIRST = 1 << 17

    def __init__(self, node: Node, via: str = "pte", page_ns: int = 60) -> None:
        self.node = node
        self.via = via
        self.page_ns = page_ns
        self.held_ns = 0
        self.clears: dict[int, list[float]] = {}
        self.failure: CannotError | None = None
        self.forgotten: list[int] = []

    def look(self, process: ProcessId, max_pause_ns: int, *, clear: bool) -> Iterator[Gib]:
        program = self.node.program(process.pid)
        if program is None:
            raise TargetGone("gone")
        if self.failure is not None:
            raise self.failure
        now_s = self.node.clock.now_ns() / NS
        clears = self.clears.setdefault(process.pid, [])
        states = bytearray(1 << 18)
        at = self.FIRST
        for period, size in program.parts.items():
            touched = not clears or (period and now_s // period > clears[-1] // period)
            state = PAGE_MAPPED | (PAGE_ACCESSED if touched else 0)
            states[at : at + size // 4096] = bytes([state]) * (size // 4096)
            at += size // 4096
        rest = (program.files + program.shmem) // 4096
        states[at : at + rest] = bytes([PAGE_MAPPED]) * rest
        self.node.cpu_ns += (at + rest - self.FIRST) * 10
        yield Gib(3, memoryview(states))
        if clear:
            clears.append(now_s)
            self.held_ns = 5

    def forget(self, process: ProcessId) -> None:
        self.forgotten.append(process.pid)

    def close(self) -> None:
        raise NotImplementedError
