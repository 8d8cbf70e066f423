"""The keywords of `state`, on kdamonds that watch a simulated memory in real time (docs/damon.md#state-keywords)."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.unit.control.test_tree import C, error
from tests.waiting import until
from udamon.control.assembly import Assembly, TolerantActor
from udamon.control.kdamonds import Kdamonds
from udamon.control.plan import PlannedTarget
from udamon.control.spaces import opener
from udamon.control.tree import Tree
from udamon.linux.roots import Roots
from udamon.model import Range
from udamon.workload.config import parse
from udamon.workload.layout import place
from udamon.workload.truth import Truth

MIB = 1 << 20
CONFIG = """
hot, 8388608
cold, 25165824

all the time
1000000
hot, 1, 4096, 1
"""


@contextmanager
def served(operations: str = "vaddr") -> Iterator[Tree]:
    """A tree with one kdamond, set to look at 8 MiB hot and 24 MiB cold every millisecond."""
    workload = parse(CONFIG, "test")
    kdamonds = Kdamonds(
        Assembly("sim", truth=Truth(workload, place(workload))), lambda path: False, time.monotonic_ns
    )
    tree = Tree(kdamonds)
    kdamonds.tree = tree
    tree.write("kdamonds/nr_kdamonds", "1")
    set_up(tree, 0, operations)
    try:
        yield tree
    finally:
        kdamonds.close()


def set_up(tree: Tree, number: int, operations: str = "vaddr") -> None:
    context = f"kdamonds/{number}/contexts/0"
    tree.write(f"kdamonds/{number}/contexts/nr_contexts", "1")
    settings = {
        "operations": operations,
        "monitoring_attrs/intervals/sample_us": "1000",
        "monitoring_attrs/intervals/aggr_us": "10000",
        "targets/nr_targets": "1",
        "schemes/nr_schemes": "1",
    }
    for path, text in settings.items():
        tree.write(f"{context}/{path}", text)
    for name in ("sz", "nr_accesses", "age"):
        tree.write(f"{context}/schemes/0/access_pattern/{name}/max", str(2**64 - 1))


def number(tree: Tree, path: str) -> int:
    return int(tree.read(f"{C}/{path}"))


def test_on_and_off() -> None:
    with served() as tree:
        tree.write("kdamonds/0/state", "on")
        assert tree.read("kdamonds/0/state") == "on\n"
        pid = int(tree.read("kdamonds/0/pid"))
        assert Path(f"/proc/self/task/{pid}/comm").read_text() == "kdamond.0\n"
        with error(errno.EBUSY):
            tree.write("kdamonds/0/state", "on")
        with error(errno.EBUSY):
            tree.write("kdamonds/nr_kdamonds", "0")
        tree.write("kdamonds/0/state", "off")
        assert (tree.read("kdamonds/0/state"), tree.read("kdamonds/0/pid")) == ("off\n", "-1\n")
        until(lambda: not Path(f"/proc/self/task/{pid}").exists())
        with error(errno.EPERM):
            tree.write("kdamonds/0/state", "off")
        tree.write("kdamonds/nr_kdamonds", "0")


@pytest.mark.parametrize(
    "keyword",
    [
        "off",
        "commit",
        "commit_schemes_quota_goals",
        "update_schemes_stats",
        "update_schemes_tried_bytes",
        "update_schemes_tried_regions",
        "update_schemes_effective_quotas",
        "update_tuned_intervals",
    ],
)
def test_what_needs_a_kdamond(keyword: str) -> None:
    with served() as tree:
        with error(errno.EINVAL):
            tree.write("kdamonds/0/state", keyword)
        tree.write("kdamonds/0/state", "on")
        tree.write("kdamonds/0/state", "off")
        with error(errno.EPERM if keyword == "off" else errno.ECANCELED):
            tree.write("kdamonds/0/state", keyword)
        tree.write("kdamonds/0/state", "clear_schemes_tried_regions")


def test_stats_are_there_when_asked_for_and_stay() -> None:
    with served() as tree:
        tree.write("kdamonds/0/state", "on")
        assert number(tree, "schemes/0/stats/nr_tried") == 0

        def tried() -> bool:
            tree.write("kdamonds/0/state", "update_schemes_stats")
            return number(tree, "schemes/0/stats/nr_tried") > 0

        until(tried)
        tree.write("kdamonds/0/state", "off")
        assert number(tree, "schemes/0/stats/sz_tried") >= 32 * MIB
        assert number(tree, "schemes/0/stats/nr_applied") == 0


def test_tried_regions_cover_all_that_is_watched() -> None:
    with served() as tree:
        tree.write("kdamonds/0/state", "on")
        tree.write("kdamonds/0/state", "update_schemes_tried_regions")
        tried = f"{C}/schemes/0/tried_regions"
        names = tree.names(tried)
        count = sum(name.isdigit() for name in names)
        assert 0 < count <= 1000
        sizes = [
            int(tree.read(f"{tried}/{i}/end")) - int(tree.read(f"{tried}/{i}/start")) for i in range(count)
        ]
        assert sum(sizes) == number(tree, "schemes/0/tried_regions/total_bytes") == 32 * MIB
        tree.write("kdamonds/0/state", "update_schemes_tried_bytes")
        assert tree.names(tried) == ["total_bytes"]
        assert number(tree, "schemes/0/tried_regions/total_bytes") == 32 * MIB
        tree.write("kdamonds/0/state", "clear_schemes_tried_regions")
        assert number(tree, "schemes/0/tried_regions/total_bytes") == 0


def test_hot_memory_is_found_by_its_pattern() -> None:
    with served() as tree:
        tree.write(f"{C}/schemes/0/access_pattern/nr_accesses/min", "5")
        tree.write("kdamonds/0/state", "on")

        def found() -> bool:
            tree.write("kdamonds/0/state", "update_schemes_tried_bytes")
            return 4 * MIB <= number(tree, "schemes/0/tried_regions/total_bytes") <= 12 * MIB

        until(found)


def test_a_commit_changes_what_runs() -> None:
    with served() as tree:
        tree.write("kdamonds/0/state", "on")
        tree.write(f"{C}/monitoring_attrs/intervals/aggr_us", "20000")
        tree.write(f"{C}/schemes/nr_schemes", "0")
        tree.write("kdamonds/0/state", "commit")
        tree.write(f"{C}/monitoring_attrs/intervals/aggr_us", "30000")
        tree.write("kdamonds/0/state", "update_tuned_intervals")
        assert number(tree, "monitoring_attrs/intervals/aggr_us") == 20_000
        with error(errno.ECANCELED):  # there is no scheme to walk for
            tree.write("kdamonds/0/state", "update_schemes_tried_regions")


@pytest.mark.parametrize(
    ("path", "text", "code"),
    [
        ("monitoring_attrs/nr_regions/min", "1", errno.EINVAL),
        ("operations", "paddr", errno.EINVAL),
        ("schemes/0/ops_filters/nr_filters", "1", None),
    ],
)
def test_a_commit_that_is_refused_changes_nothing(path: str, text: str, code: int | None) -> None:
    with served() as tree:
        tree.write("kdamonds/0/state", "on")
        tree.write(f"{C}/{path}", text)
        if code is None:
            tree.write("kdamonds/0/state", "commit")
        else:
            with error(code):
                tree.write("kdamonds/0/state", "commit")
        assert tree.read("kdamonds/0/state") == "on\n"


def test_targets_are_committed_by_their_place() -> None:
    with served() as tree:
        tree.write(f"{C}/targets/nr_targets", "3")
        tree.write("kdamonds/0/state", "on")
        tree.write(f"{C}/targets/1/obsolete_target", "Y")
        tree.write("kdamonds/0/state", "commit")
        tree.write(f"{C}/schemes/0/apply_interval_us", "10000")
        tree.write("kdamonds/0/state", "update_schemes_tried_bytes")
        assert number(tree, "schemes/0/tried_regions/total_bytes") == 64 * MIB
        tree.write(f"{C}/targets/nr_targets", "3")
        tree.write(f"{C}/targets/2/obsolete_target", "Y")
        with error(errno.EINVAL):
            tree.write("kdamonds/0/state", "commit")
        tree.write("kdamonds/0/state", "update_schemes_tried_bytes")
        assert number(tree, "schemes/0/tried_regions/total_bytes") == 64 * MIB


def test_the_goals_alone_can_be_committed() -> None:
    with served() as tree:
        quotas = f"{C}/schemes/0/quotas"
        tree.write(f"{quotas}/reset_interval_ms", "10")
        tree.write(f"{quotas}/goals/nr_goals", "1")
        tree.write(f"{quotas}/goals/0/target_value", "10000")
        tree.write("kdamonds/0/state", "on")

        def effective(at_least: int) -> bool:
            tree.write("kdamonds/0/state", "update_schemes_effective_quotas")
            return int(tree.read(f"{quotas}/effective_bytes")) >= at_least

        until(lambda: effective(1 << 14))
        tree.write(f"{quotas}/goals/0/current_value", "20000")
        tree.write(f"{C}/schemes/0/action", "cold")  # not a goal: it waits for a commit of all
        tree.write("kdamonds/0/state", "commit_schemes_quota_goals")
        until(lambda: not effective(2))


def test_a_paused_kdamond_does_nothing_until_it_goes_on() -> None:
    with served() as tree:
        tree.write(f"{C}/pause", "Y")
        tree.write("kdamonds/0/state", "on")
        with error(errno.ECANCELED):
            tree.write("kdamonds/0/state", "update_schemes_tried_bytes")
        tree.write("kdamonds/0/state", "update_schemes_stats")
        assert number(tree, "schemes/0/stats/nr_tried") == 0
        tree.write(f"{C}/pause", "N")
        tree.write("kdamonds/0/state", "commit")
        tree.write("kdamonds/0/state", "update_schemes_tried_bytes")


def test_refresh_ms_keeps_the_files_up_to_date() -> None:
    with served() as tree:
        tree.write("kdamonds/0/refresh_ms", "10")
        tree.write("kdamonds/0/state", "on")
        until(lambda: number(tree, "schemes/0/stats/nr_tried") > 0)


def test_schemes_whose_directories_went_are_passed_over() -> None:
    with served() as tree:
        tree.write("kdamonds/0/state", "on")
        tree.write(f"{C}/schemes/nr_schemes", "0")
        for keyword in (
            "update_schemes_stats",
            "update_schemes_tried_regions",
            "update_schemes_effective_quotas",
        ):
            tree.write("kdamonds/0/state", keyword)


def test_a_pattern_that_never_matches_hangs_nobody() -> None:
    with served() as tree:
        tree.write(f"{C}/schemes/0/access_pattern/nr_accesses/min", "200")
        tree.write(f"{C}/schemes/0/access_pattern/nr_accesses/max", "200")
        tree.write("kdamonds/0/state", "on")
        for _ in range(5):
            tree.write("kdamonds/0/state", "update_schemes_tried_bytes")
        assert number(tree, "schemes/0/tried_regions/total_bytes") == 0


def test_two_at_once_carry_the_names_of_their_turn() -> None:
    with served() as tree:
        tree.write("kdamonds/nr_kdamonds", "2")
        for which in range(2):
            set_up(tree, which)
            tree.write(f"kdamonds/{which}/state", "on")
        pids = [int(tree.read(f"kdamonds/{which}/pid")) for which in range(2)]
        names = [Path(f"/proc/self/task/{pid}/comm").read_text() for pid in pids]
        assert names == ["kdamond.0\n", "kdamond.1\n"]


def test_no_target_means_no_kdamond() -> None:
    with served() as tree:
        tree.write(f"{C}/targets/nr_targets", "0")
        tree.write("kdamonds/0/state", "on")
        until(lambda: tree.read("kdamonds/0/state") == "off\n")
        tree.write("kdamonds/nr_kdamonds", "0")


def test_closing_stops_everything() -> None:
    with served() as tree:
        tree.write("kdamonds/0/state", "on")
        pid = tree.read("kdamonds/0/pid").strip()
    until(lambda: not Path(f"/proc/self/task/{pid}").exists())  # Python joins a thread just before it is gone


@pytest.mark.needs("clear_refs")
@pytest.mark.parametrize(
    ("pid", "code"),
    [("0", errno.EINVAL), ("-1", errno.EINVAL), (str(2**22 + 1), errno.EINVAL), ("2", errno.EINVAL)],
)
def test_pids_that_are_no_process_to_watch(pid: str, code: int) -> None:
    kdamonds = Kdamonds(Assembly("refs"), lambda path: False, time.monotonic_ns)
    tree = Tree(kdamonds)
    tree.write("kdamonds/nr_kdamonds", "1")
    set_up(tree, 0)
    tree.write(f"{C}/targets/0/pid_target", pid)
    with error(code):
        tree.write("kdamonds/0/state", "on")
    assert tree.read("kdamonds/0/state") == "off\n"


@pytest.mark.needs("clear_refs")
def test_a_process_is_watched_by_its_mappings() -> None:
    kdamonds = Kdamonds(Assembly("refs"), lambda path: False, time.monotonic_ns)
    tree = Tree(kdamonds)
    tree.write("kdamonds/nr_kdamonds", "1")
    set_up(tree, 0)
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        tree.write(f"{C}/targets/0/pid_target", str(child))
        tree.write("kdamonds/0/state", "on")
        tree.write("kdamonds/0/state", "update_schemes_tried_regions")
        assert number(tree, "schemes/0/tried_regions/total_bytes") > 0
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        kdamonds.close()


@pytest.mark.needs("clear_refs")
def test_ranges_of_a_process_hold_until_the_first_update() -> None:
    """As in the kernel, which looks for the three regions of vaddr at an update; fvaddr keeps what it was given."""
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            target = PlannedTarget(child.pid, (Range(4096, 8192),))
            for operations, later in (("vaddr", False), ("fvaddr", True)):
                places = opener(operations, Roots())(target)
                try:
                    assert places.ranges() == [Range(4096, 8192)]
                    assert (places.ranges() == [Range(4096, 8192)]) is later
                finally:
                    places.close()
        finally:
            child.kill()


@pytest.mark.needs("clear_refs")
def test_a_process_is_a_target_until_it_is_reaped() -> None:
    """As in the kernel: a zombie is one still."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    places = opener("fvaddr", Roots())(PlannedTarget(child, (Range(4096, 8192),)))
    try:
        assert places.valid()
        os.kill(child, 9)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert places.valid()
        os.waitpid(child, 0)
        assert not places.valid()
    finally:
        places.close()
        with suppress(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


FIRST_ON = """
import os, sys, time
from pathlib import Path
from udamon.control.assembly import Assembly, TolerantActor
from udamon.control.kdamonds import Kdamonds
from udamon.control.tree import Tree

assembly = Assembly("refs")
kdamonds = Kdamonds(assembly, lambda path: False, time.monotonic_ns)
tree = Tree(kdamonds)
assembly.load()
for path, text in (
    ("nr_kdamonds", "1"),
    ("0/contexts/nr_contexts", "1"),
    ("0/contexts/0/targets/nr_targets", "1"),
    ("0/contexts/0/targets/0/pid_target", sys.argv[1]),
    ("0/contexts/0/schemes/nr_schemes", "1"),
):
    tree.write(f"kdamonds/{path}", text)
before = set(sys.modules)
tree.write("kdamonds/0/state", "on")
print(sorted(set(sys.modules) - before))
kdamonds.close()
"""


@pytest.mark.needs("clear_refs")
def test_the_first_on_waits_for_no_import() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            command = [sys.executable, "-c", FIRST_ON, str(child.pid)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        finally:
            child.kill()
    assert done.stdout == "[]\n"


def test_what_numbers_are_read_with_is_closed_at_the_end() -> None:
    closed: list[str] = []
    TolerantActor(None, lambda: closed.append("metrics")).close()
    assert closed == ["metrics"]
