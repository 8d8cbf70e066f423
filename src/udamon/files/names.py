"""Names that mean a descriptor which is open already, and what tells two names of one file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

STANDARD_INPUT, STANDARD_OUTPUT = 0, 1

Identity = tuple[int, int]
"""Device and inode of a file: the same for all of its names."""

_STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


def descriptor_of(path: str, *, dash: int = STANDARD_OUTPUT) -> int | None:
    """The descriptor that a name stands for: `dash` for -, N for /dev/fd/N; None for the name of a file."""
    if path == "-":
        return dash
    name = os.path.normpath(path)
    if name in _STREAMS:
        return _STREAMS[name]
    found = re.fullmatch(r"/(?:dev|proc/(?:self|thread-self|(\d+)))/fd/(\d{1,9})", name)
    if found is None or (found[1] is not None and int(found[1]) != os.getpid()):
        return None
    return int(found[2])


def identities(paths: Iterable[str | os.PathLike[str]], *, dash: int = STANDARD_INPUT) -> set[Identity]:
    """Those of the files that are there; - and its like stand for what is open there, links for where they lead."""
    found = set()
    for path in paths:
        number = descriptor_of(os.fspath(path), dash=dash)
        try:
            status = os.stat(path if number is None else number)
        except OSError:
            continue
        found.add((status.st_dev, status.st_ino))
    return found


def shown(path: str) -> str:
    """How sentences call an output."""
    return "standard output" if descriptor_of(path) == STANDARD_OUTPUT else path


def resolved(path: str) -> str:
    """Where a symbolic link leads; the path itself where it has just gone."""
    try:
        return os.path.realpath(path)
    except OSError:
        return path
