"""renameat2(2): a rename that replaces nothing, and one that exchanges two names at once."""

from __future__ import annotations

import errno
import os

_NOREPLACE, _EXCHANGE = 1, 2

NOT_SUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
"""What a file system answers that knows none of the two, or a C library that has no such call."""


def rename_without_replacing(directory: int, old: str, new: str) -> None:
    """Both names are in the directory of that descriptor. Raises OSError (EEXIST where `new` is there)."""
    _renameat2(directory, old, new, _NOREPLACE)


def exchange(directory: int, one: str, other: str) -> None:
    """Neither name is absent at any moment. Raises OSError (ENOENT where one of them is not there)."""
    _renameat2(directory, one, other, _EXCHANGE)


def _renameat2(directory: int, old: str, new: str, flags: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    try:
        call = libc.renameat2  # by its name: its number differs between processors
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if call(directory, os.fsencode(old), directory, os.fsencode(new), ctypes.c_uint(flags)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), new)
