"""What samplers of real pages have in common: native/sampler.c keeps time for them all."""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from udamon.core.policy import Answers, Slots
from udamon.core.target import Target
from udamon.errors import CannotError
from udamon.linux.open_files import refuse_if_full
from udamon.linux.procfs import last_cpus
from udamon.linux.roots import Roots

CPU_REREAD_NS = 100_000_000
"""For how long the last known processors of a target are used before they are read again."""


class SampledPages(Protocol):
    """What a function of native answers for a stretch; see _native.pyi."""

    @property
    def done(self) -> int: ...
    @property
    def hits(self) -> array[int]: ...
    @property
    def no_page(self) -> array[int]: ...
    @property
    def slot(self) -> array[int]: ...
    @property
    def address(self) -> array[int]: ...
    @property
    def span(self) -> array[int]: ...
    @property
    def answer(self) -> bytes: ...
    @property
    def shift(self) -> bytes: ...
    @property
    def late_ns(self) -> array[int]: ...
    @property
    def gone(self) -> bytes: ...
    @property
    def errnos(self) -> array[int]: ...
    @property
    def calls(self) -> array[int]: ...


class PageSampler:
    """Holds the eventfd that interrupts, and what a subclass opens of each target until `_close_target`. Raises
    OutOfFiles, or another OSError, when made.

    With `same_cpu`, the processors that the targets' threads ran on last are visited after pages were prepared, and
    what their TLBs hold is displaced (native/visits.c). `calls` counts system calls: page map reads, flag reads, bitmap
    writes and reads.
    """

    def __init__(self, roots: Roots, *, same_cpu: bool = False) -> None:
        self._proc = roots.proc
        self._same_cpu = same_cpu
        try:
            self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError as error:
            refuse_if_full(error)
            raise
        self._lock = threading.Lock()
        self._visited = array("i")
        self._visited_ns = -CPU_REREAD_NS
        self.calls = [0, 0, 0, 0]
        self.refused: dict[int, CannotError] = {}
        """See ops.base."""

    def sample(
        self, targets: Sequence[Target], slots: Slots, begin_ns: int, ticks: int, tick_ns: int, seed: int
    ) -> Answers:
        """See ops.base. Raises what the subclass says."""
        self.refused.clear()
        if self._same_cpu and begin_ns >= self._visited_ns + CPU_REREAD_NS:
            self._visited, self._visited_ns = array("i", sorted(self._last_cpus(targets))), begin_ns
        found = self._run(
            targets,
            {
                "slot_target": slots.target, "slot_start": slots.start, "slot_end": slots.end,
                "slot_checks": slots.checks, "slot_span": slots.span, "visited": self._visited,
                "event_fd": self._event, "begin_ns": begin_ns, "ticks": ticks, "tick_ns": tick_ns,
                "seed": seed & (2**64 - 1),
            },
        )  # fmt: skip
        if found.done < ticks:
            with suppress(BlockingIOError):
                os.eventfd_read(self._event)
        for target, ended in zip(targets, found.gone, strict=True):
            if ended:
                self._close_target(target.index)  # it ended, or executed a program: a new address space
        self.calls = [old + new for old, new in zip(self.calls, found.calls, strict=True)]
        failed = {number: count for number, count in enumerate(found.errnos) if count}
        self._refuse(failed)
        return Answers(
            found.done, found.hits, found.no_page, found.slot, found.address, found.span, found.answer, found.shift,
            found.late_ns, failed,
        )  # fmt: skip

    def interrupt(self) -> None:
        with self._lock:  # after `close` the number may be that of another file
            if self._event >= 0:
                os.eventfd_write(self._event, 1)

    def close(self) -> None:
        """Close all files. Idempotent."""
        with self._lock:
            if self._event >= 0:
                os.close(self._event)
            self._event = -1

    def _run(self, targets: Sequence[Target], stretch: dict[str, Any]) -> SampledPages:
        """A function of native with the keywords of `stretch` and more."""
        raise NotImplementedError

    def _refuse(self, failed: dict[int, int]) -> None:
        """Raise where system calls failed in a way that no target is to blame for; counts by errno."""

    def _close_target(self, index: int) -> None:
        raise NotImplementedError

    def _last_cpus(self, targets: Sequence[Target]) -> set[int]:
        cpus: set[int] = set()
        for target in targets:
            if target.pid is not None:
                with suppress(OSError):  # it ended
                    cpus |= last_cpus(target.pid, self._proc)
        return cpus
