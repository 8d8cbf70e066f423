"""Functions, files and lines of code by module and address; a process of its own finds them (symbolizing)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import NamedTuple

from udamon import extras, plain_json
from udamon.plain_json import JsonError
from udamon.sites.stacks import NOWHERE

LONGEST_S = 600.0
"""So long it may take: a server for debug files may be slow."""

EXTRA = f"no names of functions, which need an extra; run: {extras.command('sites')}"


class Frame(NamedTuple):
    """A call in a source file; None is not known."""

    function: str
    file: str | None
    line: int | None


class SymbolTable(NamedTuple):
    """What was found: frames of addresses by module, and what was not, a sentence each."""

    frames: dict[int, dict[int, tuple[Frame, ...]]]
    missing: list[str]


def available() -> bool:
    """Whether the extra is installed."""
    return find_spec("symbolic") is not None


def find(modules: Mapping[int, tuple[str, bytes]], addresses: Mapping[int, Collection[int]]) -> SymbolTable:
    """Look up `addresses` (of each module) in the files of `modules`: (path, build id)."""
    if not available():
        return SymbolTable({}, [EXTRA])
    requests = [
        {
            "module": number,
            "path": modules[number][0],
            "build_id": modules[number][1].hex(),
            "addresses": sorted(wanted),
        }
        for number, wanted in sorted(addresses.items())
        if number != NOWHERE and number in modules
    ]
    if not requests:
        return SymbolTable({}, [])
    text = "".join(json.dumps(request) + "\n" for request in requests)
    command = [sys.executable, "-m", "udamon.sites.symbolizing"]
    try:
        # What libraries print on standard error while they fail says nothing that the answers lack.
        output = subprocess.run(
            command, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=LONGEST_S,
            check=False,
        ).stdout  # fmt: skip
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
    answers = output.decode(errors="replace").splitlines()
    frames: dict[int, dict[int, tuple[Frame, ...]]] = {}
    missing = []
    for answer in answers:
        try:
            found = plain_json.read_object(answer)
        except JsonError:  # cut off where it ended: said of the module below
            continue
        frames[found["module"]] = {
            address: tuple(Frame(*frame) for frame in calls) for address, calls in found["symbols"]
        }
        if found["why"] is not None:
            missing.append(f"no functions of {modules[found['module']][0]}: {found['why']}")
    for request in requests:
        if request["module"] not in frames:
            missing.append(f"no functions of {request['path']}: reading it took too much time or memory")
    return SymbolTable(frames, missing)
