"""Which tests a stage of the check runs: its short part in `make test`, all of it in `make test-all`.

UDAMON_TEST_SELECTION names the stage's selection, UDAMON_TEST_LONG asks for all of it. Tests marked `slow` are in no
short part, nor in a run by hand without UDAMON_TEST_LONG.

| selection | short | long |
|---|---|---|
| host | all but slow tests | all |
| c | what calls the C extension directly, for the sanitizers | whatever reaches the C extension |
| pythons | what calls the C extension directly, one test for each command | unit and property tests but slow ones |
| engines | nothing | what needs one of ENGINES |

Files in which the short part of `c` or `pythons`, or the long one of `engines`, has no test are not imported: that
would take longer than the tests.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests import imports

DIRECTLY = 1
"""A file calls C directly when it imports the extension itself. Together with the tests that are marked `native` these
execute every line of the C that all unit and property tests do (by gcov: 3668 of 3815)."""
ENGINES = ("spark", "iceberg", "pandas", "polars")
"""Capabilities that only an environment with the extra `readers` has."""
_TEST = re.compile(r"^ *(?:async )?def test_", re.MULTILINE)
_NEEDS_ENGINE = re.compile(rf"""\bneeds\([^)]*["'](?:{"|".join(ENGINES)})["']""")
_passed_over: dict[Path, int] = {}
"""How many test functions of the long part the files have that were not imported."""


def _on_engines(item: pytest.Item) -> bool:
    return any(not set(ENGINES).isdisjoint(marker.args) for marker in item.iter_markers("needs"))


def _slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _native(item: pytest.Item) -> bool:
    return item.get_closest_marker("native") is not None or _directly(item.path)


def _directly(path: Path) -> bool:
    return imports.distance_to_native(path) <= DIRECTLY


def _in_process(path: Path) -> bool:
    return bool({"unit", "property"} & set(path.parts))


def _short(item: pytest.Item, selection: str) -> bool:
    if _slow(item) or selection == "engines":
        return False
    match selection:
        case "c":
            return _native(item)
        case "pythons":
            return item.get_closest_marker("each_command") is not None or (
                _in_process(item.path) and _native(item)
            )
    return True


def _long(item: pytest.Item, selection: str) -> bool:
    match selection:
        case "engines":
            return _on_engines(item)
        case "c":
            return not _slow(item) and _reaches_c(item.path)
        case "pythons":
            return (not _slow(item) and _in_process(item.path)) or _short(item, selection)
    return True


def _reaches_c(path: Path) -> bool:
    return imports.distance_to_native(path) < imports.NEVER


def passes_over(path: Path) -> bool:
    """Whether a file needs not be imported, for its text shows that the selection has no test in it."""
    selection = os.environ.get("UDAMON_TEST_SELECTION", "")
    if not path.name.startswith("test_") or path.suffix != ".py":
        return False
    if selection == "engines":
        return not _NEEDS_ENGINE.search(path.read_text())
    if os.environ.get("UDAMON_TEST_LONG") or selection not in ("c", "pythons"):
        return False
    text = path.read_text()
    native = "mark.native" in text or _directly(path)
    if native and (selection == "c" or _in_process(path)):
        return False
    if selection == "pythons" and "mark.each_command" in text:
        return False
    in_long = _reaches_c(path) if selection == "c" else _in_process(path)
    _passed_over[path] = len(_TEST.findall(text)) if in_long else 0
    return True


def choose(items: list[pytest.Item]) -> tuple[list[pytest.Item], int]:
    """The tests to run, and how many more the long part has; those of files that were not imported count once each,
    whatever their parameters."""
    selection = os.environ.get("UDAMON_TEST_SELECTION", "")
    if not selection:
        wanted = [item for item in items if "UDAMON_TEST_LONG" in os.environ or not _slow(item)]
        return wanted, len(items) - len(wanted)
    if selection not in ("host", "c", "pythons", "engines"):
        raise pytest.UsageError(f"UDAMON_TEST_SELECTION={selection}: there are host, c, pythons and engines")
    long = [item for item in items if _long(item, selection)]
    if os.environ.get("UDAMON_TEST_LONG"):
        return long, 0
    short = [item for item in items if _short(item, selection)]
    return short, len(set(long) - set(short)) + sum(_passed_over.values())


def tell(left_out: int) -> None:
    """For the summary: write the number where UDAMON_TEST_LEFT_OUT says."""
    target = os.environ.get("UDAMON_TEST_LEFT_OUT")
    if target:
        Path(target).write_text(str(left_out))
