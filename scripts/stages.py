"""What a stage of the check is, and how it reports.

A stage is a function that returns how many tests it ran, or raises: Skipped where it cannot run here, Failed where it
found something. `scripts/parallel.py` runs each stage in a process of its own, which writes its Result as JSON.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import time
import traceback
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".work"


@dataclass(frozen=True)
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    @property
    def ran(self) -> int:
        return self.passed + self.failed + self.skipped

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


class Failed(Exception):
    """The stage found something wrong; what it was is already in its output."""

    def __init__(self, why: str, counts: Counts | None = None) -> None:
        super().__init__(why)
        self.counts = counts or Counts(failed=1)


class Skipped(Exception):
    """The stage could not run here; the message says why."""


@dataclass
class Result:
    """How a stage ended.

    `left_out`: how many tests only `make test-all` runs. `install_seconds`: the time that pip and apt took. `reasons`:
    why tests were skipped, and how many for each.
    """

    verdict: str = "passed"
    detail: str = ""
    counts: Counts = Counts()
    left_out: int = 0
    install_seconds: float = 0
    notes: list[str] = field(default_factory=list)
    slowest: list[tuple[float, str]] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)

    def count(self, junit: Path) -> Counts:
        """Add what a junit file says."""
        self.slowest += slowest(junit)
        for reason in skips(junit):
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        return read_junit(junit)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Result:
        return cls.of(json.loads(path.read_text()))

    @classmethod
    def of(cls, document: dict[str, Any]) -> Result:
        """What `write` wrote, as JSON reads it."""
        counts = Counts(**document["counts"])
        slowest = [(seconds, name) for seconds, name in document["slowest"]]
        return cls(**{**document, "counts": counts, "slowest": slowest})


current = Result()
"""The result of the stage that this process runs; helpers add notes, times and left-out tests to it."""


def perform(stage: Callable[[], Counts], path: Path, must_run: bool) -> int:
    """Run a stage in this process, write its Result to `path`, return the exit status of the process."""
    try:
        current.counts = stage()
        current.detail = str(current.counts) if current.counts.ran else ""
    except Skipped as skip:
        current.verdict, current.detail = "not run", str(skip)
        if must_run:
            current.verdict, current.counts = "FAILED", Counts(failed=1)
            current.detail = f"not run, and must be here: {skip}"
    except Failed as failure:
        current.verdict, current.detail, current.counts = "FAILED", str(failure), failure.counts
    except Exception as error:  # a full disk, a damaged cache: the summary says which
        traceback.print_exc()
        current.verdict, current.counts = "FAILED", Counts(failed=1)
        current.detail = f"{type(error).__name__}: {error}"
    current.write(path)
    return 1 if current.verdict == "FAILED" else 0


def run(
    command: Sequence[str | Path], what: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> None:
    """Run a program with its output in the stage's; Failed when it does not exit with 0."""
    status = subprocess.run([str(word) for word in command], cwd=cwd, env=env, check=False).returncode
    if status:
        raise Failed(f"{what} ended with status {status}")


def install(command: Sequence[str | Path], what: str, cwd: Path = ROOT) -> None:
    """Run a program that loads or installs packages; its time is counted apart."""
    begin = time.monotonic()
    try:
        run(command, what, cwd, environment())
    finally:
        current.install_seconds += time.monotonic() - begin


def number(name: str, default: int) -> int:
    """A variable that is a whole number above 0, of seconds or of guests. Raises Failed."""
    text = os.environ.get(name) or str(default)
    if not (text.isdecimal() and int(text)):
        raise Failed(f"{name}={text} is no whole number above 0: set it to one, or unset it for {default}")
    return int(text)


def check_numbers() -> None:
    """Raises Failed where one of the variables is none: before anything is run, not after an hour."""
    for name in ("UDAMON_STAGE_LIMIT", "UDAMON_GUEST_LIMIT", "UDAMON_GUEST_WORKERS"):
        number(name, 1)


