"""A Prometheus of Debian's package on loopback, and a day of a node in its storage."""

from __future__ import annotations

import json
import math
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.stages import ROOT
from tests.unit.agent.simulated import MIB, Node, Program
from tests.waiting import until
from udamon.agent.metrics import MetricsPage
from udamon.agent.node import NodeFigures
from udamon.agent.settings import Settings

RULES = ROOT / "packaging" / "prometheus" / "udamon.rules.yml"
INSTANCE = "node1:9470"
EVERY_S = 60


class Prometheus:
    """One that runs. Times are seconds on the wall."""

    def __init__(self, address: str) -> None:
        self.address = address

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """The series of an instant vector."""
        words = {"query": expression} | ({} if at is None else {"time": str(at)})
        result = self.get("query", **words)["result"]
        return [{**one["metric"], "value": float(one["value"][1])} for one in result]

    def lines(self, expression: str, begin: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series over time; `values`: pairs of a time and a number."""
        found = self.get("query_range", query=expression, start=str(begin), end=str(end), step=str(step))
        return list(found["result"])

    def alerts(self) -> list[dict[str, Any]]:
        return list(self.get("alerts")["alerts"])

    def get(self, what: str, **words: str) -> dict[str, Any]:
        url = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return dict(json.load(answer)["data"])


@contextmanager
def running(
    place: Path, rules: Path = RULES, targets: Sequence[str] = (), every: str = "1s"
) -> Iterator[Prometheus]:
    """With its storage in `place`/data. It scrapes `targets` (HOST:PORT) as job udamon."""
    config = place / "prometheus.yml"
    scrapes = [{"job_name": "udamon", "static_configs": [{"targets": list(targets)}]}] if targets else []
    settings = {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [str(rules)],
    }
    config.write_text(json.dumps(settings | {"scrape_configs": scrapes}))  # JSON is YAML
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={place}/data",
               "--web.listen-address=127.0.0.1:0"]  # fmt: skip
    log = place / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command, stderr=file)
    try:
        until(lambda: "Server is ready to receive web requests" in log.read_text(), "a Prometheus")
        found = re.search(r'msg="Listening on" address=(\S+)', log.read_text())
        assert found is not None, log.read_text()
        yield Prometheus(found[1])
    finally:
        process.terminate()
        process.wait()


def store(text: str, place: Path) -> None:
    """OpenMetrics text with times, as blocks of `place`/data."""
    file = place / "metrics.txt"
    file.write_text(text + "# EOF\n")
    (place / "data").mkdir()
    command: list[str | Path] = [
        "promtool",
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        file,
        place / "data",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def simulated_hours(hours: float, end: float) -> str:
    """What the agent served in these hours up to `end`, scraped each minute: real rotation, metrics and figures, of
    simulated services in simulated time. `leaks` gets 4 MiB a minute from the middle on, and never touches it."""
    node = Node()
    leak = Program({1.0: 64 * MIB, 0.0: 96 * MIB})
    node.add("leaks", leak)
    node.add("web", Program({1.0: 200 * MIB, 300.0: 80 * MIB, 0.0: 120 * MIB}, files=40 * MIB))
    node.add("db", Program({1.0: 300 * MIB, 900.0: 150 * MIB, 0.0: 50 * MIB}, shmem=200 * MIB))
    node.add("batch", Program({3600.0: 250 * MIB, 0.0: 20 * MIB}))
    rotation = node.rotation(Settings())
    rotation.dropped["handover"] = 0
    figures = NodeFigures(0.25, {0.5: 12.0, 0.99: 800.0}, 30 * MIB)
    wall_ns = int((end - hours * 3600) * 1e9) - node.clock.now_ns()
    metrics = MetricsPage(rotation, node.spent, lambda: figures, lambda: wall_ns)
    scrapes = int(hours * 3600 / EVERY_S)
    lines: list[str] = []
    for number in range(1, scrapes + 1):
        if number > scrapes / 2:
            leak.parts = {**leak.parts, 0.0: leak.parts[0.0] + 4 * MIB}
        node.run(rotation, EVERY_S)
        lines += stamped(metrics.text().decode(), end - (scrapes - number) * EVERY_S)
    return "".join(lines)


def stamped(text: str, now: float) -> Iterator[str]:
    """Samples as a scrape stores them: with its labels, its time, and its own series."""
    about = f'instance="{INSTANCE}",job="udamon"'
    count = 0
    for line in text.splitlines():
        if not line.startswith("#"):
            count += 1
            name, labels, value = re.fullmatch(r"([^{ ]+)(?:\{(.*)\})? (\S+)", line).groups()  # type: ignore[union-attr]
            yield f"{name}{{{about}{f',{labels}' if labels else ''}}} {value} {now}\n"
    own = {"up": 1.0, "scrape_duration_seconds": 0.01, "scrape_samples_scraped": float(count)}
    yield from (f"{name}{{{about}}} {value} {now}\n" for name, value in own.items())


def finite(series: Sequence[dict[str, Any]]) -> bool:
    """Whether there are any, and each is a number."""
    return bool(series) and all(math.isfinite(one["value"]) for one in series)


def minute() -> float:
    """The last full minute."""
    return time.time() // 60 * 60
