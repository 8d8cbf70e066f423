"""What a scheme leaves alone (docs/damon.md#filters): filters of regions here, and the rules for those of
pages in ops.

Filters are asked in their order; the first that applies decides. An address filter that applies to a part of a
region decides on that part, so the region is cut there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from udamon.core.scheme import ActionRequest, Filter, FilterType, Scheme
from udamon.model import Range


class Verdict(NamedTuple):
    """On the bytes up to `end`. `past_pages`: a filter has allowed them, so filters of pages are not asked."""

    end: int
    allowed: bool
    past_pages: bool = False


class CoreFilters:
    """The filters of regions of one scheme. `min_region`: addresses are aligned down to it, and cuts so too."""

    def __init__(self, scheme: Scheme, min_region: int) -> None:
        self._default = not core_default_reject(scheme)
        self._filters = [
            replace(filter, addr=align(filter.addr, min_region)) if filter.type is FilterType.ADDR else filter
            for filter in scheme.core_filters
        ]

    def decide(self, position: int, start: int, end: int) -> Verdict:
        """On the first bytes of [start, end) of the target at `position` of the context's list."""
        for filter in self._filters:
            applies, end = match(filter, position, start, end)
            if applies == filter.matching:
                return Verdict(end, filter.allow, past_pages=filter.allow)
        return Verdict(end, self._default)

    def verdicts(self, position: int, start: int, end: int) -> Iterator[tuple[int, Verdict]]:
        """Of every part of [start, end): where it begins, and what holds for it."""
        while start < end:
            verdict = self.decide(position, start, end)
            yield start, verdict
            start = verdict.end

    def allowed_bytes(self, position: int, start: int, end: int) -> int:
        """Of [start, end): those that are not rejected."""
        if not self._filters:
            return end - start if self._default else 0
        return sum(v.end - at for at, v in self.verdicts(position, start, end) if v.allowed)


def align(addr: Range, min_region: int) -> Range:
    """Both ends aligned down."""
    return Range(addr.start - addr.start % min_region, addr.end - addr.end % min_region)


def match(filter: Filter, position: int, start: int, end: int) -> tuple[bool, int]:
    """Does a filter's type match the first bytes of [start, end), and up to where does that answer hold?

    Of a region that an address range cuts, the part before it does not match, and the leading part in it does.
    """
    if filter.type is FilterType.TARGET:
        return position == filter.damon_target_idx, end
    here = filter.addr
    if here.start <= start and end <= here.end:
        return True, end
    if end <= here.start or here.end <= start:
        return False, end
    if start < here.start:
        return False, here.start
    return True, here.end


def core_default_reject(scheme: Scheme) -> bool:
    """What becomes of a region that no filter of regions applies to; filters of pages come after that."""
    if scheme.ops_filters or not scheme.core_filters:
        return False
    return scheme.core_filters[-1].allow


def ops_default_reject(scheme: Scheme) -> bool:
    """What becomes of a page that no filter of pages applies to."""
    return bool(scheme.ops_filters) and scheme.ops_filters[-1].allow


def action_requests(scheme: Scheme) -> tuple[ActionRequest, ActionRequest]:
    """What is asked of the operations set: with the filters of pages, and past them."""

    def request(filters: Sequence[Filter], *, default: bool) -> ActionRequest:
        return ActionRequest(scheme.action, tuple(filters), scheme.target_nid, scheme.dests, default)

    return request(scheme.ops_filters, default=not ops_default_reject(scheme)), request((), default=True)
