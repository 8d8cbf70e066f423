"""Run tests/guest on every kernel: plan the boots outside, run each, and believe only what can be counted.

    jobs(long)          the boots to make: one or more for each kernel and machine; kernels that cannot be had
    python -m scripts.guest boot JOB      makes one, and writes its Result where scripts/parallel.py looks for it
    problems(…)         what is wrong when all have ended

Boots of the same kernel and machine share their tests: each takes a file that none has taken yet (tests/guest/plan.py).
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from scripts.guest import kernels, stock, tools
from scripts.guest.boot import CLAIMS_INSIDE, HUNG, JOB_INSIDE, Ended, boot
from scripts.guest.debian import NotOffered
from scripts.guest.kernels import Kernel
from scripts.guest.machine import Machine
from scripts.parallel import RESULTS, Stage
from scripts.parallel import Ended as StageEnded
from scripts.stages import (
    ROOT,
    WORK,
    Counts,
    Failed,
    Result,
    Skipped,
    current,
    environment,
    number,
    perform,
    read_junit,
    run,
)
from tests.guest.plan import collected

LIMIT = 2400
"""Seconds after which a guest is ended, unless UDAMON_GUEST_LIMIT says otherwise."""
TEST_TIMEOUT = 500
"""Seconds after which a test hangs: emulation is about twenty times slower, and a machine may have other work."""
SILENCE = 600
"""Seconds without a word, longer than any test may take: past it the guest itself has stalled. On a busy machine a test
takes several times as long outside as in the guest (`_pace` in boot.py)."""
SHARED_FROM = 120
"""As many tests are worth a second boot of the same machine, which takes twenty seconds to its first test."""

PLACE = WORK / "guest"


@dataclass(frozen=True)
class Job:
    """One boot. `group` names those that share tests, `tests` is how many they run together; `arguments` are for
    pytest."""

    kernel: Kernel
    machine: Machine
    suite: str
    group: str
    tests: int
    copy: int
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"guest-{self.group}-{self.copy}"

    @property
    def stage(self) -> Stage:
        return Stage(self.name, [sys.executable, "-m", "scripts.guest", "boot", self.name])

    @property
    def file(self) -> Path:
        return PLACE / "jobs" / f"{self.name}.json"

    def write(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(asdict(self), default=str))

    @classmethod
    def read(cls, name: str) -> Job:
        document = json.loads((PLACE / "jobs" / f"{name}.json").read_text())
        kernel = document["kernel"]
        kernel["image"] = Path(kernel["image"])
        kernel["modules"] = Path(kernel["modules"]) if kernel["modules"] else None
        kernel["system"] = Path(kernel["system"])
        document |= {"kernel": Kernel(**kernel), "machine": Machine(**document["machine"])}
        return cls(**{**document, "arguments": tuple(document["arguments"])})


class Planned(NamedTuple):
    """The boots to make, in this order, and the kernels that could not be had."""

    jobs: list[Job]
    absent: list[StageEnded]


def jobs(long: bool = False, only: Sequence[str] = (), wanted: str = "") -> Planned:
    """The boots to make. `only`: arguments for pytest (files, -k …) instead of all of tests/guest; `wanted`: part of
    the releases of the kernels. Raises Skipped where no guest can be booted, Failed when tests cannot be collected."""
    missing = tools.absent()
    if missing:
        raise Skipped(f"needs {', '.join(missing)}")
    found = kernels.find()
    if not found:
        raise Skipped("no kernel to boot: `make guest-kernel` builds one in about 20 minutes")
    _compile()
    plans = Plans(only)
    stocks, absent = _stock(long, plans)
    for name in ("claims", "jobs"):
        shutil.rmtree(PLACE / name, ignore_errors=True)
    made = []
    for kernel in (kernel for kernel in [*found, *stocks] if wanted in kernel.release):
        longer = plans.of(kernel.suite_of(True))
        # In short: of two kernels of the same series that which people have.
        twin = (
            not kernel.newest
            and not kernel.stock
            and any(s.series == kernel.series for s in stocks if not s.arm64)
        )
        suite = "" if twin and not long and not wanted else kernel.suite_of(long)
        tests_of = plans.of(suite) if suite else {}
        current.left_out += sum(each.number for each in longer.values())
        current.left_out -= sum(each.number for each in tests_of.values())
        for machine, (tests, files) in tests_of.items():
            if kernel.processor != "max" and machine != Machine(smp=1):
                continue  # a second processor for what pages read as, not for all there is
            group = f"{kernel.name}-{machine.name}".replace(" ", "_").replace("/", "_")
            copies = 2 if tests >= SHARED_FROM else 1
            arguments = tuple(only) or files
            made += [Job(kernel, machine, suite, group, tests, copy, arguments) for copy in range(copies)]
    for job in made:
        job.write()
    # Two processors first: those boots take long for their tests, and no other can help them to an end.
    return Planned(sorted(made, key=lambda job: (-job.machine.smp, -job.tests)), absent)


def _stock(long: bool, plans: Plans) -> tuple[list[Kernel], list[StageEnded]]:
    """Debian's kernels, and how those that cannot be had are counted: their tests are skipped."""
    begin = time.monotonic()
    found, absent = [], []
    for wanted in stock.WANTED if long else stock.IN_SHORT:
        try:
            found += stock.guests(wanted)
        except NotOffered as why:
            suites = {kernel.suite_of(long) for kernel in stock.machines(wanted, Path(wanted.name))} - {""}
            skipped = sum(each.number for suite in suites for each in plans.of(suite).values())
            result = Result("not run", f"{wanted.name}: {why}", Counts(skipped=skipped))
            absent.append(StageEnded(Stage(f"guest-{wanted.release}-{wanted.machine}", []), result, 0, 0, 0))
    current.install_seconds += time.monotonic() - begin
    return found, absent


