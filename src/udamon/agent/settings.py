"""Settings that are fixed before any service is looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from udamon.agent.discovery.classes import ServiceClass, class_of
from udamon.agent.discovery.model import Service

AUTO = "auto"
PTE, IDLE, LRU_GEN, REFS = "pte", "idle", "lru_gen", "refs"
WAYS = (AUTO, PTE, IDLE, LRU_GEN, REFS)
"""Ways of looking that there are; AUTO is the best that can be had."""
AT_START = (
    "listen", "certificate", "key", "cgroup", "socket", "state", "spool", "machine", "otlp", "otlp_interval",
)  # fmt: skip
"""Settings that a running agent does not take over when they are read again."""
NO_MACHINE = "none"
"""In place of a machine's name: rows do not tell which it is."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Of the whole agent. `cgroup`: only services below that path; `state`: a file that outlives a restart; `spool`: a
    directory for tables of the fleet; `machine`: which machine of its name this is, in these tables (None: a digest of
    its machine-id, NO_MACHINE: unknown); `otlp`: the URL that metrics are pushed to, every `otlp_interval` ns."""

    listen: str = "127.0.0.1:9470"
    certificate: str | None = None
    key: str | None = None
    cgroup: str | None = None
    budget: float = 0.01
    socket: str | None = None
    state: str | None = None
    spool: str | None = None
    machine: str | None = None
    otlp: str | None = None
    otlp_interval: int = 60_000_000_000
    max_series: int = 50_000
    classes: tuple[ServiceClass, ...] = ()
    default: ServiceClass = field(default_factory=ServiceClass)

    def differing(self, other: Settings, names: Iterable[str]) -> list[str]:
        """Those of these settings that another one has differently."""
        return [name for name in names if getattr(self, name) != getattr(other, name)]

    def class_of(self, service: Service) -> ServiceClass:
        return class_of(service, self.classes, self.default)
