"""Values that several packages share: ranges, mappings, snapshots and events. All are immutable by contract."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from math import nan
from typing import NamedTuple, Protocol

from udamon.native._native import PAGE_SIZE as PAGE_SIZE

HUGE_PAGE_SIZE = PAGE_SIZE // 8 * PAGE_SIZE
"""Bytes of a transparent huge page: as many pages as a page has entries of 8 bytes (2 MiB with pages of 4 KiB)."""

USER_END = 1 << 56
"""No address of a process is as high: x86-64 has at most 56 bits of them, arm64 52. Of higher ones arm64's kernel
leaves out the topmost byte, where a program may have a tag, and answers for another address."""

READS_AND_WRITES, WRITES_ONLY = "reads and writes", "writes only"
"""What a primitive counts as an access."""

SUMMED = "sum over processes, shared memory counted in each"
"""The label of a total that may count a page more than once."""

PAGE, MAPPING, MIXED = "page", "mapping", "mixed"
"""The grain, the smallest unit that is told apart: single pages; mappings, of which only the accessed bytes are known;
both in one document."""


class Primitive(NamedTuple):
    """An access-check primitive, with everything that several parts of udamon must know about it.

    `kind`: a "sampler" answers for single pages, a "census" for whole processes; "engine" is in-kernel DAMON, which has
    its own. `automatic`: `--via auto` may choose it; `control`: `udamon control` has kdamonds of it. `clears`: it
    clears accessed bits in page tables, so TLBs matter (availability/tlb.py). `simulated`: there is no real memory.
    `samples`: a census that becomes a sampler if a region policy is given.
    """

    name: str
    kind: str
    sees: str = READS_AND_WRITES
    grain: str = PAGE
    automatic: bool = False
    control: bool = True
    clears: bool = False
    simulated: bool = False
    samples: bool = False


PRIMITIVES = (
    Primitive("idle", "sampler", automatic=True),
    Primitive("kernel", "engine", automatic=True, control=False),
    Primitive("refs", "census", grain=MAPPING, automatic=True, clears=True),
    Primitive("softdirty", "census", sees=WRITES_ONLY),
    Primitive("pte", "census", control=False, clears=True, samples=True),
    Primitive("sim", "sampler", simulated=True),
)
"""All, best first."""


def primitive(name: object) -> Primitive | None:
    """That of a name."""
    return next((one for one in PRIMITIVES if one.name == name), None)


def names_of(wanted: Callable[[Primitive], bool]) -> tuple[str, ...]:
    """The names of those primitives."""
    return tuple(one.name for one in PRIMITIVES if wanted(one))


BY_MAPPING = frozenset(names_of(lambda one: one.grain == MAPPING))
"""Primitives whose grain is the mapping."""
CENSUSES = names_of(lambda one: one.kind == "census")


SAMPLERS = names_of(lambda one: one.samples or (one.kind == "sampler" and not one.simulated))
"""Primitives that sample single pages of real memory."""
ASKED_FOR = "it was asked for"
"""The reason for a primitive that the user named."""


def is_census(via: object, policy: object) -> bool:
    """Whether all memory is looked at, without a region policy."""
    one = primitive(via)
    return one is not None and one.kind == "census" and not (one.samples and policy is not None)


def is_sampler(via: str, policy: object) -> bool:
    """Whether single pages of real memory are sampled, chosen by a region policy."""
    return via in SAMPLERS and not is_census(via, policy)


def grain(via: object) -> str:
    """The grain of a primitive: PAGE or MAPPING."""
    return MAPPING if via in BY_MAPPING else PAGE


class Range(NamedTuple):
    """A half-open address range [start, end), in bytes."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class MemoryMapping:
    """One line of /proc/PID/maps: [start, end) in bytes, `offset` into the file in bytes.

    `name` is what the kernel prints after the inode: a path, "[heap]", "[stack]", "[anon:NAME]", or "".
    """

    start: int
    end: int
    perms: str
    offset: int
    inode: int
    name: str

    @property
    def range(self) -> Range:
        return Range(self.start, self.end)


