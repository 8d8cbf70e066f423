"""A run of `make test-all` that was interrupted goes on, and tries no failure again."""

from __future__ import annotations

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


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commit:
    """Says which commit lies there, and whether the files differ from it."""
    monkeypatch.setattr(passed, "STAGES", tmp_path / "stages.jsonl")

    def is_now(name: str, changed: bool) -> None:
        monkeypatch.setattr(passed, "_commit", lambda: {"commit": name, "changed": changed})

    is_now("a", False)
    return is_now


def ended(name: str, verdict: str = "passed") -> Ended:
    result = Result(verdict, "why", Counts(3, 1, 2), 5, 0.5, ["note"], [(1.5, "test")])
    return Ended(Stage(name, []), result, 10.0, 5.0, 1 << 20)


def stages(*names: str) -> dict[str, Stage]:
    return {name: Stage(name, []) for name in names}


def test_what_has_ended_on_this_commit_is_not_run_again(commit: Commit) -> None:
    assert passed.begin(stages("a", "b", "c"), resume=False) == []
    for each in (found := [ended("a"), ended("b", "FAILED")]):
        passed.remember(each)
    assert passed.begin(stages("a", "b", "c"), resume=True) == found
    assert passed.begin(stages("b", "c"), resume=True) == found[1:], "a stage that is not there any more"
    passed.remember(ended("c"))
    assert [each.stage.name for each in passed.begin(stages("a", "b", "c"), resume=True)] == ["a", "b", "c"]


@pytest.mark.parametrize(("name", "changed"), [("b", False), ("a", True), ("b", True)])
def test_of_other_files_nothing_counts(
    commit: Commit, name: str, changed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    passed.begin(stages("a"), resume=False)
    passed.remember(ended("a"))
    commit(name, changed)
    assert passed.begin(stages("a"), resume=True) == []
    assert "nothing to resume" in capsys.readouterr().out
    commit("a", False)
    assert passed.begin(stages("a"), resume=True) == [], "what was remembered is of another run"


def test_without_the_wish_everything_is_run(commit: Commit) -> None:
    passed.begin(stages("a"), resume=False)
    passed.remember(ended("a"))
    assert passed.begin(stages("a"), resume=False) == []


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
