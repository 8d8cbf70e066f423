"""Schemes written into DAMON's tree and read back, against a tree that makes its directories as the kernel does."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence

import pytest

from udamon.core.attrs import Attrs
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
    Quota,
    Scheme,
    WatermarkMetric,
    Watermarks,
)  # fmt: skip
from udamon.core.tried import TriedRegion, TriedRegions
from udamon.engine.kernel.scheme_plan import SCHEMES, impossible
from udamon.engine.kernel.schemes import KernelSchemes
from udamon.errors import CannotError, NotSupported
from udamon.linux.damon_tree import GOAL, Setting
from udamon.model import Range

BEFORE_6_15 = ("core_filters", "ops_filters")
CHILDREN = {
    "nr_schemes": (
        "action", "apply_interval_us", "target_nid", "access_pattern/sz/min", "access_pattern/sz/max",
        "access_pattern/nr_accesses/min", "access_pattern/nr_accesses/max", "access_pattern/age/min",
        "access_pattern/age/max", "quotas/ms", "quotas/bytes", "quotas/reset_interval_ms", "quotas/goal_tuner",
        "quotas/fail_charge_num", "quotas/fail_charge_denom", "quotas/effective_bytes", "quotas/weights/sz_permil",
        "quotas/weights/nr_accesses_permil", "quotas/weights/age_permil", "quotas/goals/nr_goals",
        "watermarks/metric", "watermarks/interval_us", "watermarks/high", "watermarks/mid", "watermarks/low",
        "core_filters", "core_filters/nr_filters", "ops_filters", "ops_filters/nr_filters", "filters/nr_filters",
        "dests/nr_dests", "stats/max_nr_snapshots", "stats/nr_tried", "stats/sz_tried", "stats/nr_applied",
        "stats/sz_applied", "stats/sz_ops_filter_passed", "stats/qt_exceeds", "stats/nr_snapshots",
    ),
    "nr_goals": ("target_metric", "target_value", "current_value", "nid", "path"),
    "nr_filters": (
        "type", "matching", "allow", "memcg_path", "addr_start", "addr_end", "min", "max", "damon_target_idx",
    ),
    "nr_dests": ("id", "weight"),
}  # fmt: skip


class Tree:
    """Claim and tree in one. `lacks`: names that this kernel has no files of. `unknown`: values it refuses."""

    def __init__(self, lacks: Sequence[str] = (), unknown: Sequence[str] = ()) -> None:
        self.tree = self
        self.on = True
        self.lacks, self.unknown = lacks, unknown
        self.files = {f"{SCHEMES}/nr_schemes": "0"}
        self.commands: list[str] = []
        self.found: dict[str, list[tuple[int, int, int, int, int]]] = {}
        self.refuse_commits = False

    def has(self, path: str) -> bool:
        return path in self.files

    def read(self, path: str) -> str:
        return self.files[path]

    def set_up(self, settings: Iterable[Setting]) -> None:
        for path, value in settings:
            if path not in self.files or value in self.unknown:
                error = OSError(
                    errno.EINVAL, "Invalid argument", f"/sys/kernel/mm/damon/admin/kdamonds/0/{path}"
                )
                raise CannotError("in-kernel DAMON could not be set up.") from error
            self.files[path] = value
            parent, _, name = path.rpartition("/")
            for child in CHILDREN.get(name, ()):
                if not any(word in child.split("/") for word in self.lacks):
                    for n in range(int(value)):
                        self.files[f"{parent}/{n}/{child}"] = "0"

    def command(self, keyword: str, settings: Iterable[Setting] = ()) -> None:
        self.commands.append(keyword)
        if not self.on:
            raise OSError(errno.EPERM, "Operation not permitted")
        if keyword == "commit" and self.refuse_commits:
            self.refuse_commits = False
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

    def tried_regions(self, path: str) -> list[tuple[int, int, int, int, int]]:
        return self.found.get(path, [])


def made(tree: Tree, *schemes: Scheme, ops: str = "vaddr") -> KernelSchemes:
    found = KernelSchemes(tree, ops, schemes)  # type: ignore[arg-type]
    found.set_up([])
    return found


def test_only_what_differs_is_written() -> None:
    tree = Tree()
    made(tree, Scheme(AccessPattern(ANY_SIZE, Bounds(0, 3), ANY_COUNT), Action.PAGEOUT), Scheme())
    written = {path.removeprefix(SCHEMES): value for path, value in tree.files.items() if value != "0"}
    assert written == {
        "/nr_schemes": "2",
        "/0/action": "pageout",
        "/0/access_pattern/sz/max": str(2**64 - 1),
        "/0/access_pattern/nr_accesses/max": "3",
        "/0/access_pattern/age/max": str(2**32 - 1),
    }


def test_numbers_beyond_32_bits_are_the_largest_and_not_taken_modulo() -> None:
    tree = Tree()
    made(tree, Scheme(AccessPattern(ANY_SIZE, ANY_COUNT, Bounds(0, 2**32))))
    assert tree.files[f"{SCHEMES}/0/access_pattern/age/max"] == str(2**32 - 1)


def test_lists_get_their_directories_before_their_values() -> None:
    tree = Tree()
    filters = (Filter(FilterType.ADDR, True, True, addr=Range(4096, 8192)),)
    pages = (Filter(FilterType.HUGEPAGE_SIZE, True, size=Bounds(1, 2)),)
    quota = Quota(goals=(Goal(target_value=3), Goal(GoalMetric.NODE_MEM_USED_BP, 5, nid=1)))
    dests = (Destination(1, 2), Destination(3, 4))
    made(
        tree,
        Scheme(action=Action.MIGRATE_HOT, core_filters=filters, ops_filters=pages, quotas=quota, dests=dests),
    )
    at = f"{SCHEMES}/0"
    assert tree.files[f"{at}/core_filters/0/type"] == "addr"
    assert tree.files[f"{at}/core_filters/0/allow"] == "Y"
    assert tree.files[f"{at}/core_filters/0/addr_end"] == "8192"
    assert tree.files[f"{at}/ops_filters/0/max"] == "2"
    assert tree.files[f"{at}/quotas/goals/1/target_metric"] == "node_mem_used_bp"
    assert tree.files[f"{at}/quotas/goals/1/nid"] == "1"
    assert tree.files[f"{at}/dests/1/weight"] == "4"


def test_where_there_is_one_directory_of_filters_all_go_there() -> None:
    tree = Tree(lacks=BEFORE_6_15)
    made(
        tree,
        Scheme(
            core_filters=(Filter(FilterType.TARGET, True),), ops_filters=(Filter(FilterType.YOUNG, True),)
        ),
    )
    types = [tree.files[f"{SCHEMES}/0/filters/{n}/type"] for n in (0, 1)]
    assert types == ["target", "young"]


@pytest.mark.parametrize(
    ("lacks", "scheme", "said"),
    [
        (
            "dests",
            Scheme(action=Action.MIGRATE_HOT, dests=(Destination(0, 1),)),
            "no weighted destinations, which",
        ),
        (
            "allow",
            Scheme(core_filters=(Filter(FilterType.TARGET, allow=True),)),
            "no filters that allow, which",
        ),
        ("goals", Scheme(quotas=Quota(goals=(Goal(),))), "no goals of quotas, which Linux 6.8"),
        (
            "max_nr_snapshots",
            Scheme(max_nr_snapshots=2),
            "no limit on the number of snapshots, which Linux 7.0",
        ),
        (
            "fail_charge_num",
            Scheme(quotas=Quota(fail_charge_num=1)),
            "no charge for what failed, which Linux 7.2",
        ),
        ("nid", Scheme(quotas=Quota(goals=(Goal(nid=1),))), "no goals of a NUMA node, which Linux 6.16"),
    ],
)
def test_what_a_kernel_lacks_is_named(lacks: str, scheme: Scheme, said: str) -> None:
    made(Tree(lacks=(lacks,)), Scheme())  # what is not asked for does not matter
    with pytest.raises(NotSupported, match=said):
        made(Tree(lacks=(lacks,)), scheme)


def test_a_word_that_a_kernel_does_not_know_is_named() -> None:
    with pytest.raises(NotSupported, match="does not know the action collapse; use another one"):
        made(Tree(unknown=("collapse",)), Scheme(action=Action.COLLAPSE))
    quota = Quota(goals=(Goal(GoalMetric.ACTIVE_MEM_BP, 1),))
    with pytest.raises(NotSupported, match="goal metric active_mem_bp"):
        made(Tree(unknown=("active_mem_bp",)), Scheme(quotas=quota))
    with pytest.raises(CannotError, match="could not be set up"):
        made(Tree(unknown=("7",)), Scheme(quotas=Quota(ms=7)))


@pytest.mark.parametrize(
    ("ops", "action", "possible"),
    [
        ("vaddr", Action.LRU_PRIO, False),
        ("vaddr", Action.HUGEPAGE, True),
        ("fvaddr", Action.COLD, True),
        ("paddr", Action.LRU_PRIO, True),
        ("paddr", Action.WILLNEED, False),
        ("paddr", Action.MIGRATE_COLD, True),
    ],
)
def test_actions_that_no_kernel_has(ops: str, action: Action, possible: bool) -> None:
    assert (impossible(Scheme(action=action), ops) is None) is possible


def test_a_source_has_its_scheme_after_all_others() -> None:
    tree = Tree()
    schemes = KernelSchemes(tree, "vaddr", [Scheme(action=Action.COLD)])  # type: ignore[arg-type]
    schemes.set_up([(f"{SCHEMES}/1/action", "stat")])
    assert [tree.files[f"{SCHEMES}/{name}"] for name in ("nr_schemes", "0/action", "1/action")] == [
        "2",
        "cold",
        "stat",
    ]
    schemes.commit([])
    assert tree.files[f"{SCHEMES}/nr_schemes"] == "1"


def tell(tree: Tree, index: int, **stats: int) -> None:
    tree.files |= {f"{SCHEMES}/{index}/stats/{name}": str(value) for name, value in stats.items()}


def test_stats_and_sizes_are_read_and_go_on_where_a_kdamond_was_begun_anew() -> None:
    tree = Tree()
    schemes = made(tree, Scheme(quotas=Quota(bytes=8)))
    tell(tree, 0, nr_tried=3, sz_tried=12_288, qt_exceeds=1)
    tree.files[f"{SCHEMES}/0/quotas/effective_bytes"] = "8"
    (status,) = schemes.status()
    assert tree.commands == ["update_schemes_stats", "update_schemes_effective_quotas"]
    assert (status.stats.nr_tried, status.stats.sz_tried, status.effective_bytes) == (3, 12_288, 8)
    assert status.stats.sz_moved is None
    schemes.restarted()
    tell(tree, 0, nr_tried=2, sz_tried=0, qt_exceeds=0)
    assert schemes.status()[0].stats.nr_tried == 5
    tree.on = False
    tell(tree, 0, nr_tried=99)
    assert schemes.status()[0].stats.nr_tried == 5, "what the files say of no kdamond is of no account"


def test_a_commit_keeps_what_was_counted_of_those_it_overwrites() -> None:
    tree = Tree()
    schemes = made(tree, Scheme(), Scheme(action=Action.COLD))
    tell(tree, 0, nr_tried=3)
    schemes.status()
    schemes.restarted()
    schemes.commit([Scheme(action=Action.PAGEOUT)])
    assert tree.commands[-1] == "commit"
    tell(tree, 0, nr_tried=1)
    (status,) = schemes.status()
    assert (status.scheme.action, status.stats.nr_tried) == (Action.PAGEOUT, 4)


def test_a_commit_that_fails_leaves_what_was_there() -> None:
    tree = Tree(lacks=("dests",))
    schemes = made(tree, Scheme(action=Action.COLD))
    with pytest.raises(NotSupported, match="weighted destinations"):
        schemes.commit([Scheme(action=Action.MIGRATE_HOT, dests=(Destination(0, 1),))])
    assert tree.files[f"{SCHEMES}/0/action"] == "cold"
    assert schemes.schemes == [Scheme(action=Action.COLD)]
    tree.refuse_commits = True
    with pytest.raises(CannotError, match="refused the schemes: Cannot allocate memory"):
        schemes.commit([Scheme(action=Action.PAGEOUT)])
    assert tree.files[f"{SCHEMES}/0/action"] == "cold"


def test_patterns_in_seconds_are_written_anew_when_the_intervals_change() -> None:
    tree = Tree()
    schemes = KernelSchemes(tree, "vaddr", [Scheme()])  # type: ignore[arg-type]
    schemes.patterns_for = lambda attrs: [AccessPattern(age=Bounds(2_000_000 // attrs.aggr_us, 2**32 - 1))]
    schemes.start(Attrs())
    schemes.set_up([])
    assert tree.files[f"{SCHEMES}/0/access_pattern/age/min"] == "20"
    schemes.change(Attrs())
    assert "commit" not in tree.commands
    schemes.change(Attrs(10_000, 200_000))
    assert tree.files[f"{SCHEMES}/0/access_pattern/age/min"] == "10"
    assert tree.commands[-1] == "commit"


def test_tried_regions_of_every_scheme() -> None:
    tree = Tree()
    schemes = made(tree, Scheme(), Scheme())
    tree.found[f"{SCHEMES}/1/tried_regions"] = [(0, 4096, 3, 7, 100)]
    answers: list[Sequence[TriedRegions] | None] = []
    schemes.walk(answers.append)
    schemes.target = 5
    schemes.walk(answers.append)
    tree.on = False
    schemes.walk(answers.append)
    assert answers == [
        [TriedRegions(), TriedRegions([TriedRegion(-1, 0, 4096, 3, 7, 100)])],
        [TriedRegions(), TriedRegions([TriedRegion(5, 0, 4096, 3, 7, 100)])],
        None,
    ]


def test_an_old_kernel_is_asked_for_no_commit_that_it_may_never_answer() -> None:
    """Before 6.14 commits are served after aggregations alone, and there are none while schemes rest."""
    backed_off = Scheme(watermarks=Watermarks(WatermarkMetric.FREE_MEM_RATE, 1, 3, 2, 1))
    tree = Tree()
    schemes = made(tree, backed_off)
    assert schemes.commits_blocked
    with pytest.raises(NotSupported, match="stop, and start again"):
        schemes.commit([Scheme()])
    assert "commit" not in tree.commands
    tree.files[GOAL] = ""
    schemes.commit([Scheme()])
    assert "commit" in tree.commands
    assert not made(Tree(), Scheme()).commits_blocked
