"""One scheme by flags, in the words of the configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from udamon.configuration.tree import ConfigValue, Tree
from udamon.core.scheme import Action
from udamon.core.scheme_fields import MIGRATIONS
from udamon.errors import ConfigError, UsageError
from udamon.schemes.config.pattern import WantedScheme
from udamon.schemes.config.reading import read_schemes


class Flag(NamedTuple):
    """Where in a configuration the value of a flag stands."""

    path: tuple[str, ...]
    metavar: str
    help: str


_RATE, _AGE, _SIZE = ("10%% of the samples, or a number", "5s, or a number of aggregations", "4KiB")

FLAGS = {
    "min-size": Flag(("access_pattern", "sz", "min"), "SIZE", "regions of at least this size"),
    "max-size": Flag(("access_pattern", "sz", "max"), "SIZE", "regions of at most this size"),
    "min-accesses": Flag(
        ("access_pattern", "nr_accesses", "min"), "RATE", f"accessed at least so often: {_RATE}"
    ),
    "max-accesses": Flag(("access_pattern", "nr_accesses", "max"), "RATE", "accessed at most so often"),
    "min-age": Flag(("access_pattern", "age", "min"), "AGE", f"like this for at least so long: {_AGE}"),
    "max-age": Flag(("access_pattern", "age", "max"), "AGE", "like this for at most so long"),
    "apply-interval": Flag(("apply_interval",), "TIME", "how often to look (default: each aggregation)"),
    "quota-ms": Flag(("quotas", "ms"), "TIME", "time to spend in each reset interval"),
    "quota-bytes": Flag(("quotas", "bytes"), "SIZE", "bytes to act on in each reset interval"),
    "quota-reset-interval-ms": Flag(
        ("quotas", "reset_interval_ms"), "TIME", "the interval of quotas (default 1s)"
    ),
    "target-nid": Flag(("target_nid",), "NODE", "with migrate_hot and migrate_cold: where to"),
}
PATTERN = [name for name, flag in FLAGS.items() if flag.path[0] == "access_pattern"]
"""The flags that say which memory."""
QUOTA = [name for name, flag in FLAGS.items() if flag.path[0] == "quotas"]
RESET = "quota-reset-interval-ms"
"""The one of QUOTA that limits nothing itself."""


def scheme_of(action: Action, texts: Mapping[str, str]) -> WantedScheme:
    """The scheme that `action` and the texts of flags describe. Raises UsageError, naming the flag."""
    root: dict[str, Tree] = {"action": str(action), "access_pattern": {}}
    for name, text in texts.items():
        _put(root, FLAGS[name].path, text)
    quotas = root.get("quotas")
    if isinstance(quotas, dict) and ("ms" in quotas or "bytes" in quotas):
        quotas.setdefault("reset_interval_ms", "1s")
    if action in MIGRATIONS and "target-nid" not in texts:
        raise UsageError(f"{action} needs a node to migrate to: give --target-nid.")
    try:
        (scheme,) = read_schemes(ConfigValue("flags", [root], lambda path: 1))
    except ConfigError as error:
        raise UsageError(_as_flag(str(error))) from error
    return scheme


def _put(table: dict[str, Tree], path: tuple[str, ...], text: str) -> None:
    for key in path[:-1]:
        inner = table.setdefault(key, {})
        assert isinstance(inner, dict)
        table = inner
    table[path[-1]] = text


def _as_flag(message: str) -> str:
    """The sentence without file and line, and with the flag for the path of keys."""
    where, _, why = message.removeprefix("flags:1: [0]").removeprefix(".").partition(": ")
    found = [f"--{name}" for name, flag in FLAGS.items() if where == ".".join(flag.path)]
    if where and not found:  # both ends of a bound
        found = [f"--{name}" for name, flag in FLAGS.items() if ".".join(flag.path).startswith(f"{where}.")]
    return f"{', '.join(found) or where}: {why}" if where else why
