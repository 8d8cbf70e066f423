"""End this process when those that started it have ended, however they did.

make ends what it started where it gets SIGTERM, but not where it gets SIGKILL; and a shell that runs `.ci/run` ends by
SIGTERM without a word to it. The check would go on for minutes, with emulators that nobody waits for.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Iterator

VARIABLE = "UDAMON_CHECK_STARTER"
"""The process that started `.ci/run`."""


def pids() -> list[int]:
    """Processes to end with: make, if that started this one, and what started .ci/run. None under nohup, which asks to
    go on without them."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return []
    found = [os.getppid()] if "MAKELEVEL" in os.environ else []
    named = os.environ.get(VARIABLE, "")
    return [*found, int(named)] if named.isdecimal() else found


@contextlib.contextmanager
def ended_with(pids: list[int]) -> Iterator[None]:
    """This process gets SIGTERM as soon as one of `pids` has ended. One that has ended before is passed over: it left
    this process behind on purpose, as setsid(1) does."""
    stop, stopper = os.pipe()
    poll = select.poll()
    poll.register(stop)
    opened = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            opened.append(os.pidfd_open(pid))
            poll.register(opened[-1], select.POLLIN)

    def watch() -> None:
        if all(file != stop for file, _ in poll.poll()):
            with contextlib.suppress(OSError):  # whoever read it may have ended, too
                print("check: ends, for what started it has ended", flush=True)
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(stopper)
        thread.join()
        for file in (stop, *opened):
            os.close(file)
