"""Runs each case in a process of its own, forked from a warm parent: little memory, little time, and what it said."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

MORE_MEMORY = 512 << 20
"""Bytes of address space that a case may add to what its parent has."""

CPU_S, ALARM_S = 10, 120
"""A case that takes as much CPU time hangs; so does one that waits as long. On a busy machine the time that passes says
nothing of what is computed."""
STATUSES = frozenset({0, 1, 2, 3})
_FELL = 99
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
    most = _address_space() + MORE_MEMORY
    said.unlink(missing_ok=True)  # ext4 waits for the disk when a file that was emptied is closed
    child = os.fork()
    if not child:
        _child(case, said, most)
    _, status = os.waitpid(child, 0)
    text = said.read_text(encoding="utf-8", errors="replace")
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


def _child(case: Callable[[], int], said: Path, most: int) -> None:
    code = _FELL
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
        for number in (signal.SIGALRM, signal.SIGXCPU):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(ALARM_S)
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        code = case()
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
