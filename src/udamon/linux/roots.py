"""Where the kernel's files are, so that tests and containers can hand in other places."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
SYS = Path("/sys")


@dataclass(frozen=True, slots=True)
class Roots:
    """`locks` are the lock directories in order of preference, see lock; `run` is for root's own notes."""

    proc: Path = PROC
    sys: Path = SYS
    locks: tuple[Path, ...] = (Path("/run/lock/udamon"), Path("/tmp/udamon-locks"))
    run: Path = Path("/run/udamon")
