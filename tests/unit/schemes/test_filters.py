"""Filters of regions, and the rules for what none applies to (docs/damon.md#filters, #unit-tests)."""

from __future__ import annotations

import pytest

from tests.unit.actors import ALL, PAGE, Bench, region
from udamon.core.scheme import Action, Bounds, Filter, FilterType, Scheme
from udamon.model import Range
from udamon.schemes.filters import (
    CoreFilters,
    action_requests,
    core_default_reject,
    match,
    ops_default_reject,
)

ALLOW, REJECT = True, False
ADDRESS = Filter(FilterType.ADDR, matching=True, addr=Range(2 * PAGE, 6 * PAGE))


def core(*allows: bool) -> tuple[Filter, ...]:
    return tuple(Filter(FilterType.ADDR, matching=True, allow=allow, addr=Range(0, PAGE)) for allow in allows)


def ops(*allows: bool) -> tuple[Filter, ...]:
    return tuple(Filter(FilterType.ANON, matching=True, allow=allow) for allow in allows)


def test_a_filter_keeps_what_it_was_made_of() -> None:
    made = Filter(FilterType.ANON, matching=True, allow=False)
    assert (made.type, made.matching, made.allow) == (FilterType.ANON, True, False)


@pytest.mark.parametrize(
    ("start", "end", "matched", "upto"),
    [(3, 5, True, 5), (1, 2, False, 2), (6, 8, False, 8), (1, 4, False, 2), (2, 8, True, 6)],
)
def test_an_address_filter_of_2_to_6(start: int, end: int, matched: bool, upto: int) -> None:
    assert match(ADDRESS, 0, start * PAGE, end * PAGE) == (matched, upto * PAGE)


@pytest.mark.parametrize(
    ("start", "end", "acted", "layout"),
    [
        (3, 5, [(3, 5)], [(3, 5)]),
        (1, 2, [], [(1, 2)]),
        (6, 8, [], [(6, 8)]),
        (1, 4, [(2, 4)], [(1, 2), (2, 4)]),
        (2, 8, [(2, 6)], [(2, 6), (6, 8)]),
    ],
)
def test_a_region_is_cut_where_an_address_filter_ends(
    start: int, end: int, acted: list[tuple[int, int]], layout: list[tuple[int, int]]
) -> None:
    allowed = Filter(FilterType.ADDR, matching=True, allow=True, addr=ADDRESS.addr)
    bench = Bench(Scheme(ALL, Action.PAGEOUT, core_filters=(allowed,)), regions=[region(start, end, age=3)])
    assert bench.apply() == acted
    assert bench.layout() == layout
    assert bench.stats().nr_tried == len(acted), "what the core rejects is not tried"


def test_addresses_are_aligned_down() -> None:
    filters = CoreFilters(
        Scheme(core_filters=(Filter(FilterType.ADDR, True, True, addr=Range(PAGE + 1, 3 * PAGE - 1)),)), PAGE
    )
    assert [(at // PAGE, v.end // PAGE, v.allowed) for at, v in filters.verdicts(0, 0, 4 * PAGE)] == [
        (0, 1, False), (1, 2, True), (2, 4, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("in_core", "in_ops", "rejects"),
    [
        ((), (), (False, False)),
        ((ALLOW,), (), (True, False)),
        ((REJECT,), (), (False, False)),
        ((REJECT,), (ALLOW,), (False, True)),
        ((ALLOW,), (ALLOW,), (False, True)),
        ((REJECT, ALLOW), (), (True, False)),
        ((ALLOW, REJECT), (), (False, False)),
        ((), (ALLOW, REJECT), (False, False)),
    ],
)
def test_what_no_filter_applies_to(
    in_core: tuple[bool, ...], in_ops: tuple[bool, ...], rejects: tuple[bool, bool]
) -> None:
    scheme = Scheme(core_filters=core(*in_core), ops_filters=ops(*in_ops))
    assert (core_default_reject(scheme), ops_default_reject(scheme)) == rejects


def test_the_first_filter_that_applies_decides() -> None:
    reject_target_1 = Filter(FilterType.TARGET, matching=True, allow=False, damon_target_idx=1)
    allow_all_but_0 = Filter(FilterType.TARGET, matching=False, allow=True, damon_target_idx=0)
    bench = Bench(
        Scheme(ALL, Action.PAGEOUT, core_filters=(reject_target_1, allow_all_but_0)),
        regions=[[region(0, 1)], [region(2, 3)], [region(4, 5)]],
    )
    # 0: none applies, and the last one allows, so it is rejected; 1: the first; 2: the second.
    assert bench.apply() == [(4, 5)]


def test_an_allow_of_the_core_goes_past_the_filters_of_pages() -> None:
    allow = Filter(FilterType.ADDR, matching=True, allow=True, addr=Range(0, 2 * PAGE))
    pages = Filter(FilterType.ANON, matching=True, allow=True)
    bench = Bench(
        Scheme(ALL, Action.PAGEOUT, core_filters=(allow,), ops_filters=(pages,)),
        regions=[region(0, 2), region(2, 4)],
    )
    bench.schemes.start(bench.attrs, lambda name, data: None)
    bench.sis += 20
    bench.schemes.apply(bench.targets, bench.sis, lambda target: True)
    first, second = [request for *_, request in bench.actor.calls]
    assert first.page_filters == ()
    assert first.pages_allowed_by_default
    assert second.page_filters == (pages,)
    assert not second.pages_allowed_by_default


def test_requests_say_what_holds_for_other_pages() -> None:
    small = Filter(FilterType.HUGEPAGE_SIZE, matching=True, allow=False, size=Bounds(234, 345))
    with_filters, past = action_requests(Scheme(action=Action.PAGEOUT, ops_filters=(small,), target_nid=3))
    assert with_filters.pages_allowed_by_default
    assert with_filters.page_filters == (small,)
    assert (past.page_filters, past.target_nid, past.action) == ((), 3, Action.PAGEOUT)
