"""The control tree as a value: what each file takes, refuses and shows, and what counts make and destroy."""

from __future__ import annotations

import errno
import threading

import pytest

from udamon.control.nodes import NODES, parse_version, rows, shape_at
from udamon.control.tree import MOST_CHILDREN, Tree, TreeDirectory
from udamon.errors import UsageError

C = "kdamonds/0/contexts/0"


class Backend:
    """Kdamonds that only say whether they run."""

    def __init__(self) -> None:
        self.on: set[int] = set()
        self.seen: list[str] = []

    def running(self, kdamond: TreeDirectory) -> bool:
        return id(kdamond) in self.on

    def pid(self, kdamond: TreeDirectory) -> int:
        return 4242 if self.running(kdamond) else -1

    def command(self, kdamond: TreeDirectory, keyword: str) -> None:
        self.seen.append(keyword)
        if keyword == "on":
            self.on.add(id(kdamond))
        elif keyword == "off":
            self.on.discard(id(kdamond))

    def forget(self, kdamond: TreeDirectory) -> None:
        self.seen.append("forget")


def context(version: tuple[int, int] = (7, 2), backend: Backend | None = None) -> Tree:
    tree = Tree(backend, version)
    tree.write("kdamonds/nr_kdamonds", "1")
    tree.write("kdamonds/0/contexts/nr_contexts", "1")
    return tree


def full(version: tuple[int, int] = (7, 2)) -> Tree:
    """A tree in which every numbered directory that can be made is there once."""
    tree = context(version)
    waiting = [""]
    while waiting:
        path = waiting.pop()
        for name in tree.names(path):
            below = f"{path}/{name}".strip("/")
            found = tree.find(below)
            if isinstance(found, TreeDirectory):
                waiting.append(below)
            elif found.node.counts and tree.read(below) == "0\n":
                tree.write(below, "1")
                waiting.append(path)
    return tree


def error(code: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, match=rf"\[Errno {code}\]")


def test_a_fresh_tree_has_nothing_but_a_count() -> None:
    tree = Tree()
    assert tree.names("kdamonds") == ["nr_kdamonds"]
    assert tree.read("kdamonds/nr_kdamonds") == "0\n"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        # Every default of docs/damon.md#sysfs that is not 0.
        ("kdamonds/0/state", "off"),
        ("kdamonds/0/pid", "-1"),
        (f"{C}/operations", "vaddr"),
        (f"{C}/addr_unit", "1"),
        (f"{C}/pause", "N"),
        (f"{C}/monitoring_attrs/intervals/sample_us", "5000"),
        (f"{C}/monitoring_attrs/intervals/aggr_us", "100000"),
        (f"{C}/monitoring_attrs/intervals/update_us", "60000000"),
        (f"{C}/monitoring_attrs/nr_regions/min", "10"),
        (f"{C}/monitoring_attrs/nr_regions/max", "1000"),
        (f"{C}/monitoring_attrs/probes/0/filters/0/type", "anon"),
        (f"{C}/monitoring_attrs/probes/0/filters/0/allow", "N"),
        (f"{C}/monitoring_attrs/probes/0/filters/0/path", ""),
        (f"{C}/targets/0/pid_target", "0"),
        (f"{C}/targets/0/obsolete_target", "N"),
        (f"{C}/schemes/0/action", "stat"),
        (f"{C}/schemes/0/target_nid", "-1"),
        (f"{C}/schemes/0/quotas/goal_tuner", "consist"),
        (f"{C}/schemes/0/quotas/goals/0/target_metric", "user_input"),
        (f"{C}/schemes/0/watermarks/metric", "none"),
        (f"{C}/schemes/0/core_filters/0/type", "anon"),
        (f"{C}/schemes/0/ops_filters/0/matching", "N"),
    ],
)
def test_defaults(path: str, value: str) -> None:
    assert full().read(path) == value + "\n"


def test_every_other_number_is_zero() -> None:
    tree = full()
    assert tree.read(f"{C}/schemes/0/stats/nr_tried") == "0\n"
    assert tree.read(f"{C}/schemes/0/tried_regions/total_bytes") == "0\n"
    assert tree.read(f"{C}/schemes/0/access_pattern/sz/max") == "0\n"


def test_operations_are_named_one_a_line() -> None:
    assert context().read(f"{C}/avail_operations") == "vaddr\nfvaddr\npaddr\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("7", 7),
        ("7\n", 7),
        ("+7", 7),
        ("0x1F\n", 31),
        ("010", 8),
        ("0", 0),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_numbers_are_read_as_in_c(text: str, shown: int) -> None:
    tree = context()
    path = f"{C}/monitoring_attrs/intervals/sample_us"
    tree.write(path, text)
    assert tree.read(path) == f"{shown}\n"


@pytest.mark.parametrize("text", ["", "\n", " 7", "7 ", "-1", "seven", "0x", "08", "7\n\n", "1.5", "7us"])
def test_what_is_no_number_is_refused_and_changes_nothing(text: str) -> None:
    tree = context()
    path = f"{C}/monitoring_attrs/intervals/sample_us"
    with error(errno.EINVAL):
        tree.write(path, text)
    assert tree.read(path) == "5000\n"


