"""A mount namespace of one's own, what is mounted in it, and capabilities that are given up for good."""

from __future__ import annotations

import ctypes
import os
from enum import IntEnum
from pathlib import Path

_CLONE_NEWNS = 0x0002_0000
_MS_BIND, _MS_MOVE, _MS_REC, _MS_PRIVATE = 4096, 8192, 16384, 1 << 18
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP = 1, 24


class Capability(IntEnum):
    """Numbers of linux/capability.h."""

    SYS_CHROOT = 18
    SYS_PTRACE = 19
    SYS_ADMIN = 21


def _call(name: str, *arguments: object) -> None:
    """Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def _mount(source: str, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = (None if text is None else text.encode() for text in (kind, data))
    kind_, data_ = encoded
    try:
        _call("mount", os.fsencode(source), os.fsencode(target), kind_, ctypes.c_ulong(flags), data_)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None


def private_mounts() -> None:
    """A mount namespace of our own, from which nothing spreads. Raises OSError (CAP_SYS_ADMIN)."""
    _call("unshare", _CLONE_NEWNS)
    _mount("none", Path("/"), None, _MS_REC | _MS_PRIVATE)


def mount_tmpfs(point: Path, mode: str = "0755") -> None:
    """Raises OSError."""
    _mount("udamon", point, "tmpfs", 0, f"mode={mode}")


def bind(source: Path, target: Path) -> None:
    """Show `source` with everything that is mounted below it at `target`. Raises OSError."""
    _mount(str(source), target, None, _MS_BIND | _MS_REC)


def move(source: Path, target: Path) -> None:
    """Raises OSError."""
    _mount(str(source), target, None, _MS_MOVE)


def drop(capabilities: list[Capability]) -> None:
    """Give them up for this process and all that it will execute. Raises OSError.

    Those of the running program stay until it executes another one: root's capabilities are then computed anew,
    from what is left.
    """
    for capability in capabilities:
        _call("prctl", _PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0)


def die_with_parent(signal: int) -> None:
    """Have this signal sent here when the process that started us ends. Raises OSError."""
    _call("prctl", _PR_SET_PDEATHSIG, ctypes.c_ulong(signal), 0, 0, 0)
