"""What the agent tells of a service holds for what its processes touched, whatever happens to them meanwhile."""

from __future__ import annotations

import errno
from random import Random, SystemRandom

import pytest

from tests.unit.agent.simulated import MIB, NS, Node, Pages, Program
from udamon.agent.figures import Measured
from udamon.agent.rotation import Rotation
from udamon.agent.settings import Settings
from udamon.agent.watched import LATE_S, WatchedService
from udamon.agent.ways.choice import Ways
from udamon.core.idle_time import SECONDS

PERIODS = (1.0, 37.0, 95.0, 210.0, 470.0, 1333.0, 3001.0, 0.0)
EARLY_S = 3
"""A look clears up to a step before its age counts."""


def program(random: Random) -> Program:
    parts = {period: random.randint(1, 4) * MIB for period in random.sample(PERIODS, random.randint(1, 4))}
    return Program(parts, files=random.choice((0, 0, MIB)))


def idle(one: Program, for_s: float, now_s: float) -> int:
    """Bytes that were not touched for so long."""
    return one.private - one.touched(now_s - for_s, now_s)


def check(node: Node, one: WatchedService, age_s: int, found: Measured) -> None:
    """Against the least and the most that can be cold for the age, since looks are late or early by some seconds."""
    now_s = node.clock.now_ns() / NS
    seen = [each for pid, each in node.programs[one.service.key].items() if pid in one.processes]
    least = sum(idle(each, age_s + LATE_S + EARLY_S, now_s) for each in seen)
    most = sum(idle(each, max(0, age_s - EARLY_S), now_s) + each.files for each in seen)
    assert found.cold.low <= most, (now_s, one.service.key, age_s, found)
    assert found.cold.high >= least, (now_s, one.service.key, age_s, found)


def happens(random: Random, node: Node, rotation: Rotation) -> None:
    """Something to a service or one of its processes."""
    key = random.choice(list(node.programs))
    some = node.programs[key]
    pid = random.choice(list(some))
    match random.randrange(9):
        case 0:
            some[pid].error = random.choice((errno.EMFILE, errno.EACCES))
        case 1 | 2:
            for each in some.values():
                each.error = 0
        case 3:
            some[next(node.pids)] = program(random)
        case 4 if len(some) > 1:
            del some[pid]
        case 5:
            rotation.give([key])
        case 6:
            rotation.take_back([key])
        case 7:
            some[pid].parts = {**some[pid].parts, 1.5: 2 * MIB}
        case 8:
            node.locked ^= {pid}


@pytest.mark.parametrize("via", ["pte", "refs"])
def test_bounds_hold(via: str) -> None:
    seed = SystemRandom().randrange(1 << 32)
    print("seed", seed)
    random = Random(seed)
    for _ in range(5):
        node = Node()
        for number in range(random.randint(1, 2)):
            node.add(f"s{number}", *(program(random) for _ in range(random.randint(1, 3))))
        rotation = node.rotation(Settings(budget=1.0), Ways({"pte": Pages(node)} if via == "pte" else {}))
        for _ in range(random.randint(1500, 5000)):
            node.run(rotation, 1)
            for one in rotation.services.values():
                for at, found in one.figures.measured.items():
                    if found.at_ns == node.clock.now_ns() and not one.given:
                        check(node, one, SECONDS[at], found)
            if random.random() < 0.01:
                happens(random, node, rotation)
