"""Services as they come, are named, and go, on made-up trees."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import hostile
from tests.unit.agent.discovery.runtimes import Node
from udamon.agent.discovery.hierarchy import WatchedGroup, watched
from udamon.agent.discovery.labels import MOST
from udamon.agent.discovery.model import Discovery, Service, ServiceEnded
from udamon.agent.discovery.node import NodeDiscovery
from udamon.agent.discovery.paths import ROOT
from udamon.agent.discovery.state import ContainerLookup
from udamon.errors import CannotError, OutOfFiles
from udamon.linux.inotify import Inotify

A, B, C = "a" * 64, "b" * 64, "c" * 64
POD = "kubepods/burstable/pod2c48913c-b29f-11e7-9350-020968147796"


class Groups:
    """A hierarchy of directories with files of pids, and a /proc with a stat of each."""

    def __init__(self, place: Path) -> None:
        self.root, self.proc = place / "cgroup", place / "proc"
        self.node = Node(place)
        self.proc.mkdir()
        self.make(ROOT)

    def make(self, key: str, *pids: int) -> None:
        directory = self.root / key
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))

    def remove(self, key: str) -> None:
        """As the kernel does it, whose files need no removal of their own."""
        (self.root / key / "cgroup.procs").unlink()
        (self.root / key).rmdir()

    def process(self, pid: int, kernel_thread: bool = False) -> None:
        (self.proc / str(pid)).mkdir()
        flags = 0x0020_0000 if kernel_thread else 0
        (self.proc / str(pid) / "stat").write_text(f"{pid} (x) S 2 0 0 0 -1 {flags} " + "0 " * 45)


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    return Groups(tmp_path)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def discover(groups: Groups, clock: Clock) -> Iterator[Callable[..., NodeDiscovery]]:
    made: list[NodeDiscovery] = []

    def discover(path: str = "/", most: int = 1000) -> NodeDiscovery:
        state = ContainerLookup(groups.node.places)
        root = WatchedGroup(groups.root, path)
        made.append(NodeDiscovery(root, state, proc=groups.proc, clock=clock, most=most))
        return made[-1]

    yield discover
    for one in made:
        one.close()


def keys(found: Discovery) -> set[str]:
    return {service.key for service in found.services()}


def told(found: Discovery) -> list[str]:
    """Changes in short: a key, or -key for one that has ended."""
    return [f"-{one.key}" if isinstance(one, ServiceEnded) else one.key for one in found.changes()]


def test_services_come_and_go(groups: Groups, discover: Callable[..., NodeDiscovery]) -> None:
    groups.make("system.slice/a.service/worker")
    found = discover()
    assert sorted(told(found)) == [ROOT, "system.slice", "system.slice/a.service"]
    assert told(found) == []
    groups.make(f"docker/{A}/init")
    assert sorted(told(found)) == ["docker", f"docker/{A}"]
    (groups.root / "system.slice/a.service/worker/cgroup.procs").unlink()
    (groups.root / "system.slice/a.service/worker").rmdir()
    assert told(found) == [], "a group in a service is no service"
    (groups.root / "system.slice/a.service").rmdir()
    assert told(found) == ["-system.slice/a.service"]
    assert keys(found) == {ROOT, "system.slice", "docker", f"docker/{A}"}


def test_a_service_that_is_started_again(groups: Groups, discover: Callable[..., NodeDiscovery]) -> None:
    """Told as gone and come; one that was never told, and is gone, is not told at all."""
    groups.make("a.service")
    found = discover()
    found.changes()
    groups.remove("a.service")
    groups.make("b.service")
    groups.make("a.service")
    groups.remove("b.service")
    assert told(found) == ["-a.service", "a.service"]


def test_one_that_ends_before_it_is_told(
    groups: Groups, discover: Callable[..., NodeDiscovery], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    found = discover()
    found.changes()
    groups.make("a.service")
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse(errno.EMFILE))
        with pytest.raises(OutOfFiles):
            found.changes()
    groups.remove("a.service")
    assert told(found) == []


def test_what_a_service_is(groups: Groups, discover: Callable[..., NodeDiscovery]) -> None:
    groups.node.docker(A, "web")
    groups.make(f"docker/{A}")
    found = discover()
    found.changes()
    service = next(one for one in found.services() if one.kind == "docker")
    assert service == Service(
        f"docker/{A}", groups.root / "docker" / A, "docker", {"service": "web"},
        {"container_id": A, "runtime": "docker", "image": "nginx:1.27"}, "docker",
    )  # fmt: skip


def test_members(groups: Groups, discover: Callable[..., NodeDiscovery]) -> None:
    groups.make("a.service", 5, 3)
    groups.make("a.service/worker", 4, 0)
    groups.make(f"a.service/docker/{A}", 7)
    groups.make(f"a.service/docker/{A}/init", 8)
    groups.make("plain", 11)
    groups.make("plain/inner", 12)
    found = discover()
    found.changes()
    members = {service.key: list(found.members(service)) for service in found.services()}
    assert members == {
        ROOT: [], "a.service": [3, 4, 5], f"a.service/docker/{A}": [7, 8], "plain": [11], "plain/inner": [12],
    }  # fmt: skip
    service = found.services()[1]
    groups.make("a.service", 6)
    assert found.members(service) == [4, 6], "read when asked"
    (groups.root / "a.service/worker/cgroup.procs").unlink()
    assert found.members(service) == [6]


def test_kernel_threads_are_no_members(groups: Groups, discover: Callable[..., NodeDiscovery]) -> None:
    groups.process(1)
    groups.process(2, kernel_thread=True)
    groups.make(ROOT, 1, 2, 3)
    found = discover()
    found.changes()
    assert found.members(found.services()[0]) == [1]


def test_members_of_one_that_has_ended(groups: Groups, discover: Callable[..., NodeDiscovery]) -> None:
    groups.make("a.service", 5)
    found = discover()
    found.changes()
    service = found.services()[1]
    groups.remove("a.service")
    assert found.members(service) == []
    found.changes()
    assert found.members(service) == []


def test_a_name_that_becomes_known(
    groups: Groups, clock: Clock, discover: Callable[..., NodeDiscovery]
) -> None:
    """It is looked for again, less and less often, and told once."""
    groups.make(f"docker/{A}")
    found = discover()
    found.changes()
    assert found.services()[-1].labels == {"service": "a" * 12}
    clock.now = 0.9
    groups.node.docker(A, "web")
    assert told(found) == []
    clock.now = 1
    assert told(found) == [f"docker/{A}"]
    assert (found.services()[-1].labels, found.services()[-1].named_by) == ({"service": "web"}, "docker")
    clock.now = 1000
    assert told(found) == []


def test_a_name_that_is_wanted_no_more(
    groups: Groups, clock: Clock, discover: Callable[..., NodeDiscovery]
) -> None:
    """Two ids begin alike; when one has a name, the other has the short id for itself."""
    one, other = f"docker/{A}", f"docker/{A[:-1]}b"
    groups.make(one)
    found = discover()
    found.changes()
    clock.now = 0.5  # so that the other one is not looked for again with the first
    groups.make(other)
    found.changes()
    groups.node.docker(A, "web")
    clock.now = 1
    assert sorted(told(found)) == [one, other]
    assert [service.labels["service"] for service in found.services()[-2:]] == ["web", "a" * 12]


def test_two_services_of_one_name(groups: Groups, discover: Callable[..., NodeDiscovery]) -> None:
    """A container that is started again before the old one is gone: it has the name as soon as that is free."""
    for container in (A, B):
        groups.node.cri(container, "app")
    groups.make(f"{POD}/{A}")
    found = discover()
    found.changes()
    groups.make(f"{POD}/{B}")
    found.changes()
    labels = {
        service.key[-1]: service.labels["container"]
        for service in found.services()
        if service.kind == "kubernetes"
    }
    assert labels["a"] == "app"
    assert labels["b"].startswith("app~")
    groups.remove(f"{POD}/{A}")
    assert told(found) == [f"-{POD}/{A}", f"{POD}/{B}"]
    assert found.services()[-1].labels == {"namespace": "shop", "pod": "web-0", "container": "app"}


@pytest.mark.parametrize(
    "name", [b"\xff.service", b"a\nb.scope", b"\x1b[2J", b"~", b'"} 1\n', b" ", b"x" * 255]
)
def test_hostile_directories(groups: Groups, discover: Callable[..., NodeDiscovery], name: bytes) -> None:
    key = os.fsdecode(name)
    groups.make(key, 5)
    found = discover()
    found.changes()
    service = next(one for one in found.services() if one.key == key)
    assert found.members(service) == [5]
    (label,) = service.labels.values()
    assert label
    assert len(label) <= MOST
    assert not hostile.bad_characters(label)
    groups.remove(key)
    assert told(found) == [f"-{key}"]


def test_only_what_is_below_a_group(groups: Groups, discover: Callable[..., NodeDiscovery]) -> None:
    groups.make(C, 1)
    groups.make("inner", 2)
    found = discover(f"/{POD}")
    found.changes()
    assert {service.key: service.kind for service in found.services()} == {
        ROOT: "cgroup",
        C: "kubernetes",
        "inner": "cgroup",
    }


def test_no_inotify(
    groups: Groups, discover: Callable[..., NodeDiscovery], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """All is read again in each round, and said so."""
    monkeypatch.setattr(Inotify, "__init__", refuse(errno.EMFILE))
    found = discover()
    found.changes()
    groups.make("a.service")
    assert told(found) == ["a.service"]
    assert "max_user_instances" in found.remarks()[0]
    monkeypatch.setattr(os, "eventfd", refuse(errno.EMFILE))
    with pytest.raises(OutOfFiles):
        discover()


def test_watches_are_used_up(
    groups: Groups, discover: Callable[..., NodeDiscovery], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    found = discover()
    found.changes()
    assert found.remarks() == []
    with monkeypatch.context() as patched:
        patched.setattr(Inotify, "watch", refuse(errno.ENOSPC))
        groups.make("a.service")
        assert told(found) == ["a.service"]
    (remark,) = found.remarks()
    assert remark.startswith("1 control groups are read again at each round, ")
    assert remark.endswith("raise /proc/sys/fs/inotify/max_user_watches.")
    found.changes()
    assert found.remarks() == []


def test_other_remarks(
    groups: Groups, discover: Callable[..., NodeDiscovery], monkeypatch: pytest.MonkeyPatch
) -> None:
    groups.make(f"docker/{A}")
    few = discover(most=2)
    few.changes()
    assert ["are missing" in one for one in few.remarks()] == [True]
    monkeypatch.setattr("udamon.agent.discovery.state.open_file", refuse(errno.EACCES))
    found = discover()
    found.changes()
    assert ["CAP_DAC_READ_SEARCH" in one for one in found.remarks()] == [True]
    groups.remove(f"docker/{A}")
    (groups.root / "docker").rmdir()
    groups.remove(ROOT)
    assert sorted(told(found)) == [f"-{ROOT}", "-docker", f"-docker/{A}"]
    assert ["is gone" in one for one in found.remarks()] == [True]


def test_no_file_may_be_opened_for_a_name(
    groups: Groups, clock: Clock, discover: Callable[..., NodeDiscovery], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The service is told all the same, and named when files may be opened again."""
    groups.node.docker(A, "web")
    groups.make(f"docker/{A}")
    found = discover()
    with monkeypatch.context() as patched:
        patched.setattr("udamon.agent.discovery.state.open_file", refuse_as_out_of_files)
        assert f"docker/{A}" in told(found)
    clock.now = 1
    assert told(found) == [f"docker/{A}"]
    assert found.services()[-1].labels == {"service": "web"}


