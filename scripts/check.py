"""`make test`: every check of this checkout, in stages, with one summary (see stages.py).

python -m scripts.check [STAGE…]      all stages, or the named ones
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts import interpreters, sanitizers, wheel
from scripts.stages import ROOT, Counts, Report, Skipped, Stage, pytest, run

PYTHON = Path(sys.executable)
TESTS = ["tests/unit", "tests/property", "tests/integration", "tests/fuzz"]

# What a machine that runs CI=true has: losing one of these is a failure, not a skip (tests/capabilities.py).
CI_REQUIRES = "root,second_user,clear_refs,cgroup,compiler,redis,postgres,chromium,qemu"


def lint() -> Counts:
    run([PYTHON, "-m", "ruff", "check", "."], "ruff check")
    run([PYTHON, "-m", "ruff", "format", "--check", "."], "ruff format")
    return Counts()


def types() -> Counts:
    run([PYTHON, "-m", "mypy"], "mypy")
    return Counts()


def source() -> Counts:
    """The package as it lies here, installed in place."""
    return pytest("source", PYTHON, *TESTS)


def built_wheel() -> Counts:
    """The wheel, in an environment of its own, from a directory where src/ cannot be imported."""
    python = wheel.install(PYTHON)
    wheel.check_base_install(PYTHON)
    # The harness of the guest is a script of this checkout, not in the wheel.
    harness = f"--ignore={ROOT / 'tests/integration/test_guest_harness.py'}"
    return wheel.test("wheel", python, "tests/unit", "tests/integration", harness)


def newer() -> Counts:
    """The same wheel (one build serves them all) on every newer interpreter this machine has."""
    found = interpreters.newer_than_oldest()
    if not found:
        raise Skipped("no newer Python on this machine")
    total = Counts()
    for version, interpreter in found.items():
        print(f"-- Python {version}: {interpreter}", flush=True)
        total += wheel.test(f"python{version}", wheel.install(interpreter), "tests/unit", "-m", "not slow")
    return total


def sanitized() -> Counts:
    """The C under AddressSanitizer and UndefinedBehaviorSanitizer, by the tests that reach it."""
    return sanitizers.test(PYTHON)


def guest() -> Counts:
    """On kernels that have what this machine may lack."""
    from scripts.guest import suite, tools

    if tools.absent() and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run([ROOT / "scripts" / "setup", "guest"], check=False)
    return suite.run(long=False)


STAGES = [
    Stage("lint", lint),
    Stage("types", types),
    Stage("source", source),
    Stage("wheel", built_wheel),
    Stage("sanitizers", sanitized),
    Stage("newer-pythons", newer, optional=True),
    Stage("guest", guest),
]


def main(wanted: list[str]) -> int:
    unknown = set(wanted) - {stage.name for stage in STAGES}
    if unknown:
        print(f"no such stage: {', '.join(sorted(unknown))} (there are {', '.join(s.name for s in STAGES)})")
        return 2
    if os.environ.get("CI"):
        os.environ.setdefault("UDAMON_REQUIRE", CI_REQUIRES)
    report = Report()
    for stage in STAGES:
        if not wanted or stage.name in wanted:
            report.run(stage)
    report.print()
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
