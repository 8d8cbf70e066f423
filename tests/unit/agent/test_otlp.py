"""What is pushed is what is served: the same names, units, definitions and values."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any

import pytest

from tests.unit.agent.simulated import MIB, Node, Program
from tests.unit.agent.test_metrics import samples, served, value
from udamon.agent import otlp
from udamon.agent.config import parse_settings
from udamon.agent.metrics import NODE, SERVICE, MetricsPage
from udamon.agent.node import NodeFigures
from udamon.agent.otlp import UNITS, Pushing
from udamon.agent.settings import Settings
from udamon.errors import OutOfFiles, UdamonError

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `otlp` is not installed")

Requests = Queue[Any]


@pytest.fixture
def receiver() -> Iterator[tuple[str, Requests]]:
    """Takes pushes on loopback, as a collector does; its URL and what came."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
        ExportMetricsServiceResponse,
    )

    came: Requests = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.put(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(ExportMetricsServiceResponse().SerializeToString())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/metrics", came
        server.shutdown()
        thread.join()


def watched() -> MetricsPage:
    node = Node()
    node.add("web", Program({1.0: 4 * MIB, 0.0: 12 * MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 4000)
    rotation.dropped["budget"] = 3
    return served(node, rotation, NodeFigures(0.25, {0.5: 2.0}, 1000))


def metrics_of(request: Any) -> dict[str, Any]:
    (resource,) = request.resource_metrics
    (scope,) = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


def test_a_receiver_gets_what_is_served(receiver: tuple[str, Requests]) -> None:
    url, came = receiver
    metrics = watched()
    told: list[str | None] = []
    pushing = Pushing(url, 3600, metrics.families, told.append)
    found = metrics_of(came.get(timeout=60))
    pushing.close()
    assert set(found) == {
        "udamon_service_info" if name == "udamon_service" else name for name in (*SERVICE, *NODE)
    }
    text = samples(metrics)
    for name, metric in found.items():
        assert metric.description == {**SERVICE, **NODE}[name.removesuffix("_info")]
        kind = metric.WhichOneof("data")
        if kind == "histogram":
            continue
        suffix = "_total" if kind == "sum" else ""
        for point in getattr(metric, kind).data_points:
            labels = {one.key: one.value.string_value for one in point.attributes}
            given = getattr(point, point.WhichOneof("value"))
            assert value(text, name + suffix, **labels) == pytest.approx(given)
    cold = found["udamon_service_cold_bytes"]
    assert cold.unit == UNITS["bytes"]
    assert {(one.key, one.value.string_value) for one in cold.gauge.data_points[0].attributes} >= {
        ("service", "web")
    }
    promoted = found["udamon_service_promoted_bytes"].sum
    assert promoted.is_monotonic
    assert promoted.aggregation_temporality == 2, "cumulative"
    assert told == [None, None], "at once, and at the end"


def test_buckets_are_those_of_the_text(receiver: tuple[str, Requests]) -> None:
    url, came = receiver
    metrics = watched()
    Pushing(url, 3600, metrics.families, lambda why: None).close()
    (point,) = metrics_of(came.get(timeout=60))["udamon_target_pause_seconds"].histogram.data_points
    text = samples(metrics)
    so_far = 0
    for bound, count in zip([*point.explicit_bounds, "+Inf"], point.bucket_counts, strict=True):
        so_far += count
        written = {label["le"]: number for (name, labels), number in text.items()
                   if name.endswith("_bucket") for label in [dict(labels)]}  # fmt: skip
        by_value = {float(le): number for le, number in written.items()}
        assert by_value[float(bound)] == so_far
    assert point.count == so_far == value(text, "udamon_target_pause_seconds_count")
    assert point.sum == value(text, "udamon_target_pause_seconds_sum")


def test_services_beyond_the_limit_are_left_out() -> None:
    node = Node()
    for number in range(9):
        node.add(f"s{number}", Program({1.0: MIB, 0.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0, max_series=100))
    node.run(rotation, 130)
    metrics = served(node, rotation)
    (resident,) = (one for one in metrics.families() if one.name == "udamon_service_resident_bytes")
    assert rotation.dropped["series"] > 0, "also where nothing but a collector takes them"
    told = {labels for name, labels in samples(metrics) if name == "udamon_service_resident_bytes"}
    assert 0 < len(resident.samples) < 9
    assert len(told) == len(resident.samples)


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "TIMEOUT_S", 1)  # it tries again until then
    told: Queue[str | None] = Queue()
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        url = f"http://127.0.0.1:{server.server_port}/v1/metrics"
    pushing = Pushing(url, 3600, watched().families, told.put)
    assert "takes no metrics" in str(told.get(timeout=120))
    pushing.close()


def test_pushing_goes_on_after_metrics_could_not_be_had(receiver: tuple[str, Requests]) -> None:
    """While no file can be opened nothing is pushed, which is told."""
    url, came = receiver
    metrics, told = watched(), Queue[str | None]()
    full = [True]

    def families() -> list[Any]:
        if full:
            full.clear()
            raise OutOfFiles("no more files.")
        return metrics.families()

    pushing = Pushing(url, 0.01, families, told.put)
    assert told.get(timeout=60) == "no metrics were pushed: no more files."
    assert told.get(timeout=60) is None
    assert came.get(timeout=60).resource_metrics
    pushing.close()


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ('otlp = "collector"', "is no URL"),
        ('otlp = "http://[::1"', "is no URL"),
        ('otlp = "https://collector:port/v1/metrics"', "is no URL"),
        ('otlp = "http://collector:4318/v1/metrics"', "takes https"),
        ('otlp_interval = "10ms"', "once a second"),
    ],
)
def test_settings_are_checked(written: str, why: str) -> None:
    with pytest.raises(UdamonError, match=why):
        parse_settings(written, "x.toml")


def test_settings() -> None:
    settings = parse_settings('otlp = "https://collector:4318/v1/metrics"\notlp_interval = "10s"', "x.toml")
    assert (settings.otlp, settings.otlp_interval) == ("https://collector:4318/v1/metrics", 10_000_000_000)
