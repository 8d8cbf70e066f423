"""The pods of this node, from the kubelet's Pods API: Kubernetes 1.37, or 1.36 with the feature gate PodsAPI.

It tells labels and annotations of pods, which classes may go by, and names where the runtime's files tell none. A
thread asks, so nothing waits for the kubelet: when a container of a pod has come that is not known, and every five
minutes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from udamon.agent.discovery import protobuf
from udamon.agent.discovery.grpc import call
from udamon.agent.discovery.labels import selectable
from udamon.errors import CannotError

SOCKET = Path("/var/lib/kubelet/pods-api/pods-api.sock")
LIST_PODS = "/v1alpha1.Pods/ListPods"
_WITHIN_S = 10.0
_MOST_BYTES = 32 << 20
"""Of an answer; a pod takes some 10 KiB, and a node has some hundred."""


class PodContainer(NamedTuple):
    """`annotations`: the pod's, and its labels."""

    namespace: str
    pod: str
    name: str
    annotations: Mapping[str, str]


def read_pods(data: bytes) -> dict[str, PodContainer]:
    """The containers of a ListPodsResponse, by id: what a pod says of itself leads to no other pod's containers.

    Raises ValueError.
    """
    found: dict[str, PodContainer] = {}
    for number, content in protobuf.parts(data):
        if number == 1:
            found |= _containers(content)
    return found


def _containers(pod: bytes) -> Iterator[tuple[str, PodContainer]]:
    """Of a v1.Pod, by the statuses of its containers, of initial and of ephemeral ones."""
    told = list(protobuf.parts(pod))
    metadata = [field for number, content in told if number == 1 for field in protobuf.parts(content)]
    texts = {number: protobuf.text(content) for number, content in metadata if number in (1, 3)}
    annotations = selectable(protobuf.entries(metadata, 11, 12))
    for number, content in told:
        for kind, status in protobuf.parts(content) if number == 3 else ():
            if kind in (8, 10, 13):
                fields = dict(protobuf.parts(status))
                container = protobuf.text(fields.get(8, b"")).rpartition("://")[2]
                name = protobuf.text(fields.get(1, b""))
                if container and name:
                    yield container, PodContainer(texts.get(3, ""), texts.get(1, ""), name, annotations)


class Pods:
    """What the kubelet said last. It is asked once `need` was called, if its socket is there.

    `problem`: why nothing, or nothing new, is known, as a sentence. `at_least_s`: between two questions; `again_s`:
    after what time it is asked without need.
    """

    def __init__(self, socket: Path = SOCKET, at_least_s: float = 5, again_s: float = 300) -> None:
        self.problem: str | None = None
        self._socket = socket
        self._at_least_s, self._again_s = at_least_s, again_s
        self._needed, self._closing = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._arrived: dict[str, PodContainer] | None = None
        self._thread: threading.Thread | None = None

    def need(self) -> None:
        """A container of a pod has come that is not known."""
        if self._thread is None and self._is_there():
            self._thread = threading.Thread(target=self._ask_on, name="udamon-pods", daemon=True)
            self._thread.start()
        self._needed.set()

    def _is_there(self) -> bool:
        self.problem = None
        try:
            os.stat(self._socket)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            self.problem = (
                f"{self._socket} cannot be looked for: {error.strerror}; run udamon as root, or with "
                "CAP_DAC_READ_SEARCH."
            )
            return False
        return True

    def take(self) -> dict[str, PodContainer] | None:
        """All containers of pods, where they were told anew since the last call."""
        with self._lock:
            arrived, self._arrived = self._arrived, None
        return arrived

    def close(self) -> None:
        """Idempotent. The thread ends by itself, and nobody waits for it."""
        self._closing.set()
        self._needed.set()

    def _ask_on(self) -> None:
        while not self._closing.is_set():
            self._needed.wait(self._again_s)
            self._needed.clear()
            if not self._closing.is_set():
                self._ask()
            self._closing.wait(self._at_least_s)

    def _ask(self) -> None:
        try:
            pods = read_pods(call(self._socket, LIST_PODS, b"", _WITHIN_S, _MOST_BYTES))
        except CannotError as error:
            self.problem = str(error)
        except ValueError as error:
            self.problem = f"{self._socket} answers no list of pods: {error}."
        else:
            self.problem = None
            with self._lock:
                self._arrived = pods
