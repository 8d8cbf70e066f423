"""Services looked at as whole groups, on the made-up kernel of the tests of generations."""

from __future__ import annotations

import errno

import pytest

from tests.unit.agent.simulated import MIB, Node, Program
from tests.unit.modules.test_group_ages import PAGE, Kernel
from udamon.agent.discovery.classes import ServiceClass
from udamon.agent.rotation import Rotation
from udamon.agent.settings import Settings
from udamon.agent.ways import group
from udamon.agent.ways.choice import Ways
from udamon.agent.ways.group import GroupReadings
from udamon.core.idle_time import SECONDS
from udamon.errors import OutOfFiles
from udamon.linux.lru_gen import NodeLru

TWO_MINUTES, TEN = (SECONDS.index(age) for age in (120, 600))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Of a group "/a" with 100 pages."""
    made = Kernel(monkeypatch, 100)
    monkeypatch.setattr(group, "read", made.read)
    return made


def watched(kernel: Kernel, node: Node) -> Rotation:
    kernel.now = node.clock.now_ns()
    settings = Settings(budget=1.0, default=ServiceClass(via="lru_gen"))
    return node.rotation(settings, Ways({}, GroupReadings(node.groups)))


def run(kernel: Kernel, node: Node, rotation: Rotation, seconds: int) -> None:
    for _ in range(seconds):
        kernel.now = node.clock.now_ns()
        node.run(rotation, 1)


def test_ages_of_a_group(kernel: Kernel) -> None:
    """40 pages are accessed in each window; what comes back is not told, nor a safe age."""
    kernel.accessed = set(range(40))
    node = Node()
    node.add("a", Program({1.0: MIB}), Program({0.0: MIB}))
    rotation = watched(kernel, node)
    run(kernel, node, rotation, 900)
    one = rotation.services["a"]
    found = one.figures.measured
    assert (one.way.via, one.way.grain) == ("lru_gen", "group")
    assert found[TWO_MINUTES].resident == (100 * PAGE, 100 * PAGE)
    assert found[TWO_MINUTES].cold == (60 * PAGE, 60 * PAGE)
    assert found[TEN].cold.low == 60 * PAGE
    assert found[TWO_MINUTES].accessed == (40 * PAGE, 40 * PAGE)
    assert SECONDS.index(1800) not in found
    assert not one.figures.promoted
    assert one.figures.safe is None
    assert +rotation.states() == {"watched": 1}


def test_a_group_with_a_target_of_another_monitor_is_left_alone(kernel: Kernel) -> None:
    node = Node()
    node.add("a", Program({1.0: MIB}), Program({1.0: MIB}))
    node.locked.add(100)
    rotation = watched(kernel, node)
    run(kernel, node, rotation, 300)
    assert kernel.newest == 5
    assert not rotation.services["a"].figures.measured
    node.locked.clear()
    run(kernel, node, rotation, 300)
    assert TWO_MINUTES in rotation.services["a"].figures.measured


@pytest.mark.parametrize("error", [OutOfFiles("no more"), OSError(errno.EMFILE, "no more")])
def test_descriptors_that_run_out_pass(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It stays with its way, and is aged when there are some again."""
    node = Node()
    node.add("a", Program({1.0: MIB}))
    rotation = watched(kernel, node)

    def refuse(path: object) -> list[NodeLru]:
        raise error

    monkeypatch.setattr(group, "read", refuse)
    run(kernel, node, rotation, 300)
    assert rotation.dropped["descriptors"] > 0
    assert rotation.services["a"].unfit == set()
    monkeypatch.setattr(group, "read", kernel.read)
    run(kernel, node, rotation, 300)
    assert TWO_MINUTES in rotation.services["a"].figures.measured


def test_a_group_that_is_aged_no_more_is_not_covered(kernel: Kernel) -> None:
    """Another monitor has a process that came later: nothing of the group was looked at in the last window."""
    node = Node()
    node.add("a", Program({1.0: MIB}))
    rotation = watched(kernel, node)
    run(kernel, node, rotation, 300)
    one = rotation.services["a"]
    assert one.fresh_bytes(node.clock.now_ns()) == MIB
    node.programs["a"][900] = Program({1.0: MIB})
    node.locked.add(900)
    run(kernel, node, rotation, 300)
    assert one.fresh_bytes(node.clock.now_ns()) == 0
    node.locked.clear()
    run(kernel, node, rotation, 300)
    assert one.fresh_bytes(node.clock.now_ns()) == 2 * MIB


def test_a_group_of_which_no_generations_are_kept(kernel: Kernel) -> None:
    """The memory controller is off for it: with `auto` it gets another way."""
    node = Node()
    node.add("other", Program({1.0: MIB}))
    rotation = watched(kernel, node)
    run(kernel, node, rotation, 10)
    assert rotation.services["other"].unfit == {"lru_gen"}
