"""A run of `make test-all` that was interrupted goes on, and tries no failure again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import parallel, passed
from scripts.guest.kernels import Kernel
from scripts.guest.machine import Machine
from scripts.guest.suite import Job, complete
from scripts.parallel import Ended, Stage
from scripts.stages import Counts, Result

Commit = Callable[[str, bool], None]


def resumed(*names: str) -> list[Ended]:
    return passed.begin(stages(*names), resume=True)[1]


def begun(*names: str) -> passed.Files:
    return passed.begin(stages(*names), resume=False)[0]


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commit:
    """Says which commit lies there, and whether the files differ from it."""
    monkeypatch.setattr(passed, "STAGES", tmp_path / "stages.jsonl")
    monkeypatch.setattr(passed, "FILE", tmp_path / "passed.json")

    def is_now(name: str, changed: bool) -> None:
        monkeypatch.setattr(passed, "_files", lambda: {"commit": name, "changed": changed, "changes": ""})

    is_now("a", False)
    return is_now


def ended(name: str, verdict: str = "passed") -> Ended:
    result = Result(verdict, "why", Counts(3, 1, 2), 5, 0.5, ["note"], [(1.5, "test")])
    return Ended(Stage(name, []), result, 10.0, 5.0, 1 << 20)


def stages(*names: str) -> dict[str, Stage]:
    return {name: Stage(name, []) for name in names}


def test_what_has_ended_on_this_commit_is_not_run_again(
    commit: Commit, capsys: pytest.CaptureFixture[str]
) -> None:
    files = begun("a", "b", "c")
    for each in (found := [ended("a"), ended("b", "FAILED")]):
        passed.remember(each, files)
    assert resumed("a", "b", "c") == found
    assert "resumed: 2 of 3 stages" in capsys.readouterr().out
    assert resumed("b", "c") == found[1:], "a stage that is not there any more"
    passed.remember(ended("c"), files)
    assert [each.stage.name for each in resumed("a", "b", "c")] == ["a", "b", "c"]


@pytest.mark.parametrize(("name", "changed"), [("b", False), ("a", True), ("b", True)])
def test_of_other_files_nothing_counts(
    commit: Commit, name: str, changed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    passed.remember(ended("a"), begun("a"))
    commit(name, changed)
    assert resumed("a") == []
    assert "nothing to resume" in capsys.readouterr().out
    commit("a", False)
    assert resumed("a") == [], "what was remembered is of another run"


def test_without_the_wish_everything_is_run(commit: Commit) -> None:
    passed.remember(ended("a"), begun("a"))
    assert passed.begin(stages("a"), resume=False)[1] == []


def test_what_ended_on_other_files_than_it_began_with_is_not_remembered(commit: Commit) -> None:
    files = begun("a", "b")
    passed.remember(ended("a"), files)
    commit("a", True)
    passed.remember(ended("b"), files)
    commit("a", False)
    assert [each.stage.name for each in resumed("a", "b")] == ["a"]


@pytest.mark.parametrize("rest", ["", '{"stage": "b", "resu', '{"stage": "b"}\n', "null\n", "\0\0\n"])
def test_a_line_that_was_not_written_whole_is_no_stage(commit: Commit, rest: str) -> None:
    files = begun("a", "b", "c")
    passed.remember(ended("a"), files)
    with passed.STAGES.open("a") as file:
        file.write(rest)
    assert [each.stage.name for each in resumed("a", "b", "c")] == ["a"]
    passed.remember(ended("c"), files)
    assert [each.stage.name for each in resumed("a", "b", "c")] == ["a", "c"]


@pytest.mark.parametrize("text", ["", "{", "null\n"])
def test_a_file_without_its_commit_is_nothing_to_resume(commit: Commit, text: str) -> None:
    passed.STAGES.write_text(text)
    assert resumed("a") == []


def test_a_run_counts_for_the_commit_on_which_it_began(
    commit: Commit, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not for one that was made while it ran."""
    passed.tell()
    files = begun("a")
    commit("b", False)
    passed.note(True, files)
    passed.tell()
    assert "last passed" not in capsys.readouterr().out
    commit("a", False)
    passed.note(False, files)
    passed.tell()
    assert "last passed" not in capsys.readouterr().out
    passed.note(True, files)
    passed.tell()
    assert "last passed on a, 20" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"commit": "a"}', "\0"])
def test_a_damaged_note_is_no_end_of_the_check(
    commit: Commit, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passed.FILE.write_text(text)
    passed.tell()
    assert "when make test-all last passed is not known" in capsys.readouterr().out


def test_what_could_not_run_is_tried_again(commit: Commit) -> None:
    files = begun("a", "b")
    passed.remember(ended("a"), files)
    passed.remember(ended("b", "not run"), files)
    assert [each.stage.name for each in resumed("a", "b")] == ["a"]
    passed.remember(ended("b"), files)
    assert [(each.stage.name, each.result.verdict) for each in resumed("a", "b")] == [
        ("a", "passed"),
        ("b", "passed"),
    ]


def test_which_files_lie_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a history they count as changed; with one, each change is another."""

    def git(*words: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(passed, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert passed._files() == {"commit": "", "python": sys.version, "changed": True, "changes": ""}
    (tmp_path / "tracked").write_text("1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    clean = passed._files()
    assert clean["commit"]
    assert not clean["changed"]
    with monkeypatch.context() as other:
        other.setattr(sys, "version", "3.99.0")
        assert passed._files() != clean, "what passed with one Python has not with another"
    git("config", "status.showUntrackedFiles", "no")
    git("config", "diff.external", "true")
    seen = [clean]
    for name, text in [("new ü", "4"), ("new ü", "5"), ("tracked", "2"), ("tracked", "3")]:
        (tmp_path / name).write_text(text)
        seen.append(passed._files())
        assert seen[-1]["changed"]
        assert seen[-1] not in seen[:-1]
    monkeypatch.setenv("PATH", "")
    assert passed._files()["changed"]


def test_boots_that_share_tests_count_together() -> None:
    kernel = Kernel("7", Path("image"), newest=True, requires="")

    def job(group: str, copy: int) -> Job:
        return Job(kernel, Machine(), "guest", group, 9, copy, ())

    made = [job("one", 0), job("one", 1), job("two", 0), job("two", 1), job("three", 0), job("three", 1)]
    all_but_two = [
        ended("lint"),
        ended("guest-one-0"),
        ended("guest-one-1"),
        ended("guest-two-0"),
        ended("guest-three-1", "FAILED"),
    ]
    kept = [each.stage.name for each in complete(made, all_but_two)]
    assert kept == ["lint", "guest-one-0", "guest-one-1", "guest-three-1"]


def test_each_stage_is_handed_on_as_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "LOGS", tmp_path)
    monkeypatch.setattr(parallel, "RESULTS", tmp_path)
    seen: list[Ended] = []
    run = parallel.Run([Stage("one", ["true"]), Stage("two", ["false"])], 1, on_end=seen.append)
    run.run()
    assert seen == run.ended
    assert [each.stage.name for each in seen] == ["one", "two"]
