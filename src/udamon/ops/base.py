"""The interfaces of this package: operations sets (where is memory?) and primitives (was it touched?)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeGuard

from udamon.core.policy import Answers, Slots
from udamon.core.rates import Look
from udamon.core.target import Target
from udamon.errors import CannotError
from udamon.model import Emit, Range

TOUCH_NS = 300
"""What a target loses for a small page that it touches again after its accessed bit was cleared: a walk of the page
table in hardware, which sets the bit. Measured: 300 ns where they are scattered
(docs/benchmarks-checks.md#touching-pages-again)."""


class OperationsSet(Protocol):
    """Answers where the memory of the targets is. Needs no lock: only the kdamond calls it."""

    name: str

    def update(self, targets: list[Target], emit: Emit) -> None:
        """Bring `targets` up to date: append those that came, remove those that ended, refresh `ranges`.

        Called at start and every update interval. Emits target_start, target_exec, target_end and
        mappings. Regions are the caller's business. Never raises for a target that went away; raises
        NotPermitted (or another CannotError) only when no target at all could be watched.
        """

    def follow_forks(self, targets: list[Target], emit: Emit) -> bool:
        """Between two updates, at the end of a window: append processes that the kernel's events tell of, and refresh
        those that were appended so since the last update. True where `targets` or their ranges changed. Raises as
        `update`."""

    def valid(self, target: Target) -> bool:
        """True while the target exists (a zombie does, a reused pid does not). Cheap."""

    def expecting(self) -> bool:
        """True while targets may still come although there are none now (an empty cgroup)."""

    def finish(self, targets: Sequence[Target], emit: Emit) -> None:
        """Monitoring ends: emit what is known of processes that were missed. Raises nothing."""

    def close(self) -> None:
        """Release what was opened (pidfds, locks). Idempotent."""


class WholeTargets:
    """Common part of operations sets that know all of their targets at each update, such as physical and simulated
    memory, which exist as long as the monitor runs. No target is missed, and no file is kept open."""

    def follow_forks(self, targets: list[Target], emit: Emit) -> bool:
        return False

    def valid(self, target: Target) -> bool:
        return True

    def expecting(self) -> bool:
        return False

    def finish(self, targets: Sequence[Target], emit: Emit) -> None:
        """No process was missed."""

    def close(self) -> None:
        """Nothing is open."""


class Shared(NamedTuple):
    """The sharing of a range's pages with other mappings, in bytes.

    `private`: resident, and mapped here only. `anonymous`: resident, and no page cache or shared memory.
    `touched_min`: certainly accessed since `prepare` by this target itself. `object`: ranges of different objects have
    no page in common. `file_offset`: where in the object the range begins, None for anonymous memory. `distinct`:
    resident, and in no range before this one (of those looked at since `begin`) of the same object; None where page
    frames cannot be seen.
    """

    private: int
    anonymous: int
    touched_min: int
    object: int
    file_offset: int | None
    distinct: int | None


class Touched(NamedTuple):
    """A range as a census sees it: bytes resident, and bytes of them accessed since `prepare`."""

    start: int
    end: int
    resident: int
    touched: int


class TargetCost(Protocol):
    """What watching costs the targets."""

    @property
    def longest_ns(self) -> int:
        """The longest time so far that a target's mapping lock was held at a time."""

    @property
    def cost_ns(self) -> int:
        """What all targets have lost so far, by an estimate."""

    def too_long(self, target: Target) -> str | None:
        """One sentence when a look would stop `target` for longer than a limit allows."""

    def warning(self, target: Target) -> str | None:
        """What to say before the first look of a target that it will stop for long."""

    def news(self) -> list[str]:
        """What has changed in how targets are stopped, and was not told yet."""

    def window_over(self, here: Collection[int]) -> None:
        """A window is over, and these are the indices of the targets now: forget the others."""


class Census(Protocol):
    """A primitive that prepares a whole address space and answers for all of it at once."""

    name: str

    @property
    def pauses(self) -> TargetCost:
        """What it costs the targets."""

    def begin(self, targets: Sequence[Target]) -> None:
        """Start of a look at all of these together."""

    def leader(self, target: Target) -> int:
        """The index of the first target with the same address space: its own, if no other has it."""

    def prepare(self, target: Target) -> None:
        """Clear the accessed state. Raises TargetGone or NotPermitted, or PauseTooLong where a limit forbids it."""

    def expose(self, targets: Sequence[Target]) -> None:
        """After `prepare` of all of `targets`: see to it that no TLB hides their accesses, where that takes more
        than `prepare`. Never raises for a target that went away."""

    def look(self, target: Target) -> list[Touched]:
        """Ranges with anything resident, in address order. Raises TargetGone or NotPermitted."""

    def shared(self, target: Target) -> Sequence[Shared | None] | None:
        """Of each range of the last look at a target, what is known of others who map it; None for nothing."""

    def advised(self, target: Target) -> Sequence[tuple[int, int, str]] | None:
        """Start, end and advice of the mappings that were, at the last look, not to be kept as others are ("random",
        "sequential"); None for nothing known."""

    def news(self) -> list[str]:
        """Memory that looks left out, in sentences that were not told yet."""

    def close(self) -> None:
        """Release what was opened. Idempotent."""


class FirstSeen(NamedTuple):
    """What was seen of a range in one window that was cleared a second time (core.rates.sample).

    `before`: how long after `prepare` that was, ns, and the pages accessed by then.
    """

    pages: int
    touched: int
    before: tuple[int, int]
    looks: list[Look]


class RateCensus(Census, Protocol):
    """A census that can be cleared again within a window and looked at after growing spans: it tells rates.

    `look` still covers the whole window.
    """

    def clear_again(self, target: Target) -> None:
        """Keep what was accessed since `prepare`, and clear. `expose` comes next. Raises as `prepare`."""

    def look_midway(self, target: Target) -> None:
        """Look which pages were accessed since `clear_again`. Raises TargetGone or NotPermitted."""

    def first_seen(self, target: Target, pieces: Sequence[Range]) -> list[FirstSeen] | None:
        """After `look`, before the next `prepare`, of each piece: by which look its pages were first seen accessed.
        None where it was not cleared again."""


def tells_rates(census: Census) -> TypeGuard[RateCensus]:
    """Whether `census` can be cleared again within a window."""
    return hasattr(census, "clear_again")


class Sampler(Protocol):
    """A primitive that answers for single pages: one call a stretch, the interpreter's lock released."""

    name: str

    @property
    def longest_pause_ns(self) -> int:
        """The longest time so far that a target's mapping lock was held at a time."""

    @property
    def refused(self) -> Mapping[int, CannotError]:
        """By the index of the target: what kept the last `sample` from opening it, though it lives. It answered nothing
        for these."""

    def sample(
        self, targets: Sequence[Target], slots: Slots, begin_ns: int, ticks: int, tick_ns: int, seed: int
    ) -> Answers:
        """Run `ticks` ticks; tick k begins at begin_ns + k * tick_ns on CLOCK_MONOTONIC.

        Slots name targets by their position in `targets`. Returns when the last tick has ended, or within
        one tick of an interrupt.
        """

    def interrupt(self) -> None:
        """From any thread: make a running or the next `sample` return within one tick."""

    def close(self) -> None:
        """Release what was opened. Idempotent."""
