"""python -m scripts.guest test [--all] [PYTEST ARGUMENTS…] | shell | boot JOB

`test` takes KERNEL (part of a release) from the environment, `shell` KERNEL, SMP, MEM and APPEND.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from scripts import content, parallel
from scripts.guest import boot, kernels, suite, tools
from scripts.guest.machine import Machine
from scripts.stages import WORK, Failed, Skipped, check_numbers, number

WORKERS = 2
"""Guests at a time, where UDAMON_GUEST_WORKERS does not say otherwise."""


def test(arguments: list[str]) -> int:
    long = "--all" in arguments
    only = [word for word in arguments if word != "--all"]
    if not tools.absent() and not kernels.find():
        subprocess.run([kernels.BUILDER], check=False)
    try:
        with parallel.ended_by_signals(), content.locked("check"):
            return _test(long, only)
    except OSError as error:
        return parallel.without_room("guest", error)


def _test(long: bool, only: list[str]) -> int:
    begin = time.monotonic()
    try:
        check_numbers()
        jobs, absent = suite.jobs(long, only, os.environ.get("KERNEL", ""))
    except (Skipped, Failed) as why:
        print(f"guest: {why}")
        return 1  # asked for by name, guest tests that cannot run are a failure everywhere
    run = parallel.Run([job.stage for job in jobs], number("UDAMON_GUEST_WORKERS", WORKERS), absent)
    run.run()
    seconds, problems = time.monotonic() - begin, suite.problems(jobs, run.ended)
    return 0 if parallel.summarize(run, seconds, problems, long) else 1


def shell() -> int:
    wanted = os.environ.get("KERNEL", "")
    found = [kernel for kernel in [*kernels.find(), *kernels.fetched()] if wanted in str(kernel.image)]
    if tools.absent() or not found:
        print(
            f"guest: needs {', '.join(tools.absent()) or 'a kernel'} (scripts/guest/build-kernel builds one)"
        )
        return 1
    machine = Machine(
        int(os.environ.get("SMP", 2)), int(os.environ.get("MEM", 2048)), os.environ.get("APPEND", "")
    )
    return boot.shell(found[0], machine, WORK / "guest" / "shell")


def main(arguments: list[str]) -> int:
    match arguments:
        case ["test", *rest]:
            return test(rest)
        case ["shell"]:
            return shell()
        case ["boot", name]:
            return suite.run_job(name)
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
