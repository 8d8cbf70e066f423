"""The command `udamon`: finds the subcommand's module, and turns errors into one sentence."""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from udamon import __version__, console
from udamon.errors import UdamonError, UsageError
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
    "fleet": "reports over many machines, from the tables that they write",
    "convert": "turn recordings into damo's formats, Parquet or CSV, and back",
    "control": "serve DAMON's own files, for DAMON's own tools",
    "workload": "touch memory as a masim configuration says",
    "eval": "accuracy and cost of a region policy against a known truth",
}
"""Command names and their help; the module is `udamon.cli.NAME` (_ for -), imported only when it is asked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0 done, 1 could not, 2 wrong usage."""
    console.begin()
    try:
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        finally:
            console.flush()  # what it says of a full disk is told here, not by the interpreter at its end
    except BrokenPipeError as error:
        # The reader of our output has what it wants (`| head`); the interpreter must not complain at its end.
        console.give_up()
        return console.answered() if console.failed_by(error) else 1
    except OSError as error:
        if not console.failed_by(error):
            raise
        console.give_up()
        why = "it is closed" if error.errno == errno.EBADF else error.strerror
        console.say(f"cannot write to standard output: {why}; redirect it to a place with room.")
        return 1
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    # What stands behind "--" is somebody else's command line: argparse must not touch it.
    own = words[: words.index("--")] if "--" in words else words
    if own[:1] == ["help"]:
        own = [*own[1:2], "--help"]
    try:
        if own[:1] == ["report"]:
            from udamon.cli.report import with_kind

            own = with_kind(own)
        args = _parser(own).parse_args(own)
        args.command = words[words.index("--") + 1 :] if "--" in words else None
        return int(args.run(args))
    except UdamonError as error:
        console.say(str(error))
        return error.status


_UNKNOWN = "unrecognized arguments: "
_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)")
"""What argparse says."""


class _Parser(argparse.ArgumentParser):
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


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="udamon", description="Which memory of a live Linux system is hot, warm or cold.")
    parser.add_argument("-V", "--version", action="version", version=f"udamon {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    asked = next((word for word in words if not word.startswith("-")), None)
    for name, text in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == asked:
            module = importlib.import_module(f"udamon.cli.{name.replace('-', '_')}")
            module.configure(sub)
            sub.set_defaults(run=module.run)
            parser.flags = flags_of(sub)
    return parser


def flags_of(parser: argparse.ArgumentParser) -> list[str]:
    """All long and short flags of a command, those of its own commands included."""
    found: list[str] = []
    for action in parser._actions:
        found += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                found += flags_of(sub)
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    sys.exit(main())
