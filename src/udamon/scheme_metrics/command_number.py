"""A number that a command prints, again and again: a latency, a throughput, whatever an application knows of itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable

from udamon.errors import CannotError
from udamon.linux import open_files

RESTART_NS = 1_000_000_000
_KEPT = 4096
AT_ONCE = 1 << 20
"""Bytes that a command may have ready when it is looked at: far more is in no pipe, so it prints without end."""


class CommandNumber:
    """The number in the last line that a shell command printed; reading it never waits, and reads AT_ONCE at most.

    A command may go on printing, or print once and end: then it is started again a second after its start, or later.
    It runs in a session of its own, with nothing to read, and what it says on stderr is dropped.
    """

    def __init__(self, command: str, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._command = command
        self._now_ns = now_ns
        self._process: subprocess.Popen[bytes] | None = None
        self._started_ns = 0
        self._rest = b""
        self._ended = self._endless = False
        self.last: int | None = None

    def value(self) -> int | None:
        """None while nothing was printed. Raises CannotError where the command ended without any number, or printed
        without end and was ended for that."""
        if self._endless:
            raise self._without_end()
        if self._process is None:
            self._start()
        self._read()
        if self._ended and self._now_ns() - self._started_ns >= RESTART_NS:
            status = self._end()
            if self.last is None:
                raise CannotError(
                    f"the command {self._command!r} ended with status {status} and printed no number; "
                    "let its lines begin with one."
                )
            self._start()
        return self.last

    def close(self) -> None:
        """End the command and what it started. Idempotent."""
        if self._process is not None:
            self._signal(signal.SIGTERM)
            self._end()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            _shell(self._command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._started_ns, self._ended, self._rest = self._now_ns(), False, b""

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        taken = 0
        while not self._ended:
            try:
                data = os.read(fd, 1 << 16)
            except BlockingIOError:
                return
            taken += len(data)
            if taken > AT_ONCE:
                self._endless = True
                self._signal(signal.SIGKILL)
                self._end()
                raise self._without_end()
            self._ended = not data
            *whole, self._rest = (self._rest[-_KEPT:] + (data or b"\n")).split(b"\n")
            found = (number for line in reversed(whole) if (number := number_in(line)) is not None)
            self.last = next(found, self.last)

    def _without_end(self) -> CannotError:
        return CannotError(
            f"the command {self._command!r} prints without end, and was ended; let it print a number now and then."
        )

    def _signal(self, number: int) -> None:
        """To the command and what it started."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _end(self) -> int:
        process, self._process = self._process, None
        assert process is not None
        assert process.stdout is not None
        process.stdout.close()
        try:
            return process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return process.wait()


def _shell(command: str) -> list[str]:
    """Run it with the limit of open files that udamon was started with. Not by a function before exec: that is
    unsafe in a process with threads."""
    soft = open_files.soft_before()
    if soft is None:
        return ["/bin/sh", "-c", command]
    return ["/bin/sh", "-c", f'ulimit -S -n {soft}; exec /bin/sh -c "$1"', "sh", command]


def number_in(text: bytes) -> int | None:
    """The first word as a whole number (fractions are cut off, below 0 is 0); None where it is none."""
    try:
        return max(int(float(text.split()[0])), 0)
    except (IndexError, ValueError, OverflowError):
        return None
