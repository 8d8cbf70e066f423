"""What discovery tells the rest of the agent: services, their names, and when they come and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Service:
    """A control group whose processes are looked at together.

    `key` identifies it while it lives: the path of its group relative to the root that is watched, "." for that root.
    `cgroup`: the absolute directory of the group. `kind`: kubernetes (a container of a pod, whatever its runtime), ecs,
    docker, containerd, crio, podman, systemd, or cgroup (any other group). `labels`: {"namespace", "pod", "container"}
    of kind kubernetes, {"service"} of others; printable, of bounded length, and no two services that live at one time
    have the same. `annotations`: what selectors of classes may match, see docs/agent-discovery.md. `named_by`: where
    the labels came from, see `udamon.agent.discovery.names`; "path" where nothing but the path was known.
    """

    key: str
    cgroup: Path
    kind: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    named_by: str


@dataclass(frozen=True, slots=True)
class ServiceEnded:
    """The service with this key has ended. A service that comes with the same key later is another one."""

    key: str


class Discovery(Protocol):
    """The services of a node. Not safe for several threads."""

    def services(self) -> Sequence[Service]:
        """All there are now, in order of their keys; from memory, without a system call."""

    def changes(self) -> Sequence[Service | ServiceEnded]:
        """What happened since the last call, in order; the first call tells all there were at the start.

        Never blocks. A Service with the key of one that lives replaces it: its name became known. A ServiceEnded is
        told for each service that was told before and has ended; what came and went between two calls is not told.
        Raises OutOfFiles.
        """

    def members(self, service: Service) -> Sequence[int]:
        """Pids of the group and of those below it that are no service of their own, in numeric order, read now.

        Empty where it has ended. Raises NotPermitted, OutOfFiles.
        """

    def groups(self, service: Service) -> Sequence[str]:
        """Paths within the hierarchy ("/" is its root) of the groups whose processes are members, as of the last call
        of `changes`. Empty where it has ended."""

    def remarks(self) -> Sequence[str]:
        """What is not as it should be now, each in one sentence; as of the last call of `changes`."""

    def close(self) -> None:
        """Idempotent."""
