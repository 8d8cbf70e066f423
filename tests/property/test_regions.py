"""Region algebra under arbitrary input: sorted, disjoint, covering; bytes conserved; numbers bounded."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.unit.fakes import answers_of
from udamon.core.attrs import Attrs
from udamon.core.damon import DamonPolicy
from udamon.core.fit import fit
from udamon.core.merge import merge_similar
from udamon.core.regions import Region
from udamon.core.split import enforce_limit, size_limit, split_randomly
from udamon.core.target import Target
from udamon.core.tuning import rescale
from udamon.model import Range

PAGE = 4096


@st.composite
def page_ranges(draw: st.DrawFn, max_ranges: int = 6, max_pages: int = 3_000) -> list[Range]:
    """Sorted disjoint ranges of whole pages, some of them adjacent."""
    ranges = []
    at = draw(st.integers(0, 2**35))
    for _ in range(draw(st.integers(1, max_ranges))):
        at += draw(st.sampled_from([0, 1, 7, 5_000]))
        size = draw(st.integers(1, max_pages))
        ranges.append(Range(at * PAGE, (at + size) * PAGE))
        at += size
    return ranges


@st.composite
def region_lists(draw: st.DrawFn) -> list[Region]:
    regions = []
    for start, end in draw(page_ranges(max_ranges=12, max_pages=40)):
        region = Region(start, end)
        region.nr_accesses = draw(st.integers(0, 20))
        region.last_nr_accesses = draw(st.integers(0, 20))
        region.age = draw(st.integers(0, 1_000))
        regions.append(region)
    return regions


def covered(regions: list[Region]) -> list[tuple[int, int]]:
    """The address space covered, adjacent regions joined; asserts order and disjointness."""
    joined: list[tuple[int, int]] = []
    for r in regions:
        assert r.start < r.end
        assert not joined or joined[-1][1] <= r.start
        if joined and joined[-1][1] == r.start:
            joined[-1] = (joined[-1][0], r.end)
        else:
            joined.append((r.start, r.end))
    return joined


def joined_ranges(ranges: list[Range]) -> list[tuple[int, int]]:
    return covered([Region(*r) for r in ranges])


@given(region_lists(), st.integers(2, 5), st.integers(0, 2**32))
def test_split_keeps_bytes_and_cuts_at_pages(regions: list[Region], pieces: int, seed: int) -> None:
    before, count = covered(regions), len(regions)
    split_randomly(regions, pieces, PAGE, Random(seed))
    assert covered(regions) == before
    assert count <= len(regions) <= count * pieces
    assert all(r.start % PAGE == 0 for r in regions)


@given(region_lists(), st.integers(0, 20), st.integers(PAGE, 100 * PAGE))
def test_merge_keeps_bytes_and_counts_stay_between_what_was_folded(
    regions: list[Region], threshold: int, limit: int
) -> None:
    before = covered(regions)
    low, high = min(r.nr_accesses for r in regions), max(r.nr_accesses for r in regions)
    oldest = max(r.age for r in regions)
    sizes = {r.size for r in regions}
    merge_similar(regions, threshold, limit)
    assert covered(regions) == before
    for r in regions:
        assert low <= r.nr_accesses <= high
        assert r.age <= oldest
        assert r.size <= limit or r.size in sizes


@given(region_lists(), st.integers(1, 50))
def test_enforcing_the_minimum_keeps_bytes_and_leaves_nothing_larger(
    regions: list[Region], minimum: int
) -> None:
    before = covered(regions)
    target = Target(0)
    target.regions = regions
    limit = size_limit([target], minimum, PAGE)
    enforce_limit(regions, limit)
    assert covered(regions) == before
    assert all(r.size <= limit for r in regions)


@given(region_lists(), page_ranges())
def test_fit_covers_exactly_the_ranges_and_invents_no_counts(
    regions: list[Region], ranges: list[Range]
) -> None:
    counts = {r.nr_accesses for r in regions} | {0}
    fitted = fit(regions, ranges, PAGE)
    assert covered(fitted) == joined_ranges(ranges)
    assert {r.nr_accesses for r in fitted} <= counts
    again = [(r.start, r.end) for r in fit(fitted, ranges, PAGE)]
    assert again == [(r.start, r.end) for r in fitted], "fitting twice changes nothing"


ATTRS = st.builds(
    lambda sample, ticks, low, more: Attrs(sample, sample * ticks, 1_000_000, low, low + more),
    st.integers(1, 10_000),
    st.integers(1, 40),
    st.integers(3, 60),
    st.integers(0, 300),
)


class MonitorMachine(RuleBasedStateMachine):
    """The policy through aggregations with arbitrary answers, ranges and attributes."""

    @initialize(ranges=page_ranges(), attrs=ATTRS, seed=st.integers(0, 2**32))
    def start(self, ranges: list[Range], attrs: Attrs, seed: int) -> None:
        self.random = Random(seed)
        self.policy = DamonPolicy(self.random)
        self.attrs = attrs
        self.targets = [Target(0, ranges=ranges)]
        self.adopt()

    def adopt(self) -> None:
        for target in self.targets:
            target.regions = fit(target.regions, target.ranges, PAGE)
        self.policy.start(self.targets, self.attrs)

    @rule(warmth=st.floats(0, 1))
    def aggregate(self, warmth: float) -> None:
        ticks = self.attrs.max_nr_accesses
        first = self.random.randint(1, ticks)
        for stretch in (first, ticks - first):
            if stretch:
                slots = self.policy.plan(self.targets, stretch)
                hits = [sum(self.random.random() < warmth for _ in range(stretch)) for _ in range(len(slots))]
                self.policy.fold(self.targets, slots, answers_of(slots, stretch, hits))
        self.policy.merge(self.targets)
        self.check_numbers_after_merge()
        before = self.count()
        self.policy.begin_aggregation(self.targets)
        assert self.count() <= max(before, self.attrs.max_nr_regions)

    def check_numbers_after_merge(self) -> None:
        """Ranges that do not touch cannot merge, and bringing back the minimum may cut up to that many."""
        islands = sum(len(joined_ranges(t.ranges)) for t in self.targets)
        attrs = self.attrs
        assert self.count() <= max(attrs.max_nr_regions, islands) + attrs.min_nr_regions
        pages = sum(r.size for t in self.targets for r in t.ranges) // PAGE
        if pages >= attrs.min_nr_regions * attrs.min_nr_regions:
            # limit = total/min, rounded up to a page: too few pages may leave fewer than the minimum.
            assert self.count() >= attrs.min_nr_regions - 1
        for target in self.targets:
            for r in target.regions:
                assert 0 <= r.touched <= r.size
                assert 0 <= r.nr_accesses <= attrs.max_nr_accesses

    @rule(ranges=page_ranges())
    def move_ranges(self, ranges: list[Range]) -> None:
        self.targets[0].ranges = ranges
        self.adopt()

    @rule(attrs=ATTRS, aggregated=st.booleans())
    def change_attrs(self, attrs: Attrs, aggregated: bool) -> None:
        for target in self.targets:
            rescale(target.regions, self.attrs, attrs, aggregated=aggregated)
        self.attrs = attrs
        self.policy.start(self.targets, attrs)
        self.policy.reset(self.targets)

    @rule(ranges=page_ranges())
    def add_target(self, ranges: list[Range]) -> None:
        if len(self.targets) < 4:
            self.targets.append(Target(len(self.targets), ranges=ranges))
            self.adopt()

    @invariant()
    def regions_cover_the_ranges(self) -> None:
        for target in getattr(self, "targets", []):
            assert covered(target.regions) == joined_ranges(target.ranges)

    @invariant()
    def moving_sums_are_not_negative(self) -> None:
        for target in getattr(self, "targets", []):
            assert all(r.nr_accesses_bp >= 0 and r.age >= 0 for r in target.regions)

    def count(self) -> int:
        return sum(len(t.regions) for t in self.targets)


TestMonitorMachine = MonitorMachine.TestCase
