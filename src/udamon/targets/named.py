"""Processes by the words that people give: pids, names of programs, and `self`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from udamon.errors import UsageError
from udamon.linux.procfs import list_pids, read_cmdline, read_exe, read_stat
from udamon.linux.roots import PROC

SELF = "self"
_SEPARATORS = re.compile(r"[,\s]+")
_NUMBER = re.compile(r"[-+]?[0-9.]+")
_COMM_BYTES = 15
"""What the kernel keeps of a thread's name."""


class NameMatch(NamedTuple):
    """The processes that one word stands for."""

    word: str
    pids: tuple[int, ...]


_LONGEST_PID = 40
"""Digits; int takes 4300 at most."""


def find(texts: Sequence[str], root: Path = PROC) -> list[NameMatch]:
    """Each word of `texts`, which are divided by commas, blanks and line ends, with its processes in the order of
    their pids. A name is that of the program file, of the first argument, or of the main thread, and has to agree
    whole; this process is not found by its name, and kernel threads have no memory to watch. `self` is the process that
    started this one: a script or a shell.

    Raises UsageError for a word that is no pid, and that no process is called.
    """
    words = list(dict.fromkeys(word for text in texts for word in _SEPARATORS.split(text) if word))
    names = {word for word in words if not _is_pid(word) and word != SELF and not _NUMBER.fullmatch(word)}
    by_name = _by_name(names, root) if names else {}
    found = []
    for word in words:
        if _is_pid(word):
            found.append(NameMatch(word, (int(word),)))
        elif word == SELF:
            found.append(NameMatch(word, (os.getppid(),)))
        elif pids := by_name.get(word):
            found.append(NameMatch(word, tuple(pids)))
        else:
            raise UsageError(
                f"{word!r} is not a pid, and no process is called so; give a number or a name as ps -e shows."
            )
    return found


def _is_pid(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= _LONGEST_PID


def _by_name(names: set[str], root: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for pid in list_pids(root):
        if pid == os.getpid():
            continue
        try:
            stat = read_stat(pid, root)
            if stat.kernel_thread or stat.ended:
                continue
            arguments = read_cmdline(pid, root)
        except OSError:
            continue  # it ended, or it is hidden from us
        called = {os.path.basename(read_exe(pid, root)), os.path.basename(arguments[0]) if arguments else ""}
        # The main thread's name is cut off: it agrees only where nothing was.
        if len(stat.comm.encode(errors="surrogateescape")) < _COMM_BYTES:
            called.add(stat.comm)
        for name in names & called:
            found.setdefault(name, []).append(pid)
    return found
