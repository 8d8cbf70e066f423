"""The policy `damon`: counting, the moving sum, and an aggregation from plan to split."""

from __future__ import annotations

from random import Random

import pytest

from tests.unit.fakes import answers_of
from udamon.core.attrs import Attrs
from udamon.core.damon import DamonPolicy, touched_share
from udamon.core.regions import Region
from udamon.core.target import Target

MIB = 1 << 20


def policy_over(*targets: Target, attrs: Attrs | None = None) -> DamonPolicy:
    policy = DamonPolicy(Random(0))
    policy.start(targets, attrs or Attrs())
    return policy


def one_region(attrs: Attrs, last: int) -> tuple[DamonPolicy, Target]:
    target = Target(0)
    target.regions = [Region(0, 4096)]
    policy = policy_over(target, attrs=attrs)
    target.regions[0].last_nr_accesses = last
    target.regions[0].nr_accesses_bp = last * 10_000
    return policy, target


def test_moving_sum_follows_the_kernel_tick_by_tick() -> None:
    """The oracle has a window of 10 samples, 50000 bp of last accesses, and hits at samples 1, 3 and 7."""
    policy, target = one_region(Attrs(sample_us=10, aggr_us=100), last=5)
    expected = [55_000, 50_000, 55_000, 50_000, 45_000, 40_000, 45_000, 40_000, 35_000, 30_000]
    seen = []
    for hit in [1, 0, 1, 0, 0, 0, 1, 0, 0, 0]:
        slots = policy.plan([target], 1)
        policy.fold([target], slots, answers_of(slots, 1, [hit]))
        seen.append(target.regions[0].nr_accesses_bp)
    assert seen == expected
    assert target.regions[0].nr_accesses == 3


def test_a_stretch_of_ticks_counts_as_its_ticks_one_by_one() -> None:
    policy, target = one_region(Attrs(sample_us=10, aggr_us=70), last=5)
    other_policy, other = one_region(Attrs(sample_us=10, aggr_us=70), last=5)
    slots = policy.plan([target], 4)
    policy.fold([target], slots, answers_of(slots, 4, [3]))
    for hit in (1, 1, 0, 1):
        slots = other_policy.plan([other], 1)
        other_policy.fold([other], slots, answers_of(slots, 1, [hit]))
    assert target.regions[0].nr_accesses_bp == other.regions[0].nr_accesses_bp


def test_reset_clears_counts_and_keeps_regions() -> None:
    spans = [
        [(10, 15, 42), (20, 27, 95), (30, 40, 84)],
        [(5, 31, 10), (42, 45, 20), (49, 55, 30)],
        [(13, 23, 0), (33, 44, 1), (55, 66, 2)],
    ]
    targets = []
    for index, regions in enumerate(spans):
        target = Target(index)
        for start, end, nr_accesses in regions:
            target.regions.append(Region(start, end))
            target.regions[-1].nr_accesses = nr_accesses
        targets.append(target)
    DamonPolicy(Random(0)).reset(targets)
    assert [len(t.regions) for t in targets] == [3, 3, 3]
    assert all(r.nr_accesses == 0 for t in targets for r in t.regions)
    assert [r.last_nr_accesses for r in targets[0].regions] == [42, 95, 84]


def test_rounding_residue_of_the_moving_sum_ends_with_the_aggregation() -> None:
    policy, target = one_region(Attrs(sample_us=10, aggr_us=70), last=5)
    slots = policy.plan([target], 7)
    policy.fold([target], slots, answers_of(slots, 7, [2]))
    assert target.regions[0].nr_accesses_bp == 50_000 - 7 * (50_000 // 7) + 20_000 != 20_000
    policy.reset([target])
    assert target.regions[0].nr_accesses_bp == 20_000


def test_an_aggregation_merges_what_is_alike_and_splits_again() -> None:
    target = Target(0)
    target.regions = [Region(0, 100 * MIB)]
    policy = policy_over(target)
    assert len(target.regions) == 10, "min_nr_regions is enforced at the start"
    for _ in range(3):
        slots = policy.plan([target], 20)
        policy.fold([target], slots, answers_of(slots, 20, [20 * (s < 10 * MIB) for s in slots.start]))
        policy.merge([target])
        hot = [r for r in target.regions if r.nr_accesses]
        assert sum(r.size for r in hot) == 10 * MIB
        policy.reset([target])
        policy.split([target])
    # Cold since the first aggregation, hot since the first: that one was a change.
    assert {(r.last_nr_accesses, r.age) for r in target.regions} == {(20, 2), (0, 3)}


@pytest.mark.parametrize(
    ("ticks", "nr_accesses", "absent", "share"),
    [
        (20, 20, 0, 1.0),
        (20, 0, 0, 0.0),
        (2, 1, 0, 0.75),
        (20, 10, 10, 0.5),
        (20, 0, 20, 0.0),
        (1, 1, 0, 1.0),
        (20, 2, 0, 0.1),
        (20, 2, 10, 0.1),
    ],
)
def test_touched_share(ticks: int, nr_accesses: int, absent: int, share: float) -> None:
    """Half of two ticks: touched with chance 1 - 1/4. A tenth of twenty ticks: a tenth is taken as hot."""
    assert touched_share(ticks, nr_accesses, absent) == pytest.approx(share)
