"""`udamon live` on a real terminal, of a process of our own."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.programs import hang_ups_end, running  # noqa: F401 (a fixture)
from tests.waiting import WAIT_LIMIT_S
from udamon.record.reader import Recording

pytest.importorskip("textual", reason="the extra `live` is not installed")


class OnTerminal:
    """udamon with a pseudo-terminal of 100 x 30 for its own."""

    def __init__(self, *words: str, cwd: Path) -> None:
        self._main, theirs = pty.openpty()
        environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "udamon", "live", *words],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.seen = b""

    def until(self, text: str) -> None:
        """Read until the terminal was sent `text`."""
        deadline = time.monotonic() + WAIT_LIMIT_S
        while text.encode() not in self.seen:
            ready, _, _ = select.select([self._main], [], [], deadline - time.monotonic())
            assert ready, f"{text!r} did not come: {self.seen[-2000:]!r}"
            self.seen += os.read(self._main, 1 << 16)

    def press(self, keys: str) -> None:
        self.seen = b""
        os.write(self._main, keys.encode())

    def wait(self) -> int:
        """The exit status; what is written meanwhile is read, so that nobody waits for us."""
        deadline = time.monotonic() + WAIT_LIMIT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            ready, _, _ = select.select([self._main], [], [], 0.1)
            if ready:
                try:
                    self.seen += os.read(self._main, 1 << 16)
                except OSError:
                    break  # closed by the other side
        return self.process.wait(WAIT_LIMIT_S)

    def hang_up(self) -> None:
        """Close our side, as a terminal's window does."""
        os.close(self._main)
        self.process.send_signal(signal.SIGHUP)  # which only a controlling terminal sends

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._main)


@pytest.mark.each_command
@pytest.mark.needs("clear_refs")
def test_watch_record_and_leave(tmp_path: Path) -> None:
    """The target's name and memory appear; r writes a recording that reads; q ends with 0."""
    with running() as target:
        terminal = OnTerminal("-p", str(target.pid), "--via", "refs", "--aggr", "200ms", cwd=tmp_path)
        try:
            terminal.until("regions")
            terminal.press("r")
            terminal.until("Record to")
            terminal.press("\r")
            terminal.until("recording")
            time.sleep(0.6)
            terminal.press("r")
            terminal.until("written")
            terminal.press("q")
            assert terminal.wait() == 0
        finally:
            terminal.close()
        assert target.process.poll() is None  # what is watched goes on
    (file,) = tmp_path.glob("live-*.udamon")
    assert {one.pid for one in Recording(file).snapshots()} == {target.pid}


@pytest.mark.needs("clear_refs")
def test_without_a_target_nothing_is_watched(tmp_path: Path) -> None:
    """A process that is listed is free for another monitor, until it is chosen."""
    with running() as target:
        terminal = OnTerminal("--via", "refs", "--count", "1000", cwd=tmp_path)
        try:
            terminal.until("to choose from")
            terminal.until(str(target.pid))
            words = [
                "record",
                "-p",
                str(target.pid),
                "--via",
                "refs",
                "--duration",
                "300ms",
                "-o",
                "o.udamon",
            ]
            done = subprocess.run(
                [sys.executable, "-m", "udamon", *words],
                capture_output=True,
                text=True,
                check=False,
                cwd=tmp_path,
            )
            assert done.returncode == 0, done.stderr
            terminal.press("q")
            assert terminal.wait() == 0
        finally:
            terminal.close()


@pytest.mark.usefixtures("hang_ups_end")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_the_terminal_as_it_was(tmp_path: Path, number: signal.Signals) -> None:
    """A recording that runs is ended, too."""
    terminal = OnTerminal("--sim", "one", cwd=tmp_path)
    try:
        terminal.until("\x1b[?1049h")  # the screen of its own
        terminal.until("regions")
        terminal.press("r")
        terminal.until("Record to")
        terminal.press("\r")
        terminal.until("recording")
        terminal.seen = b""
        terminal.process.send_signal(number)
        assert terminal.wait() == 0
        assert b"\x1b[?1049l" in terminal.seen
        assert b"Traceback" not in terminal.seen
    finally:
        terminal.close()
    (file,) = tmp_path.glob("live-*.udamon")
    assert not Recording(file).truncated


@pytest.mark.usefixtures("hang_ups_end")
def test_a_terminal_that_is_closed_ends_it(tmp_path: Path) -> None:
    terminal = OnTerminal("--sim", "one", cwd=tmp_path)
    try:
        terminal.until("regions")
        terminal.hang_up()
        assert terminal.process.wait(WAIT_LIMIT_S) == 0
    finally:
        terminal.process.kill()
        terminal.process.wait()


def test_it_wants_a_terminal(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "udamon", "live", "--sim", "one"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert len(done.stderr.splitlines()) == 1