_IMPORT_ALL = """
import contextlib, duckdb, importlib, numpy, pkgutil, pytest_timeout, udamon
for found in pkgutil.walk_packages(udamon.__path__, "udamon."):
    if not found.name.endswith("__main__"):
        with contextlib.suppress(ImportError):  # of libraries that are not installed
            importlib.import_module(found.name)
"""


def _compile() -> None:
    """Compile what guests import once out here: each would do so again at its start, some twenty times slower. `Plans`
    does the same for the tests and for pytest, which compiles them in its own way."""
    run([sys.executable, "-m", "compileall", "-q", "src", "tests", "scripts"], "compileall")
    run([sys.executable, "-c", _IMPORT_ALL], "importing all of udamon", env=environment())


class Tests(NamedTuple):
    """What a boot runs: how many tests, and their files."""

    number: int
    files: tuple[str, ...]


class Plans:
    """What pytest says, out here where it is fast: which boots the tests of a suite need, and which each has."""

    def __init__(self, only: Sequence[str] = ()) -> None:
        self._only = only
        self._known: dict[str, dict[Machine, Tests]] = {}

    def of(self, suite: str) -> dict[Machine, Tests]:
        """Raises Failed when the tests cannot be collected."""
        if suite not in self._known:
            self._known[suite] = self._ask(suite)
        return self._known[suite]

    def _ask(self, suite: str) -> dict[Machine, Tests]:
        target = PLACE / "plan.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        env = environment(UDAMON_GUEST_PLAN=str(target), UDAMON_GUEST_SUITE=suite)
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *(self._only or collected(suite))]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        # 5: nothing left to run, as it should be outside a guest
        if done.returncode not in (0, 5) or not target.exists():
            print(done.stdout + done.stderr)
            raise Failed("the guest tests cannot be collected")
        return {
            Machine(entry["smp"], entry["mem"], entry["append"]): Tests(entry["tests"], tuple(entry["files"]))
            for entry in json.loads(target.read_text())
        }


def run_job(name: str) -> int:
    job = Job.read(name)
    return perform(lambda: _run(job), RESULTS / f"{name}.json", must_run=True)


