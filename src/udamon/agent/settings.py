"""What is decided for services before any is looked at: classes, budget, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from udamon.agent.discovery.model import Service
from udamon.core.idle_time import SECONDS

OFF = "off"
WAYS = ("refs", OFF)


@dataclass(frozen=True, slots=True)
class ServiceClass:
    """How services of one class are looked at. `match`: labels, annotations, `kind` or `cgroup` (its key) and patterns
    as of a shell, all of which must match; the first class that matches counts.

    `budget`: share of one CPU that looking at all of them may take, None as much as there is. `always_look`: also
    where no CPU time was used, for others act on its memory.
    """

    name: str = "default"
    match: Mapping[str, str] = field(default_factory=dict)
    via: str = "refs"
    budget: float | None = None
    max_pause_ns: int = 10_000_000
    longest_age_s: int = SECONDS[-1]
    always_look: bool = False

    def matches(self, service: Service) -> bool:
        known = {**service.annotations, **service.labels, "kind": service.kind, "cgroup": service.key}
        return all(fnmatchcase(known.get(name, ""), pattern) for name, pattern in self.match.items())


@dataclass(frozen=True, slots=True)
class Settings:
    """Of the whole agent. `cgroup`: only services below that path; `state`: a file that outlives a restart."""

    listen: str = "127.0.0.1:9470"
    certificate: str | None = None
    key: str | None = None
    cgroup: str | None = None
    budget: float = 0.01
    socket: str | None = None
    state: str | None = None
    max_series: int = 50_000
    classes: tuple[ServiceClass, ...] = ()
    default: ServiceClass = field(default_factory=ServiceClass)

    def class_of(self, service: Service) -> ServiceClass:
        return next((one for one in self.classes if one.matches(service)), self.default)
