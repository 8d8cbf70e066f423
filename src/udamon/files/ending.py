"""What must be removed when this process is ended by a signal."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGTERM, signal.SIGHUP)

_left: dict[object, Callable[[], object]] = {}


def remember(what: object, remove: Callable[[], object]) -> None:
    """`remove` is called when a signal ends the process within `removing`, unless `forget` comes first."""
    _left[what] = remove


def forget(what: object) -> None:
    """Idempotent."""
    _left.pop(what, None)


@contextlib.contextmanager
def removing() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP remove what is remembered and then end the process as they always do.

    On the main thread, and where nobody else handles the signal; elsewhere it changes nothing. A thread does it: a
    query of DuckDB can keep Python's own handlers waiting for minutes.
    """
    ours = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread() or not ours:
        yield
        return
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(read, True)
    woken = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in ours:
        signal.signal(number, _leave_it_to_the_thread)
    thread = threading.Thread(target=_wait, args=(read, ours), daemon=True)
    try:
        thread.start()
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(woken)
        os.close(write)
        if thread.ident is not None:  # it could be started
            thread.join()
        os.close(read)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """SIGINT waits until the block has ended: for imports of libraries in C++ that import others, in which an exception
    of Python's handler ends the process by SIGABRT. On the main thread; elsewhere it changes nothing."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            signal.raise_signal(signal.SIGINT)


def _leave_it_to_the_thread(_number: int, _frame: object) -> None:
    """The bytes of the wake-up descriptor are written for signals with a handler only."""


def _wait(read: int, ours: list[signal.Signals]) -> None:
    while number := os.read(read, 1):
        if number[0] in ours:
            _end(number[0])


def _end(number: int) -> None:
    for remove in list(_left.values()):
        with contextlib.suppress(Exception):
            remove()
    import ctypes

    ctypes.CDLL(None).signal(number, 0)  # SIG_DFL; Python's own function is for the main thread
    os.kill(os.getpid(), number)
