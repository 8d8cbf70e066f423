"""On CI a test is skipped only for what the machine may lack, and the summary says for what."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from scripts import stages
from scripts.check import CI_REQUIRES
from scripts.guest import kernels
from scripts.stages import Counts, Failed, Result
from tests import capabilities, skips
from tests.selection import ENGINES

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
    (reason,) = result.reasons
    assert re.search("the extra `fleet`|could not import 'absent'|SQLGlot is not installed", reason)
    assert "test_file.py" not in reason


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


@pytest.mark.parametrize(
    "reason",
    ["no time", "needs nothing: of the kind", "clear_refs: Permission denied", "prometheus is not installed"],
)
@pytest.mark.parametrize("text", [INSIDE, OUTSIDE])
def test_reasons_that_nothing_permits(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = f'pytest.skip("{reason}", allow_module_level=True)'
    result = run(tmp_path, monkeypatch, text.format(statement=statement), "root")
    assert (result.verdict, result.counts.skipped) == ("FAILED", 0)


def test_a_mark_is_no_way_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'import pytest\n@pytest.mark.skipif(True, reason="not today")\ndef test_skipped():\n    pass\n'
    result = run(tmp_path, monkeypatch, text, "root")
    assert (result.verdict, result.counts) == ("FAILED", Counts(passed=1, failed=1))
    expected = "import pytest\n@pytest.mark.xfail\ndef test_wrong():\n    raise OSError\n"
    result = run(tmp_path, monkeypatch, expected, "root")
    assert (result.verdict, result.counts) == ("FAILED", Counts(passed=1, failed=1))


@pytest.mark.parametrize(
    ("reason", "lacking", "having"),
    [
        ("this kernel does not track idle pages", kernels.STOCK, kernels.FULL),
        ("this kernel has no zram built in", kernels.OLD, kernels.STOCK),
    ],
)
def test_what_one_kernel_must_have_another_may_lack(
    reason: str, lacking: str, having: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDAMON_GUEST", "smp=1,mem=2048")
    monkeypatch.setenv("UDAMON_REQUIRE", lacking)
    assert skips.refused(f"Skipped: {reason}") is None
    monkeypatch.setenv("UDAMON_REQUIRE", having)
    assert reason in str(skips.refused(f"Skipped: {reason}"))


@pytest.mark.parametrize(
    "names", [CI_REQUIRES, *(kernels.FULL, kernels.STOCK, kernels.OLD, *kernels.ARMS), ",".join(ENGINES)]
)
def test_what_is_required_is_probed(names: str) -> None:
    """A name that nothing probes would require nothing."""
    assert set(names.split(",")) <= set(capabilities.names())


def test_the_newest_kernel_has_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UDAMON_REQUIRE", kernels.FULL)
    for suite, may in (("default", False), ("all", False), ("612", True), ("stock-pte", True)):
        monkeypatch.setenv("UDAMON_GUEST_SUITE", suite)
        assert (skips.refused("Skipped: this kernel has no bpf") is None) is may
