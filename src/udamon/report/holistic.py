"""Everything at a glance: what the recording is, working set, footprint, phases, mappings and heatmap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from udamon.report import heatmap, hot_cold, info, phases, wss, wss_text
from udamon.report.catalog import Catalog
from udamon.report.diff import footprint_of
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal
from udamon.text import Shown, lines


@dataclass(frozen=True, slots=True)
class Holistic:
    """The reports it is made of."""

    about: info.Info
    working_set: wss.WorkingSet
    footprint: wss.WorkingSet
    phases: phases.Phases
    mappings: hot_cold.Mappings
    heatmap: heatmap.Heatmap


def measure(source: RecordingSource, columns: int, rows: int = 24) -> Holistic:
    """All of it, with a heatmap of about rows x columns cells. Raises RecordingError when there is no snapshot."""
    return Holistic(
        info.measure(source, Catalog(source.recording)),
        wss.measure(source),
        wss.measure(source, footprint_of(source)),
        phases.measure(source),
        hot_cold.measure(source),
        heatmap.measure(source, rows, columns),
    )


def document(report: Holistic, catalog: Catalog) -> dict[str, Any]:
    """The JSON document: those of the reports, by name."""
    return {
        "schema": 1,
        "info": info.document(report.about),
        "wss": wss.document(report.working_set, catalog),
        "footprint": wss.document(report.footprint, catalog),
        "phases": phases.document(report.phases, catalog),
        "mappings": hot_cold.document(report.mappings, catalog),
        "heatmap": heatmap.document(report.heatmap, catalog),
    }


def render(report: Holistic, catalog: Catalog, terminal: Terminal) -> Shown:
    """For people: one after the other."""
    first, *others = (
        info.render(report.about, terminal),
        wss_text.render(report.working_set, catalog, terminal),
        wss_text.render(report.footprint, catalog, terminal),
        phases.render(report.phases, catalog, terminal),
        hot_cold.render(report.mappings, catalog, terminal, top=5),
        heatmap.render(report.heatmap, catalog, terminal),
    )
    return lines([first, *(part for other in others for part in ("", other))])
