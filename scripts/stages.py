"""Stages of a check and the one summary at its end.

A stage returns how many tests it ran, or raises: Skipped where it cannot run here, Failed where it found
something. All stages run even when one fails, so that one run tells everything.
"""

from __future__ import annotations

import os
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".work"

NOTES: list[str] = []
"""What the summary should also say: something left out that is no failure."""


@dataclass(frozen=True)
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


class Failed(Exception):
    """The stage found something wrong; what it was is already on the terminal."""

    def __init__(self, why: str, counts: Counts | None = None) -> None:
        super().__init__(why)
        self.counts = counts or Counts(failed=1)


class Skipped(Exception):
    """The stage could not run here; the message says why."""


@dataclass(frozen=True)
class Stage:
    name: str
    run: Callable[[], Counts]
    optional: bool = False  # may be skipped on CI too


@dataclass
class Report:
    """What happened to each stage, in the order they ran."""

    on_ci: bool = field(default_factory=lambda: bool(os.environ.get("CI")))
    rows: list[tuple[str, str, float, str]] = field(default_factory=list)
    total: Counts = Counts()
    ok: bool = True

    def run(self, stage: Stage) -> None:
        print(f"\n== {stage.name}", flush=True)
        begin = time.monotonic()
        try:
            counts = stage.run()
            verdict, detail = "passed", str(counts) if counts != Counts() else ""
        except Skipped as skip:
            must_run = self.on_ci and not stage.optional
            counts = Counts(failed=1) if must_run else Counts()
            verdict, detail = ("FAILED", f"not run: {skip}") if must_run else ("not run", str(skip))
        except Failed as failure:
            counts, verdict, detail = failure.counts, "FAILED", str(failure)
        self.ok = self.ok and verdict != "FAILED"
        self.total += counts
        self.rows.append((stage.name, verdict, time.monotonic() - begin, detail))

    def print(self) -> None:
        width = max(len(name) for name, *_ in self.rows)
        print("\n== summary")
        for name, verdict, seconds, detail in self.rows:
            print(f"{name:{width}}  {verdict:7}  {seconds:6.1f} s  {detail}".rstrip())
        print("".join(f"note: {note}\n" for note in NOTES), end="")
        print(self.total, flush=True)  # alone on its line: CI reads it


def run(
    command: Sequence[str | Path], what: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> None:
    """Run a program with its output on the terminal; Failed when it does not exit with 0."""
    status = subprocess.run([str(word) for word in command], cwd=cwd, env=env, check=False).returncode
    if status:
        raise Failed(f"{what} ended with status {status}")


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without what would make another Python find the source tree."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
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
    status = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env or environment(),
        stdin=subprocess.DEVNULL,
        check=False,
    ).returncode
    if not junit.exists():
        raise Failed(f"pytest ended with status {status} before it ran a test")
    counts = read_junit(junit)
    if status or counts.failed:
        raise Failed(f"{counts}, status {status}", counts if counts.failed else counts + Counts(failed=1))
    if not counts.passed:
        raise Failed(f"no test passed ({counts})", counts + Counts(failed=1))
    return counts


def read_junit(path: Path) -> Counts:
    total = Counts()
    for suite in ElementTree.parse(path).getroot().iter("testsuite"):
        tests, failures, errors, skipped = (
            int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")
        )
        failed = failures + errors
        total += Counts(max(tests - failed - skipped, 0), failed, skipped)
    return total
