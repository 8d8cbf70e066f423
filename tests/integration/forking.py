"""`udamon` in a process of its own: with an interpreter that is started, or forked from the test without one, whose
start takes longer than most commands, and some ten seconds in an emulated guest."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from udamon.cli import main as udamon_main

Word = str | int | Path
UDAMON = [sys.executable, "-m", "udamon"]
NOT_RUN = 70
"""The status of a child that failed where no command does."""
PATIENCE_S = 120.0


class Done(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    stdout: str
    stderr: str


def started(
    words: Sequence[Word],
    *,
    cwd: Path | None = None,
    session: bool = False,
    prefix: Sequence[str] = (),
    instead: Callable[[], NoReturn] | None = None,
) -> subprocess.Popen[str]:
    """A command with an interpreter of its own, under `prefix` (a wrapper such as unshare). `instead` is what the child
    does in place of executing that, if anything."""
    return subprocess.Popen(
        [*prefix, *UDAMON, *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        start_new_session=session,
        restore_signals=instead is None,
        preexec_fn=instead,
    )


def forked(
    words: Sequence[Word],
    *,
    cwd: Path | None = None,
    session: bool = False,
    environment: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> subprocess.Popen[str]:
    """A command in a child that executes no interpreter, with more variables in its `environment`, and after `before`.
    It imports what this process has not. While other threads run, whose locks a fork might keep for ever, it is started
    instead, unless it takes one of these."""
    if threading.active_count() > 1 and not environment and before is None:
        return started(words, cwd=cwd, session=session)

    def run() -> NoReturn:
        gc.enable()  # which subprocess has turned off
        gc.freeze()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in map(int, os.listdir("/proc/self/fd")):
            # They are closed, but not free: objects that own the numbers may close them again.
            if number > 2 and number != nothing:
                os.dup2(nothing, number, inheritable=False)
        os.environ.update(environment or {})
        _run_command(list(map(str, words)), before)

    return started(words, cwd=cwd, session=session, instead=run)


def to_its_end(process: subprocess.Popen[str], patience_s: float = PATIENCE_S) -> Done:
    """Wait for it, and kill it where that takes too long."""
    with process:
        try:
            stdout, stderr = process.communicate(timeout=patience_s)
        except BaseException:
            process.kill()
            raise
    return Done(process.returncode, stdout, stderr)


def _run_command(words: list[str], before: Callable[[], None] | None) -> NoReturn:
    """What a forked child does, whose standard streams are pipes."""
    status = NOT_RUN
    try:
        if before is not None:
            before()
        # pytest has put objects of its own there.
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", errors="backslashreplace")  # noqa: SIM115
        sys.stderr.reconfigure(line_buffering=True)
        status = udamon_main.main(words)
    except SystemExit as ended:  # argparse's, which prints the reason itself
        status = int(ended.code or 0)
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)
