"""The seam of this room: who carries out an action on memory, and what became of it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from udamon.core.scheme import ActionRequest
from udamon.core.target import Target


class Applied(NamedTuple):
    """What became of a range. `applied`: bytes that the call says it did (the kernel's sz_applied); `passed`: bytes
    that page filters let through; `moved`: bytes whose state really changed by it, None where nobody looked."""

    applied: int
    passed: int
    moved: int | None = None


class Tried(Applied):
    """Nothing was asked of the kernel, so that nothing failed either: a dry run."""

    __slots__ = ()


class Actor(Protocol):
    """Acts on memory: the part of an operations set that schemes use. Only the kdamond calls it."""

    def missing(self, request: ActionRequest) -> str | None:
        """Why `request` cannot be done from here, with what to do about it; None when it can. Asked once, before."""

    def apply(self, target: Target, start: int, end: int, request: ActionRequest) -> Applied:
        """Do `request` to the bytes [start, end) of `target`. What cannot be done is 0 bytes, never an exception,
        but for NotPermitted: a permission that was there before is gone."""

    def close(self) -> None:
        """Release what was opened. Idempotent."""
