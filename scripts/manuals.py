"""Manual pages and completions from the argument parsers.

python -m scripts.manuals OUT     OUT/man/man1/*.1, OUT/completions/bash/udamon, …/zsh/_udamon, …/fish/udamon.fish

The pages carry the day of SOURCE_DATE_EPOCH, or today's.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

from udamon import __version__
from udamon.cli.completion import SHELLS, script
from udamon.cli.examples import EXAMPLES
from udamon.cli.parsers import GROUPS, subcommands, whole, with_all_below

COMPLETIONS = {"bash": "udamon", "zsh": "_udamon", "fish": "udamon.fish"}
"""What the shells call the file."""

STATUSES = (
    ("0", "Done."),
    ("1", "Could not: one sentence on standard error says what, why, and what to do."),
    ("2", "Wrong usage: likewise."),
    ("3", "udamon\\-check(1) alone: not decided."),
    ("128+n", "Ended by signal n."),
)
OF_COMMAND = (
    (
        "with \\-\\- COMMAND",
        "That of COMMAND, or 128+n where signal n ended it; 0 where you or a flag ended it.",
    ),
    ("125", "With COMMAND: udamon could not."),
    ("126, 127", "With COMMAND: it cannot be executed; it was not found."),
)
FILES = (
    ("/etc/udamon/config.toml", "Defaults of flags for all users, and consent to read kernel memory."),
    ("~/.config/udamon/config.toml", "Defaults of flags of one user."),
)


def pages() -> dict[str, str]:
    """The text of each page, by the name of its file."""
    return {f"{_name(parser)}.1": page(parser) for parser in with_all_below(whole())}


def page(parser: argparse.ArgumentParser) -> str:
    """The page of one command, or of one of its own commands."""
    return "\n".join(_lines(parser)) + "\n"


def _lines(parser: argparse.ArgumentParser) -> Iterator[str]:
    name, about = _name(parser), parser.description or ""
    yield f'.TH {name.upper()} 1 {_day()} "udamon {__version__}" "User Commands"'
    yield from (".SH NAME", rf"{_text(name)} \- {_text(about[:1].lower() + about[1:].rstrip('.'))}")
    yield from (".SH SYNOPSIS", _text(parser.format_usage().removeprefix("usage: ").strip()))
    yield from (".SH DESCRIPTION", _text(about[:1].upper() + about[1:].rstrip(".") + "."))
    below = {one.prog.split()[-1]: one for one in subcommands(parser).values()}
    if below:
        yield from _commands(parser, below)
    for group in parser._action_groups:
        actions = [
            one for one in group._group_actions
            if not isinstance(one, argparse._SubParsersAction) and one.help != argparse.SUPPRESS
        ]  # fmt: skip
        if actions:
            yield f".SH {_text((group.title or '').upper())}"
            yield from (_text(group.description),) if group.description else ()
            yield from (line for one in actions for line in _flag(one))
    yield ".SH EXAMPLES"
    for command, what in EXAMPLES[parser.prog.partition(" ")[2]]:
        yield from (".TP", rf"\fB{_text(command)}\fR", _text(_sentence(what)))
    yield from (".SH EXIT STATUS", *(line for one in _statuses(parser) for line in _item(*one)))
    yield from (".SH FILES", *(line for one in FILES for line in _item(rf"\fI{_text(one[0])}\fR", one[1])))
    yield ".SH ENVIRONMENT"
    yield _text(
        "UDAMON_COMMAND_FLAG is the default of a flag (UDAMON_RECORD_OVERHEAD=2%). NO_COLOR, FORCE_COLOR, COLUMNS, "
        "TERM, LC_ALL, LC_CTYPE and LANG say how text is shown."
    )
    yield from (".SH SEE ALSO", ", ".join(_others(parser)))


def _statuses(parser: argparse.ArgumentParser) -> tuple[tuple[str, str], ...]:
    """What a command ends with; those that watch a COMMAND pass its status on (`live` ends with the screen's)."""
    watches = any("--pid" in action.option_strings for action in parser._actions)
    return STATUSES + (OF_COMMAND if watches and parser.prog != "udamon live" else ())


def _commands(parser: argparse.ArgumentParser, below: dict[str, argparse.ArgumentParser]) -> Iterator[str]:
    groups = GROUPS if parser.prog == "udamon" else {"commands": tuple(below)}
    for title, names in groups.items():
        yield f".SH {_text(title.upper())}"
        for name in names:
            yield from (".TP", rf"\fB{_text(_name(below[name]))}\fR(1)", _text(below[name].description or ""))


def _flag(action: argparse.Action) -> Iterator[str]:
    names = [rf"\fB{_text(name)}\fR" for name in action.option_strings]
    if not names:
        yield from _item(rf"\fI{_text(str(action.metavar or action.dest))}\fR", _help(action))
        return
    value = ""
    if action.nargs != 0:
        words = action.metavar or "|".join(map(str, action.choices or (action.dest.upper(),)))
        value = rf" \fI{_text(str(words))}\fR"
    yield from _item(", ".join(names) + value, _help(action))


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith(("?", ".")) else ".")


def _item(head: str, text: str) -> tuple[str, str, str]:
    return ".TP", head, text if text.startswith("udamon\\-") else _text(text)


def _help(action: argparse.Action) -> str:
    return (action.help or "") % {"default": action.default, "prog": "udamon"}


def _others(parser: argparse.ArgumentParser) -> Iterator[str]:
    words = parser.prog.split()
    above = ["-".join(words[:depth]) for depth in range(1, len(words))]
    for name in above or ["udamon-doctor", "udamon-record", "udamon-report"]:
        yield rf"\fB{_text(name)}\fR(1)"


def _name(parser: argparse.ArgumentParser) -> str:
    return parser.prog.replace(" ", "-")


def _text(text: str) -> str:
    """Text as troff takes it: nothing in it is a request or an escape, and a hyphen can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in text)
    lines = textwrap.wrap(text, 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def _day() -> str:
    seconds = float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def write(out: Path) -> None:
    """Write pages and completions below `out`."""
    files = {out / "man" / "man1" / name: text for name, text in pages().items()}
    files |= {out / "completions" / shell / COMPLETIONS[shell]: script(shell) for shell in SHELLS}
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m scripts.manuals OUT")
    os.environ["COLUMNS"] = "80"
    write(Path(sys.argv[1]))
