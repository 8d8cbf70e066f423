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
from dataclasses import fields
from pathlib import Path
from typing import Any

from udamon.agent.discovery.classes import ServiceClass, read_class, read_classes
from udamon.agent.otlp import check_endpoint
from udamon.agent.settings import WAYS, Settings
from udamon.configuration.tree import ConfigValue, load, names, parse
from udamon.errors import UsageError
from udamon.schemes.config.fields import parsed
from udamon.units import parse_share, parse_time_ns, whole_number

_BOUNDS_BUDGET = (0.0001, 1.0)
_LONGEST_MACHINE = 64
_SHORTEST_PUSH_NS = 1_000_000_000


def read_settings(path: Path | None, **given: Any) -> Settings:
    """The settings in a file, and `given` by flags (None: not given) over them. Raises ConfigError, CannotError,
    UsageError."""
    if path is not None and path.suffix != ".toml":
        raise UsageError(f"{path} is no configuration of the agent, which is TOML; call it NAME.toml.")
    if path is not None and _is_pipe(path):  # whose reader waits, at SIGHUP for ever
        raise UsageError(f"{path} is a pipe, which cannot be read again; give a file.")
    found = {} if path is None else _settings(load(path), listening=given.get("listen") is None)
    found |= {name: value for name, value in given.items() if value is not None}
    return _checked(Settings(**found))


def _is_pipe(path: Path) -> bool:
    try:
        return path.is_fifo()
    except OSError:
        return False  # reading it fails next, with the reason


def parse_settings(text: str, name: str) -> Settings:
    """The settings in a text, which errors call `name`. Raises ConfigError, UsageError."""
    return _checked(Settings(**_settings(parse(text, name, toml=True), listening=True)))


def address_of(listen: str) -> tuple[str, int]:
    """Host and port of ADDRESS:PORT, with [] around an address of version 6. Raises UsageError."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    number = whole_number(port)
    if not host or number is None or not 0 <= number <= 65535:
        raise UsageError(f"{listen!r} is no ADDRESS:PORT; give one such as 127.0.0.1:9470 or [::1]:9470.")
    try:
        return str(ipaddress.ip_address(host)), number
    except ValueError:
        if host == "localhost":
            return "127.0.0.1", int(port)
        raise UsageError(
            f"{listen!r} has a name; give an address such as 127.0.0.1, which cannot come to mean another one."
        ) from None


def _checked(settings: Settings) -> Settings:
    if settings.certificate is None and (reason := _open_to_others(settings.listen)):
        raise UsageError(reason)
    return settings


def _open_to_others(listen: str) -> str | None:
    """Why this address takes TLS; None where it is on loopback. Raises UsageError."""
    host, _ = address_of(listen)
    if ipaddress.ip_address(host).is_loopback:
        return None
    return (
        f"{listen} can be reached from elsewhere, so it is served by TLS only; give the files certificate and key in "
        "the configuration, or listen on 127.0.0.1."
    )


def _settings(root: ConfigValue, *, listening: bool) -> dict[str, Any]:
    """`listening`: at the address that the file names, if it names one, and not at one that a flag gives."""
    known = [field.name for field in fields(Settings) if field.name not in ("classes", "default")]
    table = root.table(names(*known, "default", **{"class": "classes"}))
    found: dict[str, Any] = {}
    tls = [table[name] for name in ("certificate", "key") if name in table]
    if len(tls) == 1:
        tls[0].fail("TLS takes both certificate and key; give the file of the other one, too.")
    for name, value in table.items():
        if name == "classes":
            found[name] = read_classes(value, WAYS)
        elif name == "default":
            found[name] = read_class(value, WAYS, ServiceClass())
        elif name == "budget":
            found[name] = _share(value)
        elif name == "otlp_interval":
            found[name] = _interval(value)
        elif name == "listen":
            parsed(value, address_of)
            found[name] = value.text()
            if listening and not tls and (reason := _open_to_others(found[name])):
                value.fail(reason)
        elif name == "otlp":
            parsed(value, check_endpoint)
            found[name] = value.text()
        elif name == "machine":
            found[name] = _machine(value)
        elif name == "max_series":
            found[name] = _whole(value, 100, 10_000_000)
        else:
            found[name] = value.text()
    return found


def _share(value: ConfigValue) -> float:
    share = parsed(value, parse_share)
    low, high = _BOUNDS_BUDGET
    if not low <= share <= high:
        value.fail(f"a budget is a share of one CPU from {low:.2%} to {high:.0%}.")
    return share


def _machine(value: ConfigValue) -> str:
    text = value.text()
    if len(text) > _LONGEST_MACHINE or not text.isprintable():
        value.fail(f"a machine's name is at most {_LONGEST_MACHINE} characters that can be printed.")
    return text


def _interval(value: ConfigValue) -> int:
    interval = parsed(value, parse_time_ns)
    if interval < _SHORTEST_PUSH_NS:
        value.fail("metrics are pushed once a second at most.")
    return interval


def _whole(value: ConfigValue, low: int, high: int) -> int:
    number = whole_number(value.text())
    if number is None or not low <= number <= high:
        value.fail(f"this is no whole number from {low} to {high}.")
    return number
