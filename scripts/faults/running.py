"""One fault, one suite: plant it, run what was selected, stop at the first failure, and make sure of that failure."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from scripts.faults.catalogue import Fault, FaultsError
from scripts.faults.place import FAULTS, Place
from scripts.faults.recording import Contexts, directory_of
from scripts.faults.selecting import select
from scripts.faults.suites import GUEST_LIMIT_S, LIMIT_S, OWN_TEST, TESTS, WHOLE_LIMIT_S, Suite
from scripts.faults.verdicts import CAUGHT, MISSED, judge, judge_guest
from scripts.stages import environment

TEST_LIMIT_S = 100
"""For one test, less than LIMIT_S, so that a test that hangs is a failure and no end of the time."""
FALSE_ALARMS = 3
"""So many tests that fail without the fault, too, are left out; then that has to be looked into."""
GUEST, SOUND = "-guest", "-sound"
"""How logs are called."""
STOPPED = b"!!! stopping after 1 failures !!!"
RESULTS = FAULTS / "results.json"


@dataclass(frozen=True)
class Result:
    """`stage`: selected, whole or guest. `by` is the test that caught the fault; `tests` how many were selected."""

    fault: str
    suite: str
    verdict: str
    stage: str = "selected"
    by: str = ""
    tests: int = 0
    seconds: float = 0.0
    detail: str = ""
    key: str = ""


class Results:
    """What was found so far, kept after every fault: a run that is cut off goes on where it was."""

    def __init__(self, path: Path = RESULTS) -> None:
        self._path = path
        self._found = self._load()

    def _load(self) -> dict[tuple[str, str, str], Result]:
        loaded = json.loads(self._path.read_text()) if self._path.exists() else []
        return {(one["fault"], one["suite"], one["stage"]): Result(**one) for one in loaded}

    def get(self, fault: Fault, suite: str, stage: str, key: str = "") -> Result | None:
        """None as well where the fault, the source or the tests were others (`key`, unless it is "")."""
        found = self._found.get((fault.id, suite, stage))
        return found if found is not None and key in ("", found.key) else None

    def put(self, result: Result) -> None:
        # Another run, of another suite, may have put some there meanwhile.
        self._found = self._load() | {(result.fault, result.suite, result.stage): result}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps([asdict(one) for one in self._found.values()], indent=1))
        new.replace(self._path)


class Runner:
    """Runs faults in a suite's copy, which must be held."""

    def __init__(self, place: Place, results: Results) -> None:
        self.place = place
        self.suite: Suite = place.suite
        self.results = results
        self._contexts = Contexts(directory_of(place))
        self._digest = place.digest()

    def selected(self, fault: Fault) -> Result:
        """The tests that execute the changed lines."""
        selection = select(fault, self._contexts, self.place.root)
        if not selection.arguments:
            nobody = "no test of the host executes it"
            return Result(fault.id, self.suite.name, MISSED, detail=nobody, key=self.key(fault))
        result = self._surely(fault, selection.arguments, LIMIT_S)
        return replace(result, tests=len(selection), detail=result.detail or selection.why)

    def whole(self, fault: Fault) -> Result:
        """All tests of the host."""
        return replace(self._surely(fault, TESTS, WHOLE_LIMIT_S), stage="whole")

    def guest(self, fault: Fault) -> Result:
        """The files of tests/guest that the fault names, on the newest kernel."""
        command: list[str | Path] = [
            self.place.python,
            "-m",
            "scripts.guest",
            "test",
            *self.suite.guest,
            *fault.guest,
            "-x",
        ]
        env = {"UDAMON_GUEST_KERNELS": str(_newest_kernel(self.place.root))}
        with self.place.planted(fault):
            result = self._run(fault, command, GUEST_LIMIT_S, env, GUEST)
        return replace(result, stage="guest")

    def key(self, fault: Fault) -> str:
        return f"{fault.digest}-{self._digest}"

    def _pytest(self, fault: Fault, arguments: Sequence[str], limit_s: float, log: str = "") -> Result:
        shutil.rmtree(self.place.root / ".hypothesis", ignore_errors=True)  # examples that another fault left
        listed = self.place.root.parent / "arguments"
        listed.write_text("\n".join(arguments) + "\n")
        seed = zlib.crc32(f"{fault.id} {self.suite.name}".encode())
        options = [
            "-x", "-v", "-rfE", "--tb=short", "-p", "no:cacheprovider", "-o", "addopts=--strict-markers",
            f"--timeout={TEST_LIMIT_S}", f"--hypothesis-seed={seed}", f"--ignore={OWN_TEST}", *self.suite.arguments,
            f"@{listed}",
        ]  # fmt: skip
        command: list[str | Path] = [self.place.python, "-m", "pytest", *options]
        return self._run(fault, command, limit_s, self.suite.environment, log)

    def _run(
        self,
        fault: Fault,
        command: Sequence[str | Path],
        limit_s: float,
        env: Mapping[str, str],
        suffix: str = "",
    ) -> Result:
        log = self.place.root.parent / "logs" / f"{fault.id}{suffix}.log"
        log.parent.mkdir(exist_ok=True)
        begin = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=self.place.root,
                env=environment(**env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = _wait(process, log, begin + limit_s)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        seconds = round(time.monotonic() - begin, 1)
        text = log.read_text(errors="replace")
        try:
            verdict, by = (judge_guest if suffix == GUEST else judge)(status, text)
        except FaultsError as error:
            raise FaultsError(f"{fault.id}: {error}; {log} says why.") from None
        return Result(fault.id, self.suite.name, verdict, by=by, seconds=seconds, key=self.key(fault))

    def _surely(self, fault: Fault, arguments: Sequence[str], limit_s: float) -> Result:
        """A test that failed must pass without the fault; else it says nothing of it, and is left out."""
        left_out: list[str] = []
        while len(left_out) <= FALSE_ALARMS:
            with self.place.planted(fault):
                found = self._pytest(
                    fault, [*arguments, *(f"--deselect={test}" for test in left_out)], limit_s
                )
            if found.verdict != CAUGHT or "::" not in found.by:
                return replace(found, detail=f"left out: {', '.join(left_out)}" if left_out else "")
            if self._pytest(fault, [found.by], LIMIT_S, SOUND).verdict == MISSED:
                return found
            left_out.append(found.by)
        raise FaultsError(
            f"{fault.id}: {', '.join(left_out)} fail without the fault, too; look into them first."
        )


def _wait(process: subprocess.Popen[bytes], log: Path, until: float) -> int | None:
    """Its status; 1 when it has stopped at a failure and would boot other kernels, None when the time is over."""
    while time.monotonic() < until:
        try:
            return process.wait(1)
        except subprocess.TimeoutExpired:
            if STOPPED in log.read_bytes():
                try:
                    return process.wait(5)
                except subprocess.TimeoutExpired:
                    return 1
    return None


def _newest_kernel(root: Path) -> Path:
    """Of those that the guest's harness would find beside the copy."""
    images = sorted(
        (root.parent / "shared/guest").glob("linux-*-bzImage"),
        key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)],
    )
    if not images:
        raise FaultsError("no kernel for the guest in ../shared/guest; build one with make guest-kernel.")
    return images[-1]