_LEFT_OUT = ("HYPOTHESIS_", "PYTEST_", "UDAMON_TEST_SELECTION", "UDAMON_TEST_INSTALLED", "UDAMON_GUEST_")
_KEPT = {
    "UDAMON_GUEST_KERNELS",
    "UDAMON_GUEST_LIMIT",
    "UDAMON_GUEST_WORKERS",
    "UDAMON_GUEST_ACCEL",
    "UDAMON_GUEST_WAITS",
}


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without what would make another Python find the source tree, compile the same files
    again and again or pass over assertions; and without what would make pytest run other tests than the stage asks for,
    or take this machine for a guest."""

    def changes_tests(name: str) -> bool:
        python = name.startswith("PYTHON") and name != "PYTHON"  # which says which one scripts/setup takes
        return python or name in ("VIRTUAL_ENV", "UDAMON_GUEST") or name.startswith(_LEFT_OUT)

    kept = {name: value for name, value in os.environ.items() if name in _KEPT or not changes_tests(name)}
    return kept | changes


def pytest(
    name: str, python: Path, *arguments: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> Counts:
    """Run pytest on this checkout's tests with some Python; Failed unless tests passed and none failed."""
    junit = WORK / "junit" / f"{name}.xml"
    junit.parent.mkdir(parents=True, exist_ok=True)
    junit.unlink(missing_ok=True)
    options = ["-q", "-c", ROOT / "pyproject.toml", f"--rootdir={ROOT}", f"--junitxml={junit}"]
    command = [python, "-m", "pytest", *options, *arguments]
    left_out = WORK / "junit" / f"{name}.left-out"
    left_out.unlink(missing_ok=True)
    status = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**(env or environment()), "UDAMON_TEST_LEFT_OUT": str(left_out)},
        stdin=subprocess.DEVNULL,
        check=False,
    ).returncode
    if left_out.exists():
        current.left_out += int(left_out.read_text())
    if not junit.exists():
        raise Failed(f"pytest ended with status {status} before it ran a test")
    counts = current.count(junit)
    if status or counts.failed:
        raise Failed(f"{counts}, status {status}", counts if counts.failed else counts + Counts(failed=1))
    if not counts.passed:
        raise Failed(f"no test passed ({counts})", counts + Counts(failed=1))
    return counts


def _junit(path: Path) -> ElementTree.Element:
    """What pytest wrote. Raises Failed where that was cut short."""
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise Failed(f"how tests ended is not known: {path} cannot be read ({error})") from error


def read_junit(path: Path) -> Counts:
    """How many tests a junit file counts. Raises Failed where it cannot be read."""
    total = Counts()
    for suite in _junit(path).iter("testsuite"):
        tests, failures, errors, skipped = (
            int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")
        )
        failed = failures + errors
        total += Counts(max(tests - failed - skipped, 0), failed, skipped)
    return total


def slowest(path: Path, number: int = 10) -> list[tuple[float, str]]:
    """The tests of a junit file that took longest: seconds and name."""
    rows = [
        (float(case.get("time", "0")), f"{case.get('classname', '')}::{case.get('name', '')}")
        for case in _junit(path).iter("testcase")
    ]
    return sorted(rows, reverse=True)[:number]


def skips(path: Path) -> list[str]:
    """Why the tests of a junit file were skipped, one reason for each; where whole files were, for the file."""
    found = _junit(path).iter("skipped")
    return [_reason(each).removeprefix("Skipped: ") for each in found]


def _reason(skipped: ElementTree.Element) -> str:
    """pytest's message is the same for each file that was skipped; its place and its reason are the text."""
    message = skipped.get("message", "")
    if message != "collection skipped":
        return message
    try:
        _, _, reason = ast.literal_eval(skipped.text or "")
        return str(reason)
    except (SyntaxError, ValueError):
        return skipped.text or message
