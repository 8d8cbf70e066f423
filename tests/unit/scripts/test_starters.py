"""The check ends with what started it: make, and the program that runs .ci/run."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts import parallel, starters

ROOT = Path(__file__).parents[3]
CHECK = """
import os, sys, time
from pathlib import Path
from scripts import parallel, starters
found = starters.pids()
place = Path(sys.argv[1])
with parallel.ended_by_signals(), starters.ended_with(found):
    (place / "new").write_text(str(os.getpid()))
    (place / "new").rename(place / "pid")
    try:
        time.sleep(300)
    except SystemExit as end:
        (place / "status").write_text(str(end.code))
        raise
"""
STARTER = "import subprocess, sys; subprocess.run(sys.argv[1:])"


def appeared(file: Path) -> str:
    deadline = time.monotonic() + 120
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return file.read_text()


def end(process: int) -> None:
    if not select.select([process], [], [], 0)[0]:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    os.close(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("by", ["make", "runner"])
def test_it_ends_with_what_started_it(tmp_path: Path, number: signal.Signals, by: str) -> None:
    """Which says nothing to it: that of make was killed, that of a runner started a shell in between."""
    env = {name: value for name, value in os.environ.items() if name not in ("MAKELEVEL", starters.VARIABLE)}
    words = [sys.executable, "-c", CHECK, str(tmp_path)]
    if by == "make":
        env["MAKELEVEL"] = "1"
    else:
        words = ["sh", "-c", f'export {starters.VARIABLE}=$PPID; "$@"; true', "-", *words]
    starter = subprocess.Popen([sys.executable, "-c", STARTER, *words], cwd=ROOT, env=env)
    check = os.pidfd_open(int(appeared(tmp_path / "pid")))
    try:
        starter.send_signal(number)
        starter.wait(60)
        assert select.select([check], [], [], 60)[0], "it runs on"
        assert (tmp_path / "status").read_text() == str(128 + signal.SIGTERM)
    finally:
        end(check)


def test_of_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAKELEVEL", raising=False)
    monkeypatch.delenv(starters.VARIABLE, raising=False)
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert starters.pids() == []
        monkeypatch.setenv(starters.VARIABLE, "17")
        assert starters.pids() == [17]
        monkeypatch.setenv("MAKELEVEL", "1")
        assert starters.pids() == [os.getppid(), 17]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_under_nohup_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its terminal, and without the shell that started it."""
    monkeypatch.setenv("MAKELEVEL", "1")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert starters.pids() == []
        with parallel.ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_has_ended_before_is_passed_over() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with parallel.ended_by_signals(), starters.ended_with([gone.pid]):
        pass


def test_ci_is_ended_by_one_signal(tmp_path: Path) -> None:
    """The process that a runner ends is make, no shell that leaves it behind."""
    programs = {
        "dpkg-query": "echo install ok installed",
        "make": f'echo "$$ ${starters.VARIABLE} $*" >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec sleep 300',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    run = subprocess.Popen([tmp_path / ".ci" / "run"], env=env)
    make = os.pidfd_open(int(appeared(tmp_path / "pid").split()[0]))
    try:
        run.terminate()
        run.wait(60)
        assert select.select([make], [], [], 0)[0], "it runs on"
        assert (tmp_path / "pid").read_text() == f"{run.pid} {os.getpid()} test\n"
    finally:
        end(make)
