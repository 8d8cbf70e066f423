"""Questions on the agent's socket that are none: each gets an answer, and the next one, too."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest

from tests.fuzz.hostile_values import RAW, object_with
from tests.unit.agent.simulated import Node
from udamon.agent.agent import Agent
from udamon.agent.control import Control
from udamon.agent.settings import Settings
from udamon.agent.ways.choice import Ways
from udamon.handover import connect


class Rotation:
    """Notes pids that were asked for."""

    def __init__(self) -> None:
        self.pids: list[object] = []

    def key_of(self, pid: object) -> None:
        self.pids.append(pid)


def test_any_question_is_answered(tmp_path: Path) -> None:
    seed = SystemRandom().randrange(1 << 32)
    print("seed", seed)
    random = Random(seed)

    def answer(question: dict[str, Any], given: list[str]) -> dict[str, Any]:
        return {"keys": len(question)}

    control = Control(tmp_path / "d" / "s", answer, lambda given: None)
    try:
        for _ in range(200):
            good: dict[str, Any] = {"do": "give", "pid": 5, "service": "x"}
            text = random.choice(
                (random.choice(RAW), object_with(good, random.choice([*good, "new"]), random))
            )
            with connect(tmp_path / "d" / "s") as connection:
                connection.sendall(
                    text.encode("utf-8", "surrogatepass").replace(b"\n", b" ")[: 1 << 15] + b"\n"
                )
                with connection.makefile("rb") as file:
                    found = json.loads(file.readline())
                assert found.keys() & {"error", "keys"}
                try:  # the same connection goes on
                    connection.sendall(b'{"do": 1}\n')
                    with connection.makefile("rb") as file:
                        assert json.loads(file.readline()) == {"keys": 1}
                except (TimeoutError, BrokenPipeError, ConnectionResetError) as error:
                    raise AssertionError(text[:100]) from error
    finally:
        control.close()


def test_settings_that_need_a_restart_are_named_when_they_are_read_again() -> None:
    """Once for each change; all others hold at once."""
    said: list[str] = []
    rotation = Node().rotation()
    agent = Agent.__new__(Agent)
    agent._at_start, agent._waits_for_start = Settings(), []
    agent._ways, agent._rotation, agent._say = Ways(), rotation, said.append
    agent._apply(Settings(budget=0.5))
    assert (said, rotation.settings.budget) == ([], 0.5)
    changed = Settings(budget=0.5, spool="/s", otlp_interval=10)
    agent._apply(changed)
    agent._apply(changed)
    agent._apply(Settings(budget=0.5))
    assert said == ["What is new of spool, otlp_interval holds from the next start of the agent on."]


@pytest.mark.parametrize("pid", [True, False, 0, -1, 1.0, "5", None, [5], 1 << 31, 10**38])
def test_what_is_no_pid_is_no_process(pid: object) -> None:
    """`true` is not process 1."""
    agent = Agent.__new__(Agent)
    agent._rotation = Rotation()  # type: ignore[assignment]
    agent._give = lambda key, given: {"given": key is not None}  # type: ignore[method-assign]
    assert agent._answer({"do": "give", "pid": pid}, []) == {"given": False}
    assert agent._rotation.pids == []  # type: ignore[attr-defined]
