"""Operations set vaddr: the virtual memory of processes, as three regions that follow the mappings."""

from __future__ import annotations

from collections.abc import Sequence

from udamon.core.target import Target
from udamon.linux.procfs import is_alive
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE, Emit
from udamon.ops.three_regions import three_regions
from udamon.targets.processes import ProcessSource, process_of
from udamon.targets.tracker import TargetTracker


class ProcessOperations:
    """What vaddr and fvaddr share: targets are processes."""

    name = "process"

    def __init__(self, source: ProcessSource, roots: Roots = Roots()) -> None:  # noqa: B008 (immutable)
        self._roots = roots
        self.tracker = TargetTracker(source, roots)

    def update(self, targets: list[Target], emit: Emit) -> None:
        """See ops.base. Raises TargetBusy too."""
        for target in self.tracker.update(targets, emit):
            self._set_ranges(target)

    def follow_forks(self, targets: list[Target], emit: Emit) -> bool:
        before = [target.index for target in targets]
        changed = self.tracker.follow_forks(targets, emit)
        for target in changed:
            self._set_ranges(target)
        return bool(changed) or before != [target.index for target in targets]

    def hold(self, most: int) -> None:
        """The primitive holds a file of each target: no more than `most` are watched."""
        self.tracker.most = max(most, 1)

    def _set_ranges(self, target: Target) -> None:
        raise NotImplementedError

    def valid(self, target: Target) -> bool:
        return is_alive(process_of(target), self._roots.proc)

    def finish(self, targets: Sequence[Target], emit: Emit) -> None:
        self.tracker.finish(targets, emit)

    def expecting(self) -> bool:
        return self.tracker.source.expecting()

    def close(self) -> None:
        self.tracker.close()


class Vaddr(ProcessOperations):
    """Heap, mmap area and stack of each process, refreshed at every update (docs/damon.md#three-regions)."""

    name = "vaddr"

    def _set_ranges(self, target: Target) -> None:
        # As in the kernel, an address space without two gaps leaves the ranges as they were.
        ranges = three_regions(self.tracker.mappings(target), PAGE_SIZE)
        if ranges is not None:
            target.ranges = ranges
