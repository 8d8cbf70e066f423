"""The files of a context and udamon's own values: one says what the other says, and bad files are refused."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from tests.unit.control.plan_files import write_plan
from tests.unit.control.test_tree import C, context, error, full
from udamon.control.plan import ContextPlan, PlannedTarget, read_plan
from udamon.control.tree import Tree, TreeDirectory
from udamon.core.attrs import Attrs, IntervalsGoal
from udamon.core.scheme import (
    U32_MAX,
    U64_MAX,
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
    WatermarkMetric,
    Watermarks,
    Weights,
)
from udamon.errors import UsageError
from udamon.model import Range


def plan_of(tree: Tree) -> ContextPlan:
    found = tree.find(C)
    assert isinstance(found, TreeDirectory)
    return read_plan(found, lambda path: path == "/web")


RICH = ContextPlan(
    # The settings of the kernel's own test of sysfs (docs/damon.md#selftests), without what is of no use
    # in user space.
    operations="vaddr",
    attrs=Attrs(100_000, 2_000_000, 2_000_000, 10, 1000, IntervalsGoal(400, 3, 5_000, 10_000_000)),
    targets=(PlannedTarget(12, (Range(0, 4096), Range(8192, 12288))), PlannedTarget(13, obsolete=True)),
    schemes=(
        Scheme(
            AccessPattern(Bounds(1024, 4096), Bounds(3, 317), Bounds(5, 71)),
            Action.PAGEOUT,
            1_000_000,
            Quota(
                100, 100 << 20, 1500, Weights(20, 200, 1000),
                (Goal(GoalMetric.NODE_MEM_USED_BP, 9950, nid=1), Goal(GoalMetric.NODE_MEMCG_USED_BP, 1, path="/web")),
                GoalTuner.TEMPORAL, 1, 4096,
            ),
            Watermarks(WatermarkMetric.FREE_MEM_RATE, 500_000, 500, 400, 50),
            1,
            (Destination(1, 30), Destination(0, 70)),
            (Filter(FilterType.ADDR, True, False, addr=Range(42, 4242)), Filter(FilterType.TARGET, damon_target_idx=1)),
            (
                Filter(FilterType.ANON, True, True),
                Filter(FilterType.MEMCG, memcg_path="/web"),
                Filter(FilterType.HUGEPAGE_SIZE, size=Bounds(1, 2)),
            ),
            7,
        ),
        Scheme(AccessPattern.all()),
    ),
)  # fmt: skip


def test_untouched_files_ask_for_the_defaults() -> None:
    assert plan_of(context()) == ContextPlan()
    assert plan_of(context((6, 1))) == ContextPlan()


def test_a_plan_written_reads_back() -> None:
    tree = context()
    directory = tree.find(C)
    assert isinstance(directory, TreeDirectory)
    write_plan(directory, RICH)
    assert tree.read(f"{C}/schemes/0/quotas/goals/0/target_metric") == "node_mem_used_bp\n"
    assert tree.read(f"{C}/targets/0/regions/1/end") == "12288\n"
    assert tree.read(f"{C}/schemes/1/access_pattern/nr_accesses/max") == f"{U32_MAX}\n"
    assert plan_of(tree) == RICH


def test_an_older_tree_keeps_what_it_has_files_for() -> None:
    tree = context((6, 12))
    directory = tree.find(C)
    assert isinstance(directory, TreeDirectory)
    kept = Scheme(
        core_filters=(Filter(FilterType.ADDR),), ops_filters=(Filter(FilterType.MEMCG, memcg_path="/web"),)
    )
    write_plan(directory, replace(RICH, schemes=(replace(kept, dests=(Destination(1, 30),)),)))
    assert plan_of(tree).schemes == (kept,)
    with pytest.raises(UsageError, match="hugepage_size"):
        write_plan(
            directory, replace(RICH, schemes=(Scheme(ops_filters=(Filter(FilterType.HUGEPAGE_SIZE),)),))
        )


def test_old_filters_come_after_the_new_ones_of_their_layer() -> None:
    tree = full()
    scheme = f"{C}/schemes/0"
    tree.write(f"{scheme}/core_filters/0/type", "target")
    tree.write(f"{scheme}/ops_filters/0/type", "young")
    tree.write(f"{scheme}/filters/nr_filters", "2")
    tree.write(f"{scheme}/filters/0/type", "addr")
    tree.write(f"{scheme}/filters/1/type", "active")
    tree.write(f"{C}/monitoring_attrs/probes/nr_probes", "0")
    found = plan_of(tree).schemes[0]
    assert [f.type for f in found.core_filters] == ["target", "addr"]
    assert [f.type for f in found.ops_filters] == ["young", "active"]


def test_counts_and_ages_are_cut_to_32_bits() -> None:
    tree = context()
    tree.write(f"{C}/schemes/nr_schemes", "1")
    for name in ("sz", "nr_accesses", "age"):
        tree.write(f"{C}/schemes/0/access_pattern/{name}/max", str(U64_MAX))
    assert plan_of(tree).schemes[0].access_pattern == AccessPattern.all()


def test_an_inverted_pattern_is_taken_and_matches_nothing() -> None:
    tree = context()
    tree.write(f"{C}/schemes/nr_schemes", "1")
    tree.write(f"{C}/schemes/0/access_pattern/sz/min", "4096")
    tree.write(f"{C}/schemes/0/access_pattern/sz/max", "1024")
    assert 1 << 40 not in plan_of(tree).schemes[0].access_pattern.sz


def test_goals_without_a_target_value_do_not_count() -> None:
    tree = context()
    tree.write(f"{C}/schemes/nr_schemes", "1")
    tree.write(f"{C}/schemes/0/quotas/goals/nr_goals", "2")
    tree.write(f"{C}/schemes/0/quotas/goals/1/target_value", "10000")
    assert plan_of(tree).schemes[0].quotas.goals == (Goal(target_value=10_000),)


def test_a_cgroup_path_may_end_with_a_newline() -> None:
    tree = full()
    tree.write(f"{C}/monitoring_attrs/probes/nr_probes", "0")
    tree.write(f"{C}/schemes/0/core_filters/nr_filters", "0")
    tree.write(f"{C}/schemes/0/ops_filters/0/type", "memcg")
    tree.write(f"{C}/schemes/0/ops_filters/0/memcg_path", "/web\n")
    assert plan_of(tree).schemes[0].ops_filters[0].memcg_path == "/web"


@pytest.mark.parametrize("operations", ["vaddr", "fvaddr"])
def test_addr_unit_is_nothing_to_processes(operations: str) -> None:
    tree = full()
    tree.write(f"{C}/monitoring_attrs/probes/nr_probes", "0")
    tree.write(f"{C}/operations", operations)
    before = plan_of(tree)
    tree.write(f"{C}/addr_unit", "2")
    assert plan_of(tree) == before


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"monitoring_attrs/nr_regions/min": "2"}, errno.EINVAL),
        ({"monitoring_attrs/nr_regions/min": "1001"}, errno.EINVAL),
        ({"monitoring_attrs/intervals/sample_us": "100001"}, errno.EINVAL),
        ({"monitoring_attrs/intervals/intervals_goal/aggrs": "3"}, errno.EINVAL),
        ({"operations": "paddr", "addr_unit": "2"}, errno.EINVAL),
        ({"monitoring_attrs/probes/nr_probes": "1"}, errno.EINVAL),
        ({"operations": "paddr", "targets/nr_targets": "2"}, errno.EINVAL),
        (
            {
                "targets/nr_targets": "1",
                "targets/0/regions/nr_regions": "1",
                "targets/0/regions/0/start": "1",
            },
            errno.EINVAL,
        ),
        (
            {
                "targets/nr_targets": "1",
                "targets/0/regions/nr_regions": "2",
                "targets/0/regions/0/end": "8192",
                "targets/0/regions/1/start": "4096",
                "targets/0/regions/1/end": "9000",
            },
            errno.EINVAL,
        ),
        (
            {
                "schemes/nr_schemes": "1",
                "schemes/0/ops_filters/nr_filters": "1",
                "schemes/0/ops_filters/0/type": "memcg",
                "schemes/0/ops_filters/0/memcg_path": "/nowhere",
            },
            errno.ENOMEM,
        ),
        (
            {
                "schemes/nr_schemes": "1",
                "schemes/0/core_filters/nr_filters": "1",
                "schemes/0/core_filters/0/type": "addr",
                "schemes/0/core_filters/0/addr_start": "1",
            },
            errno.ENOMEM,
        ),
        (
            {
                "schemes/nr_schemes": "1",
                "schemes/0/ops_filters/nr_filters": "1",
                "schemes/0/ops_filters/0/type": "hugepage_size",
                "schemes/0/ops_filters/0/min": "1",
            },
            errno.ENOMEM,
        ),
        (
            {
                "schemes/nr_schemes": "1",
                "schemes/0/quotas/goals/nr_goals": "1",
                "schemes/0/quotas/goals/0/target_value": "1",
                "schemes/0/quotas/goals/0/target_metric": "node_memcg_used_bp",
            },
            errno.ENOMEM,
        ),
    ],
)
def test_what_the_kernel_would_refuse(settings: dict[str, str], code: int) -> None:
    tree = context()
    for path, text in settings.items():
        tree.write(f"{C}/{path}", text)
    with error(code):
        plan_of(tree)
