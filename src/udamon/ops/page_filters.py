"""Page filters (semantics §4.7): which single pages a deed may touch, as far as that can be told from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from udamon.core.scheme import Deed, Filter, FilterType
from udamon.linux.roots import Roots
from udamon.ops.acting.pages import PageTest, TopByteTest


def allowed(filters: Sequence[Filter], results: Mapping[Filter, bool], default: bool) -> bool:
    """Whether a page may be touched: the first filter that applies to it decides, `default` where none does."""
    for filter in filters:
        if results[filter] == filter.matching:
            return filter.allow
    return default


def missing_for_filters(filters: Sequence[Filter], roots: Roots) -> str | None:
    """Why one of `filters` cannot be tested from here, and what to do; None where all can."""
    for filter in filters:
        if filter.type is not FilterType.ANON:
            return f"the page filter {filter.type} cannot be tested from outside; use --via kernel, or leave it out."
    return None


def open_test(deed: Deed, *, spare_shared: bool) -> PageTest:
    """The test of a deed's pages. Raises OSError."""
    filters, default = deed.page_filters, deed.pages_allowed_by_default
    anon, file = (allowed(filters, dict.fromkeys(filters, kind), default) for kind in (True, False))
    return TopByteTest(spare_shared=spare_shared, allows_anon=anon, allows_file=file)
