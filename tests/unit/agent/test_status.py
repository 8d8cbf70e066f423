"""What `udamon agent status` tells, by its schema."""

from __future__ import annotations

import json

from tests.unit.agent.simulated import Node, Program
from tests.unit.test_json_schemas import check
from udamon.agent.settings import Settings
from udamon.agent.status import document as agent_status


def test_the_status_of_an_agent() -> None:
    """Of simulated services: one of which much is known, one that has just come."""
    node = Node()
    node.add("web", Program({1.0: 1 << 20, 300.0: 1 << 20, 0.0: 1 << 20}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 2 * 3600)
    node.add("new", Program({0.0: 1 << 20}))
    node.run(rotation, 3)
    found = agent_status(rotation, node.spent, "127.0.0.1:9470", 0, 1)
    assert [one["safe_cold_age_seconds"] is None for one in found["services"]] == [True, False]
    check("agent-status", json.loads(json.dumps(found, allow_nan=False)))
