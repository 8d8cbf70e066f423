"""An actor that a governor may stop, between two regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from udamon.acting.base import Actor, Applied
from udamon.core.scheme import Action, ActionRequest
from udamon.core.target import Target
from udamon.schemes.governor import Governor, PressureSample

Read = Callable[[], PressureSample]
"""Reads the memory pressure of the targets."""


class GovernedActor:
    """Forwards to `actor` while the governor allows it; else applies 0 bytes and counts all of them as left out.

    The totals are read at most once a second, in the next `look` (call it before each pass, so that a backoff can
    end) or `apply`. `tell` gets a sentence when acting stops and when it resumes. The action `stat` does nothing to a
    target, so it is never stopped.
    """

    def __init__(
        self,
        actor: Actor,
        governor: Governor,
        read: Read,
        now_ns: Callable[[], int],
        tell: Callable[[str], None],
    ) -> None:
        self.governor = governor
        self._actor = actor
        self._read = read
        self._now_ns = now_ns
        self._tell = tell
        self.withheld = 0
        """Bytes that were not acted on."""

    def look(self) -> str:
        """The reason why acting is stopped now; "" while it is allowed."""
        if self.governor.wants(self._now_ns()):
            before = self.governor.why
            self.governor.observe(self._read())
            if bool(before) != bool(self.governor.why):
                self._tell(
                    f"{self.governor.why}." if self.governor.why else "the governor lets schemes act again."
                )
        return self.governor.why

    def missing(self, request: ActionRequest) -> str | None:
        return self._actor.missing(request)

    def apply(self, target: Target, start: int, end: int, request: ActionRequest) -> Applied:
        if request.action is not Action.STAT and self.look():
            self.withheld += end - start
            return Applied(0, 0)
        return self._actor.apply(target, start, end, request)

    def close(self) -> None:
        self._actor.close()


def reading(
    now_ns: Callable[[], int],
    targets: Callable[[], Sequence[Target]],
    faults: Callable[[Sequence[Target]], int],
    stalls: Callable[[], dict[str, int]],
) -> Read:
    """The usual way to read: `faults` is FaultCounter.count and `stalls` is stalls, of scheme_metrics.fault_counter."""
    return lambda: PressureSample(now_ns(), faults(targets()), stalls())
