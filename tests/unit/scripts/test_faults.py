"""The planted faults (scripts/faults) apply to this source, and the tests to run for each are found."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from scripts.faults import catalogue, table
from scripts.faults.catalogue import Fault, FaultsError
from scripts.faults.functions import calls, functions_of
from scripts.faults.verdicts import CAUGHT, MISSED, TIMEOUT, judge, judge_guest
from tests.imports import ROOT

FAULTS = catalogue.load()  # raises where a text is not there once, and where two have one id


def fault(old: str, new: str) -> Fault:
    return Fault("one", "part", "file.py", old, new, "something", (), "hand")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.id))
def test_a_fault_is_a_change_that_can_be_run(fault: Fault) -> None:
    text = fault.patched()
    assert text != (ROOT / fault.file).read_text()
    if not fault.is_c:
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse((ROOT / fault.file).read_text()))
    assert all((ROOT / name).is_file() for name in fault.guest)


@pytest.mark.parametrize("fault", [one for one in FAULTS if one.is_c], ids=lambda fault: str(fault.id))
def test_what_calls_the_functions_of_a_c_file_is_found(fault: Fault) -> None:
    """Else no test would be selected, and the fault would count as missed."""
    names = functions_of(fault)
    assert names
    calling = {path.name for path in (ROOT / "src/udamon").rglob("*.py") if calls(path, names)}
    assert calling


def test_there_are_forty_and_ten_of_them_are_drawn() -> None:
    assert len(FAULTS) == 40
    assert sum(fault.author != "hand" for fault in FAULTS) == 10


def test_the_document_is_of_these_faults_and_of_tests_that_are_there() -> None:
    """Written by another version of the faults, or before a test was moved, it would prove nothing."""
    text = table.DOCUMENT.read_text()
    assert text.startswith(table.head(FAULTS))
    rows = [
        line for line in text.splitlines() if line.startswith(tuple(f"| {fault.id} |" for fault in FAULTS))
    ]
    assert [line.startswith(table.row(fault)) for line, fault in zip(rows, FAULTS, strict=True)] == [
        True
    ] * len(rows)
    for line, fault in zip(rows, FAULTS, strict=True):
        before, now, _ = re.split(r" (?<!\\)\| ", line.removeprefix(table.row(fault)).removesuffix(" |"))
        assert now.startswith("`"), f"{fault.id} is caught by no test of make test"
        for cell in (before, now):
            for file, test in re.findall(r"`([^`:]+)::([^`]+)`", cell):
                known = (ROOT / "tests" / file).read_text() if (ROOT / "tests" / file).is_file() else ""
                first = re.split(r"::|\[", test)[0]
                assert re.search(rf"(?:def|class) {first}\b|^{first} = ", known, re.MULTILINE), (
                    f"{file} has no {first}"
                )


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("b\n", "B\n", [2]),
        ("b\nc\n", "b\nC\n", [3]),
        ("b\nc\nd\n", "b\nd\n", [3]),
        ("b\nc\n", "b\nnew\nc\n", [2]),
        ("c\nd\n", "d\nc\n", [3, 4]),
        ("b", "B", [2]),
    ],
)
def test_the_lines_are_those_that_differ(tmp_path: Path, old: str, new: str, lines: list[int]) -> None:
    (tmp_path / "file.py").write_text("a\nb\nc\nd\n")
    assert list(fault(old, new).lines(tmp_path)) == lines


@pytest.mark.parametrize("text", ["nothing of it\n", "b\nb\n"])
def test_a_text_that_is_not_there_once_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "file.py").write_text(text)
    with pytest.raises(FaultsError, match="must be there once"):
        fault("b\n", "c\n").patched(tmp_path)


def test_a_fault_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("b\n")
    with pytest.raises(FaultsError, match="are the same"):
        fault("b\n", "b\n").patched(tmp_path)


PASSED = "tests/unit/test_a.py::test_b PASSED [ 50%]\n"


@pytest.mark.parametrize(
    ("status", "text", "verdict", "by"),
    [
        (0, PASSED, MISSED, ""),
        (5, "no tests ran\n", MISSED, ""),
        (None, PASSED, TIMEOUT, ""),
        (1, f"{PASSED}FAILED tests/unit/test_a.py::test_c - x\n", CAUGHT, "tests/unit/test_a.py::test_c"),
        (
            1,
            "tests/unit/test_a.py::test_d[a - b] FAILED [ 9%]\nFAILED tests/unit/test_a.py::test_d[a - b] - x - y\n",
            CAUGHT,
            "tests/unit/test_a.py::test_d[a - b]",
        ),
        (2, "ERROR tests/unit/test_a.py - ImportError: x\n", CAUGHT, "tests/unit/test_a.py"),
        (
            -11,
            f"{PASSED}tests/unit/test_a.py::test_e Fatal Python error",
            CAUGHT,
            "tests/unit/test_a.py::test_e",
        ),
    ],
)
def test_what_pytest_says_of_a_fault(status: int | None, text: str, verdict: str, by: str) -> None:
    assert judge(status, text) == (verdict, by)


def test_a_run_without_tests_is_no_verdict() -> None:
    with pytest.raises(FaultsError, match="did not run"):
        judge(4, "ERROR: file or directory not found: tests/unit/test_gone.py\n")
    with pytest.raises(FaultsError, match="guest"):
        judge_guest(1, PASSED)
