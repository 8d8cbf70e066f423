"""Which targets are one address space, and which may share anonymous memory because one was forked from the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from udamon.core.target import Target
from udamon.linux.kcmp import compare_spaces
from udamon.linux.procfs import read_stat
from udamon.linux.roots import PROC

Family = tuple[int, int]
"""Where code and stack of a program begin: exec chooses them, fork keeps them. Anonymous memory can be shared
within a family only. Two programs may have the same, where address randomisation is off: then one family is more
than it need be."""


class AddressSpaces:
    """Kept up to date by `update`; asks the kernel only about targets that are new or have executed a program."""

    def __init__(self, root: Path = PROC, compare: Callable[[int, int], int] = compare_spaces) -> None:
        self._root = root
        self._compare = compare
        self._families: dict[int, Family] = {}
        self._spaces: dict[Family, list[list[Target]]] = {}
        self._unsure: set[Family] = set()

    def update(self, targets: Sequence[Target]) -> None:
        """Take in which targets there are now. Those that ended while we looked are left out."""
        found: dict[int, Family] = {}
        for target in targets:
            if target.pid is not None:
                try:
                    stat = read_stat(target.pid, self._root)
                except OSError:
                    continue
                if not stat.main_ended:
                    found[target.index] = stat.start_code, stat.start_stack
                elif target.index in self._families:  # where code begins shows no more: it is as it was
                    found[target.index] = self._families[target.index]
        same = {index for index, family in found.items() if self._families.get(index) == family}
        for family, spaces in list(self._spaces.items()):
            kept = [[one for one in space if one.index in same] for space in spaces]
            self._spaces[family] = [space for space in kept if space]
            if not self._spaces[family]:
                del self._spaces[family]
                self._unsure.discard(family)
        self._families = found
        for target in targets:
            if target.index in found and target.index not in same:
                self._add(found[target.index], target)

    def _add(self, family: Family, target: Target) -> None:
        """By halving: a thousand workers of one parent are ten questions each."""
        spaces = self._spaces.setdefault(family, [])
        low, high = 0, len(spaces)
        while low < high:
            middle = (low + high) // 2
            try:
                order = self._compare(target.pid or 0, spaces[middle][0].pid or 0)
            except ProcessLookupError:
                break
            except OSError:  # the kernel cannot tell
                self._unsure.add(family)
                break
            if order == 0:
                spaces[middle].append(target)
                return
            low, high = (low, middle) if order == 1 else (middle + 1, high)
        spaces.insert(low, [target])

    def leader(self, target: Target) -> int:
        """The index of the first target of this one's address space: its own, where no other has it."""
        for space in self._spaces.get(self._families.get(target.index, (0, 0)), ()):
            if target in space:
                return min(one.index for one in space)
        return target.index

    def family(self, target: Target) -> Family | None:
        """None for a target that was not there at the last update, or whose main thread had ended before the first."""
        return self._families.get(target.index)

    def maybe_same_space(self, target: Target) -> bool:
        """Whether another target of its family may have the same address space: the kernel does not tell."""
        family = self._families.get(target.index)
        return family in self._unsure and len(self._spaces.get(family, ())) > 1
