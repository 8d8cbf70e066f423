"""Names from the state of runtimes and the kubelet's log files, and state that is not as it should be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import hostile
from tests.unit.agent.discovery.runtimes import UID, Node
from udamon.agent.discovery.labels import MOST, MOST_ANNOTATIONS, Unique, bounded, selectable
from udamon.agent.discovery.names import Naming, name_of
from udamon.agent.discovery.state import ContainerLookup

A, B = "a" * 64, "0123456789abcdef" * 4
POD = f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
IN_POD = f"{POD}/cri-containerd-{A}.scope"
TASK = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def named(node: Node, key: str) -> Naming:
    return name_of(key, ContainerLookup(node.places))


def pod_labels(container: str, pod: str = "web-0", namespace: str = "shop") -> dict[str, str]:
    return {"namespace": namespace, "pod": pod, "container": container}


def test_a_unit_by_its_path(node: Node) -> None:
    found = named(node, "system.slice/nginx.service")
    assert (found.kind, found.labels, found.named_by, found.complete) == (
        "systemd", {"service": "nginx.service"}, "path", True,
    )  # fmt: skip
    assert found.annotations == {"unit": "nginx.service"}


def test_docker(node: Node) -> None:
    node.docker(A, "web", {"com.docker.compose.service": "front"})
    found = named(node, f"system.slice/docker-{A}.scope")
    assert (found.kind, found.labels, found.named_by, found.complete) == (
        "docker",
        {"service": "web"},
        "docker",
        True,
    )
    assert found.annotations == {
        "com.docker.compose.service": "front", "image": "nginx:1.27", "container_id": A, "runtime": "docker",
    }  # fmt: skip


def test_a_container_whose_path_tells_no_runtime(node: Node) -> None:
    assert named(node, f"mine/{A}").kind == "cgroup"
    node.docker(A, "web")
    found = named(node, f"mine/{A}")
    assert (found.kind, found.labels) == ("docker", {"service": "web"})


def test_ecs_by_dockers_labels(node: Node) -> None:
    ecs = "com.amazonaws.ecs."
    node.docker(
        A, "ecs-shop-3-front-9c", {f"{ecs}task-definition-family": "shop", f"{ecs}container-name": "front"}
    )
    for path in (f"ecs/{TASK}/{A}", f"ecstasks.slice/ecstasks-{TASK}.slice/docker-{A}.scope"):
        found = named(node, path)
        assert (found.kind, found.labels, found.annotations["ecs_task"]) == (
            "ecs",
            {"service": "shop/front"},
            TASK,
        )


def test_nerdctl(node: Node) -> None:
    node.containerd(A, "default", {"nerdctl/name": "cache", "nerdctl/namespace": "default"})
    found = named(node, f"default/{A}")
    assert (found.kind, found.labels, found.named_by) == ("containerd", {"service": "cache"}, "containerd")


@pytest.mark.parametrize("file", ["containers.json", "volatile-containers.json"])
def test_podman(node: Node, file: str) -> None:
    node.podman({B: "other", A: "db"}, file)
    found = named(node, f"machine.slice/libpod-{A}.scope")
    assert (found.kind, found.labels, found.named_by) == ("podman", {"service": "db"}, "podman")


def test_podmans_list_is_read_again_when_it_has_changed(node: Node) -> None:
    state = ContainerLookup(node.places)
    node.podman({A: "db"})
    path = f"machine.slice/libpod-{A}.scope"
    assert name_of(path, state).labels == {"service": "db"}
    node.podman({A: "database", B: "other"})
    assert name_of(path, state).labels == {"service": "database"}


def test_a_pods_container_by_containerd(node: Node) -> None:
    node.cri(A, "redis")
    found = named(node, IN_POD)
    assert (found.kind, found.labels, found.named_by, found.complete) == (
        "kubernetes", pod_labels("redis"), "containerd", True,
    )  # fmt: skip
    own = {
        key: found.annotations.get(key)
        for key in ("container_id", "runtime", "pod_uid", "qos", "image", "sandbox")
    }
    assert own == {
        "container_id": A, "runtime": "containerd", "pod_uid": UID, "qos": "burstable",
        "image": "docker.io/library/redis:7", "sandbox": None,
    }  # fmt: skip


def test_a_pods_sandbox(node: Node) -> None:
    node.cri(A, None)
    found = named(node, IN_POD)
    assert (found.labels, found.annotations["sandbox"]) == (pod_labels("POD"), "true")


def test_the_state_of_k3s(node: Node) -> None:
    state = node.cri(A, "redis")
    there = node.root / "run/k3s/containerd"
    there.parent.mkdir()
    (node.root / "run/containerd").rename(there)
    assert not state.exists()
    assert named(node, IN_POD).labels == pod_labels("redis")


def test_a_pods_container_by_crio(node: Node) -> None:
    node.crio(A, "app")
    found = named(node, f"{POD}/crio-{A}.scope")
    assert (found.labels, found.named_by) == (pod_labels("app"), "crio")
    assert (found.annotations["app"], found.annotations["udamon.dev/class"]) == ("shop", "batch")


def test_a_pods_container_by_docker(node: Node) -> None:
    io = "io.kubernetes."
    node.docker(
        A, "k8s_app", {f"{io}container.name": "app", f"{io}pod.name": "web-0", f"{io}pod.namespace": "shop"}
    )
    found = named(node, f"{POD}/docker-{A}.scope")
    assert (found.kind, found.labels, found.named_by) == ("kubernetes", pod_labels("app"), "docker")


def test_a_pods_container_by_the_kubelets_logs(node: Node) -> None:
    node.log(A, "side-car", pod="web-7d4b9", namespace="kube-system")
    found = named(node, IN_POD)
    assert (found.labels, found.named_by, found.complete) == (
        pod_labels("side-car", "web-7d4b9", "kube-system"), "logs", True,
    )  # fmt: skip


def test_only_the_pod_is_known(node: Node) -> None:
    node.log(A, "app", link=False)
    found = named(node, IN_POD)
    assert (found.labels, found.named_by, found.complete) == (pod_labels("a" * 12), "logs", False)


def test_nothing_is_known(node: Node) -> None:
    found = named(node, IN_POD)
    assert (found.labels, found.named_by, found.complete) == (pod_labels("a" * 12, UID, ""), "id", False)
    found = named(node, f"docker/{A}")
    assert (found.labels, found.named_by, found.complete) == ({"service": "a" * 12}, "id", False)


def test_what_the_path_says_cannot_be_overridden(node: Node) -> None:
    node.docker(
        A,
        "web",
        {"container_id": B, "kind": "kubernetes", "unit": "x.service", "pod_uid": UID, "sandbox": "true"},
    )
    found = named(node, f"docker/{A}")
    assert found.annotations["container_id"] == A
    assert found.kind == "docker"
    assert not {"unit", "pod_uid", "sandbox"} & found.annotations.keys()


@pytest.mark.parametrize(
    "document",
    ["", "[]", "null", "{", "[" * 100_000, '{"Name": 7, "Config": []}', '{"Name": "", "Config": {"Labels": 1}}',
     '{"annotations": {"io.kubernetes.cri.sandbox-name": {}}}', '{"x": "' + "a" * (1 << 20) + '"}'],
    ids=range(9),
)  # fmt: skip
def test_state_that_is_not_of_the_form(node: Node, document: str) -> None:
    node.write(f"var/lib/docker/containers/{A}/config.v2.json", document)
    node.write(f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{A}/config.json", document)
    node.write(f"run/containers/storage/overlay-containers/{A}/userdata/config.json", document)
    node.write("var/lib/containers/storage/overlay-containers/containers.json", document)
    assert named(node, f"docker/{A}").named_by == "id"
    assert named(node, IN_POD).named_by == "id"


def test_state_that_is_no_file(node: Node) -> None:
    """A pipe in its place is not waited for, a link to another file is not followed."""
    file = node.docker(A, "web")
    elsewhere = file.rename(node.root / "elsewhere")
    os.mkfifo(file)
    assert named(node, f"docker/{A}").named_by == "id"
    file.unlink()
    file.symlink_to(elsewhere)
    assert named(node, f"docker/{A}").named_by == "id"


def test_state_that_may_not_be_read(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, flags: int) -> int:
        raise PermissionError

    monkeypatch.setattr("udamon.agent.discovery.state.open_file", refuse)
    state = ContainerLookup(node.places)
    assert name_of(f"docker/{A}", state).named_by == "id"
    assert state.denied


@settings(max_examples=60)
@given(name=hostile.names | st.text(min_size=1, max_size=2_000), key=st.text(max_size=300))
def test_hostile_names(tmp_path_factory: pytest.TempPathFactory, name: str, key: str) -> None:
    node = Node(tmp_path_factory.mktemp("node"))
    node.docker(A, name, {key: name})
    node.cri(B, name, name, name)
    for path in (f"docker/{A}", f"{POD}/{B}"):
        found = named(node, path)
        for value in found.labels.values():
            assert value
            assert len(value) <= MOST
            assert not hostile.bad_characters(value)
        assert all(len(one) <= MOST for pair in found.annotations.items() for one in pair)


@given(st.text(max_size=3 * MOST))
def test_labels_are_bounded_and_tell_apart(text: str) -> None:
    shown = bounded(text)
    assert len(shown) <= MOST
    assert not hostile.bad_characters(shown)
    assert bounded(text + "x" * MOST) != bounded(text + "x" * (MOST + 1))


def test_annotations_are_bounded() -> None:
    many: list[tuple[object, object]] = [(f"{number:03}", "x") for number in range(100)]
    assert list(selectable(many)) == [f"{number:03}" for number in range(MOST_ANNOTATIONS)]
    wrong: list[tuple[object, object]] = [
        ("a", 1),
        (2, "b"),
        ("c", None),
        ("d", "x" * (MOST + 1)),
        ("x" * (MOST + 1), "e"),
    ]
    assert selectable(wrong) == {}


def test_the_first_has_a_label_until_it_ends() -> None:
    unique = Unique()
    wanted = {"namespace": "shop", "container": "app"}
    assert unique.want("one", wanted) is None
    assert unique.want("two", wanted) is None
    assert unique.labels("one") == wanted
    marked = unique.labels("two")
    assert marked["namespace"] == "shop"
    assert marked["container"].startswith("app~")
    assert unique.free("one") == "two"
    assert unique.labels("two") == wanted
    assert unique.want("two", {"service": "x"}) is None
    assert (unique.free("two"), unique.free("two")) == (None, None)


def test_a_name_cannot_be_chosen_to_be_anothers_mark() -> None:
    unique = Unique()
    for key in ("one", "two"):
        unique.want(key, {"service": bounded("app")})
    unique.want("three", {"service": bounded(unique.labels("two")["service"])})
    assert len({unique.labels(key)["service"] for key in ("one", "two", "three")}) == 3
