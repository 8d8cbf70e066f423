"""Defaults of flags: from the environment, the user's configuration file and the machine's.

A file has keys for all commands that know the flag, and tables for one command or one report:

    max_pause = "20ms"
    [record]
    overhead = "2%"
    [report.heatmap]
    color = "never"

The keys are the parsers' own flags, with _ for -. A flag that is given counts before UDAMON_RECORD_OVERHEAD, that
before the user's file, and that before the machine's; within a file the narrower table counts. What says for one run
what to watch, to look at, to write or to do (PER_RUN) is no default.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

from udamon.cli import numbers
from udamon.cli.mistakes import nearest
from udamon.cli.parsers import COMMANDS, subcommands, whole, with_all_below
from udamon.configuration import files
from udamon.configuration.tree import ConfigValue
from udamon.errors import ConfigError, UsageError
from udamon.linux import consent

PER_RUN = frozenset(
    {
        *("pid", "children", "cgroup", "service", "container", "paddr", "sim", "user", "range", "ops"),
        *("time", "target", "address", "size", "rate", "age", "mapping", "include_warmup", "at"),
        *("output", "force", "html", "svg", "png", "pprof", "flame", "truth", "events", "debugfs", "to"),
        *("namespace", "workload", "host", "before", "after"),
        *("apply", "action", "all", "include", "config", "no_quota", "no_act", "keep_caps", "truth_only"),
        *("help", "version"),
    }
)
"""Flags without a default of the user's: what to watch, which part to look at, which files to write, what to do."""

INTERVALS = (("overhead",), ("sample", "aggr"), ("intervals_goal",), ("autotune_monitoring_intervals",))
"""Flags that exclude those of the other rows: a default gives way to one that counts before it."""

ENVIRONMENT = 1
"""The rank of variables; files come after them."""

_BOOLEANS = (argparse._StoreTrueAction, argparse.BooleanOptionalAction)


class Configured(str):
    """The value of a flag that was not given."""

    __slots__ = ()


class Default(NamedTuple):
    """The text of a default. `rank` is smaller for what counts first; `where` tells file and line, or the variable."""

    text: str
    rank: int
    where: Callable[[], str]

    def fail(self, key: str, message: str) -> NoReturn:
        """Raises ConfigError."""
        raise ConfigError(f"{self.where()}: {key}: {message}")


class _Applied(NamedTuple):
    dest: str
    value: object
    before: object
    default: Default
    flag: str


class Defaults:
    """What the environment and the files say; `files` are in the order in which they count."""

    def __init__(self, files: Sequence[ConfigValue], environment: Mapping[str, str] = os.environ) -> None:
        self.files = files
        self._environment = environment
        self._applied: list[_Applied] = []

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Defaults:
        """Raises ConfigError."""
        found = (files.of_user(environment), files.of_system())
        return cls([one for one in found if one is not None], environment)

    def apply(self, parser: argparse.ArgumentParser) -> None:
        """Make them the defaults of a command's parser, as `parser_of` makes it. Raises ConfigError."""
        command = _path(parser)[0]
        for file in self.files:
            _check_file(file, {command: parser})
        self.variables(parser)
        for one in with_all_below(parser):
            for key, action in keys(one).items():
                default = self._find(_path(one), key)
                if default is not None:
                    value = _value(action, key, default)
                    flag = action.option_strings[-1]
                    self._applied.append(_Applied(action.dest, value, action.default, default, flag))
                    action.default = value

    def settle(self, args: argparse.Namespace) -> None:
        """Take back the defaults that exclude what counts before them."""
        in_force = {one.dest: one for one in self._in_force(args)}
        ranks = {
            dest: in_force[dest].default.rank if dest in in_force else 0
            for row in INTERVALS
            for dest in row
            if getattr(args, dest, None) not in (None, False)
        }
        for row in INTERVALS:
            others = [rank for dest, rank in ranks.items() if dest not in row]
            for dest in row:
                if others and ranks.get(dest, 0) > min(others):
                    setattr(args, dest, in_force[dest].before)
        if getattr(args, "sim", None) and "via" in in_force:  # a simulation has its own
            args.via = in_force["via"].before

    def attributed_to(self, args: argparse.Namespace, error: UsageError) -> UsageError:
        """`error`; where a default from a file or the environment caused it, a ConfigError that names that place."""
        said = str(error)
        for one in () if isinstance(error, ConfigError) else self._in_force(args):
            if re.search(rf"{re.escape(one.flag)}(?![\w-])", said) or repr(one.default.text) in said:
                return ConfigError(f"{one.default.where()}: {said}")
        return error

    def check(self) -> dict[str, str]:
        """Everything, also what is about other commands; returns the environment's variables of them all.

        Raises ConfigError, and UsageError as `variables`.
        """
        parsers = subcommands(whole())
        for file in self.files:
            _check_file(file, parsers)
        found: dict[str, str] = {}
        for parser in parsers.values():
            found |= self.variables(parser)
            Defaults(self.files, self._environment).apply(parser)
        return found

    def variables(self, parser: argparse.ArgumentParser) -> dict[str, str]:
        """The environment's variables of one command. Raises UsageError for one that stands for no flag."""
        command = _path(parser)[0]
        known = {_variable(_path(one)[:1], key) for one in with_all_below(parser) for key in keys(one)}
        known |= {_variable(_path(one), key) for one in with_all_below(parser) for key in keys(one)}
        found = {
            name: text
            for name, text in self._environment.items()
            if name.startswith(_variable((command,), "")) and text
        }
        for name in sorted(found.keys() - known):
            near = nearest(name, known)
            meant = f"did you mean {near}?" if near else "see docs/environment.md."
            raise UsageError(f"the environment has {name}, which stands for no flag of {command}: {meant}")
        return found

    def _find(self, path: Sequence[str], key: str) -> Default | None:
        for depth in range(len(path), 0, -1):
            name = _variable(path[:depth], key)
            if text := self._environment.get(name):
                return Default(text, ENVIRONMENT, name.__str__)
        for rank, file in enumerate(self.files, start=ENVIRONMENT + 1):
            for depth in range(len(path), -1, -1):
                place = _place(file, (*path[:depth], key))
                if place is not None and not isinstance(place.value, dict):
                    return Default(place.text(), rank, partial(_where, place))
        return None

    def _in_force(self, args: argparse.Namespace) -> Iterator[_Applied]:
        """Those that no flag has taken the place of, of the command that `args` are of."""
        return (one for one in self._applied if getattr(args, one.dest, None) is one.value)


