"""The check as a whole, with stages of a moment."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import check, content, parallel, passed
from scripts.guest import __main__ as guest
from scripts.guest import kernels, suite, tools
from scripts.parallel import Ended, Stage
from scripts.stages import Result

ROOT = Path(__file__).parents[3]
GOOD = """printf %s '{{"verdict": "passed", "counts": {{"passed": {passed}}}, "slowest": []}}' > {file}"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it works. Every stage has three tests that pass; there are no guests."""

    def host(name: str, limit: float) -> Stage:
        return Stage(name, ["sh", "-c", GOOD.format(passed=3, file=tmp_path / f"{name}.json")], limit)

    for module, name in (
        (parallel, "LOGS"), (parallel, "RESULTS"), (content, "WORK"), (check, "WORK"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, tmp_path)
    monkeypatch.setattr(passed, "FILE", tmp_path / "passed.json")
    monkeypatch.setattr(passed, "STAGES", tmp_path / "stages.jsonl")
    monkeypatch.setattr(passed, "_files", lambda: {"commit": "a", "changed": False, "changes": ""})
    monkeypatch.setattr(check, "_host", host)
    monkeypatch.setattr(suite, "jobs", lambda long: suite.Planned([], []))
    monkeypatch.setattr(tools, "absent", list)
    monkeypatch.setattr(kernels, "find", lambda: [Path("image")])
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("UDAMON_TEST_LONG", "")
    return tmp_path


def test_every_stage_is_counted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([]) == 0
    output = capsys.readouterr().out
    assert f"{3 * len(check.STAGES)} passed, 0 failed, 0 skipped" in output.splitlines()
    assert all(f"-- {name}: begins" in output for name in check.STAGES)


def test_all_is_remembered_and_goes_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stages = check.LONG_STAGES
    assert check.main(["--all"]) == 0
    assert "make test-all last passed on a," in capsys.readouterr().out
    lines = passed.STAGES.read_text().splitlines()
    assert len(lines) == 1 + len(stages)
    passed.STAGES.write_text("\n".join([*lines[:3], lines[3][:20]]))  # ended while the third was written
    assert check.main(["--all", "--resume"]) == 0
    output = capsys.readouterr().out
    assert output.count(": begins") == len(stages) - 2
    assert f"{3 * len(stages)} passed, 0 failed, 0 skipped" in output.splitlines()


def test_what_could_not_run_has_not_passed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kernel that could not be fetched was no part of a run that passed."""
    absent = Ended(Stage("guest-bullseye", []), Result("not run", "no apt"), 0, 0, 0)
    monkeypatch.setattr(suite, "jobs", lambda long: suite.Planned([], [absent]))
    assert check.main(["--all"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("make test-all last passed on a,")
    assert last.endswith(", but did not run guest-bullseye")


def test_a_prefix_names_guests_too(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[bool] = []

    def jobs(long: bool) -> suite.Planned:
        planned.append(long)
        return suite.Planned([], [])

    monkeypatch.setattr(suite, "jobs", jobs)
    check.main(["gue"])
    assert planned == [False]
    assert check.main(["lint"]) == 0
    assert planned == [False]


def test_a_check_of_nothing_failed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As where a guest was asked for and no boot has any of the tests."""
    assert check.main(["guest"]) == 1
    output = capsys.readouterr().out.splitlines()
    assert "FAILED: nothing was run" in output
    assert "0 passed, 1 failed, 0 skipped" in output


@pytest.mark.parametrize("name", ["", "lnt", "guests", "source"])
def test_no_such_stage(place: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([name]) == 2
    assert "no such stage: " in capsys.readouterr().out


def test_where_nothing_can_be_written(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "mkdir", full)
    for main, arguments in ((check.main, []), (guest.main, ["test"])):
        assert main(arguments) == 1
        assert "must be writable and have room" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC])
def test_where_the_summary_cannot_be_printed(
    place: Path, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of `make test | head`, or into a file on a full disk: it failed, in a sentence."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Full())
        assert check.main(["lint"]) == 1
    said = capsys.readouterr().err
    assert os.strerror(number) in said
    assert "standard output must be writable" in said
    assert said.count("\n") == 1


def test_where_kernels_cannot_be_kept(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other stages run, and the check fails."""

    def refused(long: bool) -> suite.Planned:
        raise PermissionError(errno.EACCES, "Permission denied", "/home/a/.cache/udamon")

    monkeypatch.setattr(suite, "jobs", refused)
    assert check.main([]) == 1
    output = capsys.readouterr().out
    assert "guests cannot be prepared: [Errno 13] Permission denied: '/home/a/.cache/udamon'" in output
    assert f"{3 * len(check.STAGES)} passed, 1 failed, 0 skipped" in output.splitlines()


def test_a_second_check_waits(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Until the first has ended, stages and all."""
    code = (
        "import sys; from pathlib import Path; from scripts import content;"
        "content.WORK = Path(sys.argv[1])\n"
        "with content.locked('check'): print('has it', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(place)]
    first = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdin is not None
    assert first.stdout is not None
    assert first.stdout.readline() == "has it\n"
    second = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert second.stdout is not None
    assert "waiting for another process" in second.stdout.readline()
    first.stdin.close()
    assert first.wait(60) == 0
    assert second.stdout.read() == "has it\n"
    assert second.wait(60) == 0
    first.stdout.close()
    second.stdout.close()


@pytest.mark.parametrize("name", ["UDAMON_STAGE_LIMIT", "UDAMON_GUEST_LIMIT", "UDAMON_GUEST_WORKERS"])
@pytest.mark.parametrize("value", ["0", "-1", "ten", "1.5", "nan"])
def test_a_variable_that_is_no_number(
    place: Path, name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a worker the run never ended."""
    monkeypatch.setenv(name, value)
    for main, arguments, status in ((check.main, ["lint"], 2), (guest.main, ["test"], 1)):
        assert main(arguments) == status
        output = capsys.readouterr().out
        assert f"{name}={value} is no whole number above 0" in output
        assert "begins" not in output
    monkeypatch.setenv(name, "")
    assert check.main(["lint"]) == 0
