"""The argument parsers of all commands, and what is derived from them: flags, pages, completion, defaults."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from udamon import built, console
from udamon.cli.examples import EXAMPLES, epilog
from udamon.cli.mistakes import nearest, short_flag, unknown_words
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
    "fleet": "reports over many machines, from the tables that they write",
    "agent": "watch all services of this node within a budget, and serve metrics of what is cold",
    "control": "serve DAMON's own files, for DAMON's own tools",
    "completion": "print what completes udamon's words in a shell",
    "workload": "touch memory as a masim configuration says",
    "eval": "accuracy and cost of a region policy against a known truth",
}
"""Command names and their help; the module is `udamon.cli.NAME` (_ for -), imported only when it is asked for."""

_UNKNOWN = "unrecognized arguments: "
_MISSING = "the following arguments are required: "
_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)")
"""What argparse says."""

_FEW = 2
"""Commands that are named as those that have a flag."""


_MAY_BE_EMPTY = ("namespace", "workload", "before", "after")
"""Names that are empty in tables, too."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, as all of udamon does, where argparse prints the whole usage."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.flags: list[str] = []
        """The flags of the command that was asked for."""
        self.asked: str | None = None
        """That command: words that it does not know are found by the whole parser."""
        self.groups: Mapping[str, Sequence[str]] = {}
        """How --help lists the commands."""
        self.color = False  # Python 3.14 would colour help, by sequences that are not udamon.text's

    def error(self, message: str) -> NoReturn:
        meant = self._meant(message)
        if meant and _CHOICE.search(message):  # a list of all choices would not help then
            message = message.partition(" (choose from")[0]
        where = self.asked if self.asked and message.startswith(_UNKNOWN) else self.prog
        raise UsageError(f"{message}{meant or self._example(message)}; see {where} --help.")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Of `--flag=--` argparse makes a list of nothing. An empty value is mostly a variable that is not set, and
        many commands would take it for a flag that is not given: all control groups where one was meant."""
        if "" in arg_strings and action.nargs in (None, "?", "+") and action.dest not in _MAY_BE_EMPTY:
            raise argparse.ArgumentError(
                action, "its value is empty (a variable that is not set, or a command that found nothing?)"
            )
        if action.option_strings and arg_strings == ["--"]:
            raise argparse.ArgumentError(action, "'--' is no value")
        return super()._get_values(action, arg_strings)

    def _example(self, message: str) -> str:
        """Where something is missing, a command line that has it, in words that end the message."""
        found = EXAMPLES.get(self.prog.partition(" ")[2])
        return f", for example: {found[0][0]}" if found and message.startswith(_MISSING) else ""

    def _meant(self, message: str) -> str:
        """What may have been meant, in words that end the message."""
        if choice := _CHOICE.search(message):
            near = nearest(choice[1], re.findall(r"[\w-]+", choice[2]))
            return f": did you mean {near}?" if near else ""
        if not message.startswith(_UNKNOWN):
            return ""
        words = message.removeprefix(_UNKNOWN).split()
        word = words[0].partition("=")[0]
        if word.startswith("-"):
            if below := [one.prog for one in with_all_below(self) if word in one._option_string_actions]:
                some = (
                    " or ".join(below) if len(below) <= _FEW else f"the command that has it, as in {below[0]}"
                )
                return f": {word} stands behind {some}"
            if owners := _owners(word):
                return f": {word} goes with udamon {' or '.join(owners)}"
            near = short_flag(word, self.flags) or nearest(word, self.flags)
            return f": did you mean {near}?" if near else ""
        return unknown_words(words) if "--pid" in self.flags else ""

    def format_help(self) -> str:
        if not self.groups:
            return super().format_help()
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        listed = {action.dest: action for one in self._actions for action in _listed(one)}
        for title, names in self.groups.items():
            formatter.start_section(title)
            formatter.add_arguments([listed[name] for name in names])
            formatter.end_section()
        formatter.start_section("options")
        formatter.add_arguments([action for action in self._actions if action.option_strings])
        formatter.end_section()
        formatter.add_text(f"udamon COMMAND --help explains a command.\n\n{self.epilog}")
        return formatter.format_help()

    def _print_message(self, message: str, file: object = None) -> None:
        """Help and version: udamon's own words, with nothing but ASCII where there is nothing else."""
        if message:
            console.out(lines(ours(message).removesuffix("\n").split("\n")))


