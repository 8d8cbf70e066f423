"""What holds of every apply pass and every decision, against plain reckoning byte by byte or page by page."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.actors import ALL, PAGE, Bench, region
from udamon.core.attrs import Attrs
from udamon.core.regions import Region
from udamon.core.scheme import (
    ANY_COUNT,
    ANY_SIZE,
    AccessPattern,
    Action,
    Filter,
    FilterType,
    Quota,
    Scheme,
    Weights,
)
from udamon.core.tuning import feedback
from udamon.model import Range
from udamon.schemes.filters import CoreFilters
from udamon.schemes.quota import ChargedQuota
from udamon.schemes.score import hotness

page = st.integers(0, 60)
address_filters = st.builds(
    lambda matching, allow, a, b: Filter(
        FilterType.ADDR, matching, allow, addr=Range(min(a, b) * PAGE, max(a, b) * PAGE + 7)
    ),
    st.booleans(),
    st.booleans(),
    page,
    page,
)
target_filters = st.builds(
    lambda matching, allow, index: Filter(FilterType.TARGET, matching, allow, damon_target_idx=index),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2),
)
core_filters = st.lists(st.one_of(address_filters, target_filters), max_size=4).map(tuple)


@st.composite
def region_lists(draw: st.DrawFn) -> list[Region]:
    regions, at = [], draw(st.integers(0, 5))
    for _ in range(draw(st.integers(1, 8))):
        start = at + draw(st.integers(0, 3))
        at = start + draw(st.integers(1, 9))
        made = region(start, at, draw(st.integers(0, 20)), draw(st.integers(0, 30)))
        made.touched = draw(st.integers(0, made.size))
        regions.append(made)
    return regions


def allowed(filters: tuple[Filter, ...], position: int, at: int) -> bool:
    """Of one page, by the words of the semantics."""
    for filter in filters:
        matches = (
            position == filter.damon_target_idx
            if filter.type is FilterType.TARGET
            else filter.addr.start <= at < filter.addr.end // PAGE * PAGE
        )
        if matches == filter.matching:
            return filter.allow
    return not (filters and filters[-1].allow)


@given(core_filters, st.integers(0, 2), page, st.integers(1, 20))
def test_filters_decide_each_page_as_it_would_be_alone(
    filters: tuple[Filter, ...], position: int, start: int, pages: int
) -> None:
    decided = CoreFilters(Scheme(core_filters=filters), PAGE)
    begin, end = start * PAGE, (start + pages) * PAGE
    found: dict[int, bool] = {}
    for at, verdict in decided.verdicts(position, begin, end):
        assert at < verdict.end <= end
        found |= dict.fromkeys(range(at, verdict.end, PAGE), verdict.allowed)
    assert found == {at: allowed(filters, position, at) for at in range(begin, end, PAGE)}
    assert decided.allowed_bytes(position, begin, end) == sum(found.values()) * PAGE


@given(st.integers(0, 40), st.integers(0, 2**32), st.integers(0, 9), st.integers(0, 9))
def test_priorities_lie_between_0_and_99(nr_accesses: int, age: int, w_accesses: int, w_age: int) -> None:
    assert 0 <= hotness(nr_accesses, age, Weights(1, w_accesses, w_age), Attrs()) <= 99


@given(st.integers(1, 20), st.integers(0, 30), st.integers(0, 30))
def test_what_is_accessed_is_hotter_the_longer_it_was_and_what_is_not_colder(nr: int, a: int, b: int) -> None:
    younger, older = sorted((a, b))
    weights = Weights(0, 1, 1)
    assert hotness(nr, younger * 10, weights, Attrs()) <= hotness(nr, older * 10, weights, Attrs())
    assert hotness(0, younger * 10, weights, Attrs()) >= hotness(0, older * 10, weights, Attrs())


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40))
def test_feedback_keeps_its_bounds(last: int, score: int) -> None:
    found = feedback(last, score)
    assert found <= 2**64 - 1
    assert score == 10_000 or found >= min(last, 10_000)
    if score < 10_000:
        assert found >= last


@given(
    region_lists(),
    st.lists(
        st.builds(
            Scheme,
            st.builds(AccessPattern, st.just(ANY_SIZE), st.just(ANY_COUNT), st.just(ANY_COUNT)),
            st.sampled_from([Action.PAGEOUT, Action.STAT]),
            quotas=st.builds(Quota, bytes=st.integers(0, 12).map(lambda pages: pages * PAGE)),
            core_filters=core_filters,
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 6),
)
def test_a_pass_loses_no_byte_and_shows_each_scheme_each_byte_at_most_once(
    regions: list[Region], schemes: list[Scheme], passes: int
) -> None:
    covered = [(r.start, r.end) for r in regions]
    touched = sum(r.touched for r in regions)
    bench = Bench(*schemes, regions=regions)
    for _ in range(passes):
        bench.told.before.clear()
        bench.sis += 20
        bench.clock.wait_until(bench.clock.now_ns() + 100_000_000)
        bench.schemes.apply(bench.targets, bench.sis, lambda target: True)
        calls = list(zip(bench.told.before, bench.actor.calls, strict=True))
        bench.actor.calls.clear()
        for index, scheme in enumerate(schemes):
            mine = [(start, end) for (told, *_), (_, start, end, _) in calls if told == index]
            assert all(a_end <= b_start for (_, a_end), (b_start, _) in pairwise(mine))
            if scheme.quotas.bytes:
                assert sum(end - start for start, end in mine) <= scheme.quotas.bytes
            assert all(allowed(scheme.core_filters, 0, at) for s, e in mine for at in range(s, e, PAGE))
        now = bench.targets[0].regions
        assert sum(r.touched for r in now) == touched
        assert all(a.end <= b.start for a, b in pairwise(now))
        assert {at for s, e in covered for at in range(s, e, PAGE)} == {
            at for r in now for at in range(r.start, r.end, PAGE)
        }


@given(st.lists(st.tuples(st.integers(1, 8), st.booleans()), max_size=20), st.integers(1, 20))
def test_windows_that_follow_one_another_come_to_every_byte(
    steps: list[tuple[int, bool]], pages: int
) -> None:
    """Whatever the size of a window, each page is acted on once before one is acted on twice."""
    bench = Bench(Scheme(ALL, Action.STAT, quotas=Quota(bytes=3 * PAGE)), regions=[region(0, pages, age=1)])
    seen: list[int] = []
    for size, _ in steps:
        bench.schemes.commit([Scheme(ALL, Action.STAT, quotas=Quota(bytes=size * PAGE))])
        for start, end in bench.apply():
            seen += range(start, end)
        whole = [seen[i : i + pages] for i in range(0, len(seen), pages)]
        assert all(part == list(range(len(part))) for part in whole)


@given(st.integers(0, 5), st.integers(0, 10**9), st.lists(st.integers(1, 50), max_size=10))
def test_room_never_lets_more_in_than_there_is(ms: int, size: int, sizes: list[int]) -> None:
    quota = ChargedQuota(Quota(ms=ms, bytes=size, reset_interval_ms=10), PAGE)
    quota.window(0, lambda goal: None)
    bench = Bench(Scheme(ALL), regions=[region(0, 1)])
    for pages in sizes:
        if quota.is_set and not quota.full:
            assert PAGE <= quota.room <= quota.esz - quota.charged_sz
            took = region(0, min(pages, quota.room // PAGE))
            quota.charge(bench.targets[0], took, took.size, took.size, 0)
            assert quota.charged_sz <= quota.esz
