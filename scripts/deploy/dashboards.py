"""What the four dashboards show: panels with their queries. `grafana.py` makes Grafana's JSON of it.

NODE and SERVICE in a query select what the dashboard's variables say. A panel's text says what its figures mean, and
which way they may be wrong.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

NODE = 'instance=~"$instance"'
SERVICE = f'{NODE},service=~"$service",namespace=~"$namespace",pod=~"$pod"'
"""`.*`, which stands for all, selects series without such a label, too: on Kubernetes services have namespace and pod,
elsewhere a name."""

LABELS = "service, namespace, pod, container"
NAME = "{{service}}{{namespace}} {{pod}} {{container}}"

Unit = Literal["bytes", "Bps", "s", "percentunit", "short"]


class Query(NamedTuple):
    """PromQL, and how its series are called."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """`width` of 24. `kind`: lines over time, the last value, or a table of last values."""

    title: str
    unit: Unit
    text: str
    queries: tuple[Query, ...]
    kind: Literal["lines", "value", "table"] = "lines"
    width: int = 12
    stacked: bool = False


class Dashboard(NamedTuple):
    """`services`: whether one is chosen; a node always is."""

    uid: str
    title: str
    text: str
    panels: tuple[Panel, ...]
    services: bool = True


PAUSES = f"sum by (le) (rate(udamon_target_pause_seconds_bucket{{{NODE}}}[6h]))"
AT_LEAST = "At least: what cannot be told is not in it."
AT_MOST = "At most: pages of files and shared memory are marked by others, too."

NODES = Dashboard(
    "udamon-node",
    "udamon: node",
    "Memory of all services of a node: what is resident, what is accessed, and what is cold.",
    (
        Panel(
            "Coverage",
            "percentunit",
            "Share of resident bytes that was looked at in the last two minutes.",
            (Query(f"udamon_agent_coverage_ratio{{{NODE}}}", "{{instance}}"),),
            "value",
            6,
        ),
        Panel(
            "Resident",
            "bytes",
            f"Of services that are watched, a shared page once. {AT_LEAST}",
            (Query(f"sum by (instance) (udamon_service_resident_bytes{{{NODE}}})", "{{instance}}"),),
            "value",
            6,
        ),
        Panel(
            "Cold for 2 minutes",
            "bytes",
            AT_LEAST,
            (Query(f'sum by (instance) (udamon_service_cold_bytes{{{NODE},age="120"}})', "{{instance}}"),),
            "value",
            6,
        ),
        Panel(
            "Cold memory in swap or compressed",
            "percentunit",
            "Of the bytes that are cold for two minutes.",
            (Query(f"udamon_node_far_memory_coverage_ratio{{{NODE}}}", "{{instance}}"),),
            "value",
            6,
        ),
        Panel(
            "Resident and working set",
            "bytes",
            "The working set is what was accessed within two minutes, at most.",
            (
                Query(f"sum(udamon_service_resident_bytes{{{NODE}}})", "resident"),
                Query(f"sum(udamon_service_working_set_bytes{{{NODE}}})", "working set (2 m)"),
            ),
        ),
        Panel(
            "Cold by age",
            "bytes",
            f"Not accessed for at least so many seconds. {AT_LEAST}",
            (Query(f"sum by (age) (udamon_service_cold_bytes{{{NODE}}})", "{{age}} s"),),
        ),
        Panel(
            "Most cold memory",
            "bytes",
            f"Services with most memory that is cold for ten minutes. {AT_LEAST}",
            (Query(f'topk(15, sum by ({LABELS}) (udamon_service_cold_bytes{{{NODE},age="600"}}))', NAME),),
            "table",
        ),
        Panel(
            "Services by state",
            "short",
            "partial and waiting: not looked at in time; pause: looking would stop them for "
            "too long; refused: no permission.",
            (Query(f"sum by (state) (udamon_agent_targets{{{NODE}}})", "{{state}}"),),
            stacked=True,
        ),
        Panel(
            "Idle time of memory (DAMON_STAT)",
            "s",
            "Where in-kernel DAMON_STAT runs: how long bytes have been idle.",
            (Query(f"udamon_node_idle_seconds{{{NODE}}}", "{{instance}} {{quantile}}"),),
            width=24,
        ),
    ),
    services=False,
)

SERVICES = Dashboard(
    "udamon-service",
    "udamon: service",
    "One service: what it has, accesses, and needs.",
    (
        Panel(
            "Memory",
            "bytes",
            f"Resident and cold are lower bounds, the working set an upper one. {AT_MOST}",
            (
                Query(f"sum by ({LABELS}) (udamon_service_resident_bytes{{{SERVICE}}})", f"{NAME} resident"),
                Query(
                    f"sum by ({LABELS}) (udamon_service_working_set_bytes{{{SERVICE}}})",
                    f"{NAME} working set",
                ),
                Query(
                    f'sum by ({LABELS}) (udamon_service_cold_bytes{{{SERVICE},age="120"}})',
                    f"{NAME} cold 2 m",
                ),
            ),
        ),
        Panel(
            "Cold by age",
            "bytes",
            f"Not accessed for at least so many seconds. {AT_LEAST}",
            (Query(f"sum by (age) (udamon_service_cold_bytes{{{SERVICE}}})", "{{age}} s"),),
        ),
        Panel(
            "Accessed by window",
            "bytes",
            f"Accessed within so many seconds. {AT_MOST}",
            (Query(f"sum by (window) (udamon_service_accessed_bytes{{{SERVICE}}})", "{{window}} s"),),
        ),
        Panel(
            "Accessed again after an age",
            "Bps",
            "Seen once in a cycle of looks: a page that comes back twice in between counts once.",
            (
                Query(
                    f"sum by (age) (rate(udamon_service_promoted_bytes_total{{{SERVICE}}}[30m]))", "{{age}} s"
                ),
            ),
        ),
        Panel(
            "Needed",
            "bytes",
            "Recommended limit and request of 24 hours, without swap, at most.",
            (
                Query(
                    f"max by ({LABELS}, kind) (udamon_service_needed_bytes{{{SERVICE}}})", NAME + " {{kind}}"
                ),
                Query(f"sum by ({LABELS}) (udamon_service_resident_bytes{{{SERVICE}}})", f"{NAME} resident"),
            ),
        ),
        Panel(
            "Bounds",
            "bytes",
            "Between which the exact figure is.",
            (
                Query(
                    f"sum by (figure, side) (udamon_service_bytes_bound{{{SERVICE}}})", "{{figure}} {{side}}"
                ),
            ),
        ),
        Panel(
            "Safe age",
            "s",
            "The smallest age of which no more than 0.2 % of the working set a minute is accessed "
            "again; absent in the first hour.",
            (Query(f"udamon_service_safe_cold_age_seconds{{{SERVICE}}}", NAME),),
            "table",
        ),
        Panel(
            "Measured how long ago",
            "s",
            "Figures of long ages are measured rarely.",
            (
                Query(
                    f"time() - max by (age) (udamon_service_measured_timestamp_seconds{{{SERVICE}}})",
                    "{{age}} s",
                ),
            ),
        ),
        Panel(
            "How it is looked at",
            "short",
            "The finest that is told apart, and the way of looking.",
            (Query(f"udamon_service_info{{{SERVICE}}}", NAME + " {{grain}} {{via}}"),),
            "table",
        ),
        Panel(
            "Coverage",
            "percentunit",
            "Share of resident bytes that was looked at in the last two minutes.",
            (Query(f"min by ({LABELS}) (udamon_service_coverage_ratio{{{SERVICE}}})", NAME),),
        ),
    ),
)

SAVINGS = Dashboard(
    "udamon-savings",
    "udamon: cold memory and savings",
    "How much memory could be given back, from which services, and how often it would be wanted again.",
    (
        Panel(
            "Offloadable",
            "bytes",
            f"Cold for the safe age of each service. {AT_LEAST}",
            (Query(f"sum(udamon_service_offloadable_bytes{{{SERVICE}}})", "offloadable"),),
            "value",
            8,
        ),
        Panel(
            "Offloadable of resident",
            "percentunit",
            AT_LEAST,
            (
                Query(
                    f"sum(udamon_service_offloadable_bytes{{{SERVICE}}})"
                    f" / sum(udamon_service_resident_bytes{{{SERVICE}}})",
                    "share",
                ),
            ),
            "value",
            8,
        ),
        Panel(
            "Resident above what is needed",
            "bytes",
            "Resident less the recommended limit, of services that have more.",
            (
                Query(
                    f"sum(clamp_min(udamon_service_resident_bytes{{{SERVICE}}} - ignoring(kind) "
                    f'udamon_service_needed_bytes{{{SERVICE},kind="limit"}}, 0))',
                    "above the limit",
                ),
            ),
            "value",
            8,
        ),
        Panel(
            "Cold share by age",
            "percentunit",
            f"Of resident bytes. {AT_LEAST}",
            (
                Query(
                    f"sum by (age) (udamon_service_cold_bytes{{{SERVICE}}}) / ignoring(age) group_left "
                    f"sum(udamon_service_resident_bytes{{{SERVICE}}})",
                    "{{age}} s",
                ),
            ),
        ),
        Panel(
            "Accessed again, of the working set a minute",
            "percentunit",
            "What memory that is taken back at an age would cost; the safe age keeps this below 0.2 %.",
            (
                Query(
                    f"60 * sum by (age) (rate(udamon_service_promoted_bytes_total{{{SERVICE}}}[30m])) / ignoring(age) "
                    f"group_left sum(udamon_service_working_set_bytes{{{SERVICE}}})",
                    "{{age}} s",
                ),
            ),
        ),
        Panel(
            "Most to give back",
            "bytes",
            f"Offloadable bytes by service. {AT_LEAST}",
            (Query(f"topk(15, sum by ({LABELS}) (udamon_service_offloadable_bytes{{{SERVICE}}}))", NAME),),
            "table",
        ),
        Panel(
            "Memory that grows",
            "bytes",
            "By how much the low of resident bytes of the last hour is "
            "above that of two hours before. The alert UdamonColdMemoryGrows goes by it.",
            (Query(f"topk(10, udamon:service_resident_bytes:growth2h{{{SERVICE}}} > 0)", NAME),),
        ),
        Panel(
            "Cold for 10 minutes by service",
            "bytes",
            f"The ten largest. {AT_LEAST}",
            (Query(f'topk(10, sum by ({LABELS}) (udamon_service_cold_bytes{{{SERVICE},age="600"}}))', NAME),),
            width=24,
            stacked=True,
        ),
    ),
)

COST = Dashboard(
    "udamon-agent",
    "udamon: the agent's own cost",
    "What watching costs, and what it left out.",
    (
        Panel(
            "CPU, of one CPU",
            "percentunit",
            "Of the agent, scrapes included, and what targets lost by touching "
            "cleared pages again (an estimate).",
            (
                Query(f"rate(udamon_agent_cpu_seconds_total{{{NODE}}}[5m])", "{{instance}} agent"),
                Query(f"rate(udamon_agent_target_cost_seconds_total{{{NODE}}}[5m])", "{{instance}} targets"),
            ),
        ),
        Panel(
            "Resident memory of the agent",
            "bytes",
            "",
            (Query(f"udamon_agent_resident_bytes{{{NODE}}}", "{{instance}}"),),
        ),
        Panel(
            "Pauses of targets",
            "s",
            "How long clearing stopped a process, in six hours: half and 99 % of them were shorter.",
            (
                Query(f"histogram_quantile(0.5, {PAUSES})", "median"),
                Query(f"histogram_quantile(0.99, {PAUSES})", "99 %"),
            ),
        ),
        Panel(
            "Left out",
            "short",
            "In ten minutes, by reason.",
            (Query(f"sum by (reason) (increase(udamon_agent_dropped_total{{{NODE}}}[10m]))", "{{reason}}"),),
        ),
        Panel(
            "Services by state",
            "short",
            "",
            (Query(f"sum by (instance, state) (udamon_agent_targets{{{NODE}}})", "{{instance}} {{state}}"),),
            stacked=True,
        ),
        Panel(
            "Coverage",
            "percentunit",
            "Share of resident bytes that was looked at in the last two minutes.",
            (Query(f"udamon_agent_coverage_ratio{{{NODE}}}", "{{instance}}"),),
        ),
        Panel(
            "Scrape",
            "s",
            "How long a scrape took.",
            (
                Query(
                    f"scrape_duration_seconds{{{NODE}}} and on (instance) udamon_agent_resident_bytes",
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            "Series",
            "short",
            "Samples in a scrape.",
            (
                Query(
                    f"scrape_samples_scraped{{{NODE}}} and on (instance) udamon_agent_resident_bytes",
                    "{{instance}}",
                ),
            ),
        ),
    ),
    services=False,
)

ALL = (NODES, SERVICES, SAVINGS, COST)
