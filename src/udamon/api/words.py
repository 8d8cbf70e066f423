"""Errors in words of the library: they are written for the command line, and leave the library through here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

from udamon.assembly.spec import MonitorSpec
from udamon.errors import UdamonError

_NAMES = {*(field.name for field in fields(MonitorSpec)), "force", "checks", "seed"}
"""What flags of the command line are in the library: fields of a specification, arguments of record and evaluate."""
_ALIASES = {"-p": "pids", "--pid": "pids", "--": "command"}
_FLAG = re.compile(r"(?<![\w./-])(--?[a-z][a-z-]*|--(?= [A-Z]))(?: ([A-Z]+(?:,[A-Z]+)*)\b)?(?![\w=])")
"""A flag, and the name of its value in capitals as help texts have it."""


def library_words(said: str) -> str:
    """A sentence for the command line with the names of fields and arguments in place of those of flags: "leave
    --max-pause out" becomes "leave max_pause out", and "give -p PID or -- COMMAND" becomes "give pids or command".
    Flags that only the command line has stay."""
    return _FLAG.sub(_named, said)


def _named(found: re.Match[str]) -> str:
    flag = found[1]
    name = _ALIASES.get(flag, flag.removeprefix("--").replace("-", "_"))
    return name if flag in _ALIASES or name in _NAMES else found[0]


@contextmanager
def in_library_words() -> Iterator[None]:
    """An error that udamon raises in the block names fields and arguments. It stays the same object."""
    try:
        yield
    except UdamonError as error:
        rephrase(error)
        raise


def rephrase(error: BaseException) -> None:
    """The same for an error that is raised later."""
    if isinstance(error, UdamonError):
        error.args = tuple(library_words(part) if isinstance(part, str) else part for part in error.args)
