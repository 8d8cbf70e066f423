"""Working sets whose bytes are known, of every kind of memory, beside what `udamon record --via refs` says of them."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.figures import Figure
from tests.integration.forking import UDAMON
from udamon.units import MIB, format_size

SOURCE = Path(__file__).with_suffix(".c")
SIZE = 32 * MIB
SLACK, SLACK_OF_ALL = MIB // 4, 3 * MIB
"""What the C library keeps in anonymous memory and on the heap, and what all of code and libraries may be."""
AGGR, WINDOWS = "500ms", 21
"""Windows in which the program touches everything several times, also where other programs run; as many as a median
takes."""

KINDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "anonymous": (SIZE, ("anonymous",)),
    "anonymous-read": (SIZE, ("anonymous",)),
    "anonymous-half": (SIZE // 2, ("anonymous",)),
    "anonymous-scattered": (SIZE // 4, ("anonymous",)),
    "heap": (SIZE, ("heap",)),
    "locked": (SIZE, ("anonymous",)),
    "mappings": (SIZE, ("anonymous",)),
    "threads": (SIZE, ("anonymous",)),
    "moving": (SIZE // 4, ("anonymous",)),
    "zero-page": (0, ("anonymous",)),
    "huge": (SIZE, ("anonymous",)),
    "huge-one-byte": (SIZE, ("anonymous",)),
    "shared": (SIZE, ("shared",)),
    "memfd": (SIZE, ("shared",)),
    "sysv": (SIZE, ("shared",)),
    "file": (SIZE, ("file",)),
    "file-scattered": (SIZE // 8, ("file",)),
    "file-private": (SIZE, ("file",)),
    "forked": (SIZE // 2 + 3 * SIZE // 8, ()),
    "forked-shared": (SIZE // 2 + 3 * SIZE // 8, ()),
}
"""Kinds of known_sets.c, the bytes that each touches in a window, in all of its processes together, and what `report
wss --mapping` calls the mappings that it touches them in: the program's code and libraries, of which others touch
pages, too, are left out. Totals of several processes, which count a page once, are known of all mappings together. An
access to a huge page speaks for all of it. `moving` goes to the next quarter every two seconds."""


def measure() -> list[Figure]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        program = place / "known_sets"
        subprocess.run(["gcc", "-O2", "-Wall", "-pthread", SOURCE, "-o", program], check=True)
        rows = [_row(program, kind) for kind in KINDS]
    head = ("memory", "truth", "found (median)", "error", "truth within")
    note = (
        f"`udamon record --via refs --children --aggr {AGGR} --windows {WINDOWS}` of a C program with "
        f"{format_size(SIZE)} of memory: the median of `report wss --mapping` of the kind of mapping that it is "
        "in (of forked processes all mappings, code and libraries included). Of files and shared memory refs tells "
        "what was touched at most, by anybody, and nothing that is certain; the error is that of the upper bound, in "
        "shares of the truth "
        "(of the memory's size where the truth is 0)."
    )
    return [Figure("Working sets of known bytes by refs", head, rows, note)]


def _row(program: Path, kind: str) -> list[str]:
    truth, mappings = KINDS[kind]
    low, high = _found(program, kind, mappings)
    slack = SLACK if mappings else SLACK_OF_ALL
    certain = high - low < slack
    return [
        kind,
        format_size(truth),
        format_size(high) if certain else f"{format_size(max(low, 0))} to {format_size(high)}",
        f"{(high - truth) / truth:+.1%}" if truth else f"{(high - truth) / SIZE:+.1%}",
        "yes" if low - slack <= truth <= high + slack else "no",
    ]


def _found(program: Path, kind: str, mappings: Sequence[str]) -> tuple[int, int]:
    """The median of the working set in these mappings: at least, and at most, bytes."""
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
    sides = [_bounds(recording, "--mapping", mapping) for mapping in mappings] or [_bounds(recording)]
    return sum(low for low, _ in sides), sum(high for _, high in sides)


def _bounds(recording: Path, *chosen: str) -> tuple[int, int]:
    words = ["report", "wss", str(recording), *chosen, "--json"]
    told = subprocess.run([*UDAMON, *words], capture_output=True, text=True, check=True)
    found = json.loads(told.stdout)
    bounds = found["bounds"] or {"low": found["bytes"], "high": found["bytes"]}
    return bounds["low"]["p50"], bounds["high"]["p50"]


@contextmanager
def _running(program: Path, kind: str) -> Iterator[int]:
    command: list[str | Path] = [program, kind, str(SIZE // MIB), program.with_name(f"{kind}.file")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()
