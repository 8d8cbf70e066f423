"""The command that udamon starts to watch it: its own process, its output untouched."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

from udamon.errors import CannotError, UsageError
from udamon.linux import open_files

OWN_FAILURE, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
"""Exit statuses when there is no status of the command to pass on, as with env(1) and timeout(1)."""

GRACE_S = 5.0


class ChildError(CannotError):
    """The command could not be started; `status` says why, as shells do."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Child:
    """A started command. Raises ChildError, or UsageError for an unknown user."""

    def __init__(
        self,
        command: Sequence[str],
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        before_exec: Callable[[], None] | None = None,
    ) -> None:
        """`before_exec` runs in the new process, before it becomes the command."""
        who = None if user is None else _credentials(user)

        def prepare() -> None:
            open_files.give_back()
            if before_exec is not None:
                before_exec()

        # Only where there is something to do: a function before exec means a slower start.
        needed = before_exec is not None or open_files.soft_before() is not None
        last = prepare if needed else None
        try:
            if who is None:
                self._process = subprocess.Popen(list(command), env=env, preexec_fn=last)
            else:
                uid, gid, groups = who
                self._process = subprocess.Popen(
                    list(command), user=uid, group=gid, extra_groups=groups, preexec_fn=last
                )
        except FileNotFoundError as error:
            raise ChildError(
                f"{command[0]}: command not found; check its name and PATH.", NOT_FOUND
            ) from error
        except PermissionError as error:
            if user is not None and os.geteuid() != 0:
                raise ChildError(
                    f"cannot become user {user}: permission denied; run udamon as root.", OWN_FAILURE
                ) from error
            raise ChildError(
                f"{command[0]}: cannot be executed: {error.strerror}.", NOT_EXECUTABLE
            ) from error
        except OSError as error:
            raise ChildError(
                f"{command[0]}: cannot be executed: {error.strerror}.", NOT_EXECUTABLE
            ) from error
        self.pid = self._process.pid

    def ended(self, within: float = 0) -> bool:
        """True once the command has ended, or does so `within` seconds; collects it then."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def status(self) -> int:
        """The command's exit status, or 128 + n when signal n ended it. Only after it ended."""
        code: int = self._process.returncode
        return 128 - code if code < 0 else code

    def wait(self) -> int:
        """Wait for its end; returns `status`."""
        self._process.wait()
        return self.status()

    def end(self) -> None:
        """End it if it still runs: politely first, and collect it."""
        if self.ended():
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _credentials(user: str) -> tuple[int, int, list[int]]:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"there is no user {user!r} on this machine; see getent passwd.") from None
    return entry.pw_uid, entry.pw_gid, os.getgrouplist(user, entry.pw_gid)
