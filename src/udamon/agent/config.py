"""The agent's configuration file, in TOML; every key has a default, so it runs without one.

listen = "127.0.0.1:9470"
budget = "1%"

[[class]]
name = "databases"
match = { service = "postgres*" }
budget = "0.2%"
max_pause = "5ms"

[[class]]
name = "private"
match = { namespace = "vault" }
via = "off"
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from udamon.agent.settings import WAYS, ServiceClass, Settings
from udamon.errors import ConfigError, UsageError
from udamon.configuration.tree import ConfigValue, load, names, parse
from udamon.units import parse_duration_ns, parse_share

T = TypeVar("T")
MOST_CLASSES = 100
_BOUNDS_BUDGET = (0.0001, 1.0)


def read_settings(path: Path | None, **given: Any) -> Settings:
    """The settings in a file, and `given` by flags (None: not given) over them. Raises ConfigError, CannotError,
    UsageError."""
    if path is not None and path.suffix != ".toml":
        raise UsageError(f"{path} is no configuration of the agent, which is TOML; call it NAME.toml.")
    found = {} if path is None else _settings(load(path))
    found |= {name: value for name, value in given.items() if value is not None}
    settings = Settings(**found)
    _check_listen(settings)
    return settings


def parse_settings(text: str, name: str) -> Settings:
    """The settings in a text, which errors call `name`. Raises ConfigError, UsageError."""
    settings = Settings(**_settings(parse(text, name, toml=True)))
    _check_listen(settings)
    return settings


def address_of(listen: str) -> tuple[str, int]:
    """Host and port of ADDRESS:PORT, with [] around an address of version 6. Raises UsageError."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(
            f"--listen {listen} is no ADDRESS:PORT; give one such as 127.0.0.1:9470 or [::1]:9470."
        )
    try:
        return str(ipaddress.ip_address(host)), int(port)
    except ValueError:
        if host == "localhost":
            return "127.0.0.1", int(port)
        raise UsageError(
            f"--listen {listen} has a name; give an address such as 127.0.0.1, which cannot come to mean another one."
        ) from None


def _check_listen(settings: Settings) -> None:
    host, _ = address_of(settings.listen)
    if (settings.certificate is None) != (settings.key is None):
        raise UsageError("TLS takes both certificate and key; give the file of the other one, too.")
    if settings.certificate is None and not ipaddress.ip_address(host).is_loopback:
        raise UsageError(
            f"{settings.listen} can be reached from elsewhere, so it is served by TLS only; give the files "
            "certificate and key in the configuration, or listen on 127.0.0.1."
        )


def _settings(root: ConfigValue) -> dict[str, Any]:
    known = [field.name for field in fields(Settings) if field.name not in ("classes", "default")]
    table = root.table(names(*known, "default", **{"class": "classes"}))
    found: dict[str, Any] = {}
    for name, value in table.items():
        if name == "classes":
            found[name] = tuple(_class(each) for each in value.items())
            if len(found[name]) > MOST_CLASSES:
                value.fail(f"there are more than {MOST_CLASSES} classes; take some together.")
        elif name == "default":
            found[name] = _class(value, "default")
        elif name == "budget":
            found[name] = _share(value)
        elif name == "max_series":
            found[name] = _whole(value, 100, 10_000_000)
        else:
            found[name] = value.text()
    return found


def _class(value: ConfigValue, name: str | None = None) -> ServiceClass:
    table = value.table(names("name", "match", "via", "budget", "max_pause", "longest_age", "always_look"))
    found: dict[str, Any] = {"name": name or "class"}
    for key, each in table.items():
        if key in ("name", "match") and name is not None:
            each.fail("the default is for all others; write a [[class]] for some.")
        if key == "match":
            found[key] = _match(each)
        elif key == "via" and each.text() not in WAYS:
            each.fail(f"{each.text()} is no way of looking; known here: {', '.join(WAYS)}.")
        elif key == "budget":
            found[key] = _share(each)
        elif key == "max_pause":
            found["max_pause_ns"] = _read(each, parse_duration_ns)
        elif key == "longest_age":
            found["longest_age_s"] = _read(each, parse_duration_ns) // 1_000_000_000
        elif key == "always_look":
            if each.text() not in ("true", "false"):
                each.fail("this is true or false.")
            found[key] = each.text() == "true"
        else:
            found[key] = each.text()
    if name is None and "match" not in found:
        value.fail('a class says which services are in it; write match = { service = "PATTERN" }.')
    return ServiceClass(**found)


def _match(value: ConfigValue) -> dict[str, str]:
    if not isinstance(value.value, dict) or not value.value:
        value.fail('this is no table of labels or annotations and patterns, such as { service = "web*" }.')
    table = value.table(names(*value.value))
    return {name: each.text() for name, each in table.items()}


def _share(value: ConfigValue) -> float:
    share = _read(value, parse_share)
    low, high = _BOUNDS_BUDGET
    if not low <= share <= high:
        value.fail(f"a budget is a share of one CPU from {low:.2%} to {high:.0%}.")
    return share


def _whole(value: ConfigValue, low: int, high: int) -> int:
    text = value.text()
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        value.fail(f"this is no whole number from {low} to {high}.")
    return int(text)


def _read(value: ConfigValue, reader: Callable[[str], T]) -> T:
    try:
        return reader(value.text())
    except ConfigError:
        raise
    except UsageError as error:
        value.fail(str(error))
