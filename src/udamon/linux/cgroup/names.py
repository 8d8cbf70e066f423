"""What a control group's path says of who runs in it: units of systemd, containers, pods of Kubernetes.

Forms that the runtimes use, with the cgroup driver systemd and with cgroupfs: systemd's own (`NAME.service`,
`NAME.scope`), Docker, containerd and CRI-O (their ids of 64 hexadecimal digits, with a prefix and `.scope`, or alone
below `docker`, `kubepods…`, `system.slice:cri-containerd`), podman (`libpod-ID`), ECS (`ecs/TASK/ID`, `ID-NUMBER`),
and pods (`pod` and a UID, with `-` or `_`, in a slice or a directory of the quality of service).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from udamon.errors import CannotError, UsageError
from udamon.linux.cgroup.groups import cgroup_mounts
from udamon.linux.roots import PROC

SHORTEST_ID = 4
"""Digits of a container's id that must be given."""

_CONTAINER = re.compile(
    r"(?:(?P<runtime>docker|cri-containerd|crio|libpod|nerdctl|podman)[-:])?(?P<id>[0-9a-f]{64}|[0-9a-f]{32}-[0-9]{8,12})"
    r"(?:\.scope)?"
)
_POD = re.compile(
    r"(?:kubepods(?:-(?P<qos>besteffort|burstable))?-)?pod(?P<uid>[0-9a-f]{32}|[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?:\.slice)?"
)
_UNIT = re.compile(r".+\.(?:service|scope)")
_RUNTIMES = {"docker": "docker", "cri-containerd": "containerd", "crio": "cri-o", "libpod": "podman",
             "nerdctl": "containerd", "podman": "podman"}  # fmt: skip
_LISTED = 4


@dataclass(frozen=True, slots=True)
class GroupName:
    """`unit`: systemd's; `container`: the id; `runtime`: where the path says it; `pod`: the UID with dashes, or the
    hash of a static pod; `qos`: guaranteed, burstable or besteffort. None: the path does not say."""

    unit: str | None = None
    container: str | None = None
    runtime: str | None = None
    pod: str | None = None
    qos: str | None = None


def parse(path: str) -> GroupName:
    """What a path below the root of a hierarchy says; of nested containers and units the last one counts."""
    unit = container = runtime = pod = qos = None
    for segment in _segments(path):
        if found := _POD.fullmatch(segment):
            pod, container = found["uid"].replace("_", "-"), None
            qos = found["qos"] or qos or "guaranteed"
        elif segment in ("besteffort", "burstable", "kubepods-besteffort.slice", "kubepods-burstable.slice"):
            qos = "besteffort" if "besteffort" in segment else "burstable"
        elif found := _CONTAINER.fullmatch(segment):
            container, unit = found["id"], None
            runtime = _RUNTIMES.get(found["runtime"] or "", runtime)
        elif segment in ("docker", "ecs"):
            runtime = segment
        elif _UNIT.fullmatch(segment) and not segment.startswith(("crio-conmon-", "libpod-conmon-")):
            unit = segment
    return GroupName(unit, container, runtime, pod, qos if pod else None)


def _segments(path: str) -> Iterator[str]:
    for segment in path.strip("/").split("/"):
        # As runc divides slice, prefix and id where it is not told to use systemd: "kubepods….slice:cri-containerd:ID".
        parts = segment.rsplit(":", 2)
        yield from (parts[0], ":".join(parts[1:])) if len(parts) == 3 else (segment,)


def all_groups(root: Path = PROC) -> Iterator[str]:
    """The paths of all control groups below the mounts that this process sees, each once, parents first.

    Raises NotSupported where no hierarchy is mounted.
    """
    seen: set[str] = set()
    for mount in cgroup_mounts(root):
        for directory, children, _ in os.walk(mount.point):
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
