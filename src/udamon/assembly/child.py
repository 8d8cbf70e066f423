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


_KEPT = ("TERM", "COLORTERM", "LANG", "TZ")
"""Variables of our environment that a command of another user keeps, beside LC_…: about the terminal and the locale."""

_PATH = "/usr/local/bin:/usr/bin:/bin"
_ROOTS_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Child:
    """A started command. Raises ChildError, or UsageError for an unknown user."""

    def __init__(
        self,
        command: Sequence[str],
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        before_exec: Callable[[], None] | None = None,
        added: Callable[[str | None], Mapping[str, str]] | None = None,
    ) -> None:
        """`before_exec` runs in the new process, before it becomes the command. `added`, given the LD_PRELOAD of the
        command's environment, says what that gets besides.

        A `user` gets an environment of its own, as after setpriv --reset-env: nothing of root's private one.
        """
        entry = None if user is None else _entry(user)

        def prepare() -> None:
            open_files.give_back()
            if before_exec is not None:
                before_exec()

        # Only where there is something to do: a function before exec means a slower start.
        needed = before_exec is not None or open_files.soft_before() is not None
        last = prepare if needed else None
        if entry is not None:
            env = environment_of(entry)
        if added is not None:
            env = os.environ if env is None else env
            env = {**env, **added(env.get("LD_PRELOAD"))}
        try:
            if entry is None:
                self._process = subprocess.Popen(list(command), env=env, preexec_fn=last)
            else:
                self._process = subprocess.Popen(
                    list(command),
                    env=env,
                    user=entry.pw_uid,
                    group=entry.pw_gid,
                    extra_groups=os.getgrouplist(entry.pw_name, entry.pw_gid),
                    preexec_fn=last,
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
        """End it if it still runs (SIGTERM, then SIGKILL), and wait for it."""
        if self.ended():
            return
        self._process.send_signal(signal.SIGTERM)
        self._process.send_signal(signal.SIGCONT)  # one that is stopped takes no other before
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _entry(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except (KeyError, ValueError):  # ValueError: a NUL, or what cannot be a name in this locale
        raise UsageError(f"there is no user {user!r} on this machine; see getent passwd.") from None


def environment_of(entry: pwd.struct_passwd, ours: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a command of this user: HOME, SHELL, USER, LOGNAME and PATH are the user's."""
    kept = {name: value for name, value in ours.items() if name in _KEPT or name.startswith("LC_")}
    return kept | {
        "HOME": entry.pw_dir,
        "SHELL": entry.pw_shell or "/bin/sh",
        "USER": entry.pw_name,
        "LOGNAME": entry.pw_name,
        "PATH": _PATH if entry.pw_uid else _ROOTS_PATH,
    }
