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
from typing import NamedTuple

import pytest

from tests import imports

DIRECTLY = 1
"""A file calls C directly when it imports the extension itself. Together with the tests that are marked `native` these
execute every line of the C that all unit and property tests do (by gcov: 3668 of 3815)."""
ENGINES = ("spark", "iceberg", "pandas", "polars", "pyarrow")
"""Capabilities that only an environment with the extra `readers` has."""
_TEST = re.compile(r"^ *(?:async )?def test_", re.MULTILINE)
_NEEDS_ENGINE = re.compile(rf"""\bneeds\([^)]*["'](?:{"|".join(ENGINES)})["']""")
_passed_over: dict[Path, int] = {}
"""How many test functions of the long part the files have that were not imported."""


class _Traits(NamedTuple):
    """What selections go by: of a test, or of a file what any of its tests may have."""

    path: Path
    slow: bool
    native: bool
    each_command: bool
    on_engines: bool

    @classmethod
    def of_test(cls, item: pytest.Item) -> _Traits:
        slow, native, each_command = (
            item.get_closest_marker(name) is not None for name in ("slow", "native", "each_command")
        )
        on_engines = any(not set(ENGINES).isdisjoint(marker.args) for marker in item.iter_markers("needs"))
        return cls(item.path, slow, native or _directly(item.path), each_command, on_engines)

    @classmethod
    def of_file(cls, path: Path, text: str) -> _Traits:
        """As its text shows them, without importing it."""
        native, each_command = (f"mark.{name}" in text for name in ("native", "each_command"))
        on_engines = _NEEDS_ENGINE.search(text) is not None
        return cls(path, False, native or _directly(path), each_command, on_engines)

    @property
    def in_process(self) -> bool:
        return bool({"unit", "property"} & set(self.path.parts))

    def in_short(self, selection: str) -> bool:
        if self.slow:
            return False
        match selection:
            case "c":
                return self.native
            case "pythons":
                return self.each_command or (self.in_process and self.native)
            case "engines":
                return False
        return True

    def in_long(self, selection: str) -> bool:
        match selection:
            case "c":
                return not self.slow and imports.distance_to_native(self.path) < imports.NEVER
            case "pythons":
                return (not self.slow and self.in_process) or self.in_short(selection)
            case "engines":
                return self.on_engines
        return True


def _directly(path: Path) -> bool:
    return imports.distance_to_native(path) <= DIRECTLY


def passes_over(path: Path) -> bool:
    """Whether a file needs not be imported, for its text shows that the selection has no test in it."""
    selection = os.environ.get("UDAMON_TEST_SELECTION", "")
    if (
        selection not in ("c", "pythons", "engines")
        or path.suffix != ".py"
        or not path.name.startswith("test_")
    ):
        return False
    if os.environ.get("UDAMON_TEST_LONG") and selection != "engines":
        return False
    text = path.read_text()
    traits = _Traits.of_file(path, text)
    if traits.in_long(selection) if selection == "engines" else traits.in_short(selection):
        return False
    _passed_over[path] = len(_TEST.findall(text)) if traits.in_long(selection) else 0
    return True


def choose(items: list[pytest.Item]) -> tuple[list[pytest.Item], int]:
    """The tests to run, and how many more the long part has; those of files that were not imported count once each,
    whatever their parameters."""
    selection = os.environ.get("UDAMON_TEST_SELECTION", "")
    every = [(item, _Traits.of_test(item)) for item in items]
    if not selection:
        wanted = [item for item, traits in every if "UDAMON_TEST_LONG" in os.environ or not traits.slow]
        return wanted, len(items) - len(wanted)
    if selection not in ("host", "c", "pythons", "engines"):
        raise pytest.UsageError(f"UDAMON_TEST_SELECTION={selection}: there are host, c, pythons and engines")
    long = [item for item, traits in every if traits.in_long(selection)]
    if os.environ.get("UDAMON_TEST_LONG"):
        return long, 0
    short = [item for item, traits in every if traits.in_short(selection)]
    return short, len(set(long) - set(short)) + sum(_passed_over.values())


def tell(left_out: int) -> None:
    """For the summary: write the number where UDAMON_TEST_LEFT_OUT says."""
    target = os.environ.get("UDAMON_TEST_LEFT_OUT")
    if target:
        Path(target).write_text(str(left_out))
