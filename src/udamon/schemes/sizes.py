"""How many bytes of a range count for a scheme: for its quota, its priorities, and its tried bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from udamon.core.scheme import Action
from udamon.core.target import Target


class Sizes(Protocol):
    """Of ranges of targets, in bytes. Asked by an apply pass only."""

    def begin(self, targets: Sequence[Target]) -> None:
        """A pass begins: regions are as the monitor made them."""

    def known(self, target: Target, start: int, end: int, action: Action) -> int:
        """Bytes of [start, end) that count, as of the begin of the pass; an estimate for parts of a region."""

    def first(self, target: Target, start: int, end: int, action: Action, most: int) -> tuple[int, int]:
        """The end of the longest part of [start, end) from its start in which at most `most` bytes count, in whole
        pages, and how many do in it."""


class AddressSizes:
    """Every address counts, as in the kernel."""

    def begin(self, targets: Sequence[Target]) -> None:
        """Nothing is remembered."""

    def known(self, target: Target, start: int, end: int, action: Action) -> int:
        return end - start

    def first(self, target: Target, start: int, end: int, action: Action, most: int) -> tuple[int, int]:
        end = min(end, start + most)
        return end, end - start
