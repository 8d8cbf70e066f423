"""The page of flags (PAGE): every command with its flags, from the argument parsers themselves.

python -m scripts.reference     write it (make docs does so, too)
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator

from scripts.stages import ROOT
from udamon.cli.main import COMMANDS

PAGE = ROOT / "docs" / "generated" / "flags.md"
HEAD = """# All flags

Made by `make docs` from the command line's own parsers.
[commands.md](../commands.md) explains the commands, with examples.
"""


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of one command, as `udamon COMMAND --help` has it."""
    parser = argparse.ArgumentParser(prog=f"udamon {command}", description=COMMANDS[command])
    importlib.import_module(f"udamon.cli.{command.replace('-', '_')}").configure(parser)
    return parser


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its subcommands, an alias not twice."""
    yield parser
    seen: list[argparse.ArgumentParser] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                if one not in seen:
                    seen.append(one)
                    yield from parsers(one)


def page() -> str:
    """The page."""
    return "\n".join([HEAD, *(_section(each) for name in COMMANDS for each in parsers(parser_of(name)))])


def _section(parser: argparse.ArgumentParser) -> str:
    rows = [_row(action) for action in parser._actions if action.help != argparse.SUPPRESS]
    head = "| argument | meaning |\n|---|---|"
    return "\n".join([f"## {parser.prog}\n", (parser.description or "").capitalize(), "", head, *rows, ""])


def _row(action: argparse.Action) -> str:
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.metavar or action.dest}`"
    value = ""
    if action.option_strings and action.nargs != 0:
        word = action.metavar or (
            "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
        )
        value = f" `{word}`"
    text = (action.help or "") % {"default": action.default, "prog": "udamon"}
    cells = (f"{names}{value}".replace("|", "\\|"), text.replace("|", "\\|"))
    return f"| {cells[0]} | {cells[1]} |"


def write() -> None:
    """Write the page where the site finds it."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())


if __name__ == "__main__":
    write()
