"""What this kernel offers, found out by trying on udamon's own memory; never inferred from a version."""

from __future__ import annotations

import errno
import mmap
import os
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from udamon.linux.frame_files import IDLE_BITMAP
from udamon.linux.maps import line_range
from udamon.linux.open_files import open_file
from udamon.linux.pagemap import ENTRY_FRAME, ENTRY_PRESENT, ENTRY_SOFT_DIRTY
from udamon.linux.process_madvise import COLD, COLLAPSE, PAGEOUT, PROCESS_MADVISE, WILLNEED
from udamon.linux.procfs import read_bytes, read_status
from udamon.linux.roots import PROC, SYS
from udamon.linux.syscall import system_call
from udamon.model import PAGE_SIZE

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_SYS_NICE = 1, 2, 19, 21, 23
CAP_SYS_RAWIO, CAP_PERFMON, CAP_BPF = 17, 38, 39
CAP_CHOWN, CAP_FOWNER, CAP_KILL, CAP_NET_ADMIN = 0, 3, 5, 12
_ADVICE = {"willneed": WILLNEED, "cold": COLD, "pageout": PAGEOUT, "collapse": COLLAPSE}


def page_monitor(root: Path = PROC) -> bool:
    """CONFIG_PROC_PAGE_MONITOR: clear_refs is there and smaps tells what was referenced. Raises OutOfFiles."""
    if not (root / "self" / "clear_refs").exists():
        return False
    try:
        fd = open_file(root / "self" / "smaps", os.O_RDONLY)
    except OSError:
        return False
    try:
        return b"\nReferenced:" in os.read(fd, 1 << 14)
    except OSError:
        return False
    finally:
        os.close(fd)


def own_page_map_entries() -> list[int]:
    """The page-map entries of this process's stack; empty where the page map cannot be read. Raises OutOfFiles."""
    try:
        lines = read_bytes("/proc/self/maps").splitlines()
        stack = next(line_range(line) for line in lines if line.endswith(b"[stack]"))
        fd = open_file("/proc/self/pagemap", os.O_RDONLY)
    except (OSError, StopIteration):
        return []
    try:
        data = os.pread(fd, stack.size // PAGE_SIZE * 8, stack.start // PAGE_SIZE * 8)
    except OSError:
        return []
    finally:
        os.close(fd)
    return list(memoryview(data).cast("Q"))


def soft_dirty() -> bool | None:
    """The kernel keeps soft-dirty bits: a stack, written to all the time, has some then. None where the own page map
    cannot be read, so that it is not known."""
    entries = own_page_map_entries()
    return any(entry & ENTRY_SOFT_DIRTY for entry in entries) if entries else None


def frame_numbers() -> bool:
    """True when the page map tells page frame numbers (0 means: not permitted)."""
    return any(entry & ENTRY_PRESENT and entry & ENTRY_FRAME for entry in own_page_map_entries())


def idle_bitmap(root: Path = SYS) -> str:
    """ "open", "denied" or "missing": the bitmap of idle page tracking. Raises OutOfFiles."""
    try:
        os.close(open_file(root / IDLE_BITMAP, os.O_RDWR))
    except PermissionError:
        return "denied"
    except OSError:
        return "missing"
    return "open"


class SystemCall(StrEnum):
    """What becomes of a system call: it is there; a filter (seccomp) refuses it; the kernel has none; or one of the
    last two, where a filter answers as a kernel without it does."""

    THERE = "there"
    REFUSED = "refused"
    MISSING = "missing"
    HIDDEN = "hidden"


def process_madvise(root: Path = PROC) -> SystemCall:
    """The system call, tried on no process: a kernel that has it says that the descriptor is bad."""
    return _call(lambda: system_call(PROCESS_MADVISE, -1, 0, 0, 0, 0), root)


def move_pages(root: Path = PROC) -> SystemCall:
    """The system call, tried on no page of udamon itself."""
    from udamon.linux.move_pages import nodes_of

    return _call(lambda: nodes_of(0, []), root)


def _call(harmless: Callable[[], object], root: Path) -> SystemCall:
    """What a call tells that does nothing: EBADF comes from the call itself, as no error does."""
    try:
        harmless()
    except OSError as error:
        if error.errno == errno.ENOSYS:
            return SystemCall.HIDDEN if _filtered(root) else SystemCall.MISSING
        return SystemCall.THERE if error.errno == errno.EBADF else SystemCall.REFUSED
    return SystemCall.THERE


def _filtered(root: Path) -> bool:
    """True when udamon runs under a seccomp filter."""
    try:
        return b"\nSeccomp:\t2\n" in read_bytes(root / "self/status")
    except OSError:
        return False


def advice_known(name: str) -> bool:
    """True when madvise knows this advice: given for no bytes at all, so nothing is done."""
    with mmap.mmap(-1, PAGE_SIZE) as page:
        try:
            page.madvise(_ADVICE[name], 0, 0)
        except OSError as error:
            return error.errno != errno.EINVAL
    return True


def has_capability(number: int, root: Path = PROC) -> bool:
    """True when the capability is effective for udamon."""
    try:
        return bool(read_status("self", root).cap_eff >> number & 1)
    except OSError:
        return False


def has_swap(root: Path = PROC) -> bool:
    """True when some swap is in use."""
    try:
        return len(read_bytes(root / "swaps").splitlines()) > 1
    except OSError:
        return False


def nodes(root: Path = SYS) -> list[int]:
    """The NUMA nodes."""
    try:
        names = os.listdir(root / "devices/system/node")
    except OSError:
        return []
    return sorted(int(match[1]) for name in names if (match := re.fullmatch(r"node(\d+)", name)))
