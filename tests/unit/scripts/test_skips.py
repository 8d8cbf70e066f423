"""On CI a test is skipped only for what the machine may lack, and the summary says for what."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from scripts import stages
from scripts.stages import Counts, Failed, Result

ROOT = Path(__file__).parents[3]
CONFTEST = "from tests.conftest import pytest_make_collect_report, pytest_runtest_makereport"
INSIDE = """
import pytest
def test_skipped():
    {statement}
def test_passes():
    pass
"""
OUTSIDE = """
import pytest
{statement}
def test_in_a_file_that_is_not_there():
    pass
"""
MISSING = 'pytest.importorskip("absent", reason="the extra `fleet` is not installed")'


def run(place: Path, monkeypatch: pytest.MonkeyPatch, text: str, require: str) -> Result:
    """Of two files: `text`, and one that passes."""
    (place / "conftest.py").write_text(CONFTEST)
    (place / "test_file.py").write_text(text)
    (place / "test_other.py").write_text("def test_passes():\n    pass\n")
    monkeypatch.setattr(stages, "WORK", place)
    result = Result()
    monkeypatch.setattr(stages, "current", result)
    env = {**os.environ, "UDAMON_REQUIRE": require, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        result.counts = stages.pytest("name", Path(sys.executable), str(place), env=env)
    except Failed as failed:
        result.verdict, result.counts = "FAILED", failed.counts
    return result


@pytest.mark.parametrize(
    "statement",
    [
        MISSING,
        'pytest.importorskip("absent")',
        "pytest.skip(\"SQLGlot is not installed; pip install 'udamon[fleet]'\", allow_module_level=True)",
    ],
)
@pytest.mark.parametrize("text", [INSIDE, OUTSIDE])
def test_a_package_of_the_tests_is_missing(
    text: str, statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = text.format(statement=statement)
    result = run(tmp_path, monkeypatch, text, "root")
    assert result.verdict == "FAILED"
    assert result.counts.failed
    result = run(tmp_path, monkeypatch, text, "")
    assert result.verdict == "passed", "elsewhere it may be"
    assert result.counts.skipped == 1


def test_what_a_machine_may_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(
        tmp_path, monkeypatch, INSIDE.format(statement='pytest.skip("fish is not installed")'), "root"
    )
    assert (result.verdict, result.counts) == ("passed", Counts(passed=2, skipped=1))
    assert result.reasons == {"fish is not installed": 1}


def test_packages_of_another_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statement = 'pytest.importorskip("absent", reason="pip install \'udamon[iceberg]\'")'
    result = run(tmp_path, monkeypatch, OUTSIDE.format(statement=statement), "root")
    assert (result.verdict, result.counts.skipped) == ("passed", 1)
    assert run(tmp_path, monkeypatch, OUTSIDE.format(statement=statement), "root,iceberg").verdict == "FAILED"
