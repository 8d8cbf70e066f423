"""Which test files a short stage does not import."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import capabilities, selection

ROOT = Path(__file__).parents[3]
NATIVE = "from udamon.native import _native\n\ndef test_a() -> None: ...\n"
MARKED = "import pytest\n\n@pytest.mark.native\ndef test_a() -> None: ...\n"
COMMAND = "import pytest\n\n@pytest.mark.each_command\ndef test_a() -> None: ...\n"
ENGINE = (
    "import pytest\n\n@pytest.mark.slow\n@pytest.mark.needs('root', \"spark\")\ndef test_a() -> None: ...\n"
)
NEITHER = "def test_a() -> None: ...\n\nclass TestB:\n    async def test_c(self) -> None: ...\n"


@pytest.mark.parametrize(
    ("selected", "folder", "text", "imported"),
    [
        ("c", "integration", NATIVE, True),
        ("c", "unit", MARKED, True),
        ("c", "unit", COMMAND, False),
        ("c", "unit", NEITHER, False),
        ("pythons", "unit", NATIVE, True),
        ("pythons", "property", MARKED, True),
        ("pythons", "integration", NATIVE, False),
        ("pythons", "integration", COMMAND, True),
        ("pythons", "unit", NEITHER, False),
        ("engines", "integration", ENGINE, True),
        ("host", "unit", NEITHER, True),
        ("", "unit", NEITHER, True),
    ],
)
def test_files_without_a_selected_test_are_passed_over(
    selected: str, folder: str, text: str, imported: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDAMON_TEST_SELECTION", selected)
    monkeypatch.delenv("UDAMON_TEST_LONG", raising=False)
    place = tmp_path / folder
    place.mkdir()
    file = place / "test_it.py"
    file.write_text(text)
    assert selection.passes_over(file) is not imported
    monkeypatch.setenv("UDAMON_TEST_LONG", "1")
    assert not selection.passes_over(file)


@pytest.mark.parametrize(
    "text", [NEITHER, NATIVE, 'import pytest\n\nneeds = pytest.mark.needs("root")\nspark = 1\n']
)
def test_files_that_need_no_engine_are_passed_over(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the long part, too: the stage has no other."""
    monkeypatch.setenv("UDAMON_TEST_SELECTION", "engines")
    monkeypatch.setenv("UDAMON_TEST_LONG", "1")
    file = tmp_path / "test_it.py"
    file.write_text(text)
    assert selection.passes_over(file)


def test_what_needs_a_package_of_engines_is_run_by_that_stage() -> None:
    """No other has them: without the marker such a test runs nowhere."""
    packages = {"pyspark", "pyiceberg", "pandas", "polars", "pyarrow"}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        used = packages & set(
            re.findall(r"""(?:^ *import |^ *from |importorskip\(["'])(\w+)""", text, re.MULTILINE)
        )
        assert not used or selection._Traits.of_file(path, text).on_engines, (path, used)


def test_engines_are_capabilities() -> None:
    """Or nothing would tell a test that has lost its engine."""
    assert set(selection.ENGINES) <= set(capabilities.names())


def test_what_is_passed_over_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By test functions: the long part on newer Pythons has those of unit tests."""
    monkeypatch.setenv("UDAMON_TEST_SELECTION", "pythons")
    monkeypatch.delenv("UDAMON_TEST_LONG", raising=False)
    monkeypatch.setattr(selection, "_passed_over", {})
    (tmp_path / "unit").mkdir()
    file = tmp_path / "unit" / "test_it.py"
    file.write_text(NEITHER)
    assert selection.passes_over(file)
    assert selection.choose([]) == ([], 2)
