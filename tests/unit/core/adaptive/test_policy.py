"""The policy `adaptive` on small simulated memories: what it finds, and what that costs."""

from __future__ import annotations

from statistics import median

import pytest

from tests.unit.fakes import answers_of
from tests.unit.points import PAGE
from tests.unit.simulated import BASE, Island, Memory, Seen, Simulation, agreement, pages_where, seen
from udamon.core.adaptive import AdaptivePolicy
from udamon.core.adaptive.steps import Steps
from udamon.core.attrs import Attrs
from udamon.model import Range

SEEDS = pytest.mark.parametrize("seed", range(3))
SIZE = 1 << 14  # pages


def hot_pages(memory: Memory) -> set[int]:
    return pages_where(seen(memory), 10)


def pages_of(*islands: Island) -> set[int]:
    return {page for island in islands for page in range(island.start, island.end)}


@SEEDS
def test_islands_are_found_with_few_checks_and_their_rates_are_told(seed: int) -> None:
    """3 % of the pages in three places, with 1500 checks; one in eleven pages was looked at."""
    islands = Island(1000, 1300), Island(5000, 5064), Island(12_000, 12_100)
    memory = Memory(SIZE, *islands)
    simulation = Simulation(memory, checks=300, seed=seed)
    simulation.aggregate(5)
    assert agreement(hot_pages(memory), pages_of(*islands)) > 0.97
    # 0.97 of 20 ticks, where a rate's standard error is at most 0.05.
    assert {r.nr_accesses for r in seen(memory) if r.nr_accesses >= 10} <= {18, 19, 20}
    assert pages_where(seen(memory), 1, 9) == set(), "and nothing between hot and cold"


@SEEDS
def test_a_lukewarm_island_is_told_from_a_hot_one_beside_it(seed: int) -> None:
    """A few hundred checks, remembered for 16 aggregations: three standard errors are less than 0.1."""
    memory = Memory(SIZE, Island(4000, 6000, 0.3), Island(6000, 8000, 0.97))
    simulation = Simulation(memory, checks=500, seed=seed)
    simulation.aggregate(20)
    assert set(range(4100, 5900)) <= pages_where(seen(memory), 4, 8)
    assert agreement(hot_pages(memory), set(range(6000, 8000))) > 0.98


