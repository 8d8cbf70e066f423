"""What a service is called: by its path, by the state of its container's runtime, by the kubelet's log files.

`named_by` of a service says which it was:

| | |
|---|---|
| path | the name of the unit or the group in its path |
| docker, containerd, crio, podman | the files of that runtime |
| logs | the names of the kubelet's log files |
| id | nothing but the ids in the path: the label is the beginning of the container's |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from udamon.agent.discovery.labels import bounded, selectable
from udamon.agent.discovery.paths import kind_of, label_of, short_id
from udamon.agent.discovery.state import SANDBOX, Found, State
from udamon.linux.cgroup.names import GroupName, parse


class Naming(NamedTuple):
    """`complete`: nothing better will be known later."""

    kind: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    named_by: str
    complete: bool


def name_of(path: str, state: State | None) -> Naming:
    """Of the service whose group has this path within its hierarchy; `state`: None to go by the path alone.

    Raises OutOfFiles.
    """
    said = parse(path)
    kind = kind_of(said)
    found = _look_up(said, state) if state else None
    if kind == "cgroup" and found is not None:
        kind = "kubernetes" if found.pod else found.by
    own = {
        "unit": said.unit,
        "container_id": said.container,
        "runtime": found.by if found and found.by != "logs" else said.runtime,
        "pod_uid": said.pod,
        "qos": said.qos,
        "ecs_task": said.task,
        "sandbox": "true" if found and (found.sandbox or found.name == SANDBOX) else None,
    }
    others = ((key, value) for key, value in found.labels.items() if key not in own) if found else ()
    annotations = {**selectable(others), **{key: value for key, value in own.items() if value}}
    if kind == "kubernetes":
        labels = _of_pod(said.pod or "", short_id(said.container or ""), found)
        complete = bool(found and found.name and found.pod)
    else:
        labels = {"service": (found.name if found else None) or label_of(path, said)}
        complete = not said.container or bool(found and found.name)
    by = found.by if found and (found.name or found.pod) else "id" if said.container else "path"
    return Naming(kind, {key: bounded(text) for key, text in labels.items()}, annotations, by, complete)


def _look_up(said: GroupName, state: State) -> Found | None:
    if not said.container:
        return None
    found = state.container(said.container)
    if said.pod and not (found and found.name and found.pod):
        return state.logs(said.container, said.pod) or found
    return found


def _of_pod(uid: str, container: str, found: Found | None) -> dict[str, str]:
    """A namespace that is not known is empty, and the pod then called by its UID."""
    return {
        "namespace": (found.namespace if found else None) or "",
        "pod": (found.pod if found else None) or uid,
        "container": (found.name if found else None) or container,
    }
