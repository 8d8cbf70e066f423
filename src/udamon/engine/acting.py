"""The seam of schemes: what the kdamond asks of whoever acts on what it finds. See udamon.schemes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from udamon.core.attrs import Attrs
from udamon.core.target import Target
from udamon.ops.base import Emit


class Acted(NamedTuple):
    """Bytes of a target whose age begins anew, because something was done to them."""

    target: Target
    start: int
    end: int


class Acting(Protocol):
    """Called on the kdamond's thread only; `sis` are the sampling intervals that passed since its start.

    Nothing of it raises: what could not be done is told as an event.
    """

    def start(self, attrs: Attrs, emit: Emit) -> None:
        """Monitoring begins."""

    def change(self, attrs: Attrs, sis: int) -> None:
        """Attributes changed: everything is due one interval from now."""

    def wait_us(self) -> int:
        """For how many µs the kdamond is not needed at all; 0 when it is."""

    def next_due(self) -> int | None:
        """At which `sis` there is something to apply; None when nothing ever is."""

    def apply(self, targets: Sequence[Target], sis: int, valid: Callable[[Target], bool]) -> Sequence[Acted]:
        """Do what is due. Regions may be cut. Targets that are not `valid` any more are left alone."""

    def finish(self) -> None:
        """Monitoring has ended."""

    def close(self) -> None:
        """Release what was opened. Idempotent."""
