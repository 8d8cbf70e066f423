"""A stage always leaves a result, which has the reason where it failed."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import stages
from scripts.guest import suite
from scripts.guest.boot import Ended
from scripts.stages import Counts, Failed, Result, Skipped

JUNIT = '<testsuites><testsuite tests="2" failures="0" errors="0" skipped="0"><testcase name="a" time="1"/>'


@pytest.fixture
def current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    result = Result()
    monkeypatch.setattr(stages, "current", result)
    monkeypatch.setattr(stages, "WORK", tmp_path)
    return result


def full() -> Counts:
    raise OSError(errno.ENOSPC, "No space left on device", "/place/file")


def damaged() -> Counts:
    raise KeyError("wheel")


def failed() -> Counts:
    raise Failed("3 failed", Counts(passed=2, failed=3))


def skipped() -> Counts:
    raise Skipped("no gcc")


@pytest.mark.parametrize(
    ("stage", "detail", "counts"),
    [
        (full, "OSError: [Errno 28] No space left on device: '/place/file'", Counts(failed=1)),
        (damaged, "KeyError: 'wheel'", Counts(failed=1)),
        (failed, "3 failed", Counts(passed=2, failed=3)),
        (skipped, "not run, and must be here: no gcc", Counts(failed=1)),
    ],
)
def test_why_it_failed(
    stage: Callable[[], Counts], detail: str, counts: Counts, current: Result, tmp_path: Path
) -> None:
    assert stages.perform(stage, tmp_path / "one.json", must_run=True) == 1
    result = Result.read(tmp_path / "one.json")
    assert (result.verdict, result.detail, result.counts) == ("FAILED", detail, counts)


def python(place: Path, junit: str, status: int) -> Path:
    """One that writes such a junit file in place of running pytest."""
    program = place / "python"
    program.write_text(
        f"""#!{sys.executable}
import sys
path = next(word for word in sys.argv if word.startswith("--junitxml="))
open(path.removeprefix("--junitxml="), "w").write({junit!r})
sys.exit({status})
"""
    )
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("junit", ["", JUNIT, JUNIT[:20]])
def test_a_junit_file_that_was_cut_short(junit: str, current: Result, tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"how tests ended is not known: .*name\.xml cannot be read") as error:
        stages.pytest("name", python(tmp_path, junit, 0))
    assert error.value.counts == Counts(failed=1)
    (tmp_path / "junit.xml").write_text(junit)
    with pytest.raises(Failed, match="cannot be read"):
        suite.judge(Ended(0, 1), tmp_path / "junit.xml")


def test_a_whole_junit_file(current: Result, tmp_path: Path) -> None:
    whole = f"{JUNIT}</testsuite></testsuites>"
    assert stages.pytest("name", python(tmp_path, whole, 0)) == Counts(passed=2)
    assert current.slowest == [(1.0, "::a")]
    with pytest.raises(Failed, match="status 1"):
        stages.pytest("name", python(tmp_path, whole, 1))
    nothing = '<testsuites><testsuite tests="0"/></testsuites>'
    with pytest.raises(Failed, match="no test passed"):
        stages.pytest("name", python(tmp_path, nothing, 0))
