"""Which tests a stage of the check runs: its short part in `make test`, all of it in `make test-all`.

UDAMON_TEST_SELECTION names the stage's selection, UDAMON_TEST_LONG asks for all of it. Tests marked `slow` are in no
short part, nor in a run by hand without UDAMON_TEST_LONG.

| selection | short | long |
|---|---|---|
| host | all but slow tests | all |
| c | what calls the C extension directly, for the sanitizers | whatever reaches the C extension |
| pythons | what calls the C extension directly, one test for each command | unit and property tests but slow ones |
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import imports

DIRECTLY = 2
"""A file calls C directly when it imports the extension itself or something that does."""


def _slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _native(item: pytest.Item) -> bool:
    marked = item.get_closest_marker("native") is not None
    return marked or imports.distance_to_native(item.path) <= DIRECTLY


def _in_process(item: pytest.Item) -> bool:
    return bool({"unit", "property"} & set(item.path.parts))


def _short(item: pytest.Item, selection: str) -> bool:
    if _slow(item):
        return False
    match selection:
        case "c":
            return _native(item)
        case "pythons":
            return item.get_closest_marker("each_command") is not None or (
                _in_process(item) and _native(item)
            )
    return True


def _long(item: pytest.Item, selection: str) -> bool:
    match selection:
        case "c":
            return not _slow(item) and imports.distance_to_native(item.path) < imports.NEVER
        case "pythons":
            return (not _slow(item) and _in_process(item)) or _short(item, selection)
    return True


def choose(items: list[pytest.Item]) -> tuple[list[pytest.Item], int]:
    """The tests to run, and how many more the long part has."""
    selection = os.environ.get("UDAMON_TEST_SELECTION", "")
    if not selection:
        wanted = [item for item in items if "UDAMON_TEST_LONG" in os.environ or not _slow(item)]
        return wanted, len(items) - len(wanted)
    if selection not in ("host", "c", "pythons"):
        raise pytest.UsageError(f"UDAMON_TEST_SELECTION={selection}: there are host, c and pythons")
    long = [item for item in items if _long(item, selection)]
    if os.environ.get("UDAMON_TEST_LONG"):
        return long, 0
    short = [item for item in items if _short(item, selection)]
    return short, len(set(long) - set(short))


def tell(left_out: int) -> None:
    """For the summary: write the number where UDAMON_TEST_LEFT_OUT says."""
    target = os.environ.get("UDAMON_TEST_LEFT_OUT")
    if target:
        Path(target).write_text(str(left_out))
