"""Short sections that run as a real-time thread, so that nothing preempts a thread that holds a lock of the target."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def may_be_urgent() -> bool:
    """Whether real-time threads are permitted (CAP_SYS_NICE, or a resource limit). Tried on each call, because
    privileges may have been dropped since."""
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

    Keep it to some milliseconds: no ordinary thread runs on that processor until the block ends.
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