def keys(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The flags of one parser that may have a default, by their keys."""
    found = {}
    for action in parser._actions:
        long = [
            flag for flag in action.option_strings if flag.startswith("--") and not flag.startswith("--no-")
        ]
        # One that is suppressed is another name of a flag; what is collected cannot be taken back.
        usual = action.default is not argparse.SUPPRESS and not isinstance(action, argparse._AppendAction)
        if long and usual and (key := long[0].removeprefix("--").replace("-", "_")) not in PER_RUN:
            found[key] = action
    return found


def values(place: ConfigValue) -> dict[str, str]:
    """What a file says, by its keys with dots between them."""
    found: dict[str, str] = {}
    for _, below in _entries(place):
        found |= (
            values(below) if isinstance(below.value, dict) else {".".join(map(str, below.path)): below.text()}
        )
    return found


def _value(action: argparse.Action, key: str, default: Default) -> Any:
    text = default.text
    if isinstance(action, _BOOLEANS):
        if default.rank == ENVIRONMENT:
            text = {"1": "true", "0": "false"}.get(text, text)
        if text not in ("true", "false"):
            default.fail(key, f"{text[:48]!r} is neither true nor false.")
        return text == "true"
    if action.choices is not None and text not in action.choices:
        default.fail(key, f"{text[:48]!r} is none of {', '.join(map(str, action.choices))}.")
    if text == "pte" and not consent.standing():
        default.fail(
            key,
            "pte reads kernel memory, and a default is no consent to that: give --via pte, or set "
            f"{consent.KEY} = true in {files.SYSTEM}.",
        )
    if action.type in (numbers.whole, numbers.decimal):
        try:
            return action.type(text)
        except argparse.ArgumentTypeError as error:
            default.fail(key, f"{error}.")
    return Configured(text)


def _check_file(file: ConfigValue, parsers: Mapping[str, argparse.ArgumentParser]) -> None:
    """Raises ConfigError for a key that stands for nothing; of tables, those of `parsers` are looked at."""
    common = {key for parser in parsers.values() for one in with_all_below(parser) for key in keys(one)}
    for name, place in _entries(file):
        if isinstance(place.value, dict):
            if name.replace("_", "-") not in COMMANDS:
                _unknown(place, "command", COMMANDS)
            if (parser := parsers.get(name.replace("_", "-"))) is not None:
                _check_table(place, parser)
        elif name == consent.KEY:
            if place.name != str(files.SYSTEM):
                place.fail(f"only {files.SYSTEM} can allow that.")
            place.flag()
        elif name not in common and name not in _all_keys():
            _unknown(place, "flag of any command", _all_keys())


def _check_table(table: ConfigValue, parser: argparse.ArgumentParser) -> None:
    below = {_path(one)[-1].replace("-", "_"): one for one in subcommands(parser).values()}
    known = {key for one in with_all_below(parser) for key in keys(one)}
    for name, place in _entries(table):
        if isinstance(place.value, dict):
            if name not in below:
                _unknown(place, f"part of {parser.prog}", below)
            _check_table(place, below[name])
        elif name not in known:
            _unknown(place, f"flag of {parser.prog}", known)


def _unknown(place: ConfigValue, what: str, known: Iterable[str]) -> NoReturn:
    name = str(place.path[-1]).replace("-", "_")
    if name in PER_RUN:
        place.fail("this is said on the command line each time, and has no default.")
    near = nearest(name, [one.replace("-", "_") for one in known])
    place.fail(f"there is no such {what}{f': did you mean {near}?' if near else '; leave it out.'}")


def _entries(table: ConfigValue) -> Iterator[tuple[str, ConfigValue]]:
    """Keys of flags are the same with _ and with -. Raises ConfigError for both."""
    seen: dict[str, ConfigValue] = {}
    for name in table.value if isinstance(table.value, dict) else ():
        place = table.key(name)
        assert place is not None
        plain = name.replace("-", "_")
        if plain in seen:
            place.fail(f"this says again what {seen[plain].path[-1]} says; leave one of them out.")
        seen[plain] = place
        yield plain, place


def _all_keys() -> frozenset[str]:
    return frozenset(key for one in with_all_below(whole()) for key in keys(one))


def _where(place: ConfigValue) -> str:
    return f"{place.name}:{place.line}"


def _place(file: ConfigValue, path: Sequence[str]) -> ConfigValue | None:
    """What stands in a file under these keys, with _ or - in them."""
    place: ConfigValue | None = file
    for key in path:
        inside = place.value if place is not None and isinstance(place.value, dict) else {}
        name = next((one for one in inside if one.replace("-", "_") == key.replace("-", "_")), None)
        place = None if place is None or name is None else place.key(name)
    return place


def _path(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    """The words behind `udamon` of a command or of one of its own commands."""
    return tuple(parser.prog.split()[1:])


def _variable(path: Sequence[str], key: str) -> str:
    return "_".join(("udamon", *path, key)).replace("-", "_").upper()
