"""Where runtimes and the kubelet keep their state on this node."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from udamon import plain_json

_MOST_BYTES = 1 << 18
"""Of a configuration."""


@dataclass(frozen=True, slots=True)
class Places:
    """Directories where they are by default, and where k3s, k0s and MicroK8s put them. `storage`: podman and CRI-O."""

    docker: tuple[Path, ...] = (Path("/var/lib/docker"),)
    containerd: tuple[Path, ...] = (
        Path("/run/containerd"),
        Path("/run/k3s/containerd"),
        Path("/run/k0s/containerd"),
        Path("/var/snap/microk8s/common/run/containerd"),
    )
    storage: tuple[Path, ...] = (Path("/run/containers/storage"), Path("/var/lib/containers/storage"))
    logs: Path = Path("/var/log")

    def below(self, root: Path) -> Places:
        """The same in another root directory, as where the host's is mounted in a container."""

        def moved(paths: tuple[Path, ...]) -> tuple[Path, ...]:
            return tuple(root / path.relative_to("/") for path in paths)

        return Places(
            moved(self.docker),
            moved(self.containerd),
            moved(self.storage),
            root / self.logs.relative_to("/"),
        )


def configured(root: Path = Path("/")) -> Places:
    """Of the host whose root directory is `root`: before the usual places, those that Docker (daemon.json) and podman
    and CRI-O (storage.conf) were told to take. A configuration that cannot be read says nothing."""
    usual = Places()
    docker = _read(root / "etc/docker/daemon.json", plain_json.read)
    storage = _read(root / "etc/containers/storage.conf", tomllib.loads).get("storage")
    storage = storage if isinstance(storage, dict) else {}
    return Places(
        _absolute(docker.get("data-root")) + usual.docker,
        usual.containerd,
        _absolute(storage.get("runroot"), storage.get("graphroot")) + usual.storage,
        usual.logs,
    ).below(root)


def _absolute(*values: object) -> tuple[Path, ...]:
    """Paths without `..`, which would lead out of the host's root directory."""
    texts = [
        value for value in values if isinstance(value, str) and value.startswith("/") and "\0" not in value
    ]
    return tuple(path for path in map(Path, texts) if ".." not in path.parts)


def _read(path: Path, parse: Callable[[str], object]) -> dict[object, object]:
    try:
        with path.open(encoding="utf-8") as file:
            found = parse(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