def refuse(code: int) -> Callable[..., int]:
    def refuse(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    return refuse


def refuse_as_out_of_files(*arguments: object) -> int:
    raise OutOfFiles("no")


def test_a_storm(groups: Groups, discover: Callable[..., NodeDiscovery]) -> None:
    """1000 containers start and end, and what was told adds up to a full read; nothing is kept of those that ended."""
    found = discover()

    def storm() -> None:
        chance = random.Random(1)
        alive: list[str] = []
        for number in range(1000):
            groups.make(f"docker/{number:064x}/init")
            alive.append(f"docker/{number:064x}")
            if chance.random() < 0.97:
                key = alive.pop(chance.randrange(len(alive)))
                groups.remove(f"{key}/init")
                (groups.root / key).rmdir()

    making = threading.Thread(target=storm)
    making.start()
    known: dict[str, Service] = {}
    running, changes = True, found.changes()
    while changes or running:
        for change in changes:
            if isinstance(change, ServiceEnded):
                del known[change.key]
            else:
                known[change.key] = change
        running = making.is_alive()  # before the changes are read, so that the last ones are
        changes = found.changes()
    making.join()
    there = {os.path.relpath(directory, groups.root) for directory, _, _ in os.walk(groups.root)}
    assert known.keys() == keys(found) == {key for key in there if not key.endswith("/init")}
    assert len({tuple(service.labels.items()) for service in known.values()}) == len(known)
    assert (len(found._retries), len(found._unique._of), len(found._told)) == (
        len(known) - 2,
        len(known),
        len(known),
    )


MOUNTS = {
    "v2": ["/ {v2} rw - cgroup2 cgroup2 rw"],
    "hybrid": ["/ {v1} rw - cgroup cgroup rw,memory", "/ {v2} rw - cgroup2 cgroup2 rw"],
    "no memory": ["/ {v2} rw - cgroup2 cgroup2 rw", "/ {v1} rw - cgroup cgroup rw,cpu,cpuacct"],
    "namespace": ["/../.. {v2} rw - cgroup2 cgroup2 rw"],
    "bind mount": ["/system.slice {v2} rw - cgroup2 cgroup2 rw"],
}


@pytest.mark.parametrize(
    ("mounts", "controllers", "cgroup", "expected"),
    [
        ("v2", "cpu memory", None, ("v2", "/")),
        ("v2", "", None, ("v2", "/")),
        ("hybrid", "", None, ("v1", "/")),
        ("hybrid", "memory", None, ("v2", "/")),
        ("no memory", "", None, ("v1", "/")),
        ("namespace", "memory", None, ("v2", "/")),
        ("bind mount", "memory", None, ("v2", "/system.slice")),
        ("bind mount", "memory", "/system.slice/a", ("v2/a", "/system.slice/a")),
        ("hybrid", "", "/a", ("v2/a", "/a")),
        ("hybrid", "", "{v2}/a", ("v2/a", "/a")),
    ],
)
def test_which_hierarchy(
    tmp_path: Path, mounts: str, controllers: str, cgroup: str | None, expected: tuple[str, str]
) -> None:
    places = {name: tmp_path / name for name in ("v1", "v2")}
    (places["v2"] / "a").mkdir(parents=True)
    (places["v2"] / "a/cgroup.procs").touch()
    (places["v2"] / "cgroup.controllers").write_text(controllers)
    places["v1"].mkdir()
    (tmp_path / "self").mkdir()
    lines = [f"30 23 0:26 {line.format(**places)}" for line in MOUNTS[mounts]]
    (tmp_path / "self/mountinfo").write_text("\n".join(lines))
    wanted = cgroup and cgroup.format(**places)
    assert watched(wanted, tmp_path) == WatchedGroup(tmp_path / expected[0], expected[1])
    with pytest.raises(CannotError, match="there is no control group '/no/such'"):
        watched("/no/such", tmp_path)
