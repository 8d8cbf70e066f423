"""CPU time that monitoring takes: of this process or thread, and of the processes that processors are switched through.

Those run for a few microseconds in each visit of a processor (native/address_spaces.c). They are children without a
signal at their end, so no other count of this process includes them.
"""

from __future__ import annotations

import time

from udamon.native._native import switching_ns


def thread_ns() -> int:
    """Nanoseconds of the calling thread, and of all switching."""
    return time.thread_time_ns() + switching_ns()


def process_ns() -> int:
    """Nanoseconds of this process, and of all switching."""
    return time.process_time_ns() + switching_ns()
