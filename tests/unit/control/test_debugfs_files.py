"""The older tree: its oracles (docs/damon.md#unit-tests), what its selftests expect (#selftests), and
kdamonds behind it."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.unit.control.test_kdamonds import CONFIG, MIB
from tests.unit.control.test_tree import error
from tests.waiting import until
from udamon.control.assembly import Assembly
from udamon.control.debugfs_files import DebugfsFiles
from udamon.control.debugfs_form import leading_numbers, read_attrs, read_regions, read_schemes, show_regions
from udamon.control.kdamonds import Kdamonds
from udamon.control.tree import Tree
from udamon.core.scheme import Action, WatermarkMetric
from udamon.model import Range
from udamon.workload.config import parse
from udamon.workload.layout import place
from udamon.workload.truth import Truth

SWITCH = "/monitor_on_DEPRECATED"
GOOD = "1 2 3 4 5 6 4 0 0 0 1 2 3 1 100 3 2 1"


@contextmanager
def served() -> Iterator[tuple[DebugfsFiles, Tree]]:
    workload = parse(CONFIG, "test")
    assembly = Assembly("sim", truth=Truth(workload, place(workload)))
    kdamonds = Kdamonds(assembly, lambda path: False, time.monotonic_ns)
    files = DebugfsFiles(assembly, kdamonds.any_running, exists=lambda pid: 0 < pid < 10)
    kdamonds.excluded = files.any_running
    try:
        yield files, Tree(kdamonds)
    finally:
        files.close()
        kdamonds.close()


def read(files: DebugfsFiles, path: str) -> str:
    return files.open(path).read()


def names(files: DebugfsFiles, path: str) -> list[str]:
    return [name for name, _ in files.entries(path)]


def write(files: DebugfsFiles, path: str, text: str) -> None:
    files.open(path).write(text.encode(), 0)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("123", [123]),
        ("123abc", [123]),
        ("a123", []),
        ("12 35", [12, 35]),
        ("12 35 46", [12, 35, 46]),
        ("12 35 abc 46", [12, 35]),
        ("", []),
        ("\n", []),
        ("1 " * 40, [1] * 32),
    ],
)
def test_lists_of_numbers(text: str, numbers: list[int]) -> None:
    assert leading_numbers(text, 32) == numbers


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" 1 10 20\n\n1  20 30\n 1 35 45", "1 10 20\n1 20 30\n1 35 45\n"),
        ("1 10 20\n", "1 10 20\n"),
        ("1 10 20\n0 39 59\n0 70 134\n1 20 25\n", "0 39 59\n0 70 134\n1 10 20\n1 20 25\n"),
        ("", ""),
    ],
)
def test_initial_regions(text: str, shown: str) -> None:
    assert show_regions(read_regions(text, 3)) == shown


@pytest.mark.parametrize(
    "text", ["3 10 20\n", "1 10 20\n1 14 26\n", "0 10 20\n1 30 40\n0 5 8\n", "0 10 10\n", "-1 1 2\n"]
)
def test_bad_initial_regions_clear_them_all(text: str) -> None:
    with served() as (files, _):
        write(files, "/target_ids", "1 2 3")
        write(files, "/init_regions", "1 10 20")
        with error(errno.EINVAL):
            write(files, "/init_regions", text)
        assert read(files, "/init_regions") == ""


def test_attrs() -> None:
    with served() as (files, _):
        assert read(files, "/attrs") == "5000 100000 60000000 10 1000\n"
        write(files, "/attrs", "1 2 3 4 5")
        for text in ("1 2 3 4", "1 2 3 5 4", "2 1 3 4 5", "a"):
            with error(errno.EINVAL):
                write(files, "/attrs", text)
        assert read(files, "/attrs") == "1 2 3 4 5\n"
    assert read_attrs("1 2 3 4 5 6").max_nr_regions == 5


def test_schemes() -> None:
    with served() as (files, _):
        write(files, "/schemes", GOOD)
        assert read(files, "/schemes") == GOOD + " 0 0 0 0 0\n"
        with error(errno.EINVAL):
            write(files, "/schemes", "2 1 2 1 10 1 3 10 1 1 1 1 1 1 1 1 2 3")
        assert read(files, "/schemes") == GOOD + " 0 0 0 0 0\n"
        write(files, "/schemes", "")
        assert read(files, "/schemes") == ""


def test_what_the_numbers_of_a_scheme_mean() -> None:
    (scheme,) = read_schemes("1 2 3 4 5 6 2 7 8 9 10 11 12 1 13 16 15 14 99")
    assert (scheme.access_pattern.sz.min, scheme.access_pattern.nr_accesses.max) == (1, 4)
    assert (scheme.access_pattern.age.min, scheme.action) == (5, Action.PAGEOUT)
    assert (scheme.quotas.ms, scheme.quotas.bytes, scheme.quotas.reset_interval_ms) == (7, 8, 9)
    assert (
        scheme.quotas.weights.sz_permil,
        scheme.quotas.weights.nr_accesses_permil,
        scheme.quotas.weights.age_permil,
    ) == (
        10,
        11,
        12,
    )
    marks = scheme.watermarks
    assert marks.metric is WatermarkMetric.FREE_MEM_RATE
    assert (marks.interval_us, marks.high, marks.mid, marks.low) == (13, 16, 15, 14)


@pytest.mark.parametrize("place", [6, 13])
def test_actions_and_metrics_that_have_no_number(place: int) -> None:
    numbers = GOOD.split()
    numbers[place] = "6"
    with error(errno.EINVAL):
        read_schemes(" ".join(numbers))


def test_a_scheme_that_is_too_short_ends_the_list() -> None:
    assert len(read_schemes(f"{GOOD}\n{GOOD}\n1 2 3\n")) == 2
    assert len(read_schemes(f"{GOOD}\nx {GOOD}\n")) == 1
    assert read_schemes("1 2\n") == []
    assert len(read_schemes(f"{GOOD}\n" * 300)) == 256


def test_a_second_write_of_the_same_open_is_refused() -> None:
    """A shell sends two lines in two writes: the second is what makes that fail."""
    with served() as (files, _):
        file = files.open("/schemes")
        assert file.write(b"1 2\n", 0) == 4
        with error(errno.EINVAL):
            file.write(b"3 4 5 6\n", 4)


def test_target_ids() -> None:
    with served() as (files, _):
        for text, shown in (("1 2 3 4", "1 2 3 4\n"), ("1 2 abc 4", "1 2\n"), ("abc 2 3", "\n"), ("", "\n")):
            write(files, "/target_ids", text)
            assert read(files, "/target_ids") == shown
        with error(errno.ENOMEM):
            write(files, "/target_ids", "1 4242")


def test_physical_memory_is_42() -> None:
    with served() as (files, _):
        assert read(files, "/target_ids") == "\n"
        write(files, "/target_ids", "paddr\n")
        assert read(files, "/target_ids") == "42\n"
        write(files, "/target_ids", "\n")
        assert read(files, "/target_ids") == "\n"


def test_no_targets_no_start() -> None:
    with served() as (files, _), error(errno.EINVAL):
        write(files, SWITCH, "on")


def test_contexts_come_and_go() -> None:
    with served() as (files, _):
        write(files, "/mk_contexts", "foo\n")
        assert sorted(names(files, "/foo")) == [
            "attrs",
            "init_regions",
            "kdamond_pid",
            "schemes",
            "target_ids",
        ]
        assert "foo" in names(files, "/")
        with error(errno.EEXIST):
            write(files, "/mk_contexts", "foo")
        write(files, "/foo/attrs", "1 2 3 4 5")
        assert read(files, "/attrs") != read(files, "/foo/attrs")
        with error(errno.EINVAL):
            write(files, SWITCH, "on")
        write(files, "/rm_contexts", "foo")
        assert "foo" not in names(files, "/")
        for name, code in (
            ("foo", errno.ENOENT),
            ("attrs", errno.EINVAL),
            ("mk_contexts", errno.EINVAL),
            (" ", errno.EINVAL),
        ):
            with error(code):
                write(files, "/rm_contexts", name)


def test_on_and_off() -> None:
    with served() as (files, _):
        write(files, "/attrs", "1000 10000 1000000 10 100")
        write(files, "/schemes", f"0 {2**64 - 1} 0 4294967295 0 4294967295 5 0 0 0 0 0 0 0 0 0 0 0")
        write(files, "/target_ids", "1")
        assert (read(files, "/kdamond_pid"), read(files, SWITCH)) == ("none\n", "off\n")
        write(files, SWITCH, "on\n")
        assert read(files, SWITCH) == "on\n"
        assert int(read(files, "/kdamond_pid")) > 0
        for path in ("/attrs", "/schemes", "/target_ids", "/init_regions"):
            with error(errno.EBUSY):
                write(files, path, "1 2 3 4 5")
        for path, text in (("/mk_contexts", "x"), ("/rm_contexts", "x"), (SWITCH, "on")):
            with error(errno.EBUSY):
                write(files, path, text)
        with error(errno.EBUSY):
            read(files, "/init_regions")
        until(lambda: int(read(files, "/schemes").split()[18]) > 0)
        write(files, SWITCH, "off")
        assert (read(files, "/kdamond_pid"), read(files, SWITCH)) == ("none\n", "off\n")
        assert int(read(files, "/schemes").split()[19]) >= 32 * MIB
        assert read(files, "/target_ids") == "\n"  # processes are let go of at the end
        with error(errno.EPERM):
            write(files, SWITCH, "off")


def test_each_tree_keeps_the_other_out() -> None:
    with served() as (files, tree):
        tree.write("kdamonds/nr_kdamonds", "1")
        tree.write("kdamonds/0/contexts/nr_contexts", "1")
        tree.write("kdamonds/0/contexts/0/targets/nr_targets", "1")
        write(files, "/target_ids", "1")
        tree.write("kdamonds/0/state", "on")
        assert read(files, SWITCH) == "on\n"
        with error(errno.EBUSY):
            write(files, SWITCH, "on")
        tree.write("kdamonds/0/state", "off")
        write(files, SWITCH, "on")
        with error(errno.EBUSY):
            tree.write("kdamonds/0/state", "on")


@pytest.mark.parametrize(
    ("path", "code"), [("/nothing", errno.ENOENT), ("/foo/attrs", errno.ENOENT), ("/", errno.EISDIR)]
)
def test_what_is_not_there(path: str, code: int) -> None:
    with served() as (files, _), error(code):
        files.open(path)


def test_files_without_a_use_for_it() -> None:
    with served() as (files, _):
        with error(errno.EINVAL):
            read(files, "/mk_contexts")
        with error(errno.EINVAL):
            write(files, "/kdamond_pid", "1")
        assert "deprecated" in read(files, "/DEPRECATED")
        assert [files.mode(path) for path in ("/", "/attrs", "/DEPRECATED")] == [-1, 0o600, 0o600]


def test_the_switch_had_another_name_once() -> None:
    files = DebugfsFiles(Assembly("refs"), lambda: False, (6, 1))
    assert "monitor_on" in names(files, "/")
    assert not {"monitor_on_DEPRECATED", "DEPRECATED"} & set(names(files, "/"))


def test_regions_are_ranges() -> None:
    assert read_regions("0 1 2", 1) == [[Range(1, 2)]]