@pytest.mark.parametrize(
    ("path", "text", "code"),
    [
        (f"{C}/monitoring_attrs/intervals/sample_us", str(2**64), errno.ERANGE),
        (f"{C}/schemes/0/quotas/bytes", str(2**64), errno.EINVAL),
        (f"{C}/schemes/0/quotas/weights/sz_permil", str(2**32), errno.ERANGE),
        (f"{C}/targets/0/pid_target", str(2**31), errno.EINVAL),
        (f"{C}/schemes/0/target_nid", str(2**31), errno.ERANGE),
        (f"{C}/targets/nr_targets", "-1", errno.EINVAL),
        (f"{C}/targets/nr_targets", str(2**31), errno.ERANGE),
        ("kdamonds/0/contexts/nr_contexts", "2", errno.EINVAL),
        (f"{C}/monitoring_attrs/probes/nr_probes", "5", errno.EINVAL),
        (f"{C}/addr_unit", "0", errno.EINVAL),
        (f"{C}/operations", "kaddr", errno.EINVAL),
        (f"{C}/schemes/0/action", "fly", errno.EINVAL),
        (f"{C}/schemes/0/action", " stat", errno.EINVAL),
        (f"{C}/pause", "maybe", errno.EINVAL),
        (f"{C}/pause", "o", errno.EINVAL),
        (f"{C}/schemes/0/core_filters/0/type", "anon", errno.EINVAL),
        (f"{C}/schemes/0/ops_filters/0/type", "addr", errno.EINVAL),
        (f"{C}/schemes/0/stats/nr_tried", "1", errno.EACCES),
        ("kdamonds/0/pid", "1", errno.EACCES),
        ("kdamonds/0/nothing", "1", errno.ENOENT),
        ("kdamonds/00/state", "on", errno.ENOENT),
        ("kdamonds/1/state", "on", errno.ENOENT),
        ("kdamonds/0/state/x", "on", errno.ENOTDIR),
        ("kdamonds/0", "on", errno.EISDIR),
        ("kdamonds/0/state", "fly", errno.EINVAL),
    ],
)
def test_refusals(path: str, text: str, code: int) -> None:
    tree = full()
    with error(code):
        tree.write(path, text)


def test_the_old_filters_take_types_of_both_layers() -> None:
    tree = full()
    for word in ("anon", "memcg", "addr", "target", "young"):
        tree.write(f"{C}/schemes/0/filters/0/type", word + "\n")
        assert tree.read(f"{C}/schemes/0/filters/0/type") == word + "\n"


@pytest.mark.parametrize("text", ["y", "Y", "t", "T", "1", "on", "yes please"])
def test_yes(text: str) -> None:
    tree = context()
    tree.write(f"{C}/pause", text)
    assert tree.read(f"{C}/pause") == "Y\n"


@pytest.mark.parametrize("text", ["n", "N", "f", "F", "0", "off"])
def test_no(text: str) -> None:
    tree = context()
    tree.write(f"{C}/pause", "Y")
    tree.write(f"{C}/pause", text)
    assert tree.read(f"{C}/pause") == "N\n"


def test_text_keeps_the_newline_that_came_with_it() -> None:
    tree = full()
    tree.write(f"{C}/schemes/0/ops_filters/0/memcg_path", "/web\n")
    assert tree.read(f"{C}/schemes/0/ops_filters/0/memcg_path") == "/web\n\n"


def test_a_count_makes_directories_anew() -> None:
    tree = context()
    tree.write(f"{C}/targets/nr_targets", "2")
    tree.write(f"{C}/targets/0/pid_target", "7")
    tree.write(f"{C}/targets/nr_targets", "3")
    assert tree.names(f"{C}/targets") == ["nr_targets", "0", "1", "2"]
    assert tree.read(f"{C}/targets/0/pid_target") == "0\n"
    tree.write(f"{C}/targets/nr_targets", "0")
    with error(errno.ENOENT):
        tree.read(f"{C}/targets/0/pid_target")


def test_a_count_that_no_memory_holds_destroys_what_was_there() -> None:
    tree = context()
    tree.write(f"{C}/targets/nr_targets", "2")
    with error(errno.ENOMEM):
        tree.write(f"{C}/targets/nr_targets", str(MOST_CHILDREN + 1))
    assert tree.read(f"{C}/targets/nr_targets") == "0\n"


def test_an_open_file_of_a_removed_directory() -> None:
    tree = context()
    file = tree.file(f"{C}/schemes/nr_schemes")
    tree.write("kdamonds/nr_kdamonds", "1")
    with error(errno.ENODEV):
        file.read()
    with error(errno.ENODEV):
        file.write(b"1")


def test_one_write_takes_a_page_at_most() -> None:
    tree = full()
    file = tree.file(f"{C}/schemes/0/ops_filters/0/memcg_path")
    assert file.write(b"x" * 5000) == 4096
    assert tree.read(f"{C}/schemes/0/ops_filters/0/memcg_path") == "x" * 4096 + "\n"


