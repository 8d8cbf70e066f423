"""Runs cases in processes forked from a warm parent: little memory, little time, and what each said.

A fork takes longer than most cases do. So cases may share a child, one after the other: each has the same limits, and
where one ends the child, the rest go on in another.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import resource
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

MORE_MEMORY = 512 << 20
"""Bytes of address space that a case may add to what its parent has."""

CPU_S, ALARM_S = 10, 120
"""A case that takes as much CPU time hangs; so does one that waits as long. On a busy machine the time that passes says
nothing of what is computed."""
STATUSES = frozenset({0, 1, 2, 3})
_FELL = 99
_END = struct.Struct("=BQ")
"""How a case ended: its status, and the bytes that the cases of its child have said until then."""
_M_ARENA_MAX = -8
"""malloc.h"""


class Outcome(NamedTuple):
    """How a case ended: `wrong` is None where it is as it should be."""

    status: int
    wrong: str | None
    said: str


def warm() -> None:
    """Load what cases need, so that they need not, and keep the garbage collector from touching it."""
    import duckdb  # noqa: F401
    import yaml  # noqa: F401

    import udamon.cli.check
    import udamon.cli.convert
    import udamon.cli.report
    import udamon.record.foreign
    import udamon.report.holistic
    import udamon.report.page.html
    import udamon.report.right_size
    import udamon.schemes.config.reading
    import udamon.workload.config  # noqa: F401

    # glibc reserves 64 MiB of addresses for each thread of DuckDB; what is limited here is address space, too.
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    gc.collect()
    gc.freeze()


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


def run(case: Callable[[], int], said: Path) -> Outcome:
    """Fork, run the case, and tell how it ended; `said` is a file for its output."""
    (outcome,) = run_all([case], said)
    return outcome


def run_all(cases: Sequence[Callable[[], int]], said: Path) -> Iterator[Outcome]:
    """Fork, run the cases one after the other, and tell how each ended; `said` is a file for their output."""
    while cases:
        outcomes = _in_one_child(cases, said)
        yield from outcomes
        cases = cases[len(outcomes) :]


def _in_one_child(cases: Sequence[Callable[[], int]], said: Path) -> list[Outcome]:
    """The outcomes of the cases up to the last, or to the one that ended the child."""
    most = _address_space() + MORE_MEMORY
    said.unlink(missing_ok=True)  # ext4 waits for the disk when a file that was emptied is closed
    ends, ends_in = os.pipe()
    child = os.fork()
    if not child:
        _child(cases, said, most, ends_in)
    os.close(ends_in)
    with open(ends, "rb") as file:
        told = list(_END.iter_unpack(file.read()))
    _, status = os.waitpid(child, 0)
    text, begin, outcomes = said.read_bytes(), 0, list[Outcome]()
    for code, end in told:
        outcomes.append(_outcome(code << 8, text[begin:end]))
        begin = end
    if len(told) < len(cases):
        outcomes.append(_outcome(status, text[begin:]))
    return outcomes


def _outcome(status: int, said: bytes) -> Outcome:
    text = said.decode("utf-8", "replace")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        why = (
            "hang" if number in (signal.SIGALRM, signal.SIGXCPU) else f"signal {signal.Signals(number).name}"
        )
        return Outcome(-number, why, text)
    code = os.WEXITSTATUS(status)
    if code not in STATUSES or "Traceback (most recent call last)" in text or "panicked at" in text:
        return Outcome(code, "traceback" if code == _FELL or "Traceback" in text else f"status {code}", text)
    return Outcome(code, None, text)


def _child(cases: Sequence[Callable[[], int]], said: Path, most: int, ends: int) -> None:
    """Run the cases, and write after each its status and where in `said` its output ends."""
    code = _FELL
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for number in (signal.SIGALRM, signal.SIGXCPU):
            signal.signal(number, signal.SIG_DFL)
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        for case in cases:
            _limit_time()
            code = _FELL
            code = case()
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(ends, _END.pack(code & 0xFF, os.lseek(output, 0, os.SEEK_CUR)))
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _limit_time() -> None:
    """From now on, for the case that comes."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soon = math.ceil(used.ru_utime + used.ru_stime) + CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (soon, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    signal.alarm(ALARM_S)
