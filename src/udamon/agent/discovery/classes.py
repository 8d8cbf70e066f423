"""Classes of services: which way they are looked at, what that may cost, and which are left alone.

    [[class]]
    name = "system"
    match = {namespace = ["kube-system", "monitoring"]}
    via = "off"

    [[class]]
    name = "batch"
    match = {"udamon.dev/class" = "batch", kind = "kubernetes"}
    budget = "0.2%"

The first class whose `match` holds counts. A key of `match` is a label, an annotation, `kind`, or `cgroup` (the path of
the group below the root that is watched); its value a pattern as of a shell, or a list of which one must match. A
service that has no such label or annotation matches no pattern.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from udamon.agent.acting.settings import ReclaimSettings, read_reclaim
from udamon.agent.discovery.model import Service
from udamon.configuration.tree import ConfigValue, names
from udamon.core.idle_time import LABELS, SECONDS
from udamon.schemes.config.fields import flag, parsed
from udamon.units import parse_share, parse_time_ns

OFF = "off"
DEFAULT = "default"
"""The class of services that no other class matches."""

MOST_CLASSES = 100
MOST_PATTERN = 200
"""Characters of a pattern: as many as a label has (`udamon.agent.discovery.labels`)."""

Patterns = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServiceClass:
    """`via`: a way of looking (agent/ways/choice.py), or OFF. `budget`: share of one CPU that looking at all services
    of the class may take, None as much as there is. `max_pause_ns`: how long a look may stop a process.
    `longest_age_s`: the longest age for which untouched memory is reported, one of `core.idle_time.SECONDS`.
    `always_look`: also where no CPU time was used, for others act on its memory. `reclaim`: what `--act` may do."""

    name: str = DEFAULT
    match: Mapping[str, Patterns] = field(default_factory=dict)
    via: str = "auto"
    budget: float | None = None
    max_pause_ns: int = 10_000_000
    longest_age_s: int = SECONDS[-1]
    always_look: bool = False
    reclaim: ReclaimSettings | None = None

    def matches(self, service: Service) -> bool:
        return all(_matches(service, key, patterns) for key, patterns in self.match.items())


def class_of(service: Service, classes: Sequence[ServiceClass], default: ServiceClass) -> ServiceClass:
    """The first one that matches, else `default`."""
    return next((one for one in classes if one.matches(service)), default)


def read_classes(place: ConfigValue, ways: Sequence[str]) -> tuple[ServiceClass, ...]:
    """The list of classes at a place of a configuration; `ways`: of looking, that there are beside OFF.

    Raises ConfigError, which names the line and the key.
    """
    classes: list[ServiceClass] = []
    for one in place.items():
        found = read_class(one, ways)
        if any(other.name == found.name for other in classes):
            one.fail(f"there is a class {found.name!r} already; give each a name of its own.")
        if len(classes) == MOST_CLASSES:
            one.fail(f"there are more than {MOST_CLASSES} classes; use patterns.")
        classes.append(found)
    return tuple(classes)


def read_class(place: ConfigValue, ways: Sequence[str], default: ServiceClass | None = None) -> ServiceClass:
    """One class; with `default` the one that services of no other class are in, which has neither name nor match.

    Raises ConfigError.
    """
    base = default or ServiceClass()
    known = ("via", "budget", "max_pause", "longest_age", "always_look", "reclaim")
    keys = place.table(names(*known) if default else names("name", "match", *known))
    if default is None:
        for needed in ("name", "match"):
            if needed not in keys:
                place.fail(f"there is no {needed}, which every class has.")
    return ServiceClass(
        name=_name(keys["name"]) if "name" in keys else base.name,
        match=_match(keys["match"]) if "match" in keys else base.match,
        via=_way(keys["via"], ways) if "via" in keys else base.via,
        budget=_budget(keys["budget"]) if "budget" in keys else base.budget,
        max_pause_ns=_pause(keys["max_pause"]) if "max_pause" in keys else base.max_pause_ns,
        longest_age_s=_age(keys["longest_age"]) if "longest_age" in keys else base.longest_age_s,
        always_look=flag(keys["always_look"]) if "always_look" in keys else base.always_look,
        reclaim=read_reclaim(keys["reclaim"]) if "reclaim" in keys else base.reclaim,
    )


def _pause(place: ConfigValue) -> int:
    pause = parsed(place, parse_time_ns)
    if pause == 0:
        place.fail('this leaves no time to look; give at least 1us, or via = "off" to leave services alone.')
    return pause


def _matches(service: Service, key: str, patterns: Patterns) -> bool:
    if key == "kind":
        value: str | None = service.kind
    elif key == "cgroup":
        value = service.key
    else:
        value = service.labels.get(key, service.annotations.get(key))
    if value is None:
        return False
    return any(fnmatchcase(value, one) for one in ((patterns,) if isinstance(patterns, str) else patterns))


def _name(place: ConfigValue) -> str:
    name = place.text()
    if name == DEFAULT or len(name) > MOST_PATTERN or not name.isprintable():
        place.fail(f"{name[:48]!r} cannot be the name of a class; take another one.")
    return name


def _match(place: ConfigValue) -> dict[str, Patterns]:
    keys = place.table(
        names(*place.value) if isinstance(place.value, dict) else names("service", "namespace", "kind")
    )
    if not keys:
        place.fail("this matches every service; settings for all others stand in [default].")
    return {key: _patterns(value) for key, value in keys.items()}


def _patterns(place: ConfigValue) -> Patterns:
    if not isinstance(place.value, list):
        return _pattern(place)
    if not place.value:
        place.fail("there is no pattern in this list, so nothing matches; give one, or leave the key out.")
    return tuple(_pattern(one) for one in place.items())


def _pattern(place: ConfigValue) -> str:
    pattern = place.text()
    if len(pattern) > MOST_PATTERN:
        place.fail(f"this pattern is longer than {MOST_PATTERN} characters, and so than any label.")
    return pattern


def _way(place: ConfigValue, ways: Sequence[str]) -> str:
    way = place.text()
    if way not in (*ways, OFF):
        place.fail(f"{way[:48]!r} is no way of looking; take one of {', '.join((*ways, OFF))}.")
    return way


def _budget(place: ConfigValue) -> float:
    share = parsed(place, parse_share)
    if share == 0:
        place.fail('a budget of nothing looks at nothing; write via = "off" for that.')
    return share


def _age(place: ConfigValue) -> int:
    age = parsed(place, parse_time_ns)
    if age % 1_000_000_000 or age // 1_000_000_000 not in SECONDS:
        place.fail(f"{place.text()[:48]!r} is none of the ages that are told: {', '.join(LABELS)}.")
    return age // 1_000_000_000