NOWHERE = (1 << 64) - 1
"""In arrays of Sharing: null."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """Sharing of the pages of a snapshot's regions with other mappings: parallel arrays of 'Q'.

    `private`: resident bytes that nothing else maps. `anonymous`: resident bytes that are neither page cache nor shared
    memory. `touched_min`: bytes that this target itself certainly accessed in the window. `objects`: numbers; regions
    of different ones have no page in common. `file_offsets`: bytes into the object, NOWHERE for anonymous memory.
    `distinct`: bytes resident that no region that was looked at before (of those of one `seq`) of the same object has,
    NOWHERE where page frames cannot be seen. `same_as` is the target whose address space this one's is, where that is
    another target.
    """

    private: array[int]
    anonymous: array[int]
    touched_min: array[int]
    objects: array[int]
    file_offsets: array[int]
    distinct: array[int]
    same_as: int | None = None

    @classmethod
    def of(cls, columns: Iterable[Iterable[int | None]], same_as: int | None = None) -> Sharing:
        """From values for each region, column by column in the order of the fields; None becomes NOWHERE."""
        found = [array("Q", [NOWHERE if value is None else value for value in column]) for column in columns]
        private, anonymous, touched_min, objects, file_offsets, distinct = found or [array("Q")] * 6
        return cls(private, anonymous, touched_min, objects, file_offsets, distinct, same_as)


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """How often the pages of a snapshot's regions are accessed: parallel arrays of 'd', NaN where nothing tells.

    `rate` is the chance that a page is accessed within a sampling interval, from 0 to 1 and not rounded; the truth is
    between `low` and `high` in at least 95 of 100 cases (docs/rates.md). They are of this window and of those before it
    that were pooled with it.
    """

    rate: array[float]
    low: array[float]
    high: array[float]

    def __eq__(self, other: object) -> bool:
        """Also where nothing tells: a NaN is not equal to itself."""
        if not isinstance(other, Rates):
            return NotImplemented
        mine, others = (self.rate, self.low, self.high), (other.rate, other.low, other.high)
        return all(a.tobytes() == b.tobytes() for a, b in zip(mine, others, strict=True))

    @classmethod
    def of(cls, columns: Iterable[Iterable[float | None]]) -> Rates:
        """From values for each region, column by column in the order of the fields; None becomes NaN."""
        return cls(*(array("d", [nan if value is None else value for value in column]) for column in columns))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One target at the end of one aggregation: what every client of a monitor sees.

    Times are nanoseconds on CLOCK_MONOTONIC; the window is [begin_ns, end_ns). The arrays are parallel,
    one entry a region, in address order; bytes are bytes, `nr_accesses` counts ticks (0..`ticks`) and
    `ages` aggregations. `touched` estimates or measures the bytes accessed at least once in the window;
    `resident`, `sharing` and `rates` are None where the primitive does not know it. Where `touched` is an estimate with
    an error that is known, the bytes touched of all regions together are between `touched_low` and `touched_high` with
    a confidence of 95 % (docs/adaptive.md). Of the checks that spanned the window, `idle_checks` were in memory that
    was taken for idle before and after it, and `idle_hits` of these met an access; `idle_bytes` were taken for idle at
    all times of the window. Of regions that are told as idle, at most `idle_mixed` bytes are not taken for idle, or not
    for as long as their region is told to be. Else all six are None.
    """

    target: int
    pid: int | None
    seq: int
    begin_ns: int
    end_ns: int
    sample_ns: int
    ticks: int
    starts: array[int]  # 'Q'
    ends: array[int]  # 'Q'
    nr_accesses: array[int]  # 'I'
    ages: array[int]  # 'I'
    touched: array[int]  # 'Q'
    resident: array[int] | None = None  # 'Q'
    sharing: Sharing | None = None
    rates: Rates | None = None
    touched_low: int | None = None
    touched_high: int | None = None
    idle_checks: int | None = None
    idle_hits: int | None = None
    idle_bytes: int | None = None
    idle_mixed: int | None = None

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that changed while monitoring, at `time_ns` on CLOCK_MONOTONIC.

    | name          | data                                                                              |
    |---------------|-----------------------------------------------------------------------------------|
    | target_start  | target, pid, start_time (ticks since boot, field 22 of stat), comm, cmdline, user |
    | target_exec   | target, pid, comm, cmdline                                                        |
    | target_end    | target, pid, why ("exited", "left", "denied")                                     |
    | mappings      | target, add: [[start, end, perms, offset, inode, name]], remove: [start]          |
    | attrs         | sample_us, aggr_us, update_us, min_nr_regions, max_nr_regions, why                |
    | cost          | cpu_ns, max_rss_bytes, checks, snapshots, skipped: totals of the monitor itself;  |
    |               | kdamond_cpu_ns beside them where the kernel watches (checks are estimated there); |
    |               | else target_cost_ns (an estimate), longest_pause_ns (how long a look stopped one); |
    |               | reclaim_pages: that reclaim has looked at meanwhile, of the whole machine         |
    | coverage      | processes_seen, processes_missed, bytes_missed and bytes_missed_high (what it is at most; |
    |               | None where not known), exact, why:                                                    |
    |               | running totals of the processes that were wanted (targets.coverage)                   |
    | page_cache    | of the control group that is watched: file_bytes (page cache without shared memory),  |
    |               | mapped_bytes and hot_bytes of it, only_read_bytes (hot and mapped by nobody, at most), |
    |               | kernel_bytes (what the kernel has for the group), source ("lru_gen", "memory.stat")   |
    | schemes       | schemes: [{scheme (its index), action, active, why (what keeps it from acting),   |
    |               | effective_bytes, and the running totals of core.scheme.SchemeStats}]              |
    | allocations, allocation_stacks, symbols, allocations_unseen: by which code memory is allocated           |
    |               | (docs/recording.md#allocations, udamon.sites)                                        |
    | subscriber    | what, why: a subscriber raised and was dropped                                    |
    | note          | text; urgent: true where whoever started the monitor should be told at once         |
    """

    time_ns: int
    name: str
    data: MappingType[str, object] = field(default_factory=dict)


Emit = Callable[[str, MappingType[str, object]], None]
"""Publishes an Event by name and data; the engine adds the time."""


class Subscriber(Protocol):
    """A client of a monitor. Called on the kdamond's thread; one that raises is logged and dropped."""

    def snapshot(self, snapshot: Snapshot, /) -> None: ...

    def event(self, event: Event, /) -> None: ...
