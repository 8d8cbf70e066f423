"""Opening page tables, and the proof on udamon's own pages that what is read there is what it is taken for.

Nothing is believed because a kernel has a version: each start reads udamon's own tables and compares them with what it
knows. What does not fit is an error that says which step failed.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import NamedTuple

from udamon.errors import CannotError, NotPermitted, NotSupported, UsageError
from udamon.linux.bpf import Bpf
from udamon.linux.capabilities import drop_all_but
from udamon.linux.clear_refs import clear_referenced
from udamon.linux.features import (
    CAP_CHOWN,
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    CAP_FOWNER,
    CAP_KILL,
    CAP_NET_ADMIN,
    CAP_SYS_ADMIN,
    CAP_SYS_NICE,
    CAP_SYS_PTRACE,
)
from udamon.linux.iomem import system_ram
from udamon.linux.kernel_memory import BadMemory, Kcore, KernelMemory
from udamon.linux.lockdown import lockdown
from udamon.linux.page_tables import PageTables, Shape, shapes_of
from udamon.linux.procfs import ProcessId, read_stat
from udamon.linux.roots import PROC, Roots
from udamon.linux.table_roots import ByBtf, ByCalibration, TableRoots
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE
from udamon.native._native import PAGE_ACCESSED, PAGE_HUGE, PAGE_MAPPED

BACKENDS = ("bpf", "kcore")
"""What is tried, in this order: BPF reads 512 tables in one call."""

SWITCH = "UDAMON_PTE_BACKEND"
"""For tests: an environment variable that names the only back end to try."""

REFUSAL = (
    "kernel memory is read with consent only: ask for it by --via pte, or set allow_kernel_memory = true in "
    "/etc/udamon/config.toml."
)
_KEPT = (
    CAP_CHOWN,
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    CAP_FOWNER,
    CAP_KILL,
    CAP_NET_ADMIN,
    CAP_SYS_PTRACE,
    CAP_SYS_ADMIN,
    CAP_SYS_NICE,
)
_SMALL = 32
_NO_HUGE, _WANT_HUGE = 15, 14  # MADV_NOHUGEPAGE, MADV_HUGEPAGE
_TRIES = 3


class Opened(NamedTuple):
    """Page tables that were proved. `backend` is "bpf" or "kcore", `how` the way to roots, `unproved` what could not
    be tried here ("" for nothing)."""

    tables: PageTables
    roots: TableRoots
    backend: str
    how: str
    unproved: str

    def close(self) -> None:
        self.tables.memory.close()


class _ProofFailed(Exception):
    """A step of the proof failed; the message says which and how."""


def open_tables(*, allowed: bool, roots: Roots = Roots()) -> Opened:  # noqa: B008 (immutable)
    """Page tables through the first back end that opens and proves itself.

    Raises NotPermitted without consent (`allowed`, see linux/consent.py) or privilege, NotSupported, and UsageError for
    a switch that names no back end.
    """
    if not allowed:
        raise NotPermitted(REFUSAL)
    only = os.environ.get(SWITCH)
    if only is not None and only not in BACKENDS:
        raise UsageError(f"{SWITCH}={only} is no way to read kernel memory; give bpf or kcore, or unset it.")
    problems: list[str] = []
    denied = True
    for name in BACKENDS if only is None else (only,):
        try:
            memory = _open(name, roots)
        except OSError as error:
            # Under lockdown a program that asks for the helper is not refused but taken for wrong.
            denied &= isinstance(error, PermissionError) or lockdown(roots.sys) == "confidentiality"
            problems.append(_refused(name, error, roots))
            continue
        except CannotError as error:  # where RAM is cannot be known
            denied &= isinstance(error, NotPermitted)
            problems.append(f"{name}: {str(error).rstrip('.')}")
            continue
        try:
            return _proved(memory, roots)
        except (_ProofFailed, OSError) as error:
            memory.close()
            denied &= isinstance(error, PermissionError)
            problems.append(f"through {name}: {_words(error)}")
        except BaseException:
            memory.close()
            raise
    sentence = f"pte cannot be used: {'; '.join(problems)}; use another --via."
    raise NotPermitted(sentence) if denied else NotSupported(sentence)


def give_up_privileges() -> None:
    """Drop what opening took and looking does not: reading the kernel's memory goes on through what is open.

    What is kept is for looking at processes (CAP_SYS_ADMIN shows page frames), for acting on them, and for files.
    """
    with suppress(OSError):
        drop_all_but(_KEPT)


def _open(name: str, roots: Roots) -> KernelMemory:
    if name == "kcore":
        return Kcore(roots.proc / "kcore")
    if roots.proc != PROC:  # it would read another machine's tables than those of these roots
        raise BadMemory("BPF can only read the memory of the machine that udamon runs on")
    return Bpf(system_ram(roots.proc))


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).rstrip(".")


def _refused(name: str, error: OSError, roots: Roots) -> str:
    needs = (
        "CAP_SYS_RAWIO"
        if name == "kcore"
        else "CAP_BPF and CAP_PERFMON (before Linux 5.11 CAP_SYS_RESOURCE, too)"
    )
    if lockdown(roots.sys) == "confidentiality":
        return f"{name}: refused under lockdown=confidentiality"
    if not isinstance(error, PermissionError):
        return f"{name}: {_words(error)}"
    return f"{name} takes {needs}: run udamon as root"


def _proved(memory: KernelMemory, roots: Roots) -> Opened:
    """Raises _ProofFailed, OSError or NotSupported."""
    shapes = shapes_of(memory, platform.machine(), PAGE_SIZE, roots.proc)
    tables = PageTables(memory, shapes[0])
    page_map = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _mapping(_SMALL * PAGE_SIZE, _NO_HUGE) as (pages, address):
            for at in range(0, len(pages), PAGE_SIZE):
                pages[at] = 1
            addresses = range(address, address + len(pages), PAGE_SIZE)
            found = _find(memory, tables, shapes, page_map, addresses, roots)
            own = _physical(memory, found.own())
            _prove_small(tables, own, page_map, pages, addresses)
        unproved = _prove_huge(tables, own, page_map)
    finally:
        os.close(page_map)
    return Opened(tables, found, memory.name, found.name, unproved)


def _physical(memory: KernelMemory, address: int) -> int:
    physical = memory.physical(address)
    if physical is None:
        raise _ProofFailed("roots: the topmost table is not in RAM")
    return physical


def _find(
    memory: KernelMemory,
    tables: PageTables,
    shapes: Sequence[Shape],
    page_map: int,
    addresses: Sequence[int],
    roots: Roots,
) -> TableRoots:
    """A way to roots that is right for udamon itself; `tables` get the shape of these with which it is."""

    def proves(pgd: int) -> bool:
        """Whether that is the own topmost table. BPF learns by it where the direct map is."""
        if isinstance(memory, Bpf) and memory.base is None:
            for base in memory.bases(pgd):
                memory.begin_at(base)
                if _is_own(pgd):
                    return True
            memory.base = None
            return False
        return _is_own(pgd)

    def _is_own(pgd: int) -> bool:
        if (physical := memory.physical(pgd)) is None:
            return False
        for shape in shapes:
            tables.shape = shape
            if tables.agrees(physical, page_map, addresses):
                return True
        return False

    why = "no BTF"
    try:
        found: TableRoots = ByBtf(memory, roots.sys / "kernel/btf/vmlinux")
        if proves(found.own()):
            return found
        why = "what BTF says leads to no tables with the frames of the own page map"
    except FileNotFoundError:
        pass
    except (OSError, CannotError) as error:
        why = _words(error)
    try:
        return ByCalibration(memory, proves, roots.proc)
    except BadMemory as error:
        raise _ProofFailed(f"roots: {why}, and by calibration {_words(error)}") from None


def _prove_small(tables: PageTables, root: int, page_map: int, pages: mmap.mmap, addresses: range) -> None:
    """Frames as in the page map; cleared bits read cleared, and set where a page is touched and nowhere else."""

    def step() -> None:
        _require(tables.agrees(root, page_map, addresses), "frames: they are not those of the page map")
        _clear_own()
        _require(
            not any(_states(tables, root, addresses, PAGE_ACCESSED)),
            "cleared: cleared pages read as accessed",
        )
        _flush(addresses)
        for at in range(0, len(pages), 2 * PAGE_SIZE):
            pages[at] = 2
        expected = [True, False] * (_SMALL // 2)
        found = _states(tables, root, addresses, PAGE_ACCESSED)
        _require(found == expected, "touched: pages that were touched are not those that read as accessed")

    _several_times(step)


def _prove_huge(tables: PageTables, root: int, page_map: int) -> str:
    """The same of a huge page as a whole; why not, where none is to be had."""
    with _mapping(2 * HUGE_PAGE_SIZE, _WANT_HUGE) as (pages, address):
        head = -(-address // HUGE_PAGE_SIZE) * HUGE_PAGE_SIZE
        addresses = range(head, head + HUGE_PAGE_SIZE, PAGE_SIZE)
        pages[head - address] = 1
        if not all(_states(tables, root, addresses, PAGE_HUGE)):
            return "no huge page was to be had"

        def step() -> None:
            some = (addresses[0], addresses[1], addresses[-1])
            _require(
                tables.agrees(root, page_map, some), "huge page: its frames are not those of the page map"
            )
            _clear_own()
            _require(
                not any(_states(tables, root, addresses, PAGE_ACCESSED)),
                "huge page: cleared, it reads as accessed",
            )
            _flush(addresses)
            pages[head - address + 3 * PAGE_SIZE] = 2
            _require(
                all(_states(tables, root, addresses, PAGE_ACCESSED)),
                "huge page: touched, it reads as not accessed",
            )

        _several_times(step)
    return ""


def _several_times(step: Callable[[], None]) -> None:
    """Pages may be moved, and bits cleared by others, in between: a step that never works is off."""
    for tried in range(_TRIES):
        try:
            step()
        except _ProofFailed:
            if tried + 1 == _TRIES:
                raise
        else:
            break


def _require(right: bool, words: str) -> None:
    if not right:
        raise _ProofFailed(words)


def _states(tables: PageTables, root: int, addresses: range, bit: int) -> list[bool]:
    """Whether each of these pages, next to each other, is mapped and has that bit."""
    states = bytearray(len(addresses))
    for looked in tables.look(root, addresses.start, addresses.stop):
        at = (looked.first - addresses.start) // PAGE_SIZE
        states[at : at + len(looked.states)] = looked.states
    return [bool(state & PAGE_MAPPED and state & bit) for state in states]


def _clear_own() -> None:
    clear_referenced(ProcessId(os.getpid(), read_stat(os.getpid()).start_time))


def _flush(addresses: range) -> None:
    """No TLB holds these pages afterwards: taking write permission away, and giving it back, flushes them."""
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    for permission in (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE):
        if mprotect(
            ctypes.c_void_p(addresses.start), ctypes.c_size_t(len(addresses) * PAGE_SIZE), permission
        ):
            raise OSError(ctypes.get_errno(), "mprotect")


@contextmanager
def _mapping(size: int, advice: int) -> Iterator[tuple[mmap.mmap, int]]:
    """Anonymous memory and its address."""
    with closing(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)) as memory:
        with suppress(OSError):  # a kernel without huge pages
            memory.madvise(advice)
        view = ctypes.c_char.from_buffer(memory)
        address = ctypes.addressof(view)
        del view  # or the mapping could not be closed
        yield memory, address
