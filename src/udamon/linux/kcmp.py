"""kcmp(2): do two processes share one address space (CLONE_VM, vfork)?"""

from __future__ import annotations

import errno
import os
import platform

from udamon.linux.syscall import system_call

_NUMBERS = {"x86_64": 312, "aarch64": 272}
_VM = 1  # KCMP_VM of linux/kcmp.h


def compare_spaces(one: int, other: int) -> int:
    """0 where the processes have one address space, else 1 or 2: an order of address spaces that stays while
    the machine runs. Raises OSError: ENOSYS where the kernel cannot tell, EPERM, ESRCH."""
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return system_call(number, one, other, _VM, 0, 0)
