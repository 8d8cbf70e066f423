"""Primitive idle: single pages, by page map, page flags and the idle bitmap. Reads and writes; not hugetlb.

A transparent huge page, or another large folio, answers for all of itself. Pages that do not take the idle
bit (hugetlb, the zero page, fresh pages that wait in a per-CPU batch) are "no page", never "hot".
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from udamon.core.target import Target
from udamon.errors import CannotError, NotPermitted, NotSupported, OutOfFiles, TargetGone
from udamon.linux.failure import process_errors
from udamon.linux.frame_files import IDLE_BITMAP
from udamon.linux.open_files import open_file
from udamon.linux.pagemap import open_page_map
from udamon.linux.roots import Roots
from udamon.native._native import GONE, PHYSICAL, WITHHELD, Sampled, idle_sample
from udamon.ops.page_sampler import PageSampler
from udamon.targets.processes import process_of


class IdleSampler(PageSampler):
    """Samples pages of processes, and physical pages of targets without a pid.

    With `same_cpu`, accesses that a TLB hid are seen: working sets within its reach, too (bench/tlb.py).

    Raises NotSupported when made on a kernel without idle page tracking, NotPermitted without
    CAP_SYS_ADMIN. `sample` raises NotPermitted when the kernel withholds frame numbers.
    """

    name = "idle"

    def __init__(self, roots: Roots = Roots(), *, same_cpu: bool = False) -> None:  # noqa: B008 (immutable)
        super().__init__(roots, same_cpu=same_cpu)
        try:
            self._flags, self._bitmap = open_idle(roots)
        except BaseException:
            super().close()
            raise
        self.longest_pause_ns = 0
        self._maps: dict[int, int] = {}  # target index → descriptor of its page map

    def close(self) -> None:
        """Close all files. Idempotent."""
        for index in list(self._maps):
            self._close_target(index)
        for fd in (self._bitmap, self._flags):
            if fd >= 0:
                os.close(fd)
        self._bitmap = self._flags = -1
        super().close()

    def _run(self, targets: Sequence[Target], stretch: dict[str, Any]) -> Sampled:
        maps = array("i", [self._page_map(target) for target in targets])
        for index in self._maps.keys() - {target.index for target in targets}:
            self._close_target(index)
        found = idle_sample(pagemaps=maps, flags_fd=self._flags, bitmap_fd=self._bitmap, **stretch)
        self.longest_pause_ns = max(self.longest_pause_ns, found.longest_ns)
        return found

    def _refuse(self, failed: dict[int, int]) -> None:
        if WITHHELD in failed:
            raise NotPermitted(
                "the kernel keeps page frame numbers to itself; run as root (CAP_SYS_ADMIN) to look via idle."
            )

    def _page_map(self, target: Target) -> int:
        if target.pid is None:
            return PHYSICAL
        if target.index not in self._maps:
            try:
                with process_errors(target.pid, self._proc, target.start_time):
                    process = process_of(target)
                    self._maps[target.index] = open_page_map(process, self._proc)
            except TargetGone:
                return GONE  # the next update says so to everyone
            except OutOfFiles:
                raise
            except CannotError as refused:
                self.refused[target.index] = refused
                return GONE
        return self._maps[target.index]

    def _close_target(self, index: int) -> None:
        fd = self._maps.pop(index, None)
        if fd is not None:
            os.close(fd)


def open_idle(roots: Roots) -> tuple[int, int]:
    """Descriptors of the page flags and of the idle bitmap. Raises NotSupported, NotPermitted, CannotError."""
    bitmap = open_bitmap(roots.sys, "to look via idle")
    try:
        return _open(roots.proc / "kpageflags", os.O_RDONLY, "to look via idle"), bitmap
    except BaseException:
        os.close(bitmap)
        raise


def open_bitmap(root: Path, to: str) -> int:
    """A descriptor of the idle bitmap; `to` says what for. Raises as `open_idle`."""
    return _open(root / IDLE_BITMAP, os.O_RDWR, to)


def _open(path: Path, flags: int, to: str) -> int:
    try:
        return open_file(path, flags)
    except FileNotFoundError:
        raise NotSupported(
            f"there is no {path}; boot a kernel built with CONFIG_IDLE_PAGE_TRACKING=y {to}."
        ) from None
    except PermissionError:
        raise NotPermitted(f"{path} may not be opened; run as root (CAP_SYS_ADMIN) {to}.") from None
    except OSError as error:
        raise CannotError(f"cannot open {path}: {error.strerror}.") from error
