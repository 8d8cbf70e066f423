"""What a service is called: by its path, the state of its container's runtime, the kubelet's log files and its API.

`named_by` of a service says which it was:

| | |
|---|---|
| path | the name of the unit or the group in its path |
| docker, containerd, crio, podman | the files of that runtime |
| logs | the names of the kubelet's log files |
| kubelet | the kubelet's Pods API |
| id | nothing but the ids in the path: the label is the beginning of the container's |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from udamon.agent.discovery.kubelet import PodContainer
from udamon.agent.discovery.labels import bounded, selectable
from udamon.agent.discovery.paths import full_path, kind_of, label_of, short_id
from udamon.agent.discovery.state import SANDBOX, ContainerLabels, ContainerLookup
from udamon.linux.cgroup.names import GroupName, parse


class Naming(NamedTuple):
    """`complete`: nothing better will be known later."""

    kind: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    named_by: str
    complete: bool


def name_of(
    key: str, state: ContainerLookup | None, pods: Mapping[str, PodContainer] | None = None, top: str = "/"
) -> Naming:
    """Of the service with this key, below the group `top` of its hierarchy.

    `state`: None to go without the files of runtimes; `pods`: what the kubelet tells, None where it tells nothing.
    Raises OutOfFiles.
    """
    said = parse(full_path(key, top))
    kind = kind_of(said)
    found = _look_up(said, state) if state else None
    told = pods.get(said.container or "") if pods else None
    if told and not _named(found):
        found = ContainerLabels(
            "kubelet", told.name, told.namespace, told.pod, labels=found.labels if found else {}
        )
    if kind == "cgroup" and found is not None:
        kind = "kubernetes" if found.pod else found.by
    own = {
        "unit": said.unit,
        "container_id": said.container,
        "runtime": found.by if found and found.by not in ("logs", "kubelet") else said.runtime,
        "pod_uid": said.pod,
        "qos": said.qos,
        "ecs_task": said.task,
        "sandbox": "true" if found and (found.sandbox or found.name == SANDBOX) else None,
    }
    others = {**selectable(found.labels.items() if found else ()), **(told.annotations if told else {})}
    annotations = {key: value for key, value in others.items() if key not in own}
    annotations |= {key: value for key, value in own.items() if value}
    if kind == "kubernetes":
        labels = _of_pod(said.pod or "", short_id(said.container or ""), found)
        complete = _named(found) and (pods is None or told is not None or "sandbox" in annotations)
    else:
        labels = {"service": (found.name if found else None) or label_of(key, said, top)}
        complete = not said.container or bool(found and found.name)
    by = found.by if found and (found.name or found.pod) else "id" if said.container else "path"
    return Naming(kind, {key: bounded(text) for key, text in labels.items()}, annotations, by, complete)


def _named(found: ContainerLabels | None) -> bool:
    """As a container of a pod."""
    return bool(found and found.name and found.pod)


def _look_up(said: GroupName, state: ContainerLookup) -> ContainerLabels | None:
    if not said.container:
        return None
    found = state.container(said.container)
    if said.pod and not _named(found):
        return state.logs(said.container, said.pod) or found
    return found


def _of_pod(uid: str, container: str, found: ContainerLabels | None) -> dict[str, str]:
    """A namespace that is not known is empty, and the pod then called by its UID."""
    return {
        "namespace": (found.namespace if found else None) or "",
        "pod": (found.pod if found else None) or uid,
        "container": (found.name if found else None) or container,
    }
