"""The page of flags (PAGE): every command with its flags, from the argument parsers themselves.

python -m scripts.reference     write it (make docs does so, too)
"""

from __future__ import annotations

import argparse

from scripts.stages import ROOT
from udamon.cli.parsers import COMMANDS, parser_of, with_all_below

PAGE = ROOT / "docs" / "generated" / "flags.md"
HEAD = """# All flags

Made by `make docs` from the command line's own parsers.
[commands.md](../commands.md) explains the commands, with examples.
"""


def page() -> str:
    """The page."""
    return "\n".join(
        [HEAD, *(_section(each) for name in COMMANDS for each in with_all_below(parser_of(name)))]
    )


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
