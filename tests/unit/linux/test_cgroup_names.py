"""Paths of control groups as runtimes make them, and groups found by unit and by container."""

from __future__ import annotations

from pathlib import Path

import pytest

from udamon.errors import CannotError, UsageError
from udamon.linux.cgroup.names import GroupName, all_groups, find_container, find_unit, parse

A, B = "a" * 64, "0123456789abcdef" * 4
UID = "2c48913c-b29f-11e7-9350-020968147796"
DASHED = UID.replace("-", "_")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", GroupName()),
        ("/system.slice/nginx.service", GroupName(unit="nginx.service")),
        ("/system.slice/nginx.service/worker", GroupName(unit="nginx.service")),
        ("/system.slice/system-a.slice/a@15-main.service", GroupName(unit="a@15-main.service")),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope", GroupName(unit="app-x.scope")),
        (f"/system.slice/docker-{A}.scope", GroupName(container=A, runtime="docker")),
        (f"/docker/{A}", GroupName(container=A, runtime="docker")),
        (f"/machine.slice/libpod-{A}.scope/container", GroupName(container=A, runtime="podman")),
        (f"/machine.slice/libpod-conmon-{A}.scope", GroupName()),
        (f"/ecs/0123456789abcdef0123456789abcdef/{A}", GroupName(container=A, runtime="ecs")),
        (
            "/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-1234567890",
            GroupName(container="0123456789abcdef0123456789abcdef-1234567890", runtime="ecs"),
        ),
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{DASHED}.slice/cri-containerd-{A}.scope",
            GroupName(container=A, runtime="containerd", pod=UID, qos="burstable"),
        ),
        (
            f"/kubepods.slice/kubepods-pod{DASHED}.slice/crio-{A}.scope",
            GroupName(container=A, runtime="cri-o", pod=UID, qos="guaranteed"),
        ),
        (f"/kubepods/besteffort/pod{UID}/{A}", GroupName(container=A, pod=UID, qos="besteffort")),
        (f"/kubepods/pod{UID}", GroupName(pod=UID, qos="guaranteed")),
        (
            f"/kubepods/burstable/pod0123456789abcdef0123456789abcdef/{A}",
            GroupName(container=A, pod="0123456789abcdef0123456789abcdef", qos="burstable"),
        ),
        (
            f"/kubelet.slice/kubelet-kubepods.slice/x/kubepods-burstable-pod{DASHED}.slice:cri-containerd:{A}",
            GroupName(container=A, runtime="containerd", pod=UID, qos="burstable"),
        ),
        (f"/system.slice:docker:{A}", GroupName(container=A, runtime="docker")),
        # A container in a container: the last one is it.
        (f"/docker/{A}/docker/{B}", GroupName(container=B, runtime="docker")),
        (
            f"/kubepods/burstable/pod{UID}/{A}/system.slice/nginx.service",
            GroupName(unit="nginx.service", container=A, pod=UID, qos="burstable"),
        ),
        ("/docker/" + "a" * 63, GroupName(runtime="docker")),
        ("/\x1b[31m/..", GroupName()),
    ],
)  # fmt: skip
def test_paths(path: str, found: GroupName) -> None:
    assert parse(path) == found


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
