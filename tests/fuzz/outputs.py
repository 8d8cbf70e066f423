"""What may be in an output, whatever was read: a status of udamon's, sentences, no character that a terminal obeys,
JSON that is JSON, and no address or size below 0."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree

from tests.hostile import bad_characters

WRONG = 98
"""The status of a case whose output is not as it should be; no command has it."""

_UNSIGNED = frozenset({"start", "end", "address", "first", "last", "bytes", "resident_bytes", "touched_bytes", "size",
                       "resident", "touched", "ticks", "age", "pid", "target", "offset", "count", "seq"})  # fmt: skip
_LONGEST_SENTENCE = 4000
"""Characters of what an error says: a value is quoted, not repeated as a whole."""


def judged(command: Callable[[], int], *, as_json: bool, files: Path | None = None) -> int:
    """The status of `command`, or WRONG, and why on standard output. `files`: what it may have written."""
    with _captured() as (out, err):
        status = command()
    said, spoken = out.read_bytes(), err.read_bytes()
    why = [*_problems(said, spoken, status, as_json=as_json)]
    if files is not None and files.is_file() and not files.is_symlink():
        why += _file_problems(files)
    sys.stdout.write((said[-2000:] + spoken[-2000:]).decode("utf-8", "backslashreplace"))
    if not why:
        return status
    print("\nWRONG:", *why)
    return WRONG


@contextmanager
def _captured() -> Iterator[tuple[Path, Path]]:
    """Both standard streams, by their descriptors, into files."""
    place = Path(tempfile.mkdtemp(prefix="udamon-fuzz-said-", dir=os.getcwd()))
    paths = place / "out", place / "err"
    before = [os.dup(number) for number in (1, 2)]
    try:
        for number, path in enumerate(paths, 1):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.dup2(fd, number)
            os.close(fd)
        yield paths
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, fd in enumerate(before, 1):
            os.dup2(fd, number)
            os.close(fd)


def _problems(out: bytes, err: bytes, status: int, *, as_json: bool) -> Iterator[str]:
    for name, data in (("output", out), ("errors", err)):
        try:
            text = data.decode()
        except UnicodeDecodeError:
            yield f"the {name} are not UTF-8"
            continue
        if bad := bad_characters(text):
            yield f"the {name} have {bad[:5]!a}"
    if len(err) > _LONGEST_SENTENCE:
        yield f"the errors have {len(err)} bytes"
    if status in (1, 2) and not err.strip() and not out.strip():
        yield f"status {status}, and not a word"
    if b"-o\x00" in out or b"Traceback" in err:
        yield "a traceback"
    if as_json and status in (0, 3):
        yield from _json_problems(out.decode(errors="replace"))


def _json_problems(text: str) -> Iterator[str]:
    try:
        found = json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        yield f"no JSON: {error}"
        return
    waiting: list[tuple[str, Any]] = [("", found)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(key, one) for one in value]
        elif isinstance(value, int | float) and not _possible(key, value):
            yield f"{key} is {value}"


def _possible(key: str, value: float) -> bool:
    return math.isfinite(value) and (key not in _UNSIGNED or 0 <= value <= 1 << 64)


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _file_problems(path: Path) -> Iterator[str]:
    """Of a chart, a page or a table in text; of other files nothing."""
    data = path.read_bytes()
    head = data[:200].lstrip()
    if head.startswith(b"<"):
        try:
            text = data.decode()
        except UnicodeDecodeError:
            yield f"{path.name} is not UTF-8"
            return
        if bad := [char for char in bad_characters(text) if char not in "\t\u200b"]:
            yield f"{path.name} has {bad[:5]!a}"
        if head.startswith((b"<svg", b"<?xml")):
            try:
                ElementTree.fromstring(text)
            except ElementTree.ParseError as error:
                yield f"{path.name} is no XML: {error}"