def test_what_stands_behind_a_zero_byte_does_not_count() -> None:
    tree = context()
    tree.write(f"{C}/pause", "N")
    tree.file(f"{C}/addr_unit").write(b"12\x00garbage")
    assert tree.read(f"{C}/addr_unit") == "12\n"


def test_commands_go_to_whoever_runs_kdamonds() -> None:
    backend = Backend()
    tree = context(backend=backend)
    tree.write("kdamonds/0/state", "on\n")
    assert (tree.read("kdamonds/0/state"), tree.read("kdamonds/0/pid")) == ("on\n", "4242\n")
    with error(errno.EBUSY):
        tree.write("kdamonds/nr_kdamonds", "0")
    tree.write("kdamonds/0/state", "off")
    tree.write("kdamonds/nr_kdamonds", "0")
    assert backend.seen == ["on", "off", "forget"]


def test_commands_need_a_context() -> None:
    tree = Tree(Backend())
    tree.write("kdamonds/nr_kdamonds", "1")
    with error(errno.EINVAL):
        tree.write("kdamonds/0/state", "on")
    tree.write("kdamonds/0/state", "off")


def test_who_meets_another_at_work_is_refused() -> None:
    tree = context()
    target = "kdamonds/0/contexts/nr_contexts"
    for path in ("kdamonds/0/state", "kdamonds/0/pid"):
        with tree.exclusive(), error(errno.EBUSY):
            tree.read(path)
    with tree.exclusive(), error(errno.EBUSY):
        tree.write(target, "1")
    with tree.exclusive():
        tree.write(f"{C}/addr_unit", "2")
        assert tree.read(f"{C}/addr_unit") == "2\n"


def test_the_lock_is_given_back_after_a_refusal() -> None:
    tree = context()
    with error(errno.EINVAL):
        tree.write("kdamonds/0/state", "fly")
    done = threading.Event()

    def read() -> None:
        tree.read("kdamonds/0/state")
        done.set()

    threading.Thread(target=read).start()
    assert done.wait(10)


def test_older_kernels_lack_what_came_later() -> None:
    old = full((6, 1))
    assert "tried_regions" not in old.names(f"{C}/schemes/0")
    assert "filters" not in old.names(f"{C}/schemes/0")
    assert "goals" not in old.names(f"{C}/schemes/0/quotas")
    with error(errno.EINVAL):
        old.write("kdamonds/0/state", "update_schemes_effective_quotas")
    middle = full((6, 12))
    assert sorted(middle.names(f"{C}/schemes/0")) == sorted(
        [
            "access_pattern",
            "action",
            "apply_interval_us",
            "filters",
            "quotas",
            "stats",
            "target_nid",
            "tried_regions",
            "watermarks",
        ]
    )
    assert sorted(middle.names(f"{C}/schemes/0/filters/0")) == sorted(
        ["addr_end", "addr_start", "damon_target_idx", "matching", "memcg_path", "type"]
    )
    assert sorted(middle.names("kdamonds/0")) == ["contexts", "pid", "state"]
    with error(errno.EINVAL):
        middle.write(f"{C}/schemes/0/action", "collapse")
    with error(errno.EINVAL):
        middle.write(f"{C}/schemes/0/quotas/goals/0/target_metric", "active_mem_bp")
    full().write(f"{C}/schemes/0/action", "collapse")


def test_a_kernel_without_a_tree() -> None:
    with pytest.raises(UsageError, match="5.18"):
        shape_at((5, 15))


@pytest.mark.parametrize(("text", "version"), [("6.12", (6, 12)), ("6.12.117", (6, 12))])
def test_versions(text: str, version: tuple[int, int]) -> None:
    assert parse_version(text) == version


def test_what_is_no_version() -> None:
    with pytest.raises(UsageError):
        parse_version("new")


def test_the_table_names_every_file_once() -> None:
    paths = [row[0] for row in rows()]
    assert len(paths) == len(set(paths)) == len(NODES)
    by_path = {row[0]: row[1:] for row in rows()}
    assert by_path["kdamonds/K/contexts/C/operations"] == ("600", "vaddr, fvaddr, paddr", "vaddr", "5.18")
    assert by_path["kdamonds/K/contexts/C/schemes/S/quotas/effective_bytes"] == ("400", "ulong", "0", "6.9")


def test_results_that_are_told_anew_are_found_where_the_ones_before_were() -> None:
    tree = full()
    path = f"{C}/schemes/0/tried_regions"
    results = tree.find(path)
    assert isinstance(results, TreeDirectory)
    results.fill([{"start": 1, "end": 2}, {"start": 2, "end": 3}])
    held = tree.file(f"{path}/0/start")
    assert (tree.read(f"{path}/0/start"), tree.read(f"{path}/1/end")) == ("1\n", "3\n")
    results.fill([{"start": 7, "end": 9}])
    assert (tree.read(f"{path}/0/start"), tree.read(f"{path}/0/end")) == ("7\n", "9\n")
    with error(errno.ENOENT):
        tree.read(f"{path}/1/end")
    with error(errno.ENODEV):
        held.read()
