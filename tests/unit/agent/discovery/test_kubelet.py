"""Pods from the kubelet's socket: the call, the message, and what becomes of services."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agent.discovery.fake_kubelet import FakeKubelet, field, framed, pod
from tests.unit.agent.discovery.runtimes import Node
from udamon.agent.discovery.grpc import call
from udamon.agent.discovery.hierarchy import WatchedGroup
from udamon.agent.discovery.kubelet import LIST_PODS, PodContainer, Pods, read_pods
from udamon.agent.discovery.node import NodeDiscovery
from udamon.agent.discovery.state import ContainerLookup
from udamon.errors import CannotError, MissingExtra

A, B = "a" * 64, "b" * 64
POD = "kubepods/burstable/pod2c48913c-b29f-11e7-9350-020968147796"
WEB = pod("web-0", "shop", {A: "app", B: "side-car"}, {"app": "web"}, {"udamon.dev/class": "batch"})


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[FakeKubelet]:
    made = FakeKubelet(tmp_path / "socket")
    yield made
    made.close()


def ask(tmp_path: Path, within_s: float = 60, most: int = 1 << 24) -> bytes:
    return call(tmp_path / "socket", LIST_PODS, b"", within_s, most)


def test_containers_of_pods(kubelet: FakeKubelet, tmp_path: Path) -> None:
    kubelet.pods(WEB, pod("static", "kube-system", {}, {}, {}))
    found = read_pods(ask(tmp_path))
    annotations = {"app": "web", "udamon.dev/class": "batch"}
    assert found == {
        A: PodContainer("shop", "web-0", "app", annotations), B: PodContainer("shop", "web-0", "side-car", annotations),
    }  # fmt: skip
    assert kubelet.asked == [LIST_PODS]


def test_an_answer_larger_than_a_window_of_http(kubelet: FakeKubelet, tmp_path: Path) -> None:
    kubelet.answer = framed(b"x" * 1_000_000)
    assert ask(tmp_path) == b"x" * 1_000_000
    with pytest.raises(CannotError, match="it answers more than 999999 bytes"):
        ask(tmp_path, most=999_999)


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (framed(b""), "12", "answers /v1alpha1.Pods/ListPods with status 12: no"),
        (b"", "0", "answers nothing"),
        (framed(b"", compressed=1), "0", "answers no single message"),
        (framed(b"abc") + framed(b""), "0", "answers no single message"),
        (framed(b"abc")[:-1], "0", "answers no single message"),
    ],
)
def test_answers_that_are_none(
    kubelet: FakeKubelet, tmp_path: Path, answer: bytes, status: str, said: str
) -> None:
    kubelet.answer, kubelet.status = answer, status
    with pytest.raises(CannotError, match=said):
        ask(tmp_path)


def test_a_server_that_says_nothing(kubelet: FakeKubelet, tmp_path: Path) -> None:
    kubelet.answer = None
    with pytest.raises(CannotError, match="does not answer /v1alpha1.Pods/ListPods: "):
        ask(tmp_path, within_s=0.2)


def test_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotError, match="does not answer"):
        ask(tmp_path)
    monkeypatch.setitem(sys.modules, "h2.config", None)
    with pytest.raises(MissingExtra, match=r"pip install 'udamon\[agent\]'"):
        ask(tmp_path)


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda data: field(1, data)))
def test_any_bytes_are_pods_or_refused(data: bytes) -> None:
    try:
        read_pods(data)
    except ValueError:
        pass


@given(st.integers(0, len(WEB)))
def test_a_message_that_is_cut_off(end: int) -> None:
    try:
        found = read_pods(field(1, WEB[:end]))
    except ValueError:
        return
    assert len(found) <= 2


class Discovered:
    """Discovery on a tree with two containers of one pod, and a clock that stands still."""

    def __init__(self, place: Path) -> None:
        self.node = Node(place)
        for container in (A, B):
            (place / "cgroup" / POD / container).mkdir(parents=True)
        self.pods = Pods(place / "socket", at_least_s=0, again_s=60)
        self.now = 0.0
        self.found = NodeDiscovery(
            WatchedGroup(place / "cgroup"),
            ContainerLookup(self.node.places),
            self.pods,
            clock=lambda: self.now,
        )

    def labels(self) -> list[tuple[str, str]]:
        return [
            (one.labels["container"], one.named_by)
            for one in self.found.services()
            if one.kind == "kubernetes"
        ]

    def until_told(self) -> None:
        while not self.found.changes():
            pass


@pytest.fixture
def discovered(tmp_path: Path) -> Iterator[Discovered]:
    made = Discovered(tmp_path)
    yield made
    made.found.close()


def test_pods_name_services_and_tell_their_annotations(kubelet: FakeKubelet, discovered: Discovered) -> None:
    discovered.node.cri(A, "redis")
    discovered.found.changes()
    assert discovered.labels() == [("redis", "containerd"), ("b" * 12, "id")]
    while discovered.found._in_pods is None:  # the kubelet has no pods yet
        discovered.found.changes()
    kubelet.pods(WEB)
    discovered.now = 1
    discovered.until_told()
    assert discovered.labels() == [("redis", "containerd"), ("side-car", "kubelet")]
    for service in discovered.found.services():
        if service.kind == "kubernetes":
            assert service.annotations["udamon.dev/class"] == "batch"


def test_a_container_that_the_kubelet_tells_late(kubelet: FakeKubelet, discovered: Discovered) -> None:
    """Its files name it, but its pod's annotations are waited for."""
    for container in (A, B):
        discovered.node.cri(container, container[0])
    discovered.found.changes()
    assert kubelet.answered.acquire(timeout=60)
    while discovered.found._in_pods is None:
        assert discovered.found.changes() == []
    kubelet.pods(WEB)
    discovered.now = 1
    discovered.until_told()
    assert {one.annotations.get("app") for one in discovered.found.services()} == {"web", None}
    assert discovered.labels() == [("a", "containerd"), ("b", "containerd")]


def test_a_kubelet_that_does_not_answer_well(kubelet: FakeKubelet, discovered: Discovered) -> None:
    kubelet.status = "9"
    discovered.found.changes()
    assert kubelet.answered.acquire(timeout=60)
    while not (remarks := discovered.found.remarks()):
        pass
    assert "status 9" in remarks[0]
    assert discovered.labels() == [("a" * 12, "id"), ("b" * 12, "id")]


def test_no_kubelet(discovered: Discovered) -> None:
    """No thread, and no word of it."""
    discovered.found.changes()
    assert discovered.found.remarks() == []
    assert discovered.pods._thread is None


def test_a_socket_that_may_not_be_looked_for_is_a_problem(tmp_path: Path) -> None:
    """As in /var/lib/kubelet, which is the kubelet's user's. Here the name is too long: root may look everywhere."""
    pods = Pods(tmp_path / ("x" * 300) / "socket")
    pods.need()
    assert pods.problem is not None
    assert "cannot be looked for: File name too long; run udamon as root" in pods.problem
    missing = Pods(tmp_path / "socket")
    missing.need()
    assert missing.problem is None
