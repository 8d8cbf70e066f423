"""Stages that run at the same time: none is lost, none outlives the check, and whatever ends without a word failed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import parallel
from scripts.parallel import Run, Stage, summarize
from scripts.stages import Counts, Result
from tests.waiting import until

ROOT = Path(__file__).parents[3]
CHECK = """
import sys
from pathlib import Path
from scripts import parallel
parallel.LOGS = parallel.RESULTS = Path(sys.argv[1])
place = sys.argv[1]
orphan = f"setsid sh -c 'echo $$ > {place}/new; mv {place}/new {place}/pid; exec sleep 300' &"
stage = parallel.Stage("one", ["sh", "-c", f"{orphan} exec sleep 300"])
parallel.Run([stage], 1).run()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(parallel, "LOGS", tmp_path)
    monkeypatch.setattr(parallel, "RESULTS", tmp_path)
    return tmp_path


def appeared(file: Path) -> int:
    """The number in a file, once another process has written it."""
    until(file.exists)
    return int(file.read_text())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_check_that_is_ended_ends_all_that_its_stages_began(tmp_path: Path, number: signal.Signals) -> None:
    """Even what left the stage's session and process group; and when the check returns, it is gone."""
    check = subprocess.Popen(
        [sys.executable, "-c", CHECK, str(tmp_path)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    left = os.pidfd_open(appeared(tmp_path / "pid"))
    try:
        check.send_signal(number)
        status = check.wait(60)
        if number == signal.SIGKILL:  # then nothing waits for it
            assert select.select([left], [], [], 60)[0], "it runs on"
        else:
            assert select.select([left], [], [], 0)[0], "it runs on"
            assert status == (-number if number == signal.SIGINT else 128 + number)
    finally:
        os.close(left)


ENCODED = r"""
import sys
from pathlib import Path
from scripts import parallel
parallel.LOGS = parallel.RESULTS = Path(sys.argv[1])
program = "import locale, os; print('ü', locale.getencoding(), *sorted(v for v in os.environ if v[:6] == 'PYTHON'))"
result = 'printf %s \'{"verdict": "passed", "counts": {"passed": 1}, "slowest": []}\''
words = ["sh", "-c", f'"$1" -c "$2" && {result} > "$3"', "-", sys.executable, program, sys.argv[1] + "/one.json"]
run = parallel.Run([parallel.Stage("one", words)], 1)
run.run()
sys.exit(not parallel.summarize(run, 1))
"""


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_what_python_is_given_here_and_what_a_terminal_can_show_changes_no_stage(
    tmp_path: Path, encoding: str
) -> None:
    place = tmp_path / "ü x"
    place.mkdir()
    env = {
        **os.environ,
        "PYTHON": "python3",  # the Makefile's, which stages get
        "PYTHONIOENCODING": encoding,
        "PYTHONOPTIMIZE": "1",
        "PYTHONWARNINGS": "error",
        "LC_ALL": "C",
    }
    done = subprocess.run(
        [sys.executable, "-c", ENCODED, str(place)], cwd=ROOT, env=env, capture_output=True, check=False
    )
    output = done.stdout.decode(encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"{'ü' if encoding == 'utf-8' else chr(92) + 'xfc'} UTF-8 PYTHON PYTHONUTF8" in output.splitlines()


def test_what_a_stage_leaves_is_ended_and_named(place: Path) -> None:
    orphan = f"setsid sh -c 'echo $$ > {place}/new; mv {place}/new {place}/pid; exec sleep 299' &"
    wait = f"until [ -e {place}/pid ] && grep -q sleep /proc/$(cat {place}/pid)/comm; do sleep 0.05; done"
    result = f'printf %s \'{{"verdict": "passed", "counts": {{}}, "slowest": []}}\' > {place}/one.json'
    run = Run([Stage("one", ["sh", "-c", f"{orphan} {wait}; {result}"])], 1)
    run.run()
    assert run.ended[0].result.verdict == "passed"
    assert not Path(f"/proc/{(place / 'pid').read_text().strip()}").exists()
    assert "sleep 299" in (place / "one.log").read_text()


def test_what_a_stage_began_ends_where_its_supervisor_was_killed(place: Path) -> None:
    """As by the kernel, where memory is short."""
    run = Run([Stage("one", ["sh", "-c", f"echo $$ > {place}/pid; kill -KILL $PPID; exec sleep 299"])], 1)
    run.run()
    left = int((place / "pid").read_text())
    try:
        process = os.pidfd_open(left)
    except ProcessLookupError:
        pass  # and whoever adopted it has collected it
    else:
        try:
            assert select.select([process], [], [], 60)[0], "it runs on"
        finally:
            os.close(process)
    assert run.ended[0].result.detail == "ended with status -9 and no result"


def writes(text: str, then: str = "") -> Callable[[Path], list[str]]:
    return lambda place: ["sh", "-c", f"printf %s '{text}' > {place}/one.json; {then}"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (lambda place: ["true"], "ended with status 0 and no result"),
        (lambda place: ["sh", "-c", "kill -SEGV $$"], "ended with status 139 and no result"),
        (lambda place: ["sh", "-c", "kill -KILL $PPID; sleep 1"], "ended with status -9 and no result"),
        (writes('{"verdict": "passed", "counts": {"pas'), "status 0 and a result that cannot be read"),
        (writes(""), "status 0 and a result that cannot be read"),
        (writes('{"verdict": "passed"}'), "status 0 and a result that cannot be read"),
        (writes('{"verdict": "passed", "counts": {}, "slowest": []}', "exit 3"), "ended with status 3"),
        (lambda place: [str(place / "absent")], "ended with status 127 and no result"),
        (lambda place: ["sh", "-c", "\0"], "ValueError"),
    ],
)
def test_a_stage_without_a_readable_result_failed(
    place: Path, command: Callable[[Path], list[str]], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run([Stage("one", command(place)), Stage("two", ["true"])], 1)
    run.run()
    one, two = run.ended
    assert (one.result.verdict, one.result.counts) == ("FAILED", Counts(failed=1))
    assert why in one.result.detail
    assert two.stage.name == "two", "the others go on"
    assert not summarize(run, 1)
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 2 failed, 0 skipped"


def test_a_stage_that_hangs_is_ended(place: Path) -> None:
    command = ["sh", "-c", "trap '' TERM; sleep 300 & wait; sleep 300"]
    run = Run([Stage("one", command, limit=0.5)], 1)
    run.run()
    assert run.ended[0].result == Result("FAILED", "ended after its limit of 0 s", Counts(failed=1))


def test_what_cannot_be_remembered_fails_the_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And neither that stage nor those behind it are lost."""

    def full(_: parallel.Ended) -> None:
        raise OSError(28, "No space left on device")

    good = writes('{"verdict": "passed", "counts": {"passed": 2}, "slowest": []}')(place)
    run = Run([Stage("one", good)], 1, on_end=full)
    run.run()
    assert [each.result.verdict for each in run.ended] == ["passed"]
    assert not summarize(run, 1)
    output = capsys.readouterr().out.splitlines()
    assert "FAILED: one: OSError: [Errno 28] No space left on device" in output
    assert output[-1] == "2 passed, 1 failed, 0 skipped"


def test_a_stage_of_which_nothing_is_known_failed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Run, "_keep", lambda self, ended: None)
    run = Run([Stage("one", ["true"])], 1)
    run.run()
    assert run.problems == ["one was not run"]
    assert not summarize(run, 1)


def test_the_summary_adds_up_its_stages(capsys: pytest.CaptureFixture[str]) -> None:
    def ended(name: str, counts: Counts, slowest: list[tuple[float, str]]) -> parallel.Ended:
        return parallel.Ended(Stage(name, []), Result("passed", "", counts, 4, 0, [], slowest), 1, 1, 1)

    rows = [(float(number), f"test {number}") for number in range(11)]
    run = Run([], 1, [ended("one", Counts(5, 0, 1), rows[:6]), ended("two", Counts(2, 0, 3), rows[6:])])
    assert summarize(run, 1)
    output = capsys.readouterr().out.splitlines()
    assert output[-1] == "7 passed, 0 failed, 4 skipped"
    first = output.index("slowest tests:") + 1
    assert [line.split(" s  ")[1] for line in output[first : first + 10]] == [
        f"test {number}" for number in range(10, 0, -1)
    ]
    assert any("at least 8 tests (one 4, two 4)" in line for line in output)


def test_the_summary_says_why_tests_were_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    def ended(name: str, reasons: dict[str, int]) -> parallel.Ended:
        return parallel.Ended(Stage(name, []), Result("passed", reasons=reasons), 1, 1, 1)

    assert summarize(Run([], 1, [ended("one", {"a\nb": 1, "c": 2}), ended("two", {"c": 3})]), 1)
    output = capsys.readouterr().out.splitlines()
    first = output.index("skipped tests:") + 1
    assert [line.split() for line in output[first : first + 2]] == [["5", "c"], ["1", "a", "b"]]
