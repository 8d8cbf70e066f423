"""Which control groups are services, what kind they are of, and what they are called when only the path is known.

A pure function of the path, so it is the same before and after a restart. Every group is in exactly one service:

- a container is one, with all groups below it that are in no container of their own;
- so is a unit of systemd outside containers (a service, a scope, …) with all groups below it, likewise;
- so is every other group (slices, directories of a runtime, groups made by hand), with its own processes alone. Most of
  these have none.
"""

from __future__ import annotations

import os
import re

from udamon.linux.cgroup.names import GroupName, parse

ROOT = "."
"""The key of the group that is watched itself."""

SHORT_ID = 12
"""Digits of a container's id that people see, as in `docker ps`."""

_LONG_ID = re.compile(rf"([0-9a-f]{{{SHORT_ID}}})[0-9a-f]{{52}}")


def full_path(key: str, top: str = "/") -> str:
    """The path within the hierarchy of a group by its path relative to the group `top`, which is watched."""
    return os.path.normpath(f"///{top}/{key}")


def key_of_service(key: str, top: str = "/") -> str:
    """The key of the service that a group belongs to; its own where it is one."""
    group = parse(full_path(key, top)).group
    if not group:
        return key
    above = full_path(ROOT, top).rstrip("/") + "/"
    return group.removeprefix(above) if group.startswith(above) else ROOT


def kind_of(name: GroupName) -> str:
    """Of a service, by its path: see `udamon.agent.discovery.model.Service`."""
    if name.container:
        if name.pod:
            return "kubernetes"
        return "ecs" if name.task or name.runtime == "ecs" else name.runtime or "cgroup"
    return "systemd" if name.unit else "cgroup"


def label_of(key: str, name: GroupName, top: str = "/") -> str:
    """What a service is called by its path alone.

    A container by the beginning of its id; a unit by its name, behind that of the unit or group it runs in (of a user's
    session, of another system); any other group by its path below the group that is watched, and that one by its name.
    """
    if name.container:
        return short_id(name.container)
    parts = key.split("/") if key != ROOT else [full_path(ROOT, top).rpartition("/")[2]]
    if name.unit:
        parts = [part for part in parts if not part.endswith(".slice")]
    return _LONG_ID.sub(r"\1", "/".join(parts)) or "/"


def short_id(container: str) -> str:
    """The beginning of a container's id; of ECS's (TASK-NUMBER) with the number, which alone tells containers apart."""
    task, dash, number = container.partition("-")
    return f"{task[:SHORT_ID]}{dash}{number}"
