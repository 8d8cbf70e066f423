"""What `udamon agent status` tells, by its schema."""

from __future__ import annotations

import json

import pytest

from tests.unit.agent.simulated import Node, Program
from tests.unit.test_json_schemas import check
from udamon.agent.settings import Settings
from udamon.agent.status import document as agent_status
from udamon.agent.status import render


def test_the_status_of_an_agent() -> None:
    """Of simulated services: one of which much is known, one that has just come."""
    node = Node()
    node.add("web", Program({1.0: 1 << 20, 300.0: 1 << 20, 0.0: 1 << 20}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 2 * 3600)
    node.add("new", Program({0.0: 1 << 20}))
    node.run(rotation, 3)
    found = agent_status(rotation, node.spent, "127.0.0.1:9470", 0, 1)
    assert found["damaged"] == []
    assert [one["safe_cold_age_seconds"] is None for one in found["services"]] == [True, False]
    check("agent-status", json.loads(json.dumps(found, allow_nan=False)))


def test_what_is_damaged_in_the_spool() -> None:
    node = Node()
    rotation = node.rotation(Settings(budget=1.0))
    why = {"services/v1/date=2026-11-29/a.parquet": "is empty", "_open/\x1b.parquet": "is damaged"}
    found = agent_status(rotation, node.spent, "127.0.0.1:9470", 0, 1, why)
    check("agent-status", json.loads(json.dumps(found, allow_nan=False)))
    shown = str(render(found)).splitlines()
    assert "damaged in the spool: services/v1/date=2026-11-29/a.parquet is empty" in shown
    assert "damaged in the spool: _open/\\x1b.parquet is damaged" in shown


@pytest.mark.parametrize(
    ("coverage", "shown"), [(1.0, "100%"), (0.996, "99%"), (0.004, "<1%"), (0.0, "none"), (None, "none")]
)
def test_no_more_is_said_to_be_covered_than_is(coverage: float | None, shown: str) -> None:
    node = Node()
    node.add("web", Program({1.0: 1 << 20}))
    rotation = node.rotation(Settings(budget=1.0))
    found = agent_status(rotation, node.spent, "127.0.0.1:9470", 0, 1)
    assert found["coverage"] is None, "nothing was looked at yet"
    check("agent-status", json.loads(json.dumps(found, allow_nan=False)))
    node.run(rotation, 1)
    found = agent_status(rotation, node.spent, "127.0.0.1:9470", 0, 1) | {"coverage": coverage}
    assert str(render(found)).splitlines()[0] == (
        f"1 service, {shown} of their memory looked at in the last two minutes"
    )


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_status_for_people(columns: int) -> None:
    """A name gives way, then long ages; the cost is told with the time that it is a mean of."""
    node = Node()
    node.add("w" * 200, Program({1.0: 1 << 30, 300.0: 1 << 30, 0.0: 1 << 30}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 30)
    found = agent_status(rotation, node.spent, "127.0.0.1:9470", 0, 1) | {"share": 0.123, "seconds": 5.0}
    shown = str(render(found, columns))
    lines = shown.splitlines()
    assert "cost 12.30% of a CPU, targets' loss included: mean of 5 s since the start" in lines
    assert max(map(len, lines[3:])) <= columns
    assert "wwwww" in shown
    assert ("cold 2 m" in shown, "safe age" in shown) == (True, True)
    said = "left out, as the terminal is narrow: cold 1 h"
    assert ("cold 1 h" in lines[4], lines[-1] == said) == (columns > 60, columns == 60)
    found |= {"share": None, "services": []}
    assert render(found, columns).splitlines()[:2] == ["0 services", "cost not known yet"]
