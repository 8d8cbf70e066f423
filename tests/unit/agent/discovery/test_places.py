"""Where the state of runtimes is, by their configurations."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.agent.discovery.runtimes import Node
from udamon.agent.discovery.names import name_of
from udamon.agent.discovery.places import Places, configured
from udamon.agent.discovery.state import ContainerLookup

A = "a" * 64


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_without_configurations(node: Node) -> None:
    assert configured(node.root) == Places().below(node.root)
    assert Places().below(Path("/")) == Places()


def test_docker_that_was_moved(node: Node) -> None:
    node.write("etc/docker/daemon.json", {"data-root": "/data/docker", "debug": True})
    node.docker(A, "web")
    (node.root / "data").mkdir()
    (node.root / "var/lib/docker").rename(node.root / "data/docker")
    assert name_of(f"docker/{A}", ContainerLookup(configured(node.root))).labels == {"service": "web"}


def test_podman_that_was_moved(node: Node) -> None:
    node.write("etc/containers/storage.conf", '[storage]\ndriver = "overlay"\ngraphroot = "/data/pods"\n')
    node.podman({A: "db"})
    (node.root / "data").mkdir()
    (node.root / "var/lib/containers/storage").rename(node.root / "data/pods")
    assert name_of(f"machine.slice/libpod-{A}.scope", ContainerLookup(configured(node.root))).labels == {
        "service": "db"
    }


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"data-root": 7}', '{"data-root": "relative"}', '{"data-root": "/../elsewhere"}', "[" * 9999,
     '{"data-root": "/a\\u0000b"}', '{"data-root": "\\udcff"}'],
)  # fmt: skip
def test_configurations_that_say_nothing(node: Node, text: str) -> None:
    node.write("etc/docker/daemon.json", text)
    node.write("etc/containers/storage.conf", f"storage = {text}")
    assert configured(node.root) == Places().below(node.root)


def test_a_configuration_that_is_no_text(node: Node) -> None:
    for path in ("etc/docker/daemon.json", "etc/containers/storage.conf"):
        node.write(path, "").write_bytes(b"\xff\xfe")
    assert configured(node.root) == Places().below(node.root)
