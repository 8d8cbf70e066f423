"""The limit of open files: raised to what is allowed, given back to commands, and told when it is reached.

A refusal because of it must never be taken for a process that is gone, or a file that is not there. So whatever opens
files of processes raises OutOfFiles for it, which is no OSError.
"""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

from udamon.errors import OutOfFiles

_FOR_LOOKS = 320
"""Descriptors that nothing may hold for long: what is opened for a look, and the processes that are acted on."""

_soft_before: int | None = None


def raise_limit() -> None:
    """Raise the soft limit to the hard one, for this process; commands get the old one back by `give_back`."""
    global _soft_before
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _soft_before is None and soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        _soft_before = soft


def soft_before() -> int | None:
    """The soft limit before it was raised; None where it was not."""
    return _soft_before


def give_back() -> None:
    """Lower the soft limit to what it was: in a process that is about to execute a command."""
    if _soft_before is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_soft_before, hard))


def limit() -> int:
    """Files that this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft >= 0 else 1 << 30


def room() -> int:
    """Descriptors that may be opened now and held for long."""
    return max(0, limit() - len(os.listdir("/proc/self/fd")) - min(limit() // 4, _FOR_LOOKS))


def open_file(path: str | Path, flags: int) -> int:
    """A descriptor that is closed on exec. Raises OutOfFiles, or another OSError."""
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        refuse_if_full(error)
        raise


def list_directory(path: str | Path) -> list[str]:
    """The names in a directory. Raises OutOfFiles, or another OSError."""
    try:
        return os.listdir(path)
    except OSError as error:
        refuse_if_full(error)
        raise


def remedy(error: OSError, otherwise: str) -> str:
    """What to do about `error` in a sentence that names a file: `otherwise`, unless no further file may be opened."""
    if error.errno == errno.EMFILE:
        return "raise the limit of open files (ulimit -n)"
    return "raise /proc/sys/fs/file-max" if error.errno == errno.ENFILE else otherwise


def refuse_if_full(error: OSError) -> None:
    """Raises OutOfFiles where `error` says that no further file may be opened; for os.walk, too."""
    if error.errno == errno.EMFILE:
        raise OutOfFiles(
            f"udamon may not open more than {limit()} files at a time and needs more; raise the limit "
            "(ulimit -n, LimitNOFILE= of a unit), or watch fewer processes."
        ) from error
    if error.errno == errno.ENFILE:
        raise OutOfFiles(
            "this machine has as many files open as it allows; raise /proc/sys/fs/file-max, or end what holds them."
        ) from error
