"""The environment of the person who runs the tests changes nothing in them.

Commands and libraries read variables (docs/environment.md); tests that mean one set it themselves. Programs inherit
which signals are ignored, too.
"""

from __future__ import annotations

import signal
from collections.abc import MutableMapping

OF_TESTS = ("UDAMON_TEST_", "UDAMON_GUEST", "UDAMON_REQUIRE")
_NAMES = {
    "COLORTERM",
    "COLUMNS",  # pytest-xdist sets it, too
    "DEBUGINFOD_URLS",
    "FORCE_COLOR",
    "LANGUAGE",
    "LINES",
    "NO_COLOR",
}
_PREFIXES = ("AWS_", "AZURE_", "GIT_", "LC_", "OTEL_", "PYICEBERG_", "UDAMON_")
SWITCHES = ("UDAMON_TEST_LONG", "UDAMON_TEST_INSTALLED")
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
_LOOPBACK = "localhost,127.0.0.1,::1"


def is_on(value: str) -> bool:
    """Whether a switch is, by the value of its variable."""
    return value.lower() not in ("", "0", "no", "false", "off")


def clear(environment: MutableMapping[str, str]) -> None:
    """Remove every variable that udamon or one of its libraries reads but those of the tests (OF_TESTS): defaults of
    flags, consent to read kernel memory, colours, stores; those by which git takes another repository, which it sets in
    hooks and in `rebase --exec`: tests would commit to that; and take UTF-8, and no proxy to this machine."""
    for name in list(environment):
        if (name in _NAMES or name.startswith(_PREFIXES)) and not name.startswith(OF_TESTS):
            del environment[name]
    for name in SWITCHES:
        if not is_on(environment.get(name, "")):
            environment.pop(name, None)
    environment["LANG"] = "C.UTF-8"
    environment["UDAMON_CONFIG"] = ""
    for name in ("no_proxy", "NO_PROXY"):
        before = environment.get(name)
        if _LOOPBACK not in (before or ""):
            environment[name] = f"{before},{_LOOPBACK}" if before else _LOOPBACK


def take_signals() -> None:
    """No signal that ends a program is ignored any more: a shell starts what runs in its background so that Ctrl-C does
    not reach it, nohup(1) likewise for the end of a terminal, and each program that a test starts would inherit it."""
    for number in _SIGNALS:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
