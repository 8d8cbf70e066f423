"""The agent's metrics pushed by OpenTelemetry's protocol (OTLP over HTTP): the families that /metrics serves, with the
same names, units and definitions.

A family's name is the metric's name. OpenMetrics puts _total behind the name of a counter; receivers of OTLP that store
it for Prometheus do so, too.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from udamon import __version__, extras
from udamon.errors import UdamonError, UsageError

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData
    from prometheus_client.core import Metric

UNITS = {"bytes": "By", "seconds": "s", "ratio": "1", "": "1"}
"""Units as OpenMetrics and as OTLP write them."""
TIMEOUT_S = 10.0
_LARGEST = 10_000
"""Samples in a request."""


def require() -> None:
    """Raises MissingExtra."""
    try:
        import opentelemetry.exporter.otlp.proto.http
        import opentelemetry.sdk.metrics  # noqa: F401
    except ImportError:
        raise extras.missing("pushing metrics by OTLP", "otlp") from None


def check_endpoint(url: str) -> None:
    """Raises UsageError for what is no URL that metrics may be pushed to."""
    scheme, host = "", None
    with suppress(ValueError):  # half of an IPv6 address, or a port that is none
        found = urlsplit(url)
        if found.port != 0:
            scheme, host = found.scheme, found.hostname
    if scheme not in ("http", "https") or not host:
        raise UsageError(f"{url!r} is no URL; give one such as http://127.0.0.1:4318/v1/metrics.")
    if scheme == "http" and not _loopback(host):
        raise UsageError(
            f"{url} is on another machine, so it takes https; or push to a collector on 127.0.0.1."
        )


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Pushing:
    """Pushes on a thread of its own, so watching never waits for it: at once, every so many seconds, and at the end.

    `families` are asked for anew each time. `told` gets the reason when a push fails, and None when one succeeds.
    Headers and certificates come from the environment, as OpenTelemetry names them. Raises MissingExtra.
    """

    def __init__(
        self,
        endpoint: str,
        every_s: float,
        families: Callable[[], Iterable[Metric]],
        told: Callable[[str | None], None],
    ) -> None:
        require()
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        # What it has to say comes by `told`.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        self._exporter = OTLPMetricExporter(
            endpoint=endpoint, timeout=TIMEOUT_S, max_export_batch_size=_LARGEST
        )
        self._endpoint = endpoint
        self._every_s = every_s
        self._families = families
        self._told = told
        self._began_ns = time.time_ns()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Push once more, within TIMEOUT_S."""
        self._ended.set()
        self._thread.join(2 * TIMEOUT_S)
        self._exporter.shutdown()

    def _run(self) -> None:
        last = False
        while not last:
            last = self._ended.is_set()
            self._told(self._push())
            self._ended.wait(self._every_s)

    def _push(self) -> str | None:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        try:
            families = self._families()
        except UdamonError as error:  # no descriptors left: others will be there again
            return f"no metrics were pushed: {error}"
        data = converted(families, self._began_ns, time.time_ns())
        if self._exporter.export(data) is MetricExportResult.SUCCESS:
            return None
        return f"{self._endpoint} takes no metrics; see whether it is there and takes OTLP over HTTP."


def converted(families: Iterable[Metric], began_ns: int, now_ns: int) -> MetricsData:
    """Families of prometheus-client as the SDK's data; counters count since `began_ns` (wall-clock times)."""
    from opentelemetry.sdk.metrics import export
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    metrics = []
    for family in families:
        name, unit, data = _data(family, began_ns, now_ns)
        metrics.append(export.Metric(name, family.documentation, unit, data))
    scope = export.ScopeMetrics(InstrumentationScope("udamon", __version__), metrics, "")
    about = {
        "service.name": "udamon-agent",
        "service.version": __version__,
        "host.name": socket.gethostname(),
    }
    return export.MetricsData([export.ResourceMetrics(Resource(about), [scope], "")])


def _data(family: Metric, began_ns: int, now_ns: int) -> tuple[str, str, Any]:
    from opentelemetry.sdk.metrics import export

    unit = UNITS[family.unit]
    cumulative = export.AggregationTemporality.CUMULATIVE
    if family.type == "histogram":
        return family.name, unit, export.Histogram([_histogram(family, began_ns, now_ns)], cumulative)
    points = [_point(one.labels, one.value, began_ns, now_ns) for one in family.samples]
    if family.type == "counter":
        return family.name, unit, export.Sum(points, cumulative, True)
    name = f"{family.name}_info" if family.type == "info" else family.name
    return name, unit, export.Gauge(points)


def _point(labels: Mapping[str, str], value: float, began_ns: int, now_ns: int) -> Any:
    from opentelemetry.sdk.metrics.export import NumberDataPoint

    return NumberDataPoint(dict(labels), began_ns, now_ns, value)


def _histogram(family: Metric, began_ns: int, now_ns: int) -> Any:
    """Of a family with one series. OpenMetrics' buckets have all below them in, OTLP's have not."""
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    within: list[tuple[str, float]] = []
    total = 0.0
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            within.append((sample.labels["le"], sample.value))
        elif sample.name.endswith("_sum"):
            total = sample.value
    counts = [int(count) for _, count in within]
    own = [count - before for count, before in zip(counts, [0, *counts], strict=False)]
    bounds = [float(bound) for bound, _ in within if bound != "+Inf"]
    unknown = float("nan")  # which are left out
    return HistogramDataPoint({}, began_ns, now_ns, counts[-1], total, own, bounds, min=unknown, max=unknown)
