"""The argument parsers of all commands, and what is derived from them: flags, pages, completion, defaults."""

from __future__ import annotations

import argparse
import difflib
import importlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from udamon import __version__, console
from udamon.errors import UsageError
from udamon.text import lines, ours

COMMANDS = {
    "doctor": "what this machine offers, what is missing, how to get it",
    "record": "watch a process and write down where it touches memory",
    "schemes": "say what schemes would do to a target's memory, or with --apply do it",
    "reclaim": "take memory out that was not accessed for long",
    "lru-sort": "sort hot memory to the head of the kernel's lists, cold memory to their tail",
    "stat": "for how long memory lies idle, and how much is accessed a second",
    "size": "how much memory a process or a recording needs, on one screen",
    "live": "watch, and show it meanwhile: a heatmap that scrolls, the hottest mappings",
    "report": "working set, heatmap and more from a recording",
    "check": "assert limits on a recording: working set, cold memory, rates of mappings",
    "convert": "turn recordings into damo's formats, Parquet or CSV, and back",
    "control": "serve DAMON's own files, for DAMON's own tools",
    "workload": "touch memory as a masim configuration says",
    "eval": "accuracy and cost of a region policy against a known truth",
}
"""Command names and their help; the module is `udamon.cli.NAME` (_ for -), imported only when it is asked for."""

_UNKNOWN = "unrecognized arguments: "
_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)")
"""What argparse says."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, as all of udamon does, where argparse prints the whole usage."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.flags: list[str] = []
        """The flags of the command that was asked for."""
        self.color = False  # Python 3.14 would colour help, by sequences that are not udamon.text's

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}{self._meant(message)}; see {self.prog} --help.")

    def _meant(self, message: str) -> str:
        """What may have been meant, in words that end the message."""
        if choice := _CHOICE.search(message):
            near = difflib.get_close_matches(choice[1], re.findall(r"[\w-]+", choice[2]), 1)
            return f": did you mean {near[0]}?" if near else ""
        if not message.startswith(_UNKNOWN):
            return ""
        word = message.removeprefix(_UNKNOWN).split()[0].partition("=")[0]
        if word.startswith("-"):
            near = difflib.get_close_matches(word, self.flags, 1)
            return f": did you mean {near[0]}?" if near else ""
        if "--pid" in self.flags:
            return f": give -p {word} for processes that are called so, or -- {word} to run it"
        return ""

    def _print_message(self, message: str, file: object = None) -> None:
        """Help and version: udamon's own words, with nothing but ASCII where there is nothing else."""
        if message:
            console.out(lines(ours(message).removesuffix("\n").split("\n")))


def parser(words: Sequence[str] = ()) -> Parser:
    """The parser of `udamon`, with the arguments of the command that `words` ask for and none of the others."""
    whole = Parser(prog="udamon", description="Which memory of a live Linux system is hot, warm or cold.")
    whole.add_argument("-V", "--version", action="version", version=f"udamon {__version__}")
    commands = whole.add_subparsers(metavar="COMMAND", required=True)
    asked = asked_for(words)
    for name, text in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == asked:
            _configure(sub, name)
            whole.flags = flags_of(sub)
    return whole


def asked_for(words: Sequence[str]) -> str | None:
    """The word of a command line that names the command; None without one."""
    return next((word for word in words if not word.startswith("-")), None)


def parser_of(command: str) -> Parser:
    """The parser of one command, as `udamon COMMAND --help` has it."""
    found = subcommands(parser([command]))[command]
    assert isinstance(found, Parser)
    return found


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers below one, by their names, aliases included; empty where there is none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def with_all_below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its subcommands, an alias not twice."""
    yield parser
    for one in dict.fromkeys(subcommands(parser).values()):
        yield from with_all_below(one)


def _configure(sub: argparse.ArgumentParser, name: str) -> None:
    module = importlib.import_module(f"udamon.cli.{name.replace('-', '_')}")
    module.configure(sub)
    sub.set_defaults(run=module.run)


def flags_of(parser: argparse.ArgumentParser) -> list[str]:
    """All long and short flags of a command, those of its own commands included."""
    found = [
        flag for one in with_all_below(parser) for action in one._actions for flag in action.option_strings
    ]
    return list(dict.fromkeys(found))
