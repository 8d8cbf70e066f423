"""In-kernel DAMON as seen from outside, reading only: is it there, and does somebody use it?"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from udamon.linux.procfs import list_pids, read_bytes, read_stat
from udamon.linux.roots import Roots

_MODULES = ("damon_stat", "damon_reclaim", "damon_lru_sort")
DEBUGFS_ON = "its debugfs file says it is on"
_DEBUGFS = ("monitor_on", "monitor_on_DEPRECATED")
_CONFIG = {"CONFIG_DAMON_VADDR": ("vaddr", "fvaddr"), "CONFIG_DAMON_PADDR": ("paddr",)}


@dataclass(frozen=True, slots=True)
class KernelDamon:
    """`users` says who has it (a sentence's part each); `ops` is None where it cannot be known.

    `physical` says whether it watches physical memory now: "yes", "no", or "maybe" where that is kept from us.
    `readable` is False where the number of kdamonds is kept from us: then "free" is only likely.
    """

    present: bool
    users: tuple[str, ...] = ()
    ops: tuple[str, ...] | None = None
    readable: bool = True
    physical: Literal["yes", "no", "maybe"] = "no"

    @property
    def busy(self) -> bool:
        return bool(self.users)

    @property
    def why(self) -> str:
        """One sentence on its state."""
        if not self.present:
            return "This kernel has no DAMON that can be driven (no sysfs tree)."
        if self.users:
            return f"In-kernel DAMON is in use: {'; '.join(self.users)}."
        if not self.readable:
            return "In-kernel DAMON seems free, but only root can tell."
        return "In-kernel DAMON is there and free."


def kernel_damon(roots: Roots = Roots()) -> KernelDamon:  # noqa: B008 (immutable)
    """Look at everything that shows a user of in-kernel DAMON; changes nothing and never raises."""
    admin = roots.sys / "kernel/mm/damon/admin/kdamonds"
    users = (*_kdamonds(admin), *_modules(roots.sys), *_debugfs(roots.sys), *_threads(roots.proc))
    readable = not admin.is_dir() or _read(admin / "nr_kdamonds") is not None
    present = admin.is_dir() or (roots.sys / "kernel/debug/damon").is_dir() or bool(users)
    physical = _physical(admin, roots.sys) if users else "no"
    return KernelDamon(present, users, _available(admin, roots) if present else (), readable, physical)


def _physical(admin: Path, sys: Path) -> Literal["yes", "no", "maybe"]:
    """Of a DAMON that is in use: its modules watch physical memory, its kdamonds what their contexts say."""
    if _modules(sys):
        return "yes"
    running = [kdamond for kdamond in admin.glob("[0-9]*") if _read(kdamond / "state") != "off"]
    watched = [_read(path) for kdamond in running for path in kdamond.glob("contexts/[0-9]*/operations")]
    if "paddr" in watched:
        return "yes"
    return "no" if watched and None not in watched else "maybe"


def _read(path: Path) -> str | None:
    try:
        return read_bytes(path).decode(errors="surrogateescape").strip()
    except OSError:
        return None


def _kdamonds(admin: Path) -> list[str]:
    number = _read(admin / "nr_kdamonds")
    if number is None or number == "0":
        return []
    return [f"nr_kdamonds is {number}"]


def _modules(sys: Path) -> list[str]:
    names = [m for m in _MODULES if _read(sys / f"module/{m}/parameters/enabled") in {"Y", "1"}]
    return [f"the module {name} is enabled" for name in names]


def _debugfs(sys: Path) -> list[str]:
    on = any(_read(sys / "kernel/debug/damon" / name) == "on" for name in _DEBUGFS)
    return [DEBUGFS_ON] if on else []


def _threads(proc: Path) -> list[str]:
    found = []
    try:
        pids = list_pids(proc)
    except OSError:
        return []
    for pid in pids:
        if (_read(proc / str(pid) / "comm") or "").startswith("kdamond."):
            try:
                stat = read_stat(pid, proc)
            except OSError:
                continue
            if stat.kernel_thread:  # any program may call itself so
                found.append(f"the kernel thread {stat.comm} runs (pid {pid})")
    return found


def _available(admin: Path, roots: Roots) -> tuple[str, ...] | None:
    """What a kdamond that is set up says; else what the kernel was built with."""
    for path in sorted(admin.glob("*/contexts/*/avail_operations")):
        if (text := _read(path)) is not None:
            return tuple(text.split())
    config = kernel_config(roots)
    if not config:
        return None
    return tuple(op for key, ops in _CONFIG.items() if config.get(key) in {"y", "m"} for op in ops)


def kernel_config(roots: Roots = Roots()) -> dict[str, str]:  # noqa: B008 (immutable)
    """The build configuration of the running kernel; empty where it is not told."""
    try:
        text = gzip.decompress(read_bytes(roots.proc / "config.gz")).decode()
    except (OSError, EOFError, ValueError):
        text = _read(Path("/boot") / f"config-{os.uname().release}") or ""
    fields = (line.partition("=") for line in text.splitlines() if line.startswith("CONFIG_"))
    return {key: value for key, _, value in fields}
