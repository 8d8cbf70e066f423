"""The interfaces of schemes: `Acting` for the kdamond, `SchemesControl` for users of any engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import NamedTuple, Protocol

from udamon.core.attrs import Attrs
from udamon.core.scheme import AccessPattern, Scheme, SchemeStatus
from udamon.core.target import Target
from udamon.core.tried import Answer
from udamon.model import Emit


class ResetAges(NamedTuple):
    """Bytes of a target whose age is reset, because a scheme acted on them."""

    target: Target
    start: int
    end: int


class Acting(Protocol):
    """Called on the kdamond's thread only; `sis` are the sampling intervals that passed since its start.

    Nothing here raises: failures become events.
    """

    def start(self, attrs: Attrs, emit: Emit) -> None:
        """Monitoring begins."""

    def change(self, attrs: Attrs, sis: int) -> None:
        """Attributes changed: everything is due one interval from now."""

    def wait_us(self) -> int:
        """For how many µs no scheme is active, so that the kdamond may sleep; 0 while one is."""

    def next_due(self) -> int | None:
        """The next `sis` at which a scheme is due; None if none ever is."""

    def apply(
        self, targets: Sequence[Target], sis: int, valid: Callable[[Target], bool]
    ) -> Sequence[ResetAges]:
        """Do what is due. Regions may be cut. Targets that are not `valid` any more are left alone.

        In mid-aggregation regions of the policy damon have a moving sum that is right at any tick; those of adaptive
        and of a census are as the last aggregation found them.
        """

    def finish(self) -> None:
        """Monitoring has ended."""

    def close(self) -> None:
        """Release what was opened. Idempotent."""


PatternsFor = Callable[[Attrs], Sequence[AccessPattern]]
"""The access patterns of all schemes under other attributes, for those that are meant in seconds and percent."""


class SchemesControl(Protocol):
    """Status and changes of the schemes of an engine, the same in user space and in the kernel.

    From other threads only through `ask` of the engine, save for `check`.
    """

    def check(self, schemes: Sequence[Scheme]) -> None:
        """Could these be committed? Raises NotSupported, with what to do. From any thread."""

    def commit(self, schemes: Sequence[Scheme], patterns_for: PatternsFor | None = None) -> None:
        """Go on with these schemes (docs/damon.md#commits). All or nothing. Raises NotSupported."""

    def status(self) -> list[SchemeStatus]:
        """How each scheme is doing, with its stats and effective size."""

    def walk(self, answer: Answer) -> None:
        """Have `answer` called with the tried regions of each scheme
        (docs/damon.md#tried-regions). Raises UsageError when busy."""


MIN_STATS_INTERVAL_NS = 1_000_000_000
"""The shortest time between two events with the totals of schemes."""


class Totals:
    """The event `schemes` (see model.Event), which is all that recordings keep of schemes: now and then, if changed."""

    def __init__(self) -> None:
        self._told: list[dict[str, object]] = []
        self._told_ns: int | None = None  # when it was last looked whether there is anything to tell

    def due(self, now_ns: int) -> bool:
        return self._told_ns is None or now_ns - self._told_ns >= MIN_STATS_INTERVAL_NS

    def tell(self, statuses: Sequence[SchemeStatus], now_ns: int, emit: Emit) -> None:
        totals: list[dict[str, object]] = [
            {
                "scheme": status.index,
                "action": str(status.scheme.action),
                "active": status.active,
                "why": status.why,
                "effective_bytes": status.effective_bytes,
                **asdict(status.stats),
            }
            for status in statuses
        ]
        self._told_ns = now_ns
        if totals != self._told:
            self._told = totals
            emit("schemes", {"schemes": totals})
