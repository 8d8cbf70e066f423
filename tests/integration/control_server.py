"""`udamon control mount` as a user runs it, and its files as a tool sees them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.integration.forking import UDAMON
from tests.waiting import WAIT_LIMIT_S


class Server:
    """A running server; `at` is the directory `kdamonds` of its tree."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self.process = process
        self.directory = directory
        self.at = directory / "admin/kdamonds"

    def read(self, path: str) -> str:
        return (self.at / path).read_text()

    def write(self, path: str, text: str) -> None:
        """As a shell does: truncate, one write. Raises OSError."""
        fd = os.open(self.at / path, os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(WAIT_LIMIT_S)


@contextlib.contextmanager
def serving(directory: Path, *words: str) -> Iterator[Server]:
    """A server of a simulated memory at `directory`; whatever happens, nothing stays mounted."""
    command = [*UDAMON, "control", "mount", str(directory), "--sim", "demo", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "serving" in line, line
        yield Server(process, directory)
    finally:
        process.terminate()
        process.wait(WAIT_LIMIT_S)
        for name in words:
            if Path(name).is_absolute():
                unmount(Path(name))
        unmount(directory)


def unmount(directory: Path) -> None:
    if mounted(directory):
        subprocess.run(["umount", "-l", str(directory)], check=True)


def mounted(directory: Path) -> bool:
    return any(line.split()[1] == str(directory) for line in Path("/proc/mounts").read_text().splitlines())
