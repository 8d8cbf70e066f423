"""Run a command several times beside processes that keep processors busy.

python -m scripts.beside_load BUSY TIMES COMMAND [ARGUMENT…]

BUSY processes run for as long as the command does. Ends with status 1 where a run did not end with 0; each run's status
and time are printed, and the output of those that failed. A test that needs a quiet machine fails here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator


@contextlib.contextmanager
def busy(number: int) -> Iterator[None]:
    """`number` processes that do nothing but count; they end with this one, however it ends."""
    loop = (
        "import ctypes, itertools, os, signal\n"
        "ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"  # PR_SET_PDEATHSIG
        f"os.getppid() == {os.getpid()} and all(map(bool, itertools.count(1)))"
    )
    started = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(number)]
    try:
        yield
    finally:
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.wait()


def main(arguments: list[str]) -> int:
    if len(arguments) < 3 or not all(word.isdecimal() for word in arguments[:2]):
        print(__doc__)
        return 2
    number, times = map(int, arguments[:2])
    failed = 0
    with busy(number):
        for run in range(1, times + 1):
            begin = time.monotonic()
            done = subprocess.run(
                arguments[2:],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            failed += done.returncode != 0
            lines = done.stdout.decode(errors="replace").splitlines()
            print("\n".join(lines if done.returncode else lines[-1:]))
            print(
                f"-- run {run} of {times}: status {done.returncode} in {time.monotonic() - begin:.0f} s",
                flush=True,
            )
    print(f"{times - failed} of {times} passed beside {number} busy processes")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
