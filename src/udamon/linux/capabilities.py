"""Giving up what is no longer needed: capabilities of the calling thread, and of threads that it starts."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

from udamon.linux.syscall import system_call

_VERSION_3 = 0x2008_0522
_CAPGET = {"x86_64": 125, "aarch64": 90}


def drop_all_but(kept: Iterable[int]) -> None:
    """From now on this thread has no capability but these, as far as it had them. Raises OSError.

    A program that it executes as root gets all of them again: the bounding set stays.
    """
    get = _CAPGET.get(os.uname().machine)
    if get is None:
        return  # an unknown machine's numbers of calls are not guessed
    header = ctypes.create_string_buffer(struct.pack("Ii", _VERSION_3, 0), 8)
    data = ctypes.create_string_buffer(24)
    system_call(get, ctypes.addressof(header), ctypes.addressof(data))
    effective, permitted, inherited, *high = struct.unpack("6I", data.raw)
    bits = sum(1 << number for number in kept)
    low, top = bits & 0xFFFF_FFFF, bits >> 32
    data.raw = struct.pack(
        "6I", effective & low, permitted & low, inherited & low, high[0] & top, high[1] & top, high[2] & top
    )
    system_call(get + 1, ctypes.addressof(header), ctypes.addressof(data))
