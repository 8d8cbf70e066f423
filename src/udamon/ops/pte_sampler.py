"""Primitive pte as a sampler: single pages by the accessed bits in page tables, for memory where a census is too dear.

It answers as `idle` does, and as the census of ops/pte.py about what it leaves out. Pages are cleared by MADV_COLD and
looked at in page tables, many in one call each (native/pte.c); accesses by other processes do not count. What is
cleared is flushed from TLBs, and deactivated: it is reclaimed earlier, unless it is touched again. Huge pages are
cleared as a whole. Pages that other processes map as well, and those of a large page that is mapped in small ones, are
marked idle where the kernel tracks that (all who map them lose their bits, and no TLB is flushed). Elsewhere they are
"no page".
"""

from __future__ import annotations

import errno
import os
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from udamon.core.target import Target
from udamon.errors import CannotError, NotPermitted, NotSupported, TargetGone
from udamon.linux.failure import process_errors
from udamon.linux.features import SystemCall, process_madvise
from udamon.linux.frame_files import IDLE_BITMAP
from udamon.linux.large_pages import smallest_large_page
from udamon.linux.maps import anonymous, read_lines
from udamon.linux.open_files import open_file
from udamon.linux.process_madvise import open_process
from udamon.linux.procfs import memory_thread
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE, Range
from udamon.native._native import GONE, MOST_ADVISED, PteSampled, pte_sample
from udamon.ops.address_spaces import AddressSpace
from udamon.ops.kernel_tables import Opened
from udamon.ops.page_sampler import PageSampler
from udamon.targets.processes import process_of

_MAPPINGS_NS = 1_000_000_000
_MAPPINGS_SHARE = 100  # reading mappings takes at most one part in 100 of the time
_ADVICE_NS = 10_000  # what one range of a call takes at most: four times what was measured


class _OpenProcess(NamedTuple):
    space: AddressSpace
    pidfd: int


class PteSampler(PageSampler):
    """Samples pages of processes. `opened` is closed with it.

    A call of process_madvise holds the target's mapping lock for reading; it takes so few pages that this stays within
    `max_pause_ns`. Raises NotSupported when made before Linux 5.10. `sample` raises NotPermitted where processes may
    not be advised. One whose page tables and page map do not agree, or that may not be looked at, is in `refused`.
    """

    name = "pte"

    def __init__(
        self,
        opened: Opened,
        roots: Roots = Roots(),  # noqa: B008 (immutable)
        *,
        max_pause_ns: int | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if process_madvise(roots.proc) is SystemCall.MISSING:
            raise NotSupported(
                "sampling by page tables needs process_madvise of Linux 5.10; leave --policy out."
            )
        super().__init__(roots)
        self.opened = opened
        self.longest_pause_ns = 0
        self.reads = self.advised = self.advice_calls = 0
        """Words of page tables that were read, pages that were advised, and calls that this took."""
        self._sys = roots.sys
        self._flags = self._bitmap = -1
        self._most = MOST_ADVISED if max_pause_ns is None else max(1, max_pause_ns // _ADVICE_NS)
        self._open: dict[int, _OpenProcess] = {}
        self._anonymous: dict[int, list[Range]] = {}
        self._large_order = 0
        self._now_ns = now_ns
        self._stale_ns = 0
        try:
            self._flags = _open(roots.proc / "kpageflags", os.O_RDONLY)
            self._bitmap = _open(roots.sys / IDLE_BITMAP, os.O_RDWR)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all files. Idempotent."""
        for index in list(self._open):
            self._close_target(index)
        for fd in (self._flags, self._bitmap):
            if fd >= 0:
                os.close(fd)
        self._flags = self._bitmap = -1
        self.opened.close()
        super().close()

    def _run(self, targets: Sequence[Target], stretch: dict[str, Any]) -> PteSampled:
        for index in self._open.keys() - {target.index for target in targets}:
            self._close_target(index)
        opened = [self._opened(target) for target in targets]
        self._read_mappings(targets)
        ranges = [(at, r) for at, t in enumerate(targets) for r in self._anonymous.get(t.index, ())]
        memory, shape = self.opened.tables.memory, self.opened.tables.shape
        found = pte_sample(
            pagemaps=array("i", [GONE if one is None else one.space.page_map for one in opened]),
            pidfds=array("i", [GONE if one is None else one.pidfd for one in opened]),
            roots=array("Q", [0 if one is None else one.space.root for one in opened]),
            anonymous_target=array("I", [at for at, _ in ranges]),
            anonymous_start=array("Q", [r.start for _, r in ranges]),
            anonymous_end=array("Q", [r.end for _, r in ranges]),
            large_order=self._large_order, most_advised=self._most, flags_fd=self._flags, bitmap_fd=self._bitmap,
            fd=memory.fd, words_fd=memory.words_fd, bpf=memory.name == "bpf", window=memory.window,
            segments=memory.segments, machine=shape.machine, levels=shape.levels, mask=shape.mask, **stretch,
        )  # fmt: skip
        self.longest_pause_ns = max(self.longest_pause_ns, found.longest_ns)
        self.reads += found.reads
        self.advised += found.advised
        self.advice_calls += found.advice_calls
        return found

    def _refuse(self, failed: dict[int, int]) -> None:
        if errno.EPERM in failed:
            raise NotPermitted(
                "pages of other processes may not be cleared by you (CAP_SYS_NICE, CAP_SYS_PTRACE); run udamon as root."
            )

    def _opened(self, target: Target) -> _OpenProcess | None:
        """What is open of a target; None where it has ended, or may not be looked at."""
        if (one := self._open.get(target.index)) is not None:
            try:
                one.space.check()
                return one
            except ProcessLookupError:  # it has executed a program: nothing of its old tables would tell
                self._close_target(target.index)
        process = process_of(target)
        try:
            with process_errors(process.pid, self._proc, process.start_time):
                if memory_thread(process, self._proc) != process.pid:
                    raise NotSupported(
                        f"the main thread of process {process.pid} has ended before others, and a process is advised "
                        "by its main thread alone; leave --policy out."
                    )
                pidfd = open_process(process, self._proc)
                try:
                    space = AddressSpace(self.opened, process, self._proc)
                except BaseException:
                    os.close(pidfd)
                    raise
                self._open[target.index] = _OpenProcess(space, pidfd)
                self._stale_ns = 0
        except TargetGone:
            pass  # the next update says so to everyone
        except CannotError as refused:
            self.refused[target.index] = refused
        return self._open.get(target.index)

    def _read_mappings(self, targets: Sequence[Target]) -> None:
        """Where anonymous memory is. What is mapped since counts as a file: that costs a look at page flags."""
        begin = self._now_ns()
        if begin < self._stale_ns:
            return
        self._anonymous.clear()
        for target in targets:
            if target.index in self._open:
                process = process_of(target)
                with suppress(OSError):  # it ended
                    self._anonymous[target.index] = anonymous(read_lines(process, self._proc))
        self._large_order = (smallest_large_page(self._sys) // PAGE_SIZE).bit_length() - 1
        took = self._now_ns() - begin
        self._stale_ns = begin + max(_MAPPINGS_NS, _MAPPINGS_SHARE * took)

    def _close_target(self, index: int) -> None:
        if (one := self._open.pop(index, None)) is not None:
            one.space.close()
            os.close(one.pidfd)


def _open(path: Path, flags: int) -> int:
    """-1 where it cannot be had: what needs it is no page then."""
    try:
        return open_file(path, flags)
    except OSError:
        return -1
