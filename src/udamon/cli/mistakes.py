"""Command lines that are wrong as a whole, and the command that would do what was meant: words in another order, a
report where a command belongs, a file where a kind does."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence

from udamon.errors import UsageError

_MANY_FLAGS = 3
"""No more are named for one letter."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """What was probably meant by a misspelt word; None where nothing is like it."""
    import difflib  # only errors need it

    return next(iter(difflib.get_close_matches(word, list(known), 1)), None)


def refuse(words: Sequence[str], commands: Iterable[str]) -> None:
    """Raises UsageError where `words` (without "udamon") are such a command line, and the one that was meant is
    known."""
    commands = list(commands)
    if words[:1] == ["report"]:
        _report(words[1:])
    elif words[:2] == ["fleet", "report"]:
        _fleet_report(words[2:])
    elif words and not words[0].startswith("-") and words[0] not in commands:
        _no_command(words, commands)
    elif words[:1] == ["fleet"] and len(words) > 1 and words[1] in _fleet_reports():
        raise _meant(f"{words[1]} is a report of the fleet", "fleet", "report", *words[1:])


def _report(words: Sequence[str]) -> None:
    from udamon.cli.report_kinds import KINDS

    if len(words) < 2 or words[0].startswith("-"):
        return
    first, second, *rest = words
    if first not in KINDS and not second.startswith("-") and not nearest(first, KINDS):
        if (kind := nearest(second, KINDS)) is not None:
            raise _meant("the kind of report stands before FILE", "report", kind, first, *rest)
        if os.path.exists(first) and os.path.exists(second):
            raise _two_files(first, second)
    if first in KINDS - {"diff"} and rest and all(os.path.isfile(word) for word in (second, rest[0])):
        raise _two_files(second, rest[0])


def _two_files(first: str, second: str) -> UsageError:
    return _meant(
        "a report is about one recording, and two are compared by diff", "report", "diff", first, second
    )


def _fleet_report(words: Sequence[str]) -> None:
    reports = _fleet_reports()
    if words[:1] == ["after"]:
        _after(words[1:])
    if not words or words[0].startswith("-") or words[0] in reports or nearest(words[0], reports):
        return
    place, *rest = words
    if rest and not rest[0].startswith("-"):
        kind = nearest(rest[0], reports)
        behind = [place, *rest[1:]]
        if kind == "after":  # which has a DEPLOY before the location
            behind = [rest[1], place, *rest[2:]] if rest[1:] else []
        if kind is not None and behind:
            raise _meant("the kind of report stands before LOCATION", "fleet", "report", kind, *behind)
    elif "/" in place or ":" in place or os.path.exists(place):
        kinds = ", ".join(one for one in reports if one != "cold")
        raise _meant(f"the kind of report is missing before LOCATION; besides cold: {kinds}", "fleet", "report", "cold",
                     *words)  # fmt: skip


def _after(words: Sequence[str]) -> None:
    """A place before a deploy; names of deploys are like neither a directory that there is nor a URL."""
    if len(words) < 2 or words[0].startswith("-") or words[1].startswith("-"):
        return
    first, second, *rest = words
    if _is_place(first) and not _is_place(second):
        raise _meant("DEPLOY stands before LOCATION", "fleet", "report", "after", second, first, *rest)


def _is_place(word: str) -> bool:
    return "://" in word or os.path.isdir(word)


def _no_command(words: Sequence[str], commands: Sequence[str]) -> None:
    from udamon.cli.report_kinds import KINDS

    first, *rest = words
    if first in KINDS:
        raise _meant(f"{first} is a report", "report", first, *(rest or ["FILE"]))
    if first in _fleet_reports():
        raise _meant(f"{first} is a report of the fleet", "fleet", "report", first, *(rest or ["LOCATION"]))
    if first == "version":
        raise _meant("there is no command of that name", "--version")
    if os.path.isfile(first) and not nearest(first, commands):
        raise _meant(f"{first} is a file and no command", "report", *words)


def _fleet_reports() -> Sequence[str]:
    from udamon.cli.fleet import REPORTS

    return list(REPORTS)


def _meant(why: str, *words: str) -> UsageError:
    return UsageError(f"{why}; give: {shlex.join(['udamon', *words])}")


def unknown_words(words: Sequence[str]) -> str:
    """What to do about words that a command with -p does not know: how a message about them ends."""
    if all(word.isdecimal() for word in words):
        return f': give pids to -p, several with commas (-p {",".join(words)}) or quoted (-p "$(pgrep NAME)")'
    behind = shlex.join(words)
    return f": give -p {shlex.quote(words[0])} for processes that are called so, or -- {behind} to run it"


def short_flag(word: str, flags: Iterable[str]) -> str | None:
    """Long flags that begin with the letter of an unknown short one, in words; None where there are none, or many."""
    if len(word) != 2 or word == "--":
        return None
    found = [flag for flag in flags if flag.startswith(f"--{word[1]}")]
    return " or ".join(found) if 0 < len(found) <= _MANY_FLAGS else None
