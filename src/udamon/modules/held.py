"""Schemes that a governor has stopped: nothing is tried, so no age is reset and no quota is charged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from udamon.core.attrs import Attrs
from udamon.core.target import Target
from udamon.engine.acting import Acting, ResetAges
from udamon.model import Emit


class HeldSchemes:
    """Acting (engine.acting) that asks `held` before each pass: why nothing may be done now, "" when it may.

    What became due meanwhile is done once it may.
    """

    def __init__(self, schemes: Acting, held: Callable[[], str]) -> None:
        self.why = ""
        self._schemes = schemes
        self._held = held

    def start(self, attrs: Attrs, emit: Emit) -> None:
        self._schemes.start(attrs, emit)

    def change(self, attrs: Attrs, sis: int) -> None:
        self._schemes.change(attrs, sis)

    def wait_us(self) -> int:
        return self._schemes.wait_us()

    def next_due(self) -> int | None:
        """None while held: the kdamond comes by at the end of each aggregation anyhow."""
        return None if self.why else self._schemes.next_due()

    def apply(
        self, targets: Sequence[Target], sis: int, valid: Callable[[Target], bool]
    ) -> Sequence[ResetAges]:
        self.why = self._held()
        return () if self.why else self._schemes.apply(targets, sis, valid)

    def finish(self) -> None:
        self._schemes.finish()

    def close(self) -> None:
        self._schemes.close()
