"""Grafana's JSON of the dashboards, by Grafana's own library of its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from scripts.deploy.dashboards import ALL, Dashboard, Panel, Query
from scripts.stages import ROOT

PLACE = ROOT / "packaging" / "grafana"
SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8
KINDS: dict[str, Any] = {"lines": timeseries.Panel, "value": stat.Panel, "table": table.Panel}
VARIABLES = {
    "instance": "label_values(udamon_agent_coverage_ratio, instance)",
    "service": 'label_values(udamon_service_info{instance=~"$instance"}, service)',
    "namespace": 'label_values(udamon_service_info{instance=~"$instance"}, namespace)',
    "pod": 'label_values(udamon_service_info{instance=~"$instance",namespace=~"$namespace"}, pod)',
}


def files() -> dict[Path, str]:
    """The text of each file."""
    return {
        PLACE / f"{one.uid}.json": f"{json.dumps(document(one), indent=1, sort_keys=True)}\n" for one in ALL
    }


def document(one: Dashboard) -> dict[str, Any]:
    """A dashboard as Grafana imports it."""
    made = builders.Dashboard(one.title).uid(one.uid).description(one.text).tags(["udamon"])
    made = made.refresh("1m").time("now-6h", "now").timezone("browser").readonly()
    made = made.with_variable(
        builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    )
    for name, query in VARIABLES.items():
        if one.services or name == "instance":
            made = made.with_variable(_variable(name, query))
    for number, panel in enumerate(one.panels, 1):
        made = made.with_panel(_panel(panel, number))
    found: dict[str, Any] = _filled(json.loads(json.dumps(made.build(), cls=JSONEncoder)))
    found.pop("style", None)  # this, and numbers of variables, newer Grafanas do not have
    for variable in found["templating"]["list"]:
        variable.pop("id", None)
    return found


def _filled(value: Any) -> Any:
    """Without nulls: the library writes them where nothing was said, and the schema has none."""
    if isinstance(value, dict):
        return {name: _filled(one) for name, one in value.items() if one is not None}
    return [_filled(one) for one in value] if isinstance(value, list) else value


def _variable(name: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .query(query)
        .datasource(SOURCE)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _panel(panel: Panel, number: int) -> Any:
    made = KINDS[panel.kind]()
    made = (
        made.id(number).title(panel.title).description(panel.text).datasource(SOURCE).unit(panel.unit).min(0)
    )
    made = made.span(panel.width).height(HEIGHT if panel.kind != "value" else HEIGHT // 2)
    if panel.kind == "lines":
        made = made.fill_opacity(10).show_points(common.VisibilityMode.NEVER)
        if panel.stacked:
            made = made.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    for letter, query in zip("ABCDEF", panel.queries, strict=False):
        made = made.with_target(_query(query, letter, panel.kind))
    return made


def _query(query: Query, letter: str, kind: str) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id(letter)
    if kind == "table":
        return made.instant().format(PromQueryFormat.TABLE)
    return made.range()
