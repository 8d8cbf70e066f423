"""A short time in which a thread is not taken off its processor: whoever holds somebody else's lock should not be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def may_be_urgent() -> bool:
    """Real-time threads are permitted (CAP_SYS_NICE, or a resource limit): tried each time, as privilege may be given
    up in between."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    if not _set_urgent():
        return False
    os.sched_setscheduler(0, *before)
    return True


def _set_urgent() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    return True


@contextmanager
def urgent(wanted: bool = True) -> Iterator[None]:
    """Run the block as a real-time thread where that is permitted (CAP_SYS_NICE), else as before.

    For some milliseconds at most: nothing ordinary runs on that processor meanwhile.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    if (
        not wanted
        or before[0] & ~os.SCHED_RESET_ON_FORK in (os.SCHED_FIFO, os.SCHED_RR)
        or not may_be_urgent()
    ):
        yield
        return
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)
