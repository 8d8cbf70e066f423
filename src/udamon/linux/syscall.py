"""System calls that Python has no name for, by number. ctypes costs some MiB, so it is loaded when first needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache


def system_call(number: int, *arguments: int) -> int:
    """What the call answers; addresses and lengths are plain integers. Raises OSError."""
    call, error_number = _entry()
    answer = call(number, *arguments)
    if answer < 0:
        code = error_number()
        raise OSError(code, os.strerror(code))
    return answer


@cache
def _entry() -> tuple[Callable[..., int], Callable[[], int]]:
    import ctypes

    entry = ctypes.CDLL(None, use_errno=True).syscall  # opening it takes 80 µs: once is enough
    entry.restype = ctypes.c_long

    def call(*arguments: int) -> int:
        return int(entry(*map(ctypes.c_long, arguments)))

    return call, ctypes.get_errno
