"""What `udamon eval` prints, from evaluations short enough to see what must come out."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.evaluation.test_compare import evaluation
from udamon.cli import eval as command
from udamon.errors import UsageError
from udamon.evaluation.results import Evaluation
from udamon.evaluation.table import cell, columns_of, count, share, table, two_digits

CONFIG = """hot, 16M
cold, 240M

only
2000
hot, 1, 4096, 1 # udamon: chance=1.0
"""


def rows(text: str) -> dict[str, list[str]]:
    """Label → words of its cells; of labels that come twice the last."""
    return {line[:29].strip(): line[29:].split() for line in text.splitlines() if line[29:].strip()}


def damon(f1: float = 0.5) -> Evaluation:
    return replace(evaluation((0.5, 1000, 0.0), (1.0, 2000, f1), (1.5, 3000, f1)), policy="damon")


def test_policies_stand_side_by_side() -> None:
    other = replace(evaluation((0.5, 500, 0.4), (1.0, 1000, 0.9), (1.5, 1500, 1.0)), policy="p", budget=500)
    text = table([damon(), other])
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[0].split("  ")[0] == ""
    found = rows(text)
    assert found[""] == ["damon", "p", "--checks", "500"]
    assert found["0.5 s"] == ["0.00", "0.40"]
    assert found["1 s"] == ["0.50", "0.90"]
    assert "2 s" not in found
    assert found["mean of all"] == ["0.33", "0.77"]
    assert found["1,000"] == ["0.00", "0.90"]
    assert found["3,000"] == ["0.50", "-"]
    # To F1 0.5, damon's at the end: at 1.0 s each. (The rows before, to 0.9, say never and 1.0.)
    assert "To reach F1 0.50, which damon has at the end" in text
    assert (found["seconds"], found["checks"]) == (["1.0", "1.0"], ["3,000", "1,500"])
    assert "reset within" not in text, "nothing moved"


@pytest.mark.parametrize(("snapshots", "told"), [(1, False), (19, False), (20, True)])
def test_few_snapshots_have_no_90th_percentile(snapshots: int, told: bool) -> None:
    """One or two of them would decide it; the median is told."""
    run = replace(evaluation(*((n + 1.0, 1000 * n, 0.5) for n in range(snapshots))), policy="damon")
    found = rows(table([run]))
    assert (found["90th percentile"] != ["-"]) == told
    assert found["median over snapshots"] != ["-"]
    summary = run.summary()
    assert (summary["wss_err_p90"] is not None) == told
    assert summary["wss_err_p50"] is not None


def test_seeds_give_a_spread() -> None:
    runs = [damon(0.2), damon(0.4), damon(0.3)]
    found = rows(table([replace(run, seed=seed) for seed, run in enumerate(runs)]))
    assert found["1 s"] == ["0.30", "(0.20–0.40)"]
    assert found["0.5 s"] == ["0.00"], "no spread where all are equal"
    assert found["seconds"] == ["never"]


def test_a_policy_has_one_column_for_all_seeds() -> None:
    assert [column.title for column in columns_of([damon(), replace(damon(), seed=2)])] == ["damon"]


def test_cells() -> None:
    assert cell([1, None, 2], count) == "2 (1–never)"
    assert cell([None], count) == "never"
    assert [count(value) for value in (9999, 10_000, 12_345, 123_456)] == ["9,999", "10k", "12.3k", "123k"]
    assert (share(0.1234), two_digits(0.126)) == ("12.3%", "0.13")


# The command


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "block.masim").write_text(CONFIG)
    return tmp_path / "block.masim"


def run(*argv: str | Path) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args([str(word) for word in argv]))


def test_eval_compares_policies_on_equal_terms(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "--policy", "damon,adaptive", "--checks", "100", "--seeds", "1-2") == 0
    text = capsys.readouterr().out
    assert text.startswith("block: 2 s simulated at 5 ms / 100 ms, medians of seeds 1 to 2")
    found = rows(text)
    assert found[""] == ["damon", "adaptive", "--checks", "100"]
    assert len(found["2 s"]) >= 2


def test_eval_documents_are_one_a_policy_and_seed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "--policy", "damon,adaptive", "--checks", "100", "--seeds", "1-2", "--json") == 0
    documents = json.loads(capsys.readouterr().out)
    assert [(d["policy"], d["seed"], d["checks_per_aggregation"]) for d in documents] == [
        ("damon", 1, None), ("damon", 2, None), ("adaptive", 1, 100), ("adaptive", 2, 100),
    ]  # fmt: skip
    snapshots = documents[2]["snapshots"]
    assert 0 < snapshots[-1]["checks"] <= 105 * len(snapshots)
    summary = documents[2]["summary"]
    assert {"f1_mean", "t_f1_90", "checks_f1_90", "settled_checks_per_second", "moved_reset_share"} <= set(
        summary
    )
    assert run(config, "--duration", "0.5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["seed"] == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--policy", "damon", "--checks", "5"), "damon has no budget of checks"),
        (("--policy", "adaptive", "--checks", "0"), "at least 1 check"),
        (("--duration", "0.05"), "shorter than one aggregation"),
    ],
)
def test_eval_refuses_what_cannot_be(config: Path, argv: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        run(config, *argv)
