"""Run tests/guest on every kernel: plan the boots outside, run each, and believe only what can be counted."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.guest import kernels, stock, tools
from scripts.guest.boot import HUNG, JOB_INSIDE, Ended, boot
from scripts.guest.kernels import Kernel
from scripts.guest.machine import Machine
from scripts.stages import NOTES, ROOT, WORK, Counts, Failed, Skipped, environment, read_junit

LIMIT = float(os.environ.get("UDAMON_GUEST_LIMIT", 2400))
TEST_TIMEOUT = 150  # seconds for one test: emulation is about twenty times slower
SILENCE = 240  # longer than any test may take: past it the guest itself has stalled


@dataclass(frozen=True)
class Group:
    """Tests that share a boot."""

    machine: Machine
    tests: int


def run(long: bool = False, only: list[str] | None = None) -> Counts:
    """All groups on all kernels. `only`: arguments for pytest (files, -k …) instead of all of tests/guest."""
    missing = tools.absent()
    if missing:
        raise Skipped(f"needs {', '.join(missing)}")
    found = kernels.find()
    if not found:
        raise Skipped("no kernel to boot: `make guest-kernel` builds one in about 20 minutes")
    try:
        found.append(kernels.stock(stock.ensure()))
    except stock.NotOffered as why:
        NOTES.append(f"guest: not tested on Debian's stock kernel: {why}")
    total, problems = Counts(), []
    for kernel in found:
        suite = kernel.suite + ("+all" if long else "")
        executed = Counts()
        for group in plan(suite, only):
            counts, problem = run_group(kernel, suite, group, only)
            executed += counts
            if problem:
                problems.append(f"{kernel.release} {group.machine.name}: {problem}")
        if not executed.passed + executed.failed:
            problems.append(f"{kernel.release}: no test ran")
        total += executed
    if problems:
        raise Failed("; ".join(problems), total if total.failed else total + Counts(failed=1))
    return total


def plan(suite: str, only: list[str] | None = None) -> list[Group]:
    """Ask pytest, out here where it is fast, which boots the tests need."""
    target = WORK / "guest" / "plan.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    env = environment(UDAMON_GUEST_PLAN=str(target), UDAMON_GUEST_SUITE=suite)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *(only or ["tests/guest"])]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    # 5: nothing left to run, as it should be outside a guest
    if done.returncode not in (0, 5) or not target.exists():
        print(done.stdout + done.stderr)
        raise Failed("the guest tests cannot be collected")
    return [
        Group(Machine(entry["smp"], entry["mem"], entry["append"]), entry["tests"])
        for entry in json.loads(target.read_text())
    ]


def run_group(kernel: Kernel, suite: str, group: Group, only: list[str] | None = None) -> tuple[Counts, str]:
    """One boot; returns what ran and what was wrong ("" for nothing)."""
    place = WORK / "guest" / f"{kernel.release}-{group.machine.name}".replace(" ", "_").replace("/", "_")
    script = _script(kernel, suite, group.machine, only or ["tests/guest"])
    for attempt in (1, 2):
        print(f"-- Linux {kernel.release}, {group.machine.name}: {group.tests} tests", flush=True)
        ended = boot(kernel, group.machine, script, place, LIMIT, SILENCE)
        # Emulated machines stall now and then, one processor waiting for an interrupt that does not come.
        # A test that hangs is ended by its own timeout long before, so this is no test's doing.
        stalled = ended.status == HUNG and "without a word" in ended.why
        if attempt == 1 and (stalled or not ended.began):
            print("guest: booting once more", flush=True)
            continue
        break
    return judge(ended, place / "job" / "junit.xml", group.tests)


def judge(ended: Ended, junit: Path, expected: int) -> tuple[Counts, str]:
    """Success needs all of: the script's status 0, a readable count, and the number of tests planned."""
    if ended.why:
        return Counts(failed=1), ended.why
    if not junit.exists():
        return Counts(failed=1), f"status {ended.status} and no count of tests"
    counts = read_junit(junit)
    ran = counts.passed + counts.failed + counts.skipped
    if ended.status or counts.failed:
        return counts if counts.failed else counts + Counts(failed=1), f"{counts}, status {ended.status}"
    if ran != expected or not ran:
        return counts + Counts(failed=1), f"{ran} tests ran instead of {expected}"
    return counts, ""


def _script(kernel: Kernel, suite: str, machine: Machine, tests: list[str]) -> str:
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # looking for plugins takes seconds under emulation
        "UDAMON_GUEST": machine.name,
        "UDAMON_GUEST_SUITE": suite,
        "UDAMON_GUEST_KERNEL": kernel.release,
        "UDAMON_REQUIRE": kernel.requires,
    }
    command = [
        str(Path(sys.executable)), "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "pytest_timeout",
        f"--timeout={TEST_TIMEOUT}", "--durations=5", f"--junitxml={JOB_INSIDE}/junit.xml", *tests,
    ]  # fmt: skip
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([*lines, f"cd {shlex.quote(str(ROOT))}", shlex.join(command), ""])
