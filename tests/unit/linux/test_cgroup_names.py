"""Paths of control groups as runtimes make them, and groups found by unit and by container."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from udamon.errors import CannotError, OutOfFiles, UsageError
from udamon.linux.cgroup.names import GroupName, all_groups, find_container, find_unit, parse

A, B = "a" * 64, "0123456789abcdef" * 4
UID = "2c48913c-b29f-11e7-9350-020968147796"
DASHED = UID.replace("-", "_")


SLICE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{DASHED}.slice"
TASK = "0123456789abcdef0123456789abcdef"
NOTHING = ""


@pytest.mark.parametrize(
    ("group", "below", "found"),
    [
        (NOTHING, "/", GroupName()),
        ("/system.slice/nginx.service", "", GroupName(unit="nginx.service")),
        ("/system.slice/nginx.service", "/worker", GroupName(unit="nginx.service")),
        ("/system.slice/dev-sda\\x2d1.swap", "", GroupName(unit="dev-sda\\x2d1.swap")),
        ("/user.slice/user@1000.service/app.slice/a.scope", "", GroupName(unit="a.scope")),
        (f"/system.slice/docker-{A}.scope", "", GroupName(container=A, runtime="docker")),
        (f"/docker/{A}", "", GroupName(container=A, runtime="docker")),
        (f"/machine.slice/libpod-{A}.scope", "/container", GroupName(container=A, runtime="podman")),
        (f"/system.slice/a.service/libpod-payload-{A}", "", GroupName(container=A, runtime="podman")),
        (NOTHING, f"/machine.slice/libpod-conmon-{A}.scope", GroupName()),
        (f"/ecs/{TASK}/{A}", "", GroupName(container=A, runtime="ecs", task=TASK)),
        (f"/ecs/cluster/{TASK}/{TASK}-123456789", "",
         GroupName(container=f"{TASK}-123456789", runtime="ecs", task=TASK)),
        (f"/ecstasks.slice/ecstasks-{TASK}.slice/docker-{A}.scope", "",
         GroupName(container=A, runtime="docker", task=TASK)),
        (f"{SLICE}/cri-containerd-{A}.scope", "",
         GroupName(container=A, runtime="containerd", pod=UID, qos="burstable")),
        (f"/kubepods.slice/kubepods-pod{DASHED}.slice/crio-{A}.scope", "",
         GroupName(container=A, runtime="crio", pod=UID, qos="guaranteed")),
        (NOTHING, f"/kubepods.slice/kubepods-pod{DASHED}.slice", GroupName(pod=UID, qos="guaranteed")),
        (f"/kubepods/burstable/pod{TASK}/{A}", "", GroupName(container=A, pod=TASK, qos="burstable")),
        (f"/system.slice/x.service/kubepods-burstable-pod{DASHED}.slice:cri-containerd:{A}", "",
         GroupName(container=A, runtime="containerd", pod=UID, qos="burstable")),
        (f"/system.slice:docker:{A}", "", GroupName(container=A, runtime="docker")),
        # A container in a container: the last one is it, and what is said of the first one is not said of it.
        (f"/docker/{A}/docker/{B}", "/init", GroupName(container=B, runtime="docker")),
        (f"/docker/{A}/{B}", "", GroupName(container=B)),
        (f"/docker/{A}/kubelet/kubepods/besteffort/pod{UID}/{B}", "",
         GroupName(container=B, pod=UID, qos="besteffort")),
        (f"/docker/{A}", f"/kubelet/kubepods/besteffort/pod{UID}", GroupName(pod=UID, qos="besteffort")),
        (f"/kubepods/burstable/pod{UID}/{A}", "/system.slice/nginx.service",
         GroupName(unit="nginx.service", container=A, pod=UID, qos="burstable")),
        (NOTHING, "/docker/" + "a" * 63, GroupName()),
        (NOTHING, "/\x1b[31m/..", GroupName()),
    ],
)  # fmt: skip
def test_paths(group: str, below: str, found: GroupName) -> None:
    """The forms; tests/unit/agent/discovery has the paths of real nodes."""
    assert parse(group + below) == replace(found, group=group)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A /proc whose only hierarchy has two units of one name, a container, and one below it."""
    point = tmp_path / "cgroup"
    for path in (
        "system.slice/a.service", "system.slice/b.service", "user.slice/x/b.service", "one.scope",
        f"docker/{A}/init", f"docker/{B}",
    ):  # fmt: skip
        (point / path).mkdir(parents=True)
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self/mountinfo").write_text(f"30 23 0:26 / {point} rw,nosuid - cgroup2 cgroup2 rw\n")
    return proc


def test_units_and_containers(root: Path) -> None:
    assert find_unit("a", root) == find_unit("a.service", root) == "/system.slice/a.service"
    assert find_unit("one", root) == "/one.scope"
    assert find_container("aaaa", root) == f"/docker/{A}"
    assert find_container(B, root) == f"/docker/{B}"
    assert len(list(all_groups(root))) == len(set(all_groups(root))) == 12


def test_groups_that_cannot_be_opened_are_not_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "scandir", full)
    with pytest.raises(OutOfFiles):
        find_unit("a", root)


def test_what_is_not_one_group(root: Path) -> None:
    with pytest.raises(CannotError, match=r"no control group of unit 'c'; see systemctl"):
        find_unit("c", root)
    with pytest.raises(UsageError, match=r"2 control groups are of unit 'b': .*--cgroup"):
        find_unit("b", root)
    with pytest.raises(CannotError, match="no control group of container 'bbbb'"):
        find_container("bbbb", root)
    for wrong in ("aaa", "postgres", "../", "AAAA"):
        with pytest.raises(UsageError, match="does not begin a container's id"):
            find_container(wrong, root)
