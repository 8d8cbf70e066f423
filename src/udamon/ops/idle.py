"""Primitive idle: single pages, by page map, page flags and the idle bitmap. Reads and writes; not hugetlb.

A transparent huge page, or another large folio, answers for all of itself. Pages that do not take the idle
bit (hugetlb, the zero page, fresh pages that wait in a per-CPU batch) are "no page", never "hot".
"""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from udamon.core.policy import Answers, Slots
from udamon.core.target import Target
from udamon.errors import CannotError, NotPermitted, NotSupported, TargetGone
from udamon.linux.failure import process_errors
from udamon.linux.open_files import open_file
from udamon.linux.procfs import last_cpus, read_stat
from udamon.linux.roots import Roots
from udamon.native._native import GONE, PHYSICAL, WITHHELD, idle_sample

STAYS_NS = 100_000_000
"""How long it is believed that a target runs where it ran."""


class IdleSampler:
    """Samples pages of processes, and physical pages of targets without a pid.

    With `same_cpu`, the processors that the targets' threads ran on last are visited after pages were prepared, and
    what their TLBs hold is displaced (native/visits.c). Accesses that it hid are then seen: working sets within its
    reach, too (bench/tlb.py).

    Raises NotSupported when made on a kernel without idle page tracking, NotPermitted without
    CAP_SYS_ADMIN. `calls` counts system calls: page map reads, flag reads, bitmap writes and reads.
    """

    name = "idle"

    def __init__(self, roots: Roots = Roots(), *, same_cpu: bool = False) -> None:  # noqa: B008 (immutable)
        self._proc = roots.proc
        self._same_cpu = same_cpu
        self._bitmap = _open(roots.sys / "kernel/mm/page_idle/bitmap", os.O_RDWR)
        self._flags = _open(roots.proc / "kpageflags", os.O_RDONLY)
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._visited = array("i")
        self._visited_ns = -STAYS_NS
        self._maps: dict[int, int] = {}  # target index → descriptor of its page map
        self.calls = [0, 0, 0, 0]

    def sample(
        self, targets: Sequence[Target], slots: Slots, begin_ns: int, ticks: int, tick_ns: int, seed: int
    ) -> Answers:
        """See ops.base. Raises NotPermitted when the kernel withholds frame numbers."""
        maps = array("i", [self._page_map(target) for target in targets])
        self._forget(targets)
        if self._same_cpu and begin_ns >= self._visited_ns + STAYS_NS:
            self._visited, self._visited_ns = array("i", sorted(self._last_cpus(targets))), begin_ns
        found = idle_sample(
            pagemaps=maps, slot_target=slots.target, slot_start=slots.start, slot_end=slots.end,
            slot_checks=slots.checks, slot_span=slots.span, visited=self._visited, flags_fd=self._flags,
            bitmap_fd=self._bitmap, event_fd=self._event, begin_ns=begin_ns, ticks=ticks, tick_ns=tick_ns,
            seed=seed & (2**64 - 1),
        )  # fmt: skip
        if found.done < ticks:
            with suppress(BlockingIOError):
                os.eventfd_read(self._event)
        if any(found.gone):
            for target, ended in zip(targets, found.gone, strict=True):
                if ended:
                    self._close(target.index)  # it ended, or executed a program: a new address space
        self.calls = [old + new for old, new in zip(self.calls, found.calls, strict=True)]
        failed = {number: count for number, count in enumerate(found.errnos) if count}
        if WITHHELD in failed:
            raise NotPermitted(
                "the kernel keeps page frame numbers to itself; run as root (CAP_SYS_ADMIN) to look via idle."
            )
        return Answers(
            found.done, found.hits, found.no_page, found.slot, found.address, found.span, found.answer, found.shift,
            found.late_ns, failed,
        )  # fmt: skip

    def interrupt(self) -> None:
        with (
            self._lock
        ):  # whoever stops us may come after we closed, and the number be another file's by then
            if self._event >= 0:
                os.eventfd_write(self._event, 1)

    def close(self) -> None:
        """Close all files. Idempotent."""
        for index in list(self._maps):
            self._close(index)
        with self._lock:
            for fd in (self._bitmap, self._flags, self._event):
                if fd >= 0:
                    os.close(fd)
            self._bitmap = self._flags = self._event = -1

    def _last_cpus(self, targets: Sequence[Target]) -> set[int]:
        cpus: set[int] = set()
        for target in targets:
            if target.pid is not None:
                with suppress(OSError):  # it ended
                    cpus |= last_cpus(target.pid, self._proc)
        return cpus

    def _page_map(self, target: Target) -> int:
        if target.pid is None:
            return PHYSICAL
        if target.index not in self._maps:
            try:
                with process_errors(target.pid, self._proc, target.start_time):
                    path = self._proc / str(target.pid) / "pagemap"
                    self._maps[target.index] = open_file(path, os.O_RDONLY)
                    # Only now is the pid held to one process: it could have been reused before the open.
                    same = read_stat(target.pid, self._proc).start_time == target.start_time
            except (TargetGone, NotPermitted):
                same = False
            if not same:
                self._close(target.index)
        return self._maps.get(target.index, GONE)

    def _forget(self, targets: Sequence[Target]) -> None:
        for index in self._maps.keys() - {target.index for target in targets}:
            self._close(index)

    def _close(self, index: int) -> None:
        fd = self._maps.pop(index, None)
        if fd is not None:
            os.close(fd)


def _open(path: Path, flags: int) -> int:
    try:
        return open_file(path, flags)
    except FileNotFoundError:
        raise NotSupported(
            f"there is no {path}; boot a kernel built with CONFIG_IDLE_PAGE_TRACKING=y to look via idle."
        ) from None
    except PermissionError:
        raise NotPermitted(
            f"{path} may not be opened; run as root (CAP_SYS_ADMIN) to look via idle."
        ) from None
    except OSError as error:
        raise CannotError(f"cannot open {path}: {error.strerror}.") from error
