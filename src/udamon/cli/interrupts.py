"""Ctrl-C in a command: a KeyboardInterrupt, but never within an import.

Libraries in C turn an exception of a signal handler into another one where they import something, or lose it, or end
the process by SIGABRT (unicodedata in a string's escapes, the callbacks of import locks, pybind11).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

_IMPORTS = "<frozen importlib."
"""How the file names of Python's own code for imports begin."""
_AGAIN_S = 0.01


def handle(below: CodeType) -> None:
    """SIGINT raises KeyboardInterrupt from now on; where the main thread is in an import then, once that is over. An
    import that waits for `below` to return is none of them. On the main thread."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        while frame is not None and frame.f_code is not below:
            if frame.f_code.co_filename.startswith(_IMPORTS) and _come_again(number):
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    def again(unraisable: sys.UnraisableHookArgs) -> None:
        """What closes a generator or a file for the collector of garbage cannot raise: the signal would be lost."""
        if unraisable.exc_type is not KeyboardInterrupt or not _come_again(signal.SIGINT):
            sys.__unraisablehook__(unraisable)

    signal.signal(signal.SIGINT, interrupt)
    sys.unraisablehook = again


@contextmanager
def put_off() -> Iterator[None]:
    """Within, SIGINT comes again a little later, until something else takes it, as an event loop does once it runs: an
    exception while it starts would leave it half made. Where SIGINT is ignored or ends the process, it stays so. On the
    main thread."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield
        return

    def interrupt(number: int, _frame: FrameType | None) -> None:
        if not _come_again(number):
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _come_again(number: int) -> bool:
    """Send the signal once more, soon. Returns whether that will be."""

    def send() -> None:
        time.sleep(_AGAIN_S)
        os.kill(os.getpid(), number)

    try:
        threading.Thread(target=send, daemon=True).start()
    except RuntimeError:  # no further thread may be started
        return False
    return True
