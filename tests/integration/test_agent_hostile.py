"""The agent as a command where things go wrong: stopped targets, storms of groups, no descriptors left."""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from tests.integration.programs import started
from tests.integration.test_agent import MIB, PROGRAM, Running, agent  # noqa: F401
from tests.integration.test_targets import group  # noqa: F401
from tests.waiting import until
from udamon.handover import ask, connect

pytest.importorskip("prometheus_client", reason="the extra `agent` is not installed")
pytestmark = pytest.mark.needs("cgroup", "clear_refs", "root")


def descriptors(one: Running) -> int:
    return len(os.listdir(f"/proc/{one.process.pid}/fd"))


def test_a_stopped_target_is_looked_at(agent: Running) -> None:  # noqa: F811
    os.kill(agent.program, signal.SIGSTOP)
    agent.until(lambda one: one["cold_bytes"]["10"] is not None, "cold bytes of 10 s")
    assert agent.service()["cold_bytes"]["10"]["low"] >= 16 * MIB
    os.kill(agent.program, signal.SIGKILL)  # and dies while it is stopped
    until(lambda: not agent.status()["services"], "it has gone")


def test_a_storm_of_groups_leaves_nothing(agent: Running, group: Path) -> None:  # noqa: F811
    """Groups that come with a process and go, some hundred of them; names that obey nobody."""
    agent.until(lambda one: one["resident_bytes"]["high"] > 0, "a look")
    before = descriptors(agent)
    for number in range(15):
        places = [group / f"storm {number} \"'{at}\\n\x1b[31m" for at in range(20)]
        for place in places:
            place.mkdir()
        with started([sys.executable, "-c", PROGRAM]) as process:
            for place in places:
                (place / "cgroup.procs").write_text(str(process.pid))
            process.kill()
            process.wait()
        for place in places:
            until(lambda place=place: _removed(place), "the group is free")  # type: ignore[misc]
    until(lambda: len(agent.status()["services"]) == 1, "all have gone")
    assert "\x1b" not in agent.page("/metrics")
    assert descriptors(agent) <= before + 2
    assert agent.service()["processes"] == 1


def _removed(place: Path) -> bool:
    try:
        place.rmdir()
    except OSError:
        return not place.exists()
    return True


def test_it_says_when_what_it_watches_is_gone(agent: Running, group: Path) -> None:  # noqa: F811
    agent.until(lambda one: one["resident_bytes"]["high"] > 0, "a look")
    os.kill(agent.program, signal.SIGKILL)
    until(lambda: _removed(group), "the group is free")
    assert agent.process.stderr is not None
    assert "is gone, and with it all services below it" in agent.process.stderr.readline()
    assert agent.status()["services"] == []


def test_exhausted_descriptors_are_told_and_pass(agent: Running) -> None:  # noqa: F811
    """A connection that is open already still gets answers."""
    agent.until(lambda one: one["resident_bytes"]["high"] > 0, "a look")
    place = Path(agent.service()["cgroup"])
    with connect(agent.socket) as connection, started([sys.executable, "-c", PROGRAM]) as process:
        assert "error" not in ask(connection, do="status"), "it is accepted"
        limits = resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        assert "cannot answer now" in ask(connection, do="status")["error"]
        (place / "cgroup.procs").write_text(str(process.pid))
        resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, limits)
        agent.until(lambda one: one["processes"] == 2, "both are watched")
        assert "error" not in ask(connection, do="status")