@pytest.mark.parametrize("longest", [1, 2, 7])
def test_short_stretches_find_as_much_and_are_fitted_a_few_times_an_aggregation(
    longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheme that is due every two ticks cuts an aggregation into ten; a fit a quarter is enough. Of nine runs the
    middle one counts after 6 aggregations: in one of thirty an island of 64 of 16384 pages was not met by then."""
    fits: list[int] = []
    fit = Steps.fit

    def counted(steps: Steps, ticks: int, now_us: int, aggregation_us: int) -> None:
        fits.append(ticks)
        fit(steps, ticks, now_us, aggregation_us)

    monkeypatch.setattr(Steps, "fit", counted)
    islands = Island(1000, 1300), Island(5000, 5064), Island(12_000, 12_100)
    early = []
    for seed in range(9):
        memory = Memory(SIZE, *islands)
        simulation = Simulation(memory, checks=300, seed=seed, longest=longest)
        simulation.aggregate(6)
        early.append(agreement(hot_pages(memory), pages_of(*islands)))
        assert max(simulation.checks) <= 300
        fits.clear()
        simulation.aggregate(10)
        assert len(fits) <= 4 * 10
        assert agreement(hot_pages(memory), pages_of(*islands)) > 0.97
    assert median(early) > 0.97


@pytest.mark.parametrize(("rate", "nr_accesses"), [(0.0, 0), (1.0, 19)])
def test_as_long_as_all_agree_little_is_asked(rate: float, nr_accesses: int) -> None:
    """32 checks, and twice as many with each aggregation; 0 of 20 ticks, and rounded down from nearly 20."""
    memory = Memory(1 << 15, rate=rate)
    simulation = Simulation(memory, checks=1000)
    simulation.aggregate(4)
    assert simulation.checks == [32, 64, 128, 256]
    assert {r.nr_accesses for r in seen(memory)} == {nr_accesses}


def test_while_all_agree_all_checks_are_made_at_once() -> None:
    """An island of a 32nd of the memory is met by the first 32 as likely as 32 places can: none of them waits."""
    simulation = Simulation(Memory(1 << 15), checks=1000)
    simulation.aggregate()
    slots, ticks = simulation.plans[0]
    assert (ticks, sum(slots.checks), set(slots.span)) == (1, 32, {1})


def test_exploration_comes_to_a_page_again_only_after_most_others() -> None:
    """Checks of one tick at one page are those that explore, and a few around what was found."""
    simulation = Simulation(Memory(SIZE, Island(3000, 3200, 1.0)), checks=400)
    explored: list[int] = []
    for _ in range(20):
        simulation.aggregate()
        for slots, _ in simulation.plans:
            rows = zip(slots.start, slots.end, slots.checks, slots.span, strict=True)
            explored += (
                start for start, end, checks, span in rows if (end - start, checks, span) == (PAGE, 1, 1)
            )
    assert len(explored) > SIZE / 4
    assert len({*explored}) > 0.95 * len(explored)


def test_a_hole_is_no_disagreement() -> None:
    memory = Memory(1 << 15)
    memory.target.resident = [
        Range((BASE + start) * PAGE, (BASE + start + 1024) * PAGE) for start in range(0, 1 << 15, 2048)
    ]
    simulation = Simulation(memory, checks=1000)
    simulation.aggregate(3)
    assert simulation.checks == [32, 64, 128]


def test_exploration_calms_down_when_nothing_is_new_and_wakes_when_something_is() -> None:
    memory = Memory(SIZE, Island(3000, 4000, 1.0))
    simulation = Simulation(memory, checks=400)
    simulation.aggregate(5)
    assert min(simulation.checks[1:]) > 350
    assert not simulation.policy.backed_off
    simulation.aggregate(35)
    assert max(simulation.checks[-3:]) < 100, "a tenth explores, a few follow what is known"
    assert simulation.policy.backed_off
    memory.islands = [Island(7000, 8000, 1.0)]
    simulation.aggregate(4)
    assert min(simulation.checks[-3:]) > 350
    assert not simulation.policy.backed_off
    assert agreement(hot_pages(memory), set(range(7000, 8000))) > 0.97


def test_it_does_not_rest_while_the_working_set_is_unknown() -> None:
    """Two pages in a hundred are touched in an aggregation: some hundred whole checks find about as many accesses as
    give an error of a third."""
    memory = Memory(1 << 18, rate=0.001)
    simulation = Simulation(memory, checks=300)
    simulation.aggregate(40)
    assert min(simulation.checks[10:]) > 200
    assert not simulation.policy.backed_off


@pytest.mark.parametrize(("find", "rests"), [(None, True), (16 * PAGE, False)])
def test_it_does_not_rest_before_the_smallest_island_worth_finding_would_have_been_met(
    find: int | None, rests: bool
) -> None:
    """By 3000 checks for a thousandth of the memory, by 12288 for 16 of 65536 pages; at most 7000 are made."""
    memory = Memory(1 << 16, Island(3000, 9000, 1.0))
    simulation = Simulation(memory, checks=100)
    simulation.policy = AdaptivePolicy(checks=100, find=find)
    simulation.adopt()
    simulation.aggregate(70)
    assert simulation.policy.backed_off == rests


def test_memory_grows_while_nothing_changes_and_shrinks_by_the_share_that_did() -> None:
    """Of nine runs the middle one: in one of ten a change is seen an aggregation later."""
    before, after = [], []
    for seed in range(9):
        memory = Memory(SIZE, *(Island(2000 * k, 2000 * k + 500, 0.9) for k in range(1, 5)))
        simulation = Simulation(memory, checks=300, seed=seed)
        simulation.aggregate(42)
        steps = simulation.policy._known[0].steps
        before.append(steps._memory)
        memory.islands = memory.islands[:2]
        simulation.aggregate(2)
        after.append(steps._memory)
    assert median(before) > 40
    assert 16 <= median(after) < 30


def test_however_small_the_budget_it_goes_on_looking() -> None:
    memory = Memory(SIZE)
    simulation = Simulation(memory, checks=5)
    simulation.aggregate(60)
    assert simulation.checks[-10:] == [5] * 10


def test_a_small_target_beside_a_large_one_is_looked_at() -> None:
    """In proportion to its size it would have half a check."""
    large, small = Memory(1 << 18, index=0), Memory(512, Island(0, 512), index=1)
    simulation = Simulation(large, small, checks=300)
    simulation.aggregate(10)
    assert max(simulation.checks) <= 300
    assert len(hot_pages(small)) == 512


def test_the_budget_can_be_changed_at_any_time() -> None:
    memory = Memory(SIZE, Island(3000, 4000, 0.5))
    simulation = Simulation(memory, checks=400)
    simulation.aggregate(6)
    simulation.policy.checks = 50
    simulation.aggregate(3)
    assert max(simulation.checks[-3:]) <= 50
    assert Simulation(memory, checks=7).policy.checks == 7


def test_without_a_budget_there_are_as_many_checks_as_regions_at_most() -> None:
    memory = Memory(SIZE, Island(3000, 4000, 0.5))
    simulation = Simulation(memory, checks=None, attrs=Attrs(max_nr_regions=77))
    simulation.aggregate(4)
    assert 70 <= max(simulation.checks) <= 77


@SEEDS
def test_an_island_that_was_merely_not_known_is_as_old_as_what_it_lies_in(seed: int) -> None:
    memory = Memory(1 << 16, Island(30_000, 30_100, 1.0), Island(50_000, 60_000, 1.0))
    simulation = Simulation(memory, checks=60, seed=seed)
    simulation.aggregate(5)
    while not {30_050} <= hot_pages(memory):
        simulation.aggregate()
        assert len(simulation.checks) < 200
    (found,) = (r for r in seen(memory) if r.start <= 30_050 < r.end)
    assert found.age >= len(simulation.checks) - 2, "all aggregations but the first, which is age 0"


@SEEDS
def test_ages_begin_anew_where_memory_changed_and_nowhere_else(seed: int) -> None:
    stays, goes, comes = Island(2000, 2500, 1.0), Island(6000, 7000, 1.0), Island(11_000, 12_000, 1.0)
    memory = Memory(SIZE, stays, goes)
    simulation = Simulation(memory, checks=400, seed=seed)
    simulation.aggregate(20)
    memory.islands = [stays, comes]
    simulation.aggregate(10)
    age = {page: r.age for r in seen(memory) for page in range(r.start, r.end)}
    moved = pages_of(goes, comes)
    assert sum(age[page] <= 9 for page in moved) > 0.97 * len(moved)
    others = age.keys() - moved
    assert sum(age[page] >= 28 for page in others) > 0.99 * len(others)


@SEEDS
def test_jitter_is_no_change(seed: int) -> None:
    memory = Memory(SIZE, Island(2000, 2500, 0.97), Island(6000, 9000, 0.5))
    simulation = Simulation(memory, checks=300, seed=seed)
    simulation.aggregate(40)
    ages = [(r.age, r.end - r.start) for r in seen(memory)]
    assert sum(size for age, size in ages if age >= 38) > 0.98 * SIZE


@SEEDS
def test_other_intervals_are_other_rates_and_no_change_of_memory(seed: int) -> None:
    """0.05 in a tick of 5 ms is 0.40 in one of 50 ms, or 0.50 where accesses never come together."""
    memory = Memory(SIZE, Island(4000, 8000, 0.05))
    simulation = Simulation(memory, checks=400, seed=seed)
    simulation.aggregate(12)
    assert hot_pages(memory) == set()
    memory.islands = [Island(4000, 8000, 0.45)]
    retimed(simulation, 50_000)
    simulation.aggregate(8)
    assert agreement(pages_where(seen(memory), 1), set(range(4000, 8000))) > 0.97
    ages = [(r.age, r.end - r.start) for r in seen(memory)]
    assert sum(size for age, size in ages if age >= 18) > 0.98 * SIZE


def retimed(simulation: Simulation, sample_us: int) -> None:
    """The sampling interval changes, and not the aggregation: ages go on in the same unit."""
    simulation.attrs = Attrs(sample_us=sample_us, aggr_us=100_000)
    simulation.policy.begin_aggregation(simulation.targets)
    simulation.adopt()


@SEEDS
@pytest.mark.parametrize("other_us", [2500, 10_000, 25_000])
def test_ages_begin_anew_after_a_change_of_the_interval(seed: int, other_us: int) -> None:
    """What becomes cold or hot just then: no interval explains that. What stays keeps its age, and so does a rate that
    follows the interval. Of 16384 pages a hundred at borders may be taken for their neighbours."""
    follows = 1 - 0.8 ** (other_us / 5000)
    stays, goes, comes = Island(1000, 3000), Island(6000, 8000), Island(10_000, 12_000)
    memory = Memory(SIZE, stays, goes, Island(13_000, 15_000, 0.2))
    simulation = Simulation(memory, checks=600, seed=seed)
    simulation.aggregate(12)
    memory.islands = [stays, comes, Island(13_000, 15_000, follows)]
    retimed(simulation, other_us)
    simulation.aggregate(8)
    age = {page: r.age for r in seen(memory) for page in range(r.start, r.end)}
    moved = pages_of(goes, comes)
    assert sum(age[page] > 8 for page in moved) < 100
    assert sum(age[page] < 18 for page in age.keys() - moved) < 100


@SEEDS
def test_ages_begin_anew_where_intervals_changed_at_once(seed: int) -> None:
    """As a budget does it: before the first answers there are no rates that intervals could change."""
    memory = Memory(SIZE, Island(6000, 8000))
    simulation = Simulation(memory, checks=600, seed=seed)
    retimed(simulation, 25_000)
    simulation.aggregate(6)
    memory.islands = [Island(10_000, 12_000)]
    simulation.aggregate(6)
    age = {page: r.age for r in seen(memory) for page in range(r.start, r.end)}
    assert sum(age[page] > 6 for page in pages_of(Island(6000, 8000), Island(10_000, 12_000))) < 100


MANY = [Island(start, start + 100) for start in range(500, 12_000, 230)]


@pytest.mark.parametrize(("low", "high"), [(10, 20), (3, 12), (10, 10), (50, 60), (3, 1000)])
def test_regions_are_no_more_and_no_fewer_than_said(low: int, high: int) -> None:
    memory = Memory(SIZE, *MANY)
    simulation = Simulation(memory, checks=1000, attrs=Attrs(min_nr_regions=low, max_nr_regions=high))
    for _ in range(6):
        simulation.aggregate()
        assert low <= len(seen(memory)) <= high
    if high == 1000:
        assert len(seen(memory)) > 80, "an island needs two cuts"


def test_all_targets_together_have_no_more_regions_than_said() -> None:
    memories = [Memory(SIZE, *MANY[:: 1 + 3 * index], index=index) for index in range(3)]
    simulation = Simulation(*memories, checks=2000, attrs=Attrs(min_nr_regions=5, max_nr_regions=60))
    simulation.aggregate(6)
    counts = [len(seen(memory)) for memory in memories]
    assert 40 <= sum(counts) <= 60
    assert counts[0] > counts[2] >= 2, "those with more to tell have more of them"


@SEEDS
def test_the_cuts_that_stay_are_those_that_matter(seed: int) -> None:
    """Two of 2000 pages among thirty of ten."""
    large = Island(3000, 5000), Island(9000, 11_000)
    small = [Island(start, start + 10) for start in range(12_000, 15_000, 100)]
    memory = Memory(SIZE, *large, *small)
    simulation = Simulation(memory, checks=1500, seed=seed, attrs=Attrs(min_nr_regions=3, max_nr_regions=12))
    simulation.aggregate(8)
    assert len(seen(memory)) <= 12
    assert agreement(hot_pages(memory), pages_of(*large)) > 0.97


@SEEDS
def test_touched_bytes_are_told_by_checks_that_span_the_aggregation(seed: int) -> None:
    """Half of the pages are accessed once in 50 ticks: in 20 of them, a third of them is. 16 aggregations have
    some 600 such checks in this half: two standard errors are a tenth."""
    memory = Memory(SIZE, Island(4096, 12_288, 0.02))
    simulation = Simulation(memory, checks=500, seed=seed)
    truth = 8192 * (1 - 0.98**20)
    touched = []
    for _ in range(24):
        simulation.aggregate()
        touched.append(sum(r.touched for r in seen(memory)))
    assert sum(touched[16:]) / 8 == pytest.approx(truth, rel=0.1)
    assert all(r.touched <= r.end - r.start for r in seen(memory))


@SEEDS
def test_what_is_hot_is_touched_whole_and_what_is_cold_not_at_all(seed: int) -> None:
    memory = Memory(SIZE, Island(4000, 6000, 1.0))
    simulation = Simulation(memory, checks=300, seed=seed)
    simulation.aggregate(6)
    assert sum(r.touched for r in seen(memory)) == pytest.approx(2000, rel=0.02)
    assert all(r.touched == 0 for r in seen(memory) if r.nr_accesses == 0)


@SEEDS
def test_regions_end_where_holes_begin(seed: int) -> None:
    """Hot up to its end, at 5000, and never seen at 5000 or after."""
    memory = Memory(SIZE, Island(4000, 5000, 1.0))
    memory.target.resident = [
        Range((BASE + start) * PAGE, (BASE + end) * PAGE) for start, end in ((1000, 5000), (9000, 10_000))
    ]
    simulation = Simulation(memory, checks=300, seed=seed)
    simulation.aggregate(2)
    hot = [r for r in seen(memory) if r.nr_accesses]
    assert hot[-1].end == 5000
    assert abs(hot[0].start - 4000) < 100
    for slots, _ in simulation.plans:
        for start, end in zip(slots.start, slots.end, strict=True):
            first, last = start // PAGE - BASE, -(-end // PAGE) - BASE
            assert (first >= 1000 and last <= 5000) or (first >= 9000 and last <= 10_000)


def test_a_huge_page_answers_for_all_of_its_pages() -> None:
    """One check, one point: the steps of an island of huge pages are at their ends after a few aggregations."""
    memory = Memory(1 << 16, Island(20 * 512, 24 * 512, 1.0))
    simulation = Simulation(memory, checks=300, shift=21)
    simulation.aggregate(3)
    assert hot_pages(memory) == set(range(20 * 512, 24 * 512))


def test_targets_share_the_budget_and_each_has_its_own_islands() -> None:
    """By the bits of their number of pages: 16 and 15, so 207 and 193."""
    large = Memory(3 * SIZE, Island(9000, 9500, 1.0), index=4)
    small = Memory(SIZE, Island(3000, 3500, 1.0), index=2)
    simulation = Simulation(large, small, checks=400)
    simulation.aggregate(6)
    asked = [0, 0]
    for slots, _ in simulation.plans:
        for position, checks in zip(slots.target, slots.checks, strict=True):
            asked[position] += checks
    assert asked[0] <= 207 <= asked[0] + 10
    assert sum(asked) <= 400, "what the first one leaves, the second one may have"
    assert asked[1] + 10 >= 193
    assert agreement(hot_pages(large), set(range(9000, 9500))) > 0.95
    assert agreement(hot_pages(small), set(range(3000, 3500))) > 0.9


def test_what_a_large_target_does_not_need_reaches_a_small_one() -> None:
    """In the large one nothing is ever found; of the small one every block of 16 pages has a rate of its own."""
    rates = [0.3, 0.9, 0.6, 0.05] * 16
    large = Memory(1 << 22, index=0)
    small = Memory(1024, *(Island(16 * k, 16 * k + 16, rate) for k, rate in enumerate(rates)), index=1)
    simulation = Simulation(large, small, checks=400)
    simulation.policy = AdaptivePolicy(checks=400, find=(1 << 22) * PAGE)
    simulation.adopt()
    simulation.aggregate(30)
    asked = [0, 0]
    for slots, _ in simulation.plans:
        for position, checks in zip(slots.target, slots.checks, strict=True):
            asked[position] += checks
    assert asked[0] <= 40 + 16
    assert asked[1] > 300
    hot = {page for k, rate in enumerate(rates) if rate >= 0.5 for page in range(16 * k, 16 * k + 16)}
    assert agreement(hot_pages(small), hot) > 0.9


def test_targets_that_are_too_many_take_turns_and_grow_old_between_them() -> None:
    """128 checks are enough for two at a time, so each of ten has its turn every fifth aggregation."""
    memories = [Memory(4096, Island(1000, 2000, 1.0), index=index) for index in range(10)]
    simulation = Simulation(*memories, checks=128)
    turns = []
    for _ in range(25):
        simulation.aggregate()
        turns.append({position for slots, _ in simulation.plans for position in slots.target})
    assert turns[:5] == [{0, 1}, {2, 3}, {4, 5}, {6, 7}, {8, 9}]
    assert turns[5:] == turns[:-5]
    assert max(simulation.checks) <= 128
    for memory in memories:
        assert agreement(hot_pages(memory), set(range(1000, 2000))) > 0.9
        assert {r.age for r in memory.target.regions} == {24}, "all watched from the first aggregation on"


def test_targets_that_take_turns_have_no_more_regions_together_than_one() -> None:
    memories = [
        Memory(4096, *(Island(64 * k, 64 * k + 32, 1.0) for k in range(64)), index=index)
        for index in range(6)
    ]
    simulation = Simulation(*memories, checks=200, attrs=Attrs(max_nr_regions=60))
    for _ in range(30):
        simulation.aggregate()
        assert sum(len(memory.target.regions) for memory in memories) <= 60


def test_those_whose_turn_it_is_not_are_cut_anew_where_regions_have_to_be_smaller() -> None:
    """A large target shrinks, so the least number of regions makes those of the small ones smaller, too."""
    memories = [Memory(64, index=0), Memory(64, index=1), Memory(1 << 14, index=2)]
    simulation = Simulation(*memories, checks=64, attrs=Attrs(min_nr_regions=12, max_nr_regions=12))
    simulation.aggregate(6)
    assert [len(seen(memory)) for memory in memories[:2]] == [1, 1]
    memories[2].target.ranges = [Range(BASE * PAGE, (BASE + 64) * PAGE)]
    simulation.adopt()
    for _ in range(3):
        simulation.aggregate()
        assert sum(len(memory.target.regions) for memory in memories) >= 11


def test_a_target_of_one_page_beside_a_large_one() -> None:
    large, tiny = Memory(1 << 18, index=0), Memory(1, index=1)
    simulation = Simulation(large, tiny, checks=100)
    simulation.aggregate(2)
    assert seen(tiny) == [Seen(0, 1, 0, 1, 0.0)]


@pytest.mark.parametrize("size", [5, 1000])
def test_a_target_without_memory_is_cold(size: int) -> None:
    memory = Memory(size)
    memory.target.resident = []
    simulation = Simulation(memory)
    simulation.aggregate(3)
    assert simulation.checks == [0, 0, 0]
    assert {r.nr_accesses for r in seen(memory)} == {0}


def test_what_is_known_of_memory_stays_when_it_grows_and_shrinks() -> None:
    memory = Memory(SIZE, Island(3000, 4000, 1.0), Island(9000, SIZE, 1.0))
    simulation = Simulation(memory, checks=400)
    simulation.aggregate(8)
    begin = BASE * PAGE
    for pages in (2 * SIZE, 8000):
        memory.target.ranges = [Range(begin, begin + pages * PAGE)]
        simulation.adopt()
        simulation.aggregate()
        assert (seen(memory)[0].start, seen(memory)[-1].end) == (0, pages)
        assert agreement(hot_pages(memory) & set(range(5000)), set(range(3000, 4000))) > 0.95
        found = [r for r in seen(memory) if r.start >= SIZE]
        assert all(r.age == 0 for r in found), "what is new begins now"
    for slots, _ in simulation.plans:
        assert max(slots.end) <= begin + 8000 * PAGE, "nothing is asked where nothing is any more"


@pytest.mark.parametrize("wrong", [[(9, 4)], [(0, 50), (40, 90)], [(40, 90), (0, 30)]])
def test_ranges_that_make_no_sense_leave_all_as_it_was(wrong: list[tuple[int, int]]) -> None:
    memory = Memory(SIZE, Island(3000, 4000, 1.0))
    simulation = Simulation(memory)
    simulation.aggregate(4)
    before = [r[:2] for r in seen(memory)]
    memory.target.ranges = [Range(start * PAGE, end * PAGE) for start, end in wrong]
    simulation.policy.start(simulation.targets, simulation.attrs)
    simulation.aggregate()
    assert (seen(memory)[0].start, seen(memory)[-1].end) == (before[0][0], before[-1][1])


def test_a_target_without_ranges_has_no_regions_and_one_that_went_is_forgotten() -> None:
    memory, other = Memory(SIZE, Island(3000, 4000, 1.0)), Memory(SIZE, index=1)
    simulation = Simulation(memory, other)
    simulation.aggregate(4)
    ranges, memory.target.ranges = memory.target.ranges, []
    simulation.adopt()
    simulation.aggregate()
    assert seen(memory) == []
    memory.target.ranges = ranges
    simulation.adopt()
    simulation.aggregate()
    assert {r.age for r in seen(memory)} == {0}
    simulation.memories.remove(memory)
    simulation.adopt()
    simulation.aggregate()
    assert {r.age for r in seen(other)} == {6}


def test_a_stretch_that_was_cut_short_leaves_its_budget_to_the_next() -> None:
    memory = Memory(SIZE, Island(3000, 4000, 0.5))
    simulation = Simulation(memory, checks=400)
    simulation.aggregate(8)
    policy, targets = simulation.policy, simulation.targets
    policy.begin_aggregation(targets)
    slots = policy.plan(targets, 20)
    assert sum(slots.checks) > 350
    policy.fold(targets, slots, answers_of(slots, 0, [0] * len(slots)))
    assert 350 < sum(policy.plan(targets, 20).checks) <= 400


def test_the_same_seed_gives_the_same_regions() -> None:
    def run(seed: int) -> tuple[list[int], list[Seen]]:
        memory = Memory(SIZE, Island(3000, 4000), Island(8000, 8100, 0.4))
        simulation = Simulation(memory, seed=seed)
        simulation.aggregate(8)
        return simulation.checks, seen(memory)

    assert run(1) == run(1) != run(2)


def test_last_counts_are_those_of_the_aggregation_before() -> None:
    memory = Memory(SIZE, Island(3000, 4000))
    simulation = Simulation(memory)
    simulation.aggregate(3)
    counts = [r.nr_accesses for r in memory.target.regions]
    simulation.policy.begin_aggregation(simulation.targets)
    assert [r.last_nr_accesses for r in memory.target.regions] == counts
