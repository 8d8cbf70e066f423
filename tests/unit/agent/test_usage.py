"""CPU time of control groups, from made-up files of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.agent.test_no_descriptors import no_descriptors
from udamon.agent.discovery.model import Service
from udamon.agent.usage import GroupUsage

MOUNTS = """
30 1 0:1 / {top}/memory rw - cgroup cgroup rw,memory
31 1 0:2 / {top}/cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 1 0:3 / {top}/unified rw - cgroup2 cgroup2 rw
"""


@pytest.fixture
def usage(tmp_path: Path) -> GroupUsage:
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self/mountinfo").write_text(MOUNTS.format(top=tmp_path).lstrip())
    return GroupUsage(proc)


def service(directory: Path) -> Service:
    return Service("a", directory, "cgroup", {"service": "a"}, {}, "path")


def made(directory: Path, **files: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("_", ".", 1)).write_text(text)
    return directory


def test_version_2(tmp_path: Path, usage: GroupUsage) -> None:
    group = made(tmp_path / "unified/a", cpu_stat="usage_usec 1234\nuser_usec 1\n")
    assert usage(service(group), [1]) == 1234


def test_version_1_where_all_processes_are_counted(tmp_path: Path, usage: GroupUsage) -> None:
    """The hierarchy that counts is another one than that of memory; a process may be elsewhere in it."""
    group = made(tmp_path / "memory/a")
    assert usage(service(group), [1]) is None
    accounts = made(tmp_path / "cpuacct/a", cgroup_procs="1\n", cpuacct_usage="99\n")
    made(accounts / "below", cgroup_procs="2\n")
    assert usage(service(group), [1, 2]) == 99
    assert usage(service(group), [1, 2, 3]) is None


def test_groups_as_deep_as_paths_allow(tmp_path: Path, usage: GroupUsage) -> None:
    """Whoever may make groups below one of theirs may do so 2000 times: deeper than Python's calls."""
    group = made(tmp_path / "memory/a")
    places = [made(tmp_path / "cpuacct/a", cgroup_procs="1\n", cpuacct_usage="99\n")]
    for pid in range(2, 1202):
        places.append(made(places[-1] / "b", cgroup_procs=f"{pid}\n"))
    found = usage(service(group), range(1, 1202))
    for place in reversed(places[1:]):  # what removes tmp_path calls itself for each level
        (place / "cgroup.procs").unlink()
        place.rmdir()
    assert found == 99


def test_a_group_that_has_gone_or_is_elsewhere(tmp_path: Path, usage: GroupUsage) -> None:
    assert usage(service(tmp_path / "memory/gone"), []) is None
    assert usage(service(tmp_path / "memory-not/a"), []) is None
    group = made(tmp_path / "unified/b", cpu_stat="user_usec 1\n")
    assert usage(service(group), []) is None


def test_without_descriptors_nothing_is_known(tmp_path: Path, usage: GroupUsage) -> None:
    """For both versions: it is no reason to end."""
    second, first = made(tmp_path / "unified/a", cpu_stat="usage_usec 1234\n"), made(tmp_path / "memory/a")
    made(tmp_path / "cpuacct/a", cgroup_procs="1\n", cpuacct_usage="99\n")
    with no_descriptors():
        assert (usage(service(second), [1]), usage(service(first), [1])) == (None, None)
    assert (usage(service(second), [1]), usage(service(first), [1])) == (1234, 99)


def test_without_control_groups(tmp_path: Path) -> None:
    assert GroupUsage(tmp_path)(service(tmp_path), []) is None
