"""Schemes handed to in-kernel DAMON, on real kernels: what it does, what it tells, and what it lacks."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from tests.guest.damon import KDAMONDS, engine, found_free, rate, read, run  # noqa: F401
from tests.guest.memory import MIB, PAGE, Memory, memory
from udamon.core.scheme import (
    ANY_COUNT,
    ANY_SIZE,
    AccessPattern,
    Action,
    Bounds,
    Destination,
    Filter,
    FilterType,
    Goal,
    GoalMetric,
    GoalTuner,
    Quota,
    Scheme,
    SchemeStatus,
    WatermarkMetric,
    Watermarks,
    Weights,
)  # fmt: skip
from udamon.core.tried import TriedRegions
from udamon.engine.kernel.engine import KernelEngine
from udamon.errors import NotSupported
from udamon.model import Range

pytestmark = [
    pytest.mark.guest_612,
    pytest.mark.guest_boot(smp=1),
    pytest.mark.needs("root", "damon_free"),
]
OLD_KERNEL = os.uname().release.startswith("6.12")
SCHEMES = KDAMONDS / "0/contexts/0/schemes"
OLD = AccessPattern(ANY_SIZE, Bounds(0, 0), Bounds(2, ANY_COUNT.max))


@pytest.fixture(scope="module")
def program() -> Iterator[Memory]:
    with memory() as started:
        yield started


def swapped(pid: int, area: Range) -> int:
    """Bytes of an area that are in swap: bit 62 of its page-map entries."""
    with open(f"/proc/{pid}/pagemap", "rb") as file:
        file.seek(area.start // PAGE * 8)
        entries = array("Q", file.read(area.size // PAGE * 8))
    return sum(entry >> 62 & 1 for entry in entries) * PAGE


@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize(
    "source", [pytest.param("tracepoint", marks=pytest.mark.guest_version), "tried_regions"]
)
def test_the_kernel_pages_out_what_is_cold_within_its_quota(program: Memory, source: str) -> None:
    hot, cold = program.map(f"hot-{source}", 8 * MIB), program.map(f"cold-{source}", 48 * MIB)
    program.touch_every(20, f"hot-{source}")
    quota = Quota(bytes=4 * MIB, reset_interval_ms=1_000, weights=Weights(0, 1, 1))
    found: list[SchemeStatus] = []
    # Only these two: a region that has a hole in it is advised as a whole, and fails.
    made = engine(
        [program.pid],
        source=source,
        ops="fvaddr",
        ranges=sorted([hot, cold]),
        schemes=[Scheme(OLD, Action.PAGEOUT, quotas=quota)],
    )
    begin = time.monotonic()
    seen = run(made, 12, lambda: found.extend(made.ask(made.schemes.status)))
    seconds = time.monotonic() - begin
    told: list[list[dict[str, int]]] = [
        e.data["schemes"]  # type: ignore[misc]
        for e in seen.events
        if e.name == "schemes"
    ]
    print(seconds, found[0].stats, told[-1], swapped(program.pid, cold))
    (totals,) = told[-1]
    assert found[0].effective_bytes == 4 * MIB
    assert 0 < found[0].stats.sz_tried <= totals["sz_tried"] <= 4 * MIB * (seconds + 1)
    assert 0 < totals["sz_applied"] <= totals["sz_tried"]
    assert totals["qt_exceeds"] > 0
    assert totals["sz_moved"] is None, "the kernel does not look"
    assert swapped(program.pid, cold) > 2 * MIB
    assert swapped(program.pid, hot) < 2 * MIB
    assert max(rate(s, hot) for s in seen.snapshots[-3:]) > 0.3, "and it is watched all the same"


def test_tried_regions_and_commits_while_it_runs(program: Memory) -> None:
    program.map("walked", 32 * MIB)
    program.tell("rest")
    made = engine([program.pid], schemes=[Scheme(AccessPattern.all(), quotas=Quota(bytes=8 * MIB))])
    tried: list[Sequence[TriedRegions] | None] = []
    found: list[list[SchemeStatus]] = []

    def meanwhile() -> None:
        made.ask(lambda: made.schemes.walk(tried.append))
        found.append(made.ask(made.schemes.status))
        less = Scheme(AccessPattern.all(), quotas=Quota(bytes=MIB))
        made.ask(lambda: made.schemes.commit([less, Scheme(OLD)]))
        time.sleep(3)
        made.ask(lambda: made.schemes.walk(tried.append))
        found.append(made.ask(made.schemes.status))

    run(made, 12, meanwhile, until=4)
    before, after = tried
    assert before is not None
    assert after is not None
    print([(len(t.regions), t.total_bytes) for t in (*before, *after)], found)
    assert 4 * MIB < before[0].total_bytes <= 8 * MIB
    assert 0 < after[0].total_bytes <= MIB
    assert {r.target for r in before[0].regions} == {0}
    assert [s.effective_bytes for s in found[0]] == [8 * MIB]
    assert found[1][0].effective_bytes == MIB
    assert found[1][0].stats.nr_tried > found[0][0].stats.nr_tried, "what was overwritten counts on"
    assert found[1][1].stats.nr_tried > 0
    assert not made.schemes.status()[0].why


def everything() -> Scheme:
    """A scheme that uses all there is in Linux 7.2 for processes."""
    return Scheme(
        AccessPattern(Bounds(4096, 2**40), Bounds(0, 3), Bounds(5, 71)),
        Action.MIGRATE_COLD,
        apply_interval_us=2_000_000,
        quotas=Quota(
            ms=100,
            bytes=100 * MIB,
            reset_interval_ms=1_500,
            weights=Weights(20, 200, 1_000),
            goals=(
                Goal(GoalMetric.USER_INPUT, 9_950, 17),
                Goal(GoalMetric.NODE_MEM_USED_BP, 9_000, nid=0),
                Goal(GoalMetric.SOME_MEM_PSI_US, 3),
            ),
            goal_tuner=GoalTuner.TEMPORAL,
            fail_charge_num=1,
            fail_charge_denom=4_096,
        ),
        watermarks=Watermarks(WatermarkMetric.FREE_MEM_RATE, 500_000, 1_000, 999, 50),
        target_nid=0,
        dests=(Destination(0, 30), Destination(0, 70)),
        core_filters=(
            Filter(FilterType.ADDR, True, False, addr=Range(4_096, 16_384)),
            Filter(FilterType.TARGET, False, True, damon_target_idx=1),
        ),
        ops_filters=(
            Filter(FilterType.ANON, True, True),
            Filter(FilterType.MEMCG, False, False, memcg_path="/"),
            Filter(FilterType.HUGEPAGE_SIZE, True, False, size=Bounds(4_096, 65_536)),
        ),
        max_nr_snapshots=1_000,
    )


@pytest.mark.guest_version
@pytest.mark.skipif(OLD_KERNEL, reason="Linux 6.12 lacks some of it, which another test is about")
def test_all_of_a_scheme_reaches_the_kernel(program: Memory) -> None:
    files: dict[str, str] = {}

    def look() -> None:
        for path in SCHEMES.rglob("*"):
            if path.is_file() and "tried_regions" not in path.parts:
                files[str(path.relative_to(SCHEMES))] = read(path)

    run(engine([program.pid], schemes=[Scheme(), everything()]), 2, look)
    expected = {
        "nr_schemes": "2", "0/action": "stat", "1/action": "migrate_cold", "1/apply_interval_us": "2000000",
        "1/access_pattern/sz/max": str(2**40), "1/access_pattern/nr_accesses/max": "3",
        "1/access_pattern/age/min": "5", "1/target_nid": "0", "1/quotas/ms": "100",
        "1/quotas/weights/nr_accesses_permil": "200", "1/quotas/goals/nr_goals": "3",
        "1/quotas/goals/0/current_value": "17", "1/quotas/goals/1/target_metric": "node_mem_used_bp",
        "1/quotas/goals/2/target_value": "3", "1/quotas/goal_tuner": "temporal", "1/quotas/fail_charge_denom": "4096",
        "1/watermarks/metric": "free_mem_rate", "1/watermarks/mid": "999", "1/dests/1/weight": "70",
        "1/core_filters/0/addr_end": "16384", "1/core_filters/1/allow": "Y", "1/core_filters/1/damon_target_idx": "1",
        "1/ops_filters/1/memcg_path": "/", "1/ops_filters/2/max": "65536", "1/stats/max_nr_snapshots": "1000",
    }  # fmt: skip
    assert {path: files.get(path) for path in expected} == expected


def refusal(made: KernelEngine) -> str:
    with pytest.raises(NotSupported) as caught:
        made.open()
    return str(caught.value)


@pytest.mark.skipif(not OLD_KERNEL, reason="what Linux 6.12 lacks")
@pytest.mark.parametrize(
    ("scheme", "named"),
    [
        (Scheme(action=Action.COLLAPSE), "action collapse"),
        (Scheme(action=Action.MIGRATE_COLD, dests=(Destination(0, 1),)), "weighted destinations"),
        (
            Scheme(core_filters=(Filter(FilterType.ADDR, True, True, addr=Range(0, 4096)),)),
            "filters that allow",
        ),
        (Scheme(ops_filters=(Filter(FilterType.UNMAPPED, True, False),)), "filter type unmapped"),
        (Scheme(quotas=Quota(goal_tuner=GoalTuner.TEMPORAL)), "goal tuners"),
        (Scheme(quotas=Quota(fail_charge_denom=2)), "charge for what failed"),
        (Scheme(quotas=Quota(goals=(Goal(GoalMetric.ACTIVE_MEM_BP, 1),))), "goal metric active_mem_bp"),
        (Scheme(max_nr_snapshots=1), "number of snapshots"),
    ],
)
@pytest.mark.guest_version
def test_what_an_old_kernel_lacks_is_named_and_nothing_is_left(
    program: Memory, scheme: Scheme, named: str
) -> None:
    said = refusal(engine([program.pid], schemes=[Scheme(), scheme]))
    print(said)
    assert named in said
    assert said.count(".") >= 1


def test_numbers_for_goals_are_fed_while_it_runs(program: Memory) -> None:
    """Twice as good as wanted, so the quota becomes less; then none of it, so it becomes more."""
    goal = Goal(GoalMetric.USER_INPUT, 10, 10)

    def scheme(number: int) -> Scheme:
        quota = Quota(reset_interval_ms=100, goals=(replace(goal, current_value=number),))
        return Scheme(AccessPattern.all(), quotas=quota)

    made = engine([program.pid], schemes=[scheme(10)])
    seen: list[str] = []
    where = SCHEMES / "0/quotas/goals/0/current_value"

    def meanwhile() -> None:
        for number in (20, 0):
            made.ask(lambda number=number: made.schemes.feed([scheme(number)]))  # type: ignore[misc]
            seen.append(read(where))

    run(made, 10, meanwhile, until=3)
    assert seen == ["20", "0"]


@pytest.mark.guest_version
@pytest.mark.skipif(not OLD_KERNEL, reason="the one directory for filters of Linux 6.12")
def test_filters_of_both_layers_go_into_one_directory(program: Memory) -> None:
    scheme = Scheme(
        core_filters=(Filter(FilterType.ADDR, True, False, addr=Range(0, 4096)),),
        ops_filters=(Filter(FilterType.ANON, True, False),),
    )
    types: list[str] = []
    run(
        engine([program.pid], schemes=[scheme]),
        2,
        lambda: types.extend(read(SCHEMES / f"0/filters/{n}/type") for n in (0, 1)),
    )
    assert types == ["addr", "anon"]


@pytest.mark.parametrize(
    ("scheme", "named"),
    [
        (Scheme(action=Action.LRU_PRIO), "no action lru_prio for processes"),
        (Scheme(action=Action.PAGEOUT, ops_filters=(Filter(),)), "filters of pages"),
        (Scheme(quotas=Quota(goals=(Goal(GoalMetric.FILE, 1, path="/x"),))), "udamon's own"),
    ],
)
@pytest.mark.guest_version
def test_what_no_kernel_does_is_refused_before_anything_is_written(
    program: Memory, scheme: Scheme, named: str
) -> None:
    assert named in refusal(engine([program.pid], schemes=[scheme]))


def test_watermarks_of_the_kernel_rest_and_requests_are_served(program: Memory) -> None:
    """More free memory than there is would be needed: the kdamond waits, and still ends, tells and takes commits."""
    never = Watermarks(WatermarkMetric.FREE_MEM_RATE, 300_000, 3, 2, 1)
    made = engine([program.pid], schemes=[Scheme(AccessPattern.all(), watermarks=never)])
    tried: list[object] = []
    counted: list[int] = []
    refused: list[str] = []

    def meanwhile() -> None:
        counted.append(made.ask(made.schemes.status)[0].stats.nr_tried)
        made.ask(lambda: made.schemes.walk(tried.append))
        try:
            made.ask(lambda: made.schemes.commit([Scheme(AccessPattern.all())]))
        except NotSupported as error:
            refused.append(str(error))

    seen = run(made, 10, meanwhile, until=3)
    assert counted == [0]
    if OLD_KERNEL:
        assert "stop, and start again" in refused[0], "it would not answer, and udamon would wait for ever"
        assert seen.snapshots == []
    else:
        assert refused == []
        assert tried == [None]
        assert len(seen.snapshots) >= 2, "after the commit it watches"
        assert made.schemes.schemes == [Scheme(AccessPattern.all())]
