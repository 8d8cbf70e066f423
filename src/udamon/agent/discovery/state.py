"""What container runtimes and the kubelet keep on disk of a container: plain files, no socket, no API.

Their values (names, labels, annotations) are chosen by the users who start containers: files are read with bounds, and
what is not of the expected form counts as missing.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from udamon import plain_json
from udamon.agent.discovery.places import Places
from udamon.linux.open_files import list_directory, open_file
from udamon.plain_json import JsonError

_MOST_BYTES = 1 << 20
"""Of a file of one container, which has some 10 KiB."""

_MOST_LIST_BYTES = 8 << 20
_MOST_NAMESPACES = 64
_DEPTH = 64
"""Of their JSON: what people give a container lies some levels below what the runtime says of it."""
SANDBOX = "POD"
"""What the container that holds a pod's namespaces is called, as by cAdvisor."""

_LOG = re.compile(r"(?P<pod>[^_]+)_(?P<namespace>[^_]+)_(?P<container>[^_]+)-(?P<id>[0-9a-f]{64})\.log")


class ContainerLabels(NamedTuple):
    """What is known of a container. `by`: which runtime keeps it. `labels`: that people or the image gave it."""

    by: str
    name: str | None = None
    namespace: str | None = None
    pod: str | None = None
    sandbox: bool = False
    labels: Mapping[object, object] = {}


@dataclass(slots=True)
class ContainerLookup:
    """Looks containers up, by id. `denied`: there was a file that may not be read, or may be one."""

    places: Places = field(default_factory=Places)
    denied: bool = False
    _lists: dict[Path, tuple[tuple[int, ...], dict[str, str]]] = field(default_factory=dict)

    def container(self, container: str) -> ContainerLabels | None:
        """Raises OutOfFiles."""
        return self._docker(container) or self._containerd(container) or self._storage(container)

    def logs(self, container: str, pod: str | None) -> ContainerLabels | None:
        """By the kubelet's log files; without a name where only the pod is known. Raises OutOfFiles."""
        for entry in _list(self.places.logs / "containers"):
            if entry.endswith(f"-{container}.log") and (found := _LOG.fullmatch(entry)):
                return ContainerLabels("logs", found["container"], found["namespace"], found["pod"])
        for entry in _list(self.places.logs / "pods") if pod else ():
            namespace, _, rest = entry.partition("_")
            name, _, uid = rest.rpartition("_")
            if uid == pod and namespace and name:
                return ContainerLabels("logs", None, namespace, name)
        return None

    def _docker(self, container: str) -> ContainerLabels | None:
        for place in self.places.docker:
            document = self._read(place / "containers" / container / "config.v2.json")
            config = _table(document.get("Config"))
            labels = _table(config.get("Labels"))
            if not document:
                continue
            pod = _text(labels, "io.kubernetes.pod.name")
            if pod:
                name = _text(labels, "io.kubernetes.container.name")
                namespace = _text(labels, "io.kubernetes.pod.namespace")
                return ContainerLabels("docker", name, namespace, pod, name == SANDBOX, labels)
            name = _text(document, "Name")
            task = _text(labels, "com.amazonaws.ecs.task-definition-family")
            if task:
                name = f"{task}/{_text(labels, 'com.amazonaws.ecs.container-name') or name}"
            labels = {**labels, "image": config.get("Image")}
            return ContainerLabels("docker", name and name.removeprefix("/"), labels=labels)
        return None

    def _containerd(self, container: str) -> ContainerLabels | None:
        for place in self.places.containerd:
            tasks = place / "io.containerd.runtime.v2.task"
            for namespace in _list(tasks)[:_MOST_NAMESPACES]:
                said = _table(self._read(tasks / namespace / container / "config.json").get("annotations"))
                cri = "io.kubernetes.cri."
                if pod := _text(said, f"{cri}sandbox-name"):
                    sandbox = said.get(f"{cri}container-type") == "sandbox"
                    name = SANDBOX if sandbox else _text(said, f"{cri}container-name")
                    labels = {**said, "image": said.get(f"{cri}image-name")}
                    return ContainerLabels(
                        "containerd", name, _text(said, f"{cri}sandbox-namespace"), pod, sandbox, labels
                    )
                if name := _text(said, "nerdctl/name"):
                    return ContainerLabels("containerd", name, labels=said)
        return None

    def _storage(self, container: str) -> ContainerLabels | None:
        for place in self.places.storage:
            for driver in _list(place):
                if not driver.endswith("-containers"):
                    continue
                said = _table(
                    self._read(place / driver / container / "userdata/config.json").get("annotations")
                )
                crio = "io.kubernetes.cri-o."
                if pod := _text(said, "io.kubernetes.pod.name"):
                    sandbox = said.get(f"{crio}ContainerType") == "sandbox"
                    name = SANDBOX if sandbox else _text(said, "io.kubernetes.container.name")
                    labels = {**_inside(said, f"{crio}Labels"), **_inside(said, f"{crio}Annotations"), **said}
                    labels["image"] = said.get(f"{crio}ImageName")
                    return ContainerLabels(
                        "crio", name, _text(said, "io.kubernetes.pod.namespace"), pod, sandbox, labels
                    )
                for file in ("containers.json", "volatile-containers.json"):
                    if name := self._names(place / driver / file).get(container):
                        return ContainerLabels("podman", name)
        return None

    def _names(self, path: Path) -> dict[str, str]:
        """Of podman's containers, which are in one file; read again when it has changed."""
        try:
            found = os.stat(path)
        except OSError:
            return {}
        version = (found.st_ino, found.st_mtime_ns, found.st_size)
        if self._lists.get(path, ((), {}))[0] != version:
            self._lists[path] = version, dict(_names_in(self._json(path, _MOST_LIST_BYTES)))
        return self._lists[path][1]

    def _read(self, path: Path) -> Mapping[object, object]:
        return _table(self._json(path, _MOST_BYTES))

    def _json(self, path: Path, most: int) -> object:
        try:
            fd = open_file(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except PermissionError:
            self.denied = True
            return None
        except OSError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode) or len(data := _at_most(fd, most + 1)) > most:
                return None
            return plain_json.read(data, _DEPTH)
        except (OSError, JsonError):
            return None
        finally:
            os.close(fd)


def _at_most(fd: int, most: int) -> bytes:
    data = b""
    while len(data) < most and (chunk := os.read(fd, most - len(data))):
        data += chunk
    return data


def _names_in(document: object) -> Iterator[tuple[str, str]]:
    for entry in document if isinstance(document, list) else ():
        names, container = _table(entry).get("names"), _table(entry).get("id")
        if isinstance(container, str) and isinstance(names, list) and names and isinstance(names[0], str):
            yield container, names[0]


def _table(value: object) -> Mapping[object, object]:
    return value if isinstance(value, dict) else {}


def _text(table: Mapping[object, object], key: str) -> str | None:
    value = table.get(key)
    return value if isinstance(value, str) and value else None


def _inside(table: Mapping[object, object], key: str) -> Mapping[object, object]:
    """A table that is written as JSON in a text."""
    try:
        return _table(plain_json.read(_text(table, key) or "{}", _DEPTH))
    except JsonError:
        return {}


def _list(path: Path) -> list[str]:
    try:
        return sorted(list_directory(path))
    except OSError:
        return []
