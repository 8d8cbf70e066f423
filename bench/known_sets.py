"""Working sets whose bytes are known, of every kind of memory, beside what `udamon record --via refs` says of them."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.figures import Figure
from tests.integration.recorder import UDAMON
from udamon.units import MIB, format_size

SOURCE = Path(__file__).with_suffix(".c")
SIZE = 32 * MIB
SLACK = MIB // 2
"""What code and libraries of the program, and of others that run beside it, may change from run to run."""
AGGR, WINDOWS = "500ms", 21
"""Windows in which the program touches everything several times, also where other programs run; as many as a median
takes."""

KINDS: dict[str, int] = {
    "anonymous": SIZE,
    "anonymous-read": SIZE,
    "anonymous-half": SIZE // 2,
    "anonymous-scattered": SIZE // 4,
    "heap": SIZE,
    "locked": SIZE,
    "mappings": SIZE,
    "threads": SIZE,
    "moving": SIZE // 4,
    "zero-page": 0,
    "huge": SIZE,
    "huge-one-byte": SIZE,
    "shared": SIZE,
    "memfd": SIZE,
    "sysv": SIZE,
    "file": SIZE,
    "file-scattered": SIZE // 8,
    "file-private": SIZE,
    "forked": SIZE // 2 + 3 * SIZE // 8,
    "forked-shared": SIZE // 2 + 3 * SIZE // 8,
}
"""Kinds of known_sets.c, and the bytes that each touches in a window, in all of its processes together. An access to a
huge page speaks for all of it. `moving` goes to the next quarter every two seconds."""


def measure() -> list[Figure]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        program = place / "known_sets"
        subprocess.run(["gcc", "-O2", "-Wall", "-pthread", SOURCE, "-o", program], check=True)
        rows = [_row(program, kind, truth, _found(program, "nothing")) for kind, truth in KINDS.items()]
    head = ("memory", "truth", "found (median)", "error", "truth within")
    note = (
        f"`udamon record --via refs --children --aggr {AGGR} --windows {WINDOWS}` of a C program with "
        f"{format_size(SIZE)} of memory: the median of `report wss`, less that of the same program without such "
        "memory, measured just before. Of files and shared memory refs tells what was touched at most, by anybody, "
        "and nothing that is certain; the error is that of the upper bound, in shares of the truth "
        "(of the memory's size where the truth is 0)."
    )
    return [Figure("Working sets of known bytes by refs", head, rows, note)]


def _row(program: Path, kind: str, truth: int, own: tuple[int, int]) -> list[str]:
    low, high = (found - of_own for found, of_own in zip(_found(program, kind), own, strict=True))
    certain = high - low < SLACK
    return [
        kind,
        format_size(truth),
        format_size(high) if certain else f"{format_size(max(low, 0))} to {format_size(high)}",
        f"{(high - truth) / truth:+.1%}" if truth else f"{(high - truth) / SIZE:+.1%}",
        "yes" if low - SLACK <= truth <= high + SLACK else "no",
    ]


def _found(program: Path, kind: str) -> tuple[int, int]:
    """The median of the working set: at least, and at most, bytes."""
    recording = program.with_name(f"{kind}.udamon")
    with _running(program, kind) as pid:
        words = [
            "record",
            "-q",
            "--force",
            "--via",
            "refs",
            "--children",
            "--aggr",
            AGGR,
            "--windows",
            str(WINDOWS),
        ]
        subprocess.run([*UDAMON, *words, "-p", str(pid), "-o", recording], check=True)
    found = _report(recording)
    bounds = found["bounds"] or {"low": found["bytes"], "high": found["bytes"]}
    return bounds["low"]["p50"], bounds["high"]["p50"]


def _report(recording: Path) -> dict[str, Any]:
    told = subprocess.run(
        [*UDAMON, "report", "wss", recording, "--json"], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(told.stdout)
    return found


@contextmanager
def _running(program: Path, kind: str) -> Iterator[int]:
    command: list[str | Path] = [program, kind, str(SIZE // MIB), program.with_name(f"{kind}.file")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()
