"""Being another user with chosen capabilities and no other privilege."""

from __future__ import annotations

import ctypes
import os
import pwd
import struct
from collections.abc import Callable, Iterable

from tests.integration.programs import in_child

NUMBERS = {
    "DAC_OVERRIDE": 1,
    "DAC_READ_SEARCH": 2,
    "SYS_RAWIO": 17,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
    "SYS_NICE": 23,
    "SYS_RESOURCE": 24,
}
_KEEPCAPS, _DUMPABLE, _VERSION_3 = 8, 4, 0x2008_0522
_CAPSET = {"x86_64": 126}


def become(user: str, capabilities: Iterable[str]) -> None:
    """In a forked child of root: be `user` for good, with these capabilities (without CAP_) and no others."""
    libc = ctypes.CDLL(None, use_errno=True)
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    libc.prctl(_KEEPCAPS, 1, 0, 0, 0)
    os.setuid(entry.pw_uid)
    bits = sum(1 << NUMBERS[name] for name in capabilities)
    header = struct.pack("Ii", _VERSION_3, 0)
    data = struct.pack("6I", bits, bits, 0, 0, 0, 0)
    if libc.syscall(_CAPSET.get(os.uname().machine, 91), header, data):
        raise OSError(ctypes.get_errno(), "capset")
    libc.prctl(_DUMPABLE, 1, 0, 0, 0)


def as_user_with(capabilities: Iterable[str], check: Callable[[], None], user: str = "nobody") -> None:
    """Run `check` as such a user; fails with its traceback if it raises."""

    def work() -> None:
        become(user, capabilities)
        check()

    in_child(work)
