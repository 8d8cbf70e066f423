"""Dashboards: as their description, of Grafana's schema, and each query gets series of a real Prometheus."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.prometheus import Prometheus, finite, minute, running, simulated_hours, store

pytest.importorskip("grafana_foundation_sdk", reason="the extra `deploy` is not installed")

import jsonschema

from scripts.deploy import grafana
from scripts.deploy.dashboards import ALL, Dashboard

SCHEMAS = {
    path.stem.removeprefix("grafana-"): json.loads(path.read_text())
    for path in (Path(__file__).parent / "schemas").glob("*.json")
}
needs_prometheus = pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
dashboards = pytest.mark.parametrize("dashboard", ALL, ids=lambda one: one.uid)


def optional(schema: Any) -> Any:
    """The same with nothing required: Grafana gives what a panel does not say its default."""
    if isinstance(schema, dict):
        return {name: optional(one) for name, one in schema.items() if name != "required"}
    return [optional(one) for one in schema] if isinstance(schema, list) else schema


def problems(document: Any, schema: dict[str, Any], definition: str = "") -> list[str]:
    if definition:
        schema = {**schema, "$ref": f"#/definitions/{definition}"}
    validator = jsonschema.Draft7Validator(schema)
    return [f"{'/'.join(map(str, one.path))}: {one.message}" for one in validator.iter_errors(document)]


def test_files_are_as_described() -> None:
    assert {path: path.read_text() for path in grafana.PLACE.glob("*.json")} == grafana.files()


@dashboards
def test_it_is_of_grafanas_schema(dashboard: Dashboard) -> None:
    document = grafana.document(dashboard)
    assert problems(document, SCHEMAS["dashboard"]) == []
    for panel in document["panels"]:
        kind = optional(SCHEMAS[panel["type"]])
        assert problems(panel.get("options", {}), kind, "Options") == []
        if "FieldConfig" in kind["definitions"]:
            assert problems(panel["fieldConfig"]["defaults"].get("custom", {}), kind, "FieldConfig") == []
        for target in panel["targets"]:
            assert problems(target, SCHEMAS["prometheus"]) == []


@pytest.mark.parametrize(
    "change",
    [{"title": 1}, {"panels": [{"type": "timeseries", "gridPos": {"w": "wide"}}]}, {"colour": "red"}],
)
def test_the_schema_refuses(change: dict[str, Any]) -> None:
    assert problems(grafana.document(ALL[0]) | change, SCHEMAS["dashboard"])


@dashboards
def test_panels_say_what_they_show_and_fit(dashboard: Dashboard) -> None:
    document = grafana.document(dashboard)
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, f"{panel['title']} lies over another"
        assert place["x"] + place["w"] <= 24
        taken |= cells
    known = {one["name"] for one in document["templating"]["list"]}
    for one in dashboard.panels:
        assert one.queries
        for query in one.queries:
            assert set(re.findall(r"\$(\w+)", query.expression)) <= known


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    place = tmp_path_factory.mktemp("prometheus")
    store(simulated_hours(4, minute()), place)
    with running(place) as found:
        yield found


def expressions() -> list[tuple[str, str]]:
    return [(f"{board.uid}: {panel.title}", query.expression)
            for board in ALL for panel in board.panels for query in panel.queries]  # fmt: skip


@needs_prometheus
def test_every_query_gets_series(prometheus: Prometheus) -> None:
    """Of each metric that is served there is some; a name or a label that is wrong would select none."""
    empty = []
    for where, expression in expressions():
        if "growth2h" not in expression:  # recorded from now on: the next test asks for it
            found = prometheus.query(re.sub(r"\$\w+", ".*", expression), at=minute() - 60)
            if not finite(found):
                empty.append((where, expression, found))
    assert not empty


@needs_prometheus
def test_a_variable_selects(prometheus: Prometheus) -> None:
    values = {"instance": "node1:9470", "service": "web", "namespace": ".*", "pod": ".*"}
    (query,) = next(
        one for one in grafana_panels() if one.title == "Coverage" and len(one.queries[0].expression) > 90
    ).queries
    expression = re.sub(r"\$(\w+)", lambda name: values[name[1]], query.expression)
    assert {one["service"] for one in prometheus.query(expression, at=minute() - 60)} == {"web"}
    for name, asked in grafana.VARIABLES.items():
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", asked)
        assert found is not None
        assert found[2] == name
        assert prometheus.query(re.sub(r"\$\w+", ".*", found[1]), at=minute() - 60)


def grafana_panels() -> list[Any]:
    return [panel for board in ALL for panel in board.panels]
