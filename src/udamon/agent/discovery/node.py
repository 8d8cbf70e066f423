"""The services of this node: the tree of control groups, with names, as changes and by members."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from udamon.agent.discovery.hierarchy import WatchedGroup, watched
from udamon.agent.discovery.kubelet import PodContainer, Pods
from udamon.agent.discovery.labels import Unique
from udamon.agent.discovery.model import Service, ServiceEnded
from udamon.agent.discovery.names import name_of
from udamon.agent.discovery.paths import ROOT, key_of_service
from udamon.agent.discovery.places import configured
from udamon.agent.discovery.state import ContainerLookup
from udamon.agent.discovery.tree import MOST_GROUPS, GroupTree
from udamon.errors import OutOfFiles
from udamon.linux.cgroup.groups import own_pids
from udamon.linux.inotify import MAX_INSTANCES, MAX_WATCHES, Inotify
from udamon.linux.open_files import refuse_if_full
from udamon.linux.procfs import read_stat
from udamon.linux.roots import PROC

_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 300.0
"""After what time a name is looked for again; twice that the next time, and so on."""


class NodeDiscovery:
    """A `Discovery` of a group and all below it. `clock`: seconds that only grow.

    Raises OutOfFiles when made.
    """

    def __init__(
        self,
        root: WatchedGroup,
        state: ContainerLookup | None = None,
        pods: Pods | None = None,
        *,
        proc: Path = PROC,
        clock: Callable[[], float] = time.monotonic,
        most: int = MOST_GROUPS,
    ) -> None:
        self._root = root
        self._state = state or ContainerLookup()
        self._pods = pods or Pods()
        self._in_pods: dict[str, PodContainer] | None = None
        self._proc = proc
        self._clock = clock
        self._inotify = _inotify()
        self._tree = GroupTree(root.directory, self._inotify, most)
        self._services: dict[str, Service] = {}
        self._sorted: list[Service] = []
        self._unique = Unique()
        self._told: set[str] = set()
        self._gone: dict[str, None] = {}  # of those that were told
        self._come: dict[str, None] = {}  # or are called otherwise now
        self._retries: dict[str, tuple[float, float]] = {}  # when next, and how long after that

    @classmethod
    def open(cls, cgroup: str | None = None, proc: Path = PROC) -> NodeDiscovery:
        """All services, or those below `cgroup` (a directory, or a path within a hierarchy).

        Raises CannotError (NotSupported, OutOfFiles).
        """
        return cls(watched(cgroup, proc), ContainerLookup(configured()), proc=proc)

    def services(self) -> Sequence[Service]:
        """See `Discovery`; as of the last call of `changes`."""
        if len(self._sorted) != len(self._services):
            self._sorted = [self._services[key] for key in sorted(self._services)]
        return self._sorted

    def changes(self) -> Sequence[Service | ServiceEnded]:
        """See `Discovery`."""
        for key, came in self._tree.update():
            if key_of_service(key, self._root.path) == key:
                (self._begin if came else self._end)(key)
        self._take_pods()
        now = self._clock()
        for key in [key for key, (due, _) in self._retries.items() if due <= now]:
            self._name(key)
        told: list[Service | ServiceEnded] = [
            *map(ServiceEnded, self._gone),
            *(self._services[key] for key in self._come),
        ]
        self._told = (self._told - self._gone.keys()) | self._come.keys()
        self._gone, self._come = {}, {}
        if told:
            self._sorted = []
        return told

    def members(self, service: Service) -> Sequence[int]:
        """See `Discovery`; the groups below are those of the last call of `changes`. Kernel threads are left out."""
        pids = set[int]()
        for key in self._own(service):
            pids |= own_pids(self._directory(key), self._proc)
        pids.discard(0)
        if service.key == ROOT:
            pids = {pid for pid in pids if not _kernel_thread(pid, self._proc)}
        return sorted(pids)

    def groups(self, service: Service) -> Sequence[str]:
        """See `Discovery`."""
        return [os.path.normpath(f"{self._root.path}/{key}") for key in self._own(service)]

    def _own(self, service: Service) -> Iterator[str]:
        """Keys of its group and of those below it that are no service of their own."""
        top = self._tree.group(service.key)
        left = [top] if top and service.key in self._services else []
        while left:
            group = left.pop()
            yield group.key
            left += [child for child in group.children.values() if child.key not in self._services]

    def remarks(self) -> list[str]:
        """Current problems, a sentence each."""
        found = []
        if not self._tree.there:
            found.append(f"{self._root.directory} is gone, and with it all services below it.")
        if self._inotify is None:
            found.append(
                "control groups are read again at each round, because this user has no inotify instance left; raise "
                f"/proc/{MAX_INSTANCES}."
            )
        elif self._tree.unwatched:
            found.append(
                f"{self._tree.unwatched} control groups are read again at each round, because the user's inotify "
                f"watches are used up; raise /proc/{MAX_WATCHES}."
            )
        if self._tree.too_many:
            found.append(
                "there are more control groups than are followed, and services are missing; see --cgroup."
            )
        if self._state.denied and self._retries:
            found.append(
                "names of containers may be in files that may not be read, and ids stand for them; run udamon as "
                "root, or with CAP_DAC_READ_SEARCH."
            )
        if self._pods.problem:
            found.append(f"labels and annotations of pods are not known, or old: {self._pods.problem}")
        return found

    def close(self) -> None:
        """Idempotent."""
        self._pods.close()
        if self._inotify:
            self._inotify.close()

    def _begin(self, key: str) -> None:
        self._name(key)
        self._come[key] = None

    def _end(self, key: str) -> None:
        del self._services[key]
        self._retries.pop(key, None)
        self._come.pop(key, None)
        if key in self._told:
            self._gone[key] = None
        self._label(self._unique.free(key))

    def _take_pods(self) -> None:
        told = self._pods.take()
        if told is None:
            return
        before, self._in_pods = self._in_pods or {}, told
        for key, service in list(self._services.items()):
            if service.kind != "kubernetes" or "sandbox" in service.annotations:
                continue
            container = service.annotations["container_id"]
            missing = container not in told and key not in self._retries  # the kubelet will know it soon
            if missing or told.get(container) != before.get(container):
                self._name(key)

    def _name(self, key: str) -> None:
        top = self._root.path
        try:
            naming = name_of(key, self._state, self._in_pods, top)
        except OutOfFiles:
            naming = name_of(key, None, self._in_pods, top)._replace(complete=False)
        if naming.kind == "kubernetes" and naming.annotations["container_id"] not in (self._in_pods or ()):
            self._pods.need()
        _, wait = self._retries.pop(key, (0.0, _FIRST_RETRY_S))
        if not naming.complete:
            self._retries[key] = self._clock() + wait, min(2 * wait, _LAST_RETRY_S)
        before = self._services.get(key)
        freed = self._unique.want(key, naming.labels)
        self._services[key] = Service(
            key,
            self._directory(key),
            naming.kind,
            self._unique.labels(key),
            naming.annotations,
            naming.named_by,
        )
        if before not in (None, self._services[key]):
            self._come[key] = None
        self._label(freed)

    def _label(self, key: str | None) -> None:
        """This service has the labels now that it wanted."""
        if key is not None:
            self._services[key] = replace(self._services[key], labels=self._unique.labels(key))
            self._come[key] = None

    def _directory(self, key: str) -> Path:
        return self._root.directory / key


def _inotify() -> Inotify | None:
    """None where this user may have no further instance. Raises OutOfFiles where there is no further descriptor, for
    which the kernel has the same error."""
    try:
        return Inotify()
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENOSYS):
            raise
    try:
        os.close(os.eventfd(0, os.EFD_CLOEXEC))
    except OSError as error:
        refuse_if_full(error)
        raise
    return None


def _kernel_thread(pid: int, proc: Path) -> bool:
    try:
        return read_stat(pid, proc).kernel_thread
    except (OSError, ValueError):
        return True  # it has ended