def _run(job: Job) -> Counts:
    place, limit = PLACE / job.name, number("UDAMON_GUEST_LIMIT", LIMIT)
    claims = PLACE / "claims" / job.group
    claims.mkdir(parents=True, exist_ok=True)
    for attempt in (1, 2):
        print(f"-- Linux {job.kernel.name}, {job.machine.name}", flush=True)
        ended = boot(job.kernel, job.machine, _script(job), place, limit, SILENCE, claims)
        # Emulated machines stall now and then, one processor waiting for an interrupt that does not come.
        # A test that hangs is ended by its own timeout long before, so this is no test's doing.
        stalled = ended.status == HUNG and "without a word" in ended.why
        if attempt == 1 and (stalled or not ended.began):
            current.notes.append(f"{job.name}: the emulator stalled; booted once more")
            continue
        break
    junit = place / "job" / "junit.xml"
    if junit.exists():
        current.count(junit)
    counts, problem = judge(ended, junit)
    if problem:
        raise Failed(problem, counts)
    return counts


def judge(ended: Ended, junit: Path) -> tuple[Counts, str]:
    """What ran and what was wrong ("" for nothing). Success needs both: the script's status and a readable count."""
    if ended.why:
        return Counts(failed=1), ended.why
    if not junit.exists():
        return Counts(failed=1), f"status {ended.status} and no count of tests"
    counts = read_junit(junit)
    if ended.status == NOTHING_LEFT and not counts.ran:
        return counts, ""
    if ended.status or counts.failed:
        return counts if counts.failed else counts + Counts(failed=1), f"{counts}, status {ended.status}"
    return counts, ""


NOTHING_LEFT = 5
"""pytest's status when no test ran: another boot took them all. `problems` notices if none did."""


def complete(made: Sequence[Job], ended: Sequence[StageEnded]) -> list[StageEnded]:
    """Those of `ended` without boots that passed in a group of which another boot has not ended: which tests that one
    had taken is not known, so the group is run again. What failed stays."""
    names = {each.stage.name for each in ended}
    open_groups = {job.group for job in made if job.name not in names}
    again = {job.name for job in made if job.group in open_groups}
    return [each for each in ended if each.stage.name not in again or each.result.verdict == "FAILED"]


def problems(made: Sequence[Job], ended: Sequence[StageEnded]) -> list[str]:
    """Groups whose boots together did not run the tests that were planned."""
    results = {each.stage.name: each.result for each in ended}
    wrong = []
    for group in dict.fromkeys(job.group for job in made):
        boots = [job for job in made if job.group == group]
        ran = sum(results[job.name].counts.ran for job in boots if job.name in results)
        if ran != boots[0].tests or not ran:
            wrong.append(f"{group}: {ran} tests ran instead of {boots[0].tests}")
    return wrong


def _script(job: Job) -> str:
    variables = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin" if job.kernel.arm64 else os.environ["PATH"],
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # looking for plugins takes seconds under emulation
        "UDAMON_GUEST": job.machine.name,
        "UDAMON_GUEST_SUITE": job.suite,
        "UDAMON_GUEST_KERNEL": job.kernel.release,
        "UDAMON_GUEST_CLAIMS": str(CLAIMS_INSIDE),
        "UDAMON_GUEST_COPY": str(job.copy),
        "UDAMON_REQUIRE": job.kernel.requires,
        "HYPOTHESIS_PROFILE": "quick",
    }
    python = "python3" if job.kernel.arm64 else sys.executable
    command = [
        python, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "pytest_timeout",
        f"--timeout={TEST_TIMEOUT}", "--durations=5", f"--junitxml={JOB_INSIDE}/junit.xml",
        *job.arguments,
    ]  # fmt: skip
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    lines += [f"cd {shlex.quote(str(ROOT))}"]
    if job.kernel.arm64:
        lines += ["export PYTHONPATH=src", f"cp {JOB_INSIDE}/_native.abi3.so src/udamon/native/"]
    return "\n".join([*lines, shlex.join(command), ""])
