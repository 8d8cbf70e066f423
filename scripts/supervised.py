"""Run a command, and leave no process of it behind.

python -m scripts.supervised COMMAND [ARGUMENT…]

Ends with the status of COMMAND (128 + the signal that ended it). Processes that COMMAND started and left, in whatever
session or process group, are ended then, and named. SIGTERM, SIGINT and SIGHUP end all of them, and so does the end of
the process that started this one, even by SIGKILL.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

GRACE_S = 5.0
"""What is left has so long to end by SIGTERM; then it gets SIGKILL."""
STUCK_S = 30.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PARENT_FIELD = 1  # of /proc/PID/stat, counted behind the name


class _Ended(BaseException):
    """One of the signals that end all came."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def descendants(of: int) -> list[int]:
    """Processes below `of`, zombies left out. An orphan is below the process that has adopted it."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if fields[0] not in "ZX":
            below.setdefault(int(fields[_PARENT_FIELD]), []).append(int(entry.name))
    found, todo = [], [of]
    while todo:
        children = below.get(todo.pop(), [])
        found += children
        todo += children
    return found


def _command_line(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return ""
    return ascii(words.decode(errors="replace").strip()[:100])


def _raise(number: int, _: object) -> None:
    raise _Ended(number)


def _signal(number: signal.Signals) -> None:
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # it has ended meanwhile; or it is a program of another user, which ends with its parent


def _reaped() -> bool:
    """Reap what has ended; whether no child is left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if not pid:
            return False


def _end_all() -> bool:
    """End everything below this process; whether all is gone."""
    for number, seconds in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, STUCK_S)):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            _signal(number)  # again each time: what is started meanwhile must end, too
            if _reaped():
                return True
            time.sleep(0.05)
    return False


def _status_of(pid: int) -> int:
    """Wait for a child; whatever else this process has adopted is reaped on the way."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


def main(command: list[str]) -> int:
    parent = os.getppid()
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if not command or os.getppid() != parent:
        print(__doc__)
        return 2
    try:
        for number in _ENDING:
            signal.signal(number, _raise)
        # No Popen, which would wait for its own child alone: orphans are children of this process as well.
        back = [signal.SIGPIPE, signal.SIGXFSZ]  # which Python ignores
        status = _status_of(os.posix_spawnp(command[0], command, os.environ, setsigdef=back))
    except _Ended as ended:
        status = 128 + ended.number
    except OSError as error:
        print(f"supervised: {error}", file=sys.stderr)
        status = 127
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    left = descendants(os.getpid())
    if left and status < 128:
        names = "; ".join(f"{pid} {_command_line(pid)}" for pid in left)
        print(f"supervised: ends {len(left)} processes that were left: {names}", file=sys.stderr)
    if not _end_all():
        print("supervised: some processes do not end, not even by SIGKILL", file=sys.stderr)
        return status or 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
