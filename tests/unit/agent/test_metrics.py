"""What is served: OpenMetrics that a parser takes, no figure of what was not watched, and names that obey nobody."""

from __future__ import annotations

import errno

import pytest

from tests.hostile import BITS
from tests.unit.agent.simulated import MIB, Node, Program
from udamon.agent.metrics import MetricsPage
from udamon.agent.node import NodeFigures
from udamon.agent.rotation import Rotation
from udamon.agent.settings import Settings
from udamon.agent.status import document

parser = pytest.importorskip(
    "prometheus_client.openmetrics.parser", reason="the extra `agent` is not installed"
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def served(node: Node, rotation: Rotation, figures: NodeFigures | None = None) -> MetricsPage:
    return MetricsPage(rotation, node.spent, lambda: figures or NodeFigures(None, {}, 1), lambda: 0)


def samples(metrics: MetricsPage) -> Samples:
    families = list(parser.text_string_to_metric_families(metrics.text().decode()))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def test_figures_of_a_service() -> None:
    node = Node()
    node.add("web", Program({1.0: 4 * MIB, 0.0: 12 * MIB}, files=2 * MIB))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    found = samples(served(node, rotation))
    web = {"service": "web"}
    assert value(found, "udamon_service_info", grain="process", via="refs", **web) == 1
    assert value(found, "udamon_service_resident_bytes", **web) == 17 * MIB
    assert value(found, "udamon_service_cold_bytes", age="120", **web) == 13 * MIB
    assert value(found, "udamon_service_accessed_bytes", window="120", **web) == 4 * MIB
    assert value(found, "udamon_service_working_set_bytes", age="120", **web) == 4 * MIB
    assert value(found, "udamon_service_bytes_bound", figure="resident", side="high", **web) == 18 * MIB
    assert value(found, "udamon_service_bytes_bound", figure="cold", side="high", **web) == 16 * MIB
    assert value(found, "udamon_service_promoted_bytes_total", age="120", **web) == 0
    assert value(found, "udamon_service_needed_bytes", kind="limit", **web) == 21 * MIB, (
        "16 and 2 of files, and 15 %"
    )
    assert value(found, "udamon_service_coverage_ratio", **web) == 1
    assert value(found, "udamon_target_pause_seconds_count") == 2, "a second cycle has begun"
    assert value(found, "udamon_agent_targets", state="watched") == 1
    assert value(found, "udamon_agent_coverage_ratio") == 1


def test_what_was_not_watched_is_absent() -> None:
    node = Node()
    node.add("web", Program({1.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 70)
    names = {(name, dict(labels).get("age")) for name, labels in samples(served(node, rotation))}
    assert ("udamon_service_cold_bytes", "60") in names
    for absent in ("cold_bytes", "promoted_bytes_total", "measured_timestamp_seconds"):
        assert (f"udamon_service_{absent}", "120") not in names
    assert not {name for name, _ in names} & {
        "udamon_service_working_set_bytes", "udamon_service_safe_cold_age_seconds", "udamon_service_offloadable_bytes",
        "udamon_service_needed_bytes", "udamon_node_far_memory_coverage_ratio", "udamon_node_idle_seconds",
    }  # fmt: skip


def test_who_cannot_be_looked_at_has_no_figures() -> None:
    """The kernel refuses one, another monitor has one: how large they are at most, that nothing was seen, never 0."""
    node = Node()
    node.add("refused", Program({1.0: 4 * MIB}, files=MIB, error=errno.EACCES))
    node.add("elsewhere", Program({1.0: 2 * MIB}))
    node.locked.add(101)
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 700)
    found = samples(served(node, rotation))
    told = {(name, dict(labels).get("service")) for name, labels in found}
    for service, resident in (("refused", 5 * MIB), ("elsewhere", 2 * MIB)):
        assert value(found, "udamon_service_coverage_ratio", service=service) == 0
        bound = {"figure": "resident", "side": "high", "service": service}
        assert value(found, "udamon_service_bytes_bound", **bound) == resident
        for absent in (
            "accessed_bytes",
            "cold_bytes",
            "working_set_bytes",
            "promoted_bytes_total",
            "needed_bytes",
        ):
            assert (f"udamon_service_{absent}", service) not in told
    assert ("udamon_service_resident_bytes", "refused") not in told
    assert value(found, "udamon_agent_dropped_total", reason="permission") == 1
    assert value(found, "udamon_agent_targets", state="refused") == 2
    assert value(found, "udamon_agent_targets", state="watched") == 0, "what may come is there from the start"
    assert value(found, "udamon_agent_dropped_total", reason="spool") == 0
    assert value(found, "udamon_agent_coverage_ratio") == 0
    one = document(rotation, node.spent, "127.0.0.1:1", 0, 1)["services"][1]
    assert (one["key"], one["coverage"], set(one["cold_bytes"].values())) == ("refused", 0, {None})


def test_bounds_hold_where_one_of_several_is_refused() -> None:
    """All of it may be hot or cold; of the others it is known."""
    node = Node()
    node.add("both", Program({1.0: 4 * MIB}, error=errno.EACCES), Program({0.0: 12 * MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    found = samples(served(node, rotation))
    both = {"service": "both"}
    assert value(found, "udamon_service_coverage_ratio", **both) == 12 / 16
    assert value(found, "udamon_service_resident_bytes", **both) == 12 * MIB
    sides = [
        [
            value(found, "udamon_service_bytes_bound", figure=figure, side=side, **both)
            for side in ("low", "high")
        ]
        for figure in ("resident", "working_set", "cold")
    ]
    assert sides == [[12 * MIB, 16 * MIB], [0, 4 * MIB], [12 * MIB, 16 * MIB]]


def test_what_is_kept_as_text_is_renewed() -> None:
    """Samples of a service are made again when it changed, and its coverage when time went on."""
    node = Node()
    node.add("web", Program({1.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    metrics = served(node, rotation)
    assert samples(metrics) == samples(metrics)
    assert value(samples(metrics), "udamon_service_coverage_ratio", service="web") == 1
    one = rotation.services["web"]
    node.programs["web"][900] = Program({1.0: MIB})
    node.locked.add(900)
    one.refresh([100, 900], rotation._tools, node.clock.now_ns())
    assert value(samples(metrics), "udamon_service_coverage_ratio", service="web") == 0.5, (
        "before the next look"
    )
    rotation.give(["web"])
    found = samples(metrics)
    assert value(found, "udamon_service_coverage_ratio", service="web") is None, "nobody looks at it"
    assert value(found, "udamon_agent_coverage_ratio") is None
    node.remove("web")
    node.run(rotation, 2)
    assert value(samples(metrics), "udamon_service_resident_bytes", service="web") is None


@pytest.mark.parametrize("name", ["".join(BITS), "x" * 5000, 'a"} 1\n# EOF\nudamon_x 1', "\\", "{}", ""])
def test_hostile_names(name: str) -> None:
    node = Node()
    node.labels = {"service": name}
    node.add("web", Program({1.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    metrics = served(node, rotation)
    text = metrics.text().decode()
    assert (
        text.count("# EOF")
        == text.count("\n# EOF\n") + name.count("# EOF") * text.count("service=")
        == 1 + (name.count("# EOF") * text.count("service="))
    )
    assert all(line.isprintable() and len(line) < 1000 for line in text.split("\n"))
    assert sum(name == "udamon_service_resident_bytes" for name, _ in samples(metrics)) == 1


def test_series_are_bounded_and_what_is_dropped_is_counted() -> None:
    """The largest services are told first; of two with the same labels, one."""
    node = Node()
    for number in range(10):
        node.add(f"s{number}", Program({1.0: (number + 1) * MIB}))
    node.labels = {"service": "s9"}
    node.add("copy", Program({1.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0, max_series=100))
    node.run(rotation, 130)
    metrics = served(node, rotation)
    found = samples(metrics)
    told = {dict(labels)["service"] for name, labels in found if name == "udamon_service_resident_bytes"}
    assert "s9" in told
    assert "s0" not in told
    assert len([name for name, labels in found if "service" in dict(labels)]) <= 100
    assert rotation.dropped["name"] == 1
    assert value(found, "udamon_agent_dropped_total", reason="series") == rotation.dropped["series"] > 0
