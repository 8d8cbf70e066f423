"""Operations set paddr: the physical memory of the machine, as one target."""

from __future__ import annotations

from collections.abc import Sequence

from udamon.core.target import Target
from udamon.linux.iomem import system_ram
from udamon.linux.roots import Roots
from udamon.lock import Lock, take_lock
from udamon.model import Emit, Range
from udamon.ops.base import WholeTargets
from udamon.ops.fvaddr import whole_pages


class Paddr(WholeTargets):
    """All System RAM, or the physical ranges given, in bytes.

    Raises, when made, NotPermitted, NotSupported or RangesError.
    """

    name = "paddr"

    def __init__(
        self,
        ranges: Sequence[Range] = (),
        roots: Roots = Roots(),  # noqa: B008 (immutable)
    ) -> None:
        self._ranges = whole_pages(ranges) if ranges else system_ram(roots.proc)
        self._roots = roots
        self._lock: Lock | None = None

    def update(self, targets: list[Target], emit: Emit) -> None:
        """See ops.base; memory that is plugged in later is not noticed. Raises TargetBusy."""
        if self._lock is not None:
            return
        self._lock = take_lock("paddr", "the physical memory", self._roots)
        targets.append(Target(0, ranges=list(self._ranges)))
        nobody: dict[str, object] = {"start_time": None, "comm": "", "cmdline": [], "user": ""}
        emit("target_start", {"target": 0, "pid": None, **nobody})

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
