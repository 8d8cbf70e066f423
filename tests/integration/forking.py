"""`udamon` in a child that is forked from the test: without the start of an interpreter, which takes some ten seconds
in an emulated guest."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from tests.integration.programs import become_nobody
from udamon.cli import main as udamon_main

Word = str | int | Path
NOT_RUN = 70
"""The status of a child that failed where no command does."""


class Done(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    stdout: str
    stderr: str


class Forked:
    """A command in a forked child."""

    def __init__(self, pid: int, directory: Path) -> None:
        self.pid = pid
        self._directory = directory
        self._status: int | None = None

    def ended(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status is not None

    def said(self) -> tuple[str, str]:
        """What it wrote to stdout and to stderr so far."""
        return said(self._directory)

    def finish(self) -> Done:
        """Wait for its end."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return Done(self._status, *self.said())

    def end(self, number: int) -> None:
        """Send a signal if it still runs, and wait for its end."""
        if not self.ended():
            os.kill(self.pid, number)
            self.finish()


@contextlib.contextmanager
def running_forked(*words: Word, cwd: Path | None = None) -> Iterator[Forked]:
    """A command that runs meanwhile; killed when left, if it still does. Each child imports what the test has not."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        for name in ("out", "err"):
            (directory / name).touch()
        pid = os.fork()
        if not pid:
            run_forked(directory, list(map(str, words)), cwd=cwd)
        command = Forked(pid, directory)
        try:
            yield command
        finally:
            command.end(signal.SIGKILL)


def said(directory: Path) -> tuple[str, str]:
    """What `run_forked` wrote there."""
    return (directory / "out").read_text(), (directory / "err").read_text()


def run_forked(
    directory: Path, words: list[str], as_nobody: bool = False, cwd: Path | None = None
) -> NoReturn:
    """Run one command in a forked child and end it. It writes to the files `out` and `err` in `directory`. With
    `as_nobody` it runs as the user `nobody`, with `directory` as its working directory."""
    try:
        if as_nobody:
            become_nobody()
            cwd = directory
        if cwd is not None:
            os.chdir(cwd)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        run_command(words)
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(NOT_RUN)


def run_command(words: list[str]) -> NoReturn:
    """What a forked child does that has its standard streams."""
    status = NOT_RUN
    try:
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