def _owners(flag: str) -> list[str]:
    """Commands that have the flag, if they are few. Only errors need it: it makes all parsers."""
    found = [name for name in COMMANDS if flag in flags_of(parser_of(name))]
    return found if len(found) <= _FEW else []


class _Version(argparse.Action):
    """Finds out only when it is asked: in a checkout git is."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        console.out(built.description())
        parser.exit()


def _listed(action: argparse.Action) -> list[argparse.Action]:
    """The commands below a parser as lines of its help, by their names (`dest`)."""
    return list(action._choices_actions) if isinstance(action, argparse._SubParsersAction) else []


GROUPS = {
    "watch": ("record", "size", "live", "stat", "agent"),
    "look at recordings": ("report", "check", "convert"),
    "many machines": ("fleet",),
    "act on memory": ("reclaim", "lru-sort", "schemes"),
    "this machine, and other tools": ("doctor", "control", "completion"),
    "try out and judge": ("workload", "eval"),
}
"""How --help lists them."""

LONG_USAGE = 6
"""Flags above which a usage line has [options] in their place."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal (COLUMNS), the examples as they are written."""

    def __init__(self, prog: str, **more: Any) -> None:
        super().__init__(prog, max_help_position=26, **more)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


def parser(words: Sequence[str] = ()) -> Parser:
    """The parser of `udamon`, with the arguments of the command that `words` ask for and none of the others."""
    asked = asked_for(words)
    return _with(() if asked is None else (asked,))


def whole() -> Parser:
    """The parser of `udamon` with the arguments of all commands."""
    return _with(COMMANDS)


def _with(configured: Collection[str]) -> Parser:
    found = Parser(prog="udamon", description="Which memory of a live Linux system is hot, warm or cold.")
    found.add_argument(
        "-V", "--version", action=_Version, nargs=0, help="version, commit and package; then end"
    )
    commands = found.add_subparsers(metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name in configured:
            _configure(sub, name)
            found.flags, found.asked = flags_of(sub), sub.prog
    _complete_help(found)
    found.groups = GROUPS
    return found


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
    for one in with_all_below(sub):
        if subcommands(one):
            one.set_defaults(plain=False)  # where a command of its own may be left out
        else:
            one.add_argument(
                "--plain",
                action="store_true",
                help="for screen readers: no pictures, bars, colours or lines that are written again",
            )
        _complete_help(one)


def _complete_help(one: argparse.ArgumentParser) -> None:
    """Add examples, and a readable usage line."""
    words = one.prog.partition(" ")[2]
    if one.description and not one.description.endswith("."):  # the help of its line, as a sentence
        one.description = f"{one.description[0].upper()}{one.description[1:]}."
    one.formatter_class = _Formatter
    one.epilog = epilog(words)  # argparse takes % in it as it is
    options = [action for action in one._actions if action.option_strings]
    if one.usage is None and len(options) > LONG_USAGE:
        places = [_place(action) for action in one._actions if not action.option_strings]
        places += ["[-- COMMAND ...]"] if any("--pid" in action.option_strings for action in options) else []
        one.usage = " ".join(["%(prog)s [options]", *places])


def _place(action: argparse.Action) -> str:
    """A positional argument in a usage line, or the commands of one."""
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    return name if action.required and action.nargs != "?" else f"[{name}]"


def flags_of(parser: argparse.ArgumentParser) -> list[str]:
    """All long and short flags of a command, those of its own commands included."""
    found = [
        flag for one in with_all_below(parser) for action in one._actions for flag in action.option_strings
    ]
    return list(dict.fromkeys(found))
