"""Acting that does nothing: the same decisions, and what they would have been about."""

from __future__ import annotations

from collections.abc import Sequence

from udamon.acting.base import Tried
from udamon.acting.left_alone import UniqueRanges
from udamon.core.regions import Region
from udamon.core.scheme import Action, ActionRequest, SchemeStats
from udamon.core.target import Target
from udamon.errors import CannotError
from udamon.linux.procfs import ProcessId
from udamon.linux.residency import resident
from udamon.model import Range


class DryActor:
    """An Actor (acting.base) that leaves all memory as it is; ages begin anew as if it had acted.

    `resident_bytes`: of all that would have been tried, what was in memory when it first was, for only that could be
    moved; None where the target is no process. The same memory counts once, however often it would be tried.
    """

    def __init__(self) -> None:
        self.resident_bytes: int | None = None
        self._seen = UniqueRanges()

    def missing(self, request: ActionRequest) -> str | None:
        """Nothing is needed to do nothing."""

    def apply(self, target: Target, start: int, end: int, request: ActionRequest) -> Tried:
        """See acting.base. Applies nothing, so nothing fails: a quota is charged as if all of it were done."""
        acts = request.action is not Action.STAT
        if acts and target.pid is not None and target.start_time is not None:
            new = self._seen.add(target.index, start, end)
            found = _resident(ProcessId(target.pid, target.start_time), new) if new else 0
            self.resident_bytes = found + (self.resident_bytes or 0)
        return Tried(0, end - start)

    def close(self) -> None:
        """There is nothing to release."""


def _resident(process: ProcessId, wanted: Sequence[Range]) -> int:
    try:
        return sum(found.size for found in resident(process, wanted))
    except CannotError:  # it has ended
        return 0


class PassWatch:
    """Observes schemes (see schemes.Observer): the bytes that each tried in its passes, by the scheme's number."""

    def __init__(self) -> None:
        self.passes: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.most: dict[int, int] = {}
        self._totals: dict[int, int] = {}
        self._seen: dict[int, UniqueRanges] = {}

    def different(self, scheme: int) -> int | None:
        """Bytes that it tried, each once; None where single regions are not told, as of in-kernel DAMON."""
        return self._seen[scheme].bytes if scheme in self._seen else None

    def keep(self, schemes: int) -> None:
        """Only the first `schemes` remain. A later scheme with the number of a removed one starts from zero."""
        for known in (self.passes, self.last, self.most, self._totals, self._seen):
            for scheme in [number for number in known if number >= schemes]:
                del known[scheme]

    def before_apply(self, scheme: int, target: Target, region: Region) -> None:
        self._seen.setdefault(scheme, UniqueRanges()).add(target.index, region.start, region.end)

    def effective_size(self, scheme: int, esz: int) -> None:
        """The status of the scheme has it."""

    def after_apply_interval(self, scheme: int, stats: SchemeStats) -> None:
        tried = stats.sz_tried - self._totals.get(scheme, 0)
        self._totals[scheme] = stats.sz_tried
        self.passes[scheme] = self.passes.get(scheme, 0) + 1
        self.last[scheme] = tried
        self.most[scheme] = max(tried, self.most.get(scheme, 0))
