"""The rules: by Prometheus' own tests, and on what the agent serves of a planted leak; a real agent that is scraped."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.deploy.prometheus import RULES, minute, running, simulated_hours, store
from tests.integration.programs import started
from tests.integration.recorder import finish, running_udamon
from tests.integration.test_targets import group  # noqa: F401
from tests.waiting import until

pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="prometheus is not installed")

MIB = 1 << 20
LEAK = "UdamonColdMemoryGrows"


def test_promtool() -> None:
    for words in (
        ["check", "rules", "--lint=all", str(RULES)],
        ["test", "rules", str(RULES.with_name("udamon.test.yml"))],
    ):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested() -> None:
    (rules,) = yaml.safe_load(RULES.read_text())["groups"]
    alerts = {rule["alert"] for rule in rules["rules"] if "alert" in rule}
    tests = yaml.safe_load(RULES.with_name("udamon.test.yml").read_text())["tests"]
    fired = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one.get("exp_alerts")}
    assert fired == alerts


def condition(alert: str) -> str:
    """Of the alert as it fires: its expression, with what is recorded written out, held for its time."""
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    (rule,) = (rule for rule in rules if rule.get("alert") == alert)
    asked = rule["expr"]
    for recorded in (one for one in rules if "record" in one):
        asked = asked.replace(recorded["record"], f"({recorded['expr']})")
    minutes = int(rule["for"].removesuffix("m"))
    return f"count_over_time(({asked})[{minutes}m:1m]) >= {minutes}"


def test_a_leak_is_told_from_other_cold_memory(tmp_path: Path) -> None:
    """In the figures of an agent in simulated time: before the leak nothing, then the service that leaks alone, and not
    the one that uses most of its memory once an hour."""
    end = minute()
    store(simulated_hours(16, end), tmp_path)
    with running(tmp_path) as prometheus:
        asked = condition(LEAK)
        began = end - 8 * 3600
        fired = {ago: {one["service"] for one in prometheus.query(asked, at=began + ago * 60)}
                 for ago in range(-180, 480, 10)}  # fmt: skip
        assert all(not services for ago, services in fired.items() if ago < 60)
        assert set().union(*fired.values()) == {"leaks"}


PROGRAM = f"kept = bytearray({64 * MIB}); print(flush=True); import sys; sys.stdin.read()"


@contextlib.contextmanager
def agent(place: Path, cgroup: Path) -> Iterator[str]:
    """Its HOST:PORT."""
    config = place / "agent.toml"
    config.write_text(f'state = "{place}/state.json"\nbudget = "5%"\n')
    words: list[str | Path] = [
        "--config",
        config,
        "--cgroup",
        cgroup,
        "--socket",
        place / "run" / "agent.sock",
    ]
    with running_udamon("agent", *words, "--listen", "127.0.0.1:0") as process:
        assert process.stderr is not None
        found = re.search(r"http://(\S+)/metrics", process.stderr.readline())
        assert found is not None
        yield found[1]
        process.send_signal(signal.SIGTERM)
        assert finish(process).status == 0


@pytest.fixture
def program(group: Path) -> Iterator[subprocess.Popen[bytes]]:  # noqa: F811
    with started([sys.executable, "-c", PROGRAM]) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (group / "cgroup.procs").write_text(str(process.pid))
        yield process


@pytest.mark.needs("cgroup", "clear_refs", "root")
def test_prometheus_scrapes_an_agent(tmp_path: Path, group: Path, program: object) -> None:  # noqa: F811
    with agent(tmp_path, group) as address, running(tmp_path, targets=[address]) as prometheus:
        asked = 'udamon_service_cold_bytes{age="10"} >= 60 * 1024 * 1024'
        until(lambda: bool(prometheus.query(asked)), "cold bytes of ten seconds")
        assert prometheus.query('up{job="udamon"}')[0]["value"] == 1
