"""Planning a /sys of one's own, and proving that nothing leads out of it. Nothing is mounted here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from udamon.control.executing import DROPPED, environment
from udamon.control.mounting import ServedPaths
from udamon.control.private_sys import (
    DEBUGFS,
    SYSFS,
    Listed,
    Step,
    leaks,
    listing_of,
    open_directories,
    plan,
)
from udamon.linux.mounts import MountInfo, parse_mountinfo

TREE: dict[str, list[Listed]] = {
    "": [Listed("kernel", "directory"), Listed("module", "directory"), Listed("fs", "directory")],
    "kernel": [Listed("mm", "directory"), Listed("debug", "directory"), Listed("notes", "file")],
    "kernel/mm": [Listed("damon", "directory"), Listed("page_idle", "directory"), Listed("alias", "link")],
    "kernel/debug": [Listed("damon", "directory"), Listed("tracing", "directory")],
}


def listing(path: str) -> Iterable[Listed]:
    return TREE[path]


def test_all_but_the_hidden_is_bound_back() -> None:
    assert plan(listing, [SYSFS], [DEBUGFS]) == [
        Step("directory", "fs"),
        Step("bind", "fs"),
        Step("directory", "kernel"),
        Step("directory", "kernel/debug"),
        Step("directory", "kernel/debug/tracing"),
        Step("bind", "kernel/debug/tracing"),
        Step("directory", "kernel/mm"),
        Step("link", "kernel/mm/alias"),
        Step("directory", "kernel/mm/damon"),
        Step("directory", "kernel/mm/page_idle"),
        Step("bind", "kernel/mm/page_idle"),
        Step("file", "kernel/notes"),
        Step("bind", "kernel/notes"),
        Step("directory", "module"),
        Step("bind", "module"),
    ]


def test_the_old_tree_gets_its_place_too() -> None:
    assert Step("directory", DEBUGFS) in plan(listing, [SYSFS, DEBUGFS], [])
    assert Step("bind", DEBUGFS) not in plan(listing, [SYSFS, DEBUGFS], [])


def test_a_directory_is_bound_or_made_anew_never_both_ways() -> None:
    steps = plan(listing, [SYSFS], [DEBUGFS])
    bound = {path for what, path in steps if what == "bind"}
    for what, path in steps:
        if what == "directory":
            assert not any(path.startswith(f"{each}/") for each in bound)


@pytest.mark.parametrize("missing", ["kernel/mm", "kernel/debug", "kernel"])
def test_what_the_real_one_lacks_is_made(missing: str) -> None:
    tree = {
        path: [c for c in children if f"{path}/{c.name}".lstrip("/") != missing]
        for path, children in TREE.items()
    }
    steps = plan(lambda path: tree[path], [SYSFS, DEBUGFS], [])
    made = [path for what, path in steps if what == "directory"]
    assert SYSFS in made
    assert DEBUGFS in made
    assert made.index(missing) < min(
        made.index(path) for path in (SYSFS, DEBUGFS) if path.startswith(missing)
    )
    assert len(made) == len(set(made))


def test_a_kernel_without_damon() -> None:
    tree = {
        **TREE,
        "kernel/mm": [Listed("page_idle", "directory")],
        "kernel/debug": [Listed("x", "directory")],
    }
    made = [path for what, path in plan(lambda path: tree[path], [SYSFS], [DEBUGFS]) if what == "directory"]
    assert SYSFS in made
    assert DEBUGFS not in made


def test_a_real_directory_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").touch()
    (tmp_path / "c").symlink_to("a")
    found = sorted(listing_of(tmp_path)(""))
    assert found == [Listed("a", "directory"), Listed("b", "file"), Listed("c", "link")]


SYS, DEBUG, FUSE, TMP = 10, 11, 12, 13


@pytest.mark.parametrize(
    ("mounts", "leads_to", "found"),
    [
        # The real /sys is covered, and its path ends in our file system.
        ([MountInfo("/", "/sys", "sysfs", SYS)], {"/sys/kernel/mm/damon": FUSE}, []),
        ([MountInfo("/", "/sys", "sysfs", SYS)], {"/sys/kernel/mm/damon": SYS}, ["/sys/kernel/mm/damon"]),
        # A second mount of the same file system somewhere else, or of a part of it.
        (
            [MountInfo("/", "/jail", "sysfs", SYS)],
            {"/jail/kernel/mm/damon": SYS},
            ["/jail/kernel/mm/damon"],
        ),
        ([MountInfo("/kernel/mm", "/mm", "sysfs", SYS)], {"/mm/damon": SYS}, ["/mm/damon"]),
        ([MountInfo("/kernel/mm/damon", "/d", "sysfs", SYS)], {"/d": SYS}, ["/d"]),
        ([MountInfo("/kernel/mm/damon/admin", "/d", "sysfs", SYS)], {"/d": SYS}, ["/d"]),
        ([MountInfo("/", "/debug", "debugfs", DEBUG)], {"/debug/damon": DEBUG}, ["/debug/damon"]),
        # Parts that do not have it, and kernels that do not.
        ([MountInfo("/kernel/mm/page_idle", "/sys/kernel/mm/page_idle", "sysfs", SYS)], {}, []),
        ([MountInfo("/kernel/mm/damon2", "/d", "sysfs", SYS)], {"/d": SYS}, []),
        ([MountInfo("/", "/sys", "sysfs", SYS)], {}, []),
        ([MountInfo("/", "/tmp", "tmpfs", TMP)], {"/tmp/kernel/mm/damon": TMP}, []),
    ],
)
def test_paths_that_lead_to_the_real_tree(
    mounts: list[MountInfo], leads_to: dict[str, int], found: list[str]
) -> None:
    assert leaks(mounts, leads_to.get) == found


def test_mountinfo_is_read() -> None:
    text = "28 1 0:25 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n29 28 0:6 /a\\040b /mnt/x\\134y rw - tmpfs t rw\n"
    assert parse_mountinfo(text) == [
        MountInfo("/", "/sys", "sysfs", os.makedev(0, 25), frozenset({"rw"})),
        MountInfo("/a b", "/mnt/x\\y", "tmpfs", os.makedev(0, 6), frozenset({"rw"})),
    ]


def test_a_path_in_mountinfo_may_have_any_character() -> None:
    """Users choose where they mount what they may mount, and the kernel writes all but blanks, tabs, line ends and
    backslashes as they are."""
    for odd in "\r\v\f\x1c\x1d\x1e\x85\u2028":
        (found,) = parse_mountinfo(
            f"30 1 0:6 / /m/{odd}x rw shared:1 master:2 propagate_from:3 - fuse f rw,a\n"
        )
        assert found == MountInfo("/", f"/m/{odd}x", "fuse", os.makedev(0, 6), frozenset({"rw", "a"}))


def test_an_open_directory_is_a_path_too(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        device = os.fstat(fd).st_dev
        assert open_directories([fd, 10_000], [MountInfo("/", "/sys", "sysfs", device)]) == [fd]
        assert open_directories([fd], [MountInfo("/", "/sys", "sysfs", device + 1)]) == []
    finally:
        os.close(fd)


def test_what_a_command_finds_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    env = environment(tmp_path, ServedPaths(Path("/sys/x"), None, tmp_path / "events"))
    assert env["PATH"] == f"{tmp_path}/bin:/usr/bin"
    assert env["UDAMON_EVENTS"] == f"{tmp_path}/events"
    script = tmp_path / "bin/perf"
    assert os.access(script, os.X_OK)
    done = subprocess.run([script, "script", "-i", "/nowhere"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "perf: /nowhere: No such file or directory\n")


def test_what_a_command_could_leave_its_sys_with() -> None:
    assert {capability.name for capability in DROPPED} == {"SYS_ADMIN", "SYS_PTRACE", "SYS_CHROOT"}
    assert sorted(DROPPED) == [18, 19, 21]  # capabilities(7), linux/capability.h
