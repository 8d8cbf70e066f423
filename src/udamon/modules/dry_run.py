"""Acting that does nothing: the same decisions, and what they would have been about."""

from __future__ import annotations

from udamon.core.regions import Region
from udamon.core.scheme import Action, Deed, SchemeStats
from udamon.core.target import Target
from udamon.errors import CannotError
from udamon.linux.procfs import ProcessId
from udamon.model import Range
from udamon.ops.base import Applied
from udamon.ops.residency import resident


class DryActor:
    """An Actor (ops.base) that leaves all memory as it is; ages begin anew as if it had acted.

    `resident_bytes`: of all that would have been tried, what is in memory, for only that could be moved; None where
    the target is no process.
    """

    def __init__(self) -> None:
        self.resident_bytes: int | None = None

    def missing(self, deed: Deed) -> str | None:
        """Nothing is needed to do nothing."""

    def apply(self, target: Target, start: int, end: int, deed: Deed) -> Applied:
        """See ops.base. Applies nothing; all of it counts as passed."""
        acts = deed.action is not Action.STAT
        if acts and target.pid is not None and target.start_time is not None:
            found = _resident(ProcessId(target.pid, target.start_time), Range(start, end))
            self.resident_bytes = found + (self.resident_bytes or 0)
        return Applied(0, end - start)

    def close(self) -> None:
        """There is nothing to release."""


def _resident(process: ProcessId, wanted: Range) -> int:
    try:
        return sum(found.size for found in resident(process, [wanted]))
    except CannotError:  # it has ended
        return 0


class PassWatch:
    """Observes schemes (see schemes.Observer): the bytes that each tried in its passes, by the scheme's number."""

    def __init__(self) -> None:
        self.passes: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.most: dict[int, int] = {}
        self._totals: dict[int, int] = {}

    def before_apply(self, scheme: int, target: Target, region: Region) -> None:
        """Only whole passes are counted."""

    def effective_size(self, scheme: int, esz: int) -> None:
        """The status of the scheme has it."""

    def after_apply_interval(self, scheme: int, stats: SchemeStats) -> None:
        tried = stats.sz_tried - self._totals.get(scheme, 0)
        self._totals[scheme] = stats.sz_tried
        self.passes[scheme] = self.passes.get(scheme, 0) + 1
        self.last[scheme] = tried
        self.most[scheme] = max(tried, self.most.get(scheme, 0))
