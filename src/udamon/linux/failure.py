"""Why a process could not be read: one sentence, after looking whether the process is really gone."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from udamon.errors import CannotError, NotPermitted, NotSupported, TargetGone
from udamon.linux.open_files import refuse_if_full
from udamon.linux.procfs import Stat, list_pids, read_stat, read_status
from udamon.linux.roots import PROC

_MAY_BE_GONE = {errno.ENOENT, errno.ESRCH, errno.EIO, errno.ENODEV}
_HIDING = {"2", "invisible", "4", "ptraceable"}


@contextmanager
def process_errors(pid: int, root: Path = PROC, start_time: int | None = None) -> Iterator[None]:
    """Turns an OSError of the block into TargetGone, NotPermitted or another CannotError."""
    try:
        yield
    except OSError as error:
        raise process_failure(error, pid, root, start_time) from error


def process_failure(
    error: OSError, pid: int, root: Path = PROC, start_time: int | None = None
) -> CannotError:
    """The error to raise for `error`, met while reading process `pid`."""
    refuse_if_full(error)
    if not proc_mounted(root):
        return NotSupported(f"{root} is not mounted; mount it with: mount -t proc proc {root}.")
    try:
        stat = read_stat(pid, root)
    except (FileNotFoundError, ProcessLookupError):
        return _missing(pid, root)
    except OSError:
        return _refused(pid, f"process {pid}", root)
    if start_time is not None and stat.start_time != start_time:
        return TargetGone(f"process {pid} has ended, and its pid was given to another one ({stat.comm}).")
    if stat.ended:
        return TargetGone(f"process {pid} ({stat.comm}) has ended; its parent has not collected it yet.")
    return _by_errno(error, stat, root)


def proc_mounted(root: Path = PROC) -> bool:
    """True when `root` shows processes. Raises OutOfFiles."""
    try:
        return bool(list_pids(root))
    except OSError:
        return False


def user_name(uid: int) -> str:
    """The login name, or "uid N"."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def owner(pid: int, root: Path = PROC) -> str:
    """The login name of the user a process runs as, "" where it is gone."""
    try:
        return user_name(_owner_uid(pid, root))
    except OSError:
        return ""


def _owner_uid(pid: int, root: Path) -> int:
    try:
        return read_status(pid, root).uid
    except (PermissionError, KeyError):
        return os.stat(f"{root}/{pid}").st_uid  # hidepid=1 shows the directory, not the files


def _missing(pid: int, root: Path) -> CannotError:
    if hides_processes(root) and _exists_unseen(pid):
        return NotPermitted(
            f"process {pid} is hidden: {root} is mounted with hidepid and you are {user_name(os.geteuid())}; "
            f"run udamon as root, as the process's user, or in the group named by {root}'s gid= option."
        )
    return TargetGone(f"there is no process {pid}, or it has ended; look for it with: ps -e.")


def hides_processes(root: Path = PROC) -> bool:
    """True when `root` is mounted so that other users' processes do not show at all."""
    try:
        lines = (root / "self" / "mounts").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return False
    options = [f[3] for line in lines if len(f := line.split()) > 3 and f[2] == "proc" and f[1] == str(root)]
    return any(
        o.removeprefix("hidepid=") in _HIDING
        for o in ",".join(options).split(",")
        if o.startswith("hidepid=")
    )


def _exists_unseen(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # signal 0 is never sent: it only asks
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _by_errno(error: OSError, stat: Stat, root: Path) -> CannotError:
    who = f"process {stat.pid} ({stat.comm})"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return _refused(stat.pid, who, root)
    name = os.path.basename(str(error.filename or ""))
    # Where udamon itself has the file, the process or a thread of it ended before the file was opened.
    if error.errno == errno.ENOENT and name and not os.path.exists(f"{root}/self/{name}"):
        return NotSupported(
            f"this kernel has no {root}/PID/{name}; boot one that is built with CONFIG_PROC_PAGE_MONITOR=y."
        )
    # Readers raise a bare ProcessLookupError where memory went while they read: an exec, or the end.
    if error.errno in _MAY_BE_GONE or isinstance(error, ProcessLookupError):
        return TargetGone(f"{who} is ending or has just started a new program; try again.")
    return CannotError(f"{who} could not be read: {error.strerror}; try again, and report it if it stays.")


def _refused(pid: int, who: str, root: Path) -> CannotError:
    try:
        uid = _owner_uid(pid, root)
    except OSError:
        return TargetGone(f"{who} has ended.")
    me = os.geteuid()
    if me == 0:
        return NotPermitted(
            f"{who} belongs to {user_name(uid)} and even root may not read it here; "
            "give udamon CAP_SYS_PTRACE (containers and security modules withhold it)."
        )
    if uid == me:
        return NotPermitted(
            f"{who} is yours, but it runs protected (set-user-ID, file capabilities or not dumpable); "
            "run udamon as root."
        )
    instead = "as root" if uid == 0 else f"as {user_name(uid)} or as root"
    return NotPermitted(
        f"{who} belongs to {user_name(uid)} and you are {user_name(me)}; "
        f"run udamon {instead}, or give it CAP_SYS_PTRACE and CAP_DAC_OVERRIDE."
    )
