"""The agent's figures as OpenMetrics text. What was not measured has no sample.

The samples of a service are made by prometheus-client when they changed, and kept as text: a node has many services, is
scraped often, and few of them change in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from udamon import extras
from udamon.agent.figures import Between
from udamon.agent.node import NodeFigures
from udamon.agent.rotation import Rotation
from udamon.agent.spending import BOUNDS_NS, Spending
from udamon.agent.watched import WatchedService, coverage
from udamon.core.idle_time import SECONDS
from udamon.text import escape

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
LONGEST_VALUE = 200
"""Characters of a label."""
AGES = tuple(map(str, SECONDS))

SERVICE = {
    "udamon_service": "The smallest unit of which accesses are known (page, process or group), and the primitive.",
    "udamon_service_resident_bytes": "Resident and watched, a shared page once: at least (proportional sizes).",
    "udamon_service_accessed_bytes": "Accessed in a window of so many seconds; at most.",
    "udamon_service_working_set_bytes": "Accessed within the age (seconds); at most.",
    "udamon_service_cold_bytes": "Resident and not accessed for at least the age (seconds); at least.",
    "udamon_service_promoted_bytes": "Accessed again after the age (seconds), seen once in a cycle of looks.",
    "udamon_service_safe_cold_age_seconds": "The smallest age (120 s at least) of which no more than 0.2 % of the "
    "working set a minute is accessed again, in 98 % of the windows of 24 h.",
    "udamon_service_offloadable_bytes": "Cold for the safe age; at least.",
    "udamon_service_needed_bytes": "Recommended limit and request, without swap, of 24 h; at most.",
    "udamon_service_bytes_bound": "Lower and upper bounds of figures that are not exact; cold at 120 s.",
    "udamon_service_coverage_ratio": "Share of resident bytes whose processes were looked at in the last window.",
    "udamon_service_measured_timestamp_seconds": "When the figures of an age (seconds) were measured last.",
}
"""Families of a service, with their help, in the order in which they are served."""
NODE = {
    "udamon_node_far_memory_coverage_ratio": "Share of cold bytes (120 s) of services that is swapped or compressed.",
    "udamon_node_idle_seconds": "For how long the bytes accessed last have been idle, by share of bytes (DAMON_STAT).",
    "udamon_target_pause_seconds": "How long clearing a process stopped its page faults.",
    "udamon_agent_cpu_seconds": "CPU time of the agent.",
    "udamon_agent_target_cost_seconds": "What targets lost by touching cleared pages again, an estimate.",
    "udamon_agent_resident_bytes": "Resident memory of the agent.",
    "udamon_agent_targets": "Services by state.",
    "udamon_agent_coverage_ratio": "Share of resident bytes of all services that was looked at in the last window.",
    "udamon_agent_dropped": "What was not looked at or not told, by reason.",
}


def require() -> None:
    """Raises MissingExtra."""
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise extras.missing("udamon agent", "agent") from None


class MetricsPage:
    """`wall_ns` is the time on the wall less that of the rotation's clock. Raises MissingExtra."""

    def __init__(
        self, rotation: Rotation, spent: Spending, node: Callable[[], NodeFigures], wall_ns: Callable[[], int]
    ) -> None:
        require()
        self._rotation = rotation
        self._spent = spent
        self._node = node
        self._wall_ns = wall_ns
        self._texts: dict[str, tuple[object, dict[str, bytes]]] = {}
        self._heads = {family: b"".join(_heads([_metric(family)])) for family in (*SERVICE, *NODE)}

    def text(self) -> bytes:
        """What is served."""
        with self._rotation.guard:
            found = self._services()
            samples = {family: list(parts) for family, parts in found.items()}
            for family, lines in _by_family(self._node_families()).items():
                samples.setdefault(family, []).append(lines)
        parts: list[bytes] = []
        for family in (*SERVICE, *NODE):
            if family in samples:
                parts += [self._heads[family], *samples[family]]
        return b"".join([*parts, b"# EOF\n"])

    def families(self) -> list[Metric]:
        """The same as prometheus-client's families, for other forms than text."""
        found: dict[str, Metric] = {}
        with self._rotation.guard:
            now_ns, wall_ns = self._rotation.now_ns(), self._wall_ns()
            room = self._rotation.settings.max_series
            for one, labels in self._distinct():
                some = list(_service_families(one, labels, now_ns, wall_ns))
                size = sum(len(family.samples) for family in some)
                if size > room:
                    self._rotation.dropped["series"] += size
                    continue
                room -= size
                for family in some:
                    found.setdefault(family.name, _metric(family.name)).samples += family.samples
            some = list(self._node_families())
        return [family for family in (*found.values(), *some) if family.samples]

    def _distinct(self) -> Iterator[tuple[WatchedService, dict[str, str]]]:
        """Services with their labels, the largest first. Two of one name would be one series."""
        services = sorted(self._rotation.present(), key=lambda one: -one.figures.resident.high)
        seen: set[tuple[tuple[str, str], ...]] = set()
        for one in services:
            labels = _labels(one.service.labels)
            if tuple(labels.items()) in seen:
                self._rotation.dropped["name"] += 1
                continue
            seen.add(tuple(labels.items()))
            yield one, labels

    def _services(self) -> dict[str, list[bytes]]:
        rotation = self._rotation
        texts, self._texts = self._texts, {}
        found: dict[str, list[bytes]] = {}
        room = rotation.settings.max_series
        now_ns = rotation.now_ns()
        for one, labels in self._distinct():
            known = texts.get(one.service.key)
            state = (id(one), one.version, one.given, one.fresh_bytes(now_ns))
            if known is None or known[0] != state:
                known = state, _by_family(_service_families(one, labels, now_ns, self._wall_ns()))
            size = sum(text.count(b"\n") for text in known[1].values())
            if size > room:
                rotation.dropped["series"] += size
                continue
            room -= size
            self._texts[one.service.key] = known
            for family, text in known[1].items():
                found.setdefault(family, []).append(text)
        return found

    def _node_families(self) -> Iterator[Metric]:
        node, rotation, spent = self._node(), self._rotation, self._spent
        if node.far_memory_coverage is not None:
            yield _metric("udamon_node_far_memory_coverage_ratio", [({}, node.far_memory_coverage)])
        if node.idle_seconds:
            idle = [({"quantile": f"{share:g}"}, value) for share, value in node.idle_seconds.items()]
            yield _metric("udamon_node_idle_seconds", idle)
        pauses = _metric("udamon_target_pause_seconds")
        so_far, buckets = 0, []
        for bound, count in zip((*BOUNDS_NS, None), spent.pauses, strict=True):
            so_far += count
            buckets.append(["+Inf" if bound is None else repr(bound / 1e9), so_far])
        pauses.add_metric([], buckets, spent.paused_ns / 1e9)  # type: ignore[attr-defined]
        yield pauses
        yield _metric("udamon_agent_cpu_seconds", [({}, spent.cpu_ns() / 1e9)])
        yield _metric("udamon_agent_target_cost_seconds", [({}, spent.lost_ns / 1e9)])
        yield _metric("udamon_agent_resident_bytes", [({}, node.own_resident)])
        yield _metric(
            "udamon_agent_targets",
            [({"state": state}, number) for state, number in sorted(rotation.states().items())],
        )
        if (coverage := rotation.coverage()) is not None:
            yield _metric("udamon_agent_coverage_ratio", [({}, coverage)])
        dropped = sorted(rotation.dropped.items())
        yield _metric("udamon_agent_dropped", [({"reason": reason}, number) for reason, number in dropped])


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Printable and short, whatever made them."""
    return {name: str(escape(value, plain=False))[:LONGEST_VALUE] for name, value in labels.items()}


def _service_families(
    one: WatchedService, labels: dict[str, str], now_ns: int, wall_ns: int
) -> Iterator[Metric]:
    figures = one.figures
    if not one.processes and one.looked_ns is None:
        return  # nobody has asked yet whether it has any

    def by_age(family: str, values: Mapping[int, float], name: str = "age") -> Metric:
        return _metric(family, [({**labels, name: AGES[at]}, values[at]) for at in sorted(values)])

    info = {**labels, "grain": one.way.grain, "via": one.way.via}
    yield _metric("udamon_service", [(info, 1)])
    if one.looked_ns is None:
        return
    measured = figures.measured
    seen = [(labels, figures.resident.low)] if figures.resident.low else []  # else it could not be looked at
    yield _metric("udamon_service_resident_bytes", seen)
    yield by_age(
        "udamon_service_accessed_bytes", {at: m.accessed.high for at, m in measured.items()}, "window"
    )
    bounds = {"resident": figures.resident}
    if (working_set := figures.working_set) is not None:
        yield _metric("udamon_service_working_set_bytes", [({**labels, "age": "120"}, working_set.high)])
        bounds["working_set"] = working_set
        bounds["cold"] = measured[SECONDS.index(120)].cold
    yield by_age("udamon_service_cold_bytes", {at: m.cold.low for at, m in measured.items()})
    yield by_age("udamon_service_promoted_bytes", figures.promoted)
    if (safe := figures.safe) is not None:
        yield _metric("udamon_service_safe_cold_age_seconds", [(labels, SECONDS[safe])])
        yield _metric("udamon_service_offloadable_bytes", [(labels, measured[safe].cold.low)])
        bounds["offloadable"] = measured[safe].cold
    needed = {"limit": figures.needs.limit, "request": figures.needs.request}
    yield _metric(
        "udamon_service_needed_bytes",
        [({**labels, "kind": kind}, value) for kind, value in needed.items() if value is not None],
    )
    yield _metric("udamon_service_bytes_bound", list(_bounds(labels, bounds)))
    if (share := coverage([one], now_ns)) is not None:  # else a recording has it
        yield _metric("udamon_service_coverage_ratio", [(labels, share)])
    yield by_age(
        "udamon_service_measured_timestamp_seconds",
        {at: round((m.at_ns + wall_ns) / 1e9, 3) for at, m in measured.items()},
    )


def _bounds(labels: dict[str, str], bounds: Mapping[str, Between]) -> Iterator[tuple[dict[str, str], float]]:
    for figure, (low, high) in bounds.items():
        yield {**labels, "figure": figure, "side": "low"}, low
        yield {**labels, "figure": figure, "side": "high"}, high


_COUNTERS = frozenset(
    f"udamon_{name}"
    for name in ("service_promoted_bytes", "agent_cpu_seconds", "agent_target_cost_seconds", "agent_dropped")
)


def _metric(family: str, samples: Iterable[tuple[dict[str, str], float]] = ()) -> Metric:
    """A family of prometheus-client, with its samples; the histogram without."""
    from prometheus_client import core

    help_text = SERVICE.get(family) or NODE[family]
    unit = next((unit for unit in ("bytes", "seconds", "ratio") if family.endswith(f"_{unit}")), "")
    if family == "udamon_target_pause_seconds":
        return core.HistogramMetricFamily(family, help_text, labels=(), unit=unit)
    kind = "info" if family == "udamon_service" else "counter" if family in _COUNTERS else "gauge"
    made = core.Metric(family, help_text, kind, unit)
    suffix = {"info": "_info", "counter": "_total", "gauge": ""}[kind]
    for labels, value in samples:
        made.add_sample(family + suffix, labels, value)
    return made


class _Registry:
    """What prometheus-client wants in place of a registry."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _generated(families: Iterable[Metric]) -> bytes:
    from prometheus_client.openmetrics.exposition import generate_latest

    registry: Any = _Registry(families)
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text.removesuffix(b"# EOF\n")


def _heads(families: Iterable[Metric]) -> list[bytes]:
    return [line for line in _generated(families).splitlines(keepends=True) if line.startswith(b"# ")]


def _by_family(families: Iterable[Metric]) -> dict[str, bytes]:
    """The lines of samples of each family that has any."""
    found: dict[str, bytes] = {}
    family = ""
    lines: list[bytes] = []
    for line in _generated(families).splitlines(keepends=True):
        if line.startswith((b"# TYPE ", b"# HELP ")):
            name = line.split(b" ", 3)[2].decode()
            if name != family:
                if lines:
                    found[family] = b"".join(lines)
                family, lines = name, []
        elif not line.startswith(b"# UNIT "):
            lines.append(line)
    if lines:
        found[family] = b"".join(lines)
    return found
