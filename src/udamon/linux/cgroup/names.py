"""What a control group's path says of who runs in it: units of systemd, containers, pods of Kubernetes.

Forms that the runtimes use, with the cgroup driver systemd and with cgroupfs: systemd's own (`NAME.service`,
`NAME.scope`, …), Docker, containerd and CRI-O (their ids of 64 hexadecimal digits, with a prefix and `.scope`, or alone
below `docker`, `kubepods…`, `system.slice:cri-containerd`), podman (`libpod-ID`), ECS (`ecs/TASK/ID`, `ID-NUMBER`,
`ecstasks-TASK.slice`), and pods (`pod` and a UID, with `-` or `_`, in a slice, or in a directory of the quality of
service).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from udamon.errors import CannotError, UsageError
from udamon.linux.cgroup.groups import cgroup_mounts
from udamon.linux.open_files import refuse_if_full
from udamon.linux.roots import PROC

SHORTEST_ID = 4
"""Digits of a container's id that must be given."""

_CONTAINER = re.compile(
    r"(?:(?P<runtime>docker|cri-containerd|crio|libpod-payload|libpod|nerdctl|podman)[-:])?"
    r"(?P<id>[0-9a-f]{64}|[0-9a-f]{32}-[0-9]{1,12})(?:\.scope)?"
)
_UUID = r"[0-9a-f]{32}|[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}"
_POD = re.compile(
    rf"(?:(?:.+-)?kubepods-(?:(?P<qos>besteffort|burstable)-)?)?pod(?P<uid>{_UUID})(?:\.slice)?"
)
_QOS = re.compile(r"(?:(?:.+-)?kubepods-)?(?P<qos>besteffort|burstable)(?:\.slice)?")
_TASK = re.compile(rf"(?:ecstasks-)?(?P<task>{_UUID})(?:\.slice)?")
_UNIT = re.compile(r".+\.(?:service|scope|mount|socket|swap)")
_MONITORS = ("crio-conmon-", "libpod-conmon-")
_RUNTIMES = {"docker": "docker", "cri-containerd": "containerd", "crio": "crio", "libpod": "podman",
             "libpod-payload": "podman", "nerdctl": "containerd", "podman": "podman"}  # fmt: skip
_PARENTS = {"docker": "docker", "ecs": "ecs", "ecstasks.slice": "ecs"}
"""What directories say of containers below: docker of its children, ECS of all down to a container."""
_LISTED = 4


@dataclass(frozen=True, slots=True)
class GroupName:
    """`unit`: systemd's; `container`: the id; `runtime`: where the path says it; `pod`: the UID with dashes, or the
    hash of a static pod; `qos`: guaranteed, burstable or besteffort; `task`: ECS's id of it. None: the path does not
    say. `group`: the path of the last group, this one or above it, that is a container's, or a unit's that is in no
    container; "" where there is none."""

    unit: str | None = None
    container: str | None = None
    runtime: str | None = None
    pod: str | None = None
    qos: str | None = None
    task: str | None = None
    group: str = ""


def parse(path: str) -> GroupName:
    """What a path below the root of a hierarchy says; of nested containers and units the last one counts.

    A unit in a container is told beside it, and `group` stays the container's. Any text will do; it may be a lie.
    """
    unit = container = runtime = pod = qos = task = parent = None
    group = here = ""
    for directory in path.strip("/").split("/"):
        here = f"{here}/{directory}"
        for segment in _segments(directory):
            if found := _POD.fullmatch(segment):
                pod, container, runtime, task = found["uid"].replace("_", "-"), None, None, None
                qos = found["qos"] or qos or "guaranteed"
            elif found := _QOS.fullmatch(segment):
                qos = found["qos"]
            elif found := _CONTAINER.fullmatch(segment):
                container, unit, group = found["id"], None, here
                runtime = _RUNTIMES.get(found["runtime"] or "", parent)
                parent = None
            elif parent == "ecs" and (found := _TASK.fullmatch(segment)):
                task = found["task"]
            elif _UNIT.fullmatch(segment) and not segment.startswith(_MONITORS):
                unit, group = segment, group if container else here
            parent = _PARENTS.get(segment) or (parent if parent == "ecs" else None)
    return GroupName(unit, container, runtime, pod, qos if pod else None, task, group)


def _segments(directory: str) -> tuple[str, ...]:
    # As runc divides slice, prefix and id where it is not told to use systemd: "kubepods….slice:cri-containerd:ID".
    parts = directory.rsplit(":", 2)
    return (parts[0], f"{parts[1]}:{parts[2]}") if len(parts) == 3 else (directory,)


def all_groups(root: Path = PROC) -> Iterator[str]:
    """The paths of all control groups below the mounts that this process sees, each once, parents first.

    Raises NotSupported where no hierarchy is mounted, and OutOfFiles.
    """
    seen: set[str] = set()
    for mount in cgroup_mounts(root):
        for directory, children, _ in os.walk(mount.point, onerror=refuse_if_full):
            children.sort()
            path = os.path.normpath("/" + os.path.relpath(directory, mount.point))
            if path not in seen:
                seen.add(path)
                yield path


def find_unit(name: str, root: Path = PROC) -> str:
    """The path of a unit of systemd, with or without `.service`. Raises CannotError, UsageError."""
    names = {name} if "." in name else {f"{name}.service", f"{name}.scope"}
    found = [path for path in all_groups(root) if os.path.basename(path) in names]
    return _one(found, f"unit {name!r}", "systemctl list-units")


def find_container(prefix: str, root: Path = PROC) -> str:
    """The path of the container whose id begins with `prefix`. Raises CannotError, UsageError."""
    if not re.fullmatch(rf"[0-9a-f-]{{{SHORTEST_ID},}}", prefix):
        raise UsageError(
            f"{prefix!r} does not begin a container's id; give at least {SHORTEST_ID} of its digits (0-9, a-f)."
        )
    found: dict[str, str] = {}
    for path in all_groups(root):
        container = parse(path).container
        if container is not None and container.startswith(prefix):
            found.setdefault(container, path)  # what lies below is in it
    return _one(list(found.values()), f"container {prefix!r}", "docker ps, crictl ps or podman ps")


def _one(paths: list[str], what: str, where: str) -> str:
    if not paths:
        raise CannotError(f"there is no control group of {what}; see {where}.")
    if len(paths) > 1:
        shown = ", ".join(paths[:_LISTED]) + (", …" if len(paths) > _LISTED else "")
        raise UsageError(f"{len(paths)} control groups are of {what}: {shown}; give one of them by --cgroup.")
    return paths[0]
