"""A write that is refused is told why on the server's side, in one sentence: the writer sees an error number alone."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.unit.control.test_kdamonds import served
from tests.unit.control.test_tree import C
from udamon.control.files import AdminFiles
from udamon.control.served import FuseOperations


@pytest.fixture
def operations() -> Iterator[FuseOperations]:
    with served() as tree:
        for path, text in (("schemes/nr_schemes", "1"), ("schemes/0/filters/nr_filters", "1")):
            tree.write(f"{C}/{path}", text)
        yield FuseOperations(AdminFiles(tree), lambda: None)


def write(operations: FuseOperations, path: str, data: bytes) -> None:
    path = f"/admin/{path}"
    handle = operations.open(path, os.O_WRONLY)
    try:
        operations.write(path, data, 0, handle)
    finally:
        operations.release(path, handle)


@pytest.mark.parametrize(
    ("before", "path", "data", "why"),
    [
        ({}, "kdamonds/0/state", b"fly\n", "'fly' is none of on, off, commit, "),
        ({}, "kdamonds/0/state", b"\x1b[31m\xff", r"'\\x1b\[31m\\udcff' is none of on"),
        ({}, "kdamonds/0/state", b"off", "this kdamond never ran; write on first"),
        ({}, "kdamonds/0/state", b"update_schemes_stats", "this kdamond never ran; write on first"),
        ({"kdamonds/0/contexts/nr_contexts": b"0"}, "kdamonds/0/state", b"on", "there is no context; write 1 to"),
        ({}, f"{C}/monitoring_attrs/intervals/sample_us", b"5 ms", "'5 ms' is no number as C writes it; give one"),
        ({}, "kdamonds/0/refresh_ms", b"4294967296", "'4294967296' is too small or too large; give 0 to 4294967295"),
        ({}, "kdamonds/0/contexts/nr_contexts", b"2", "'2' is too small or too large; give 0 to 1"),
        ({}, f"{C}/pause", b"maybe", "'maybe' is neither yes nor no; give Y or N"),
        ({}, f"{C}/schemes/0/action", b"fly", "'fly' is none of willneed, cold, pageout, "),
        ({f"{C}/monitoring_attrs/intervals/sample_us": b"200000"}, "kdamonds/0/state", b"on", "interval"),
        ({f"{C}/monitoring_attrs/probes/nr_probes": b"1"}, "kdamonds/0/state", b"on", "probes are not made here"),
        ({f"{C}/schemes/0/filters/0/type": b"memcg", f"{C}/schemes/0/filters/0/memcg_path": b"/none"},
         "kdamonds/0/state", b"on", "there is no control group '/none'; give"),
        ({"kdamonds/0/state": b"on", f"{C}/operations": b"paddr"}, "kdamonds/0/state", b"commit",
         "operations cannot be changed while they are at work"),
    ],
)  # fmt: skip
def test_a_write_that_is_refused_is_explained(
    operations: FuseOperations, before: dict[str, bytes], path: str, data: bytes, why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    for earlier, text in before.items():
        write(operations, earlier, text)
    assert not caplog.records
    with caplog.at_level(logging.WARNING), pytest.raises(OSError, match=why):
        write(operations, path, data)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"refused: /admin/{path}: ")
    assert re.search(why, record.getMessage()), record.getMessage()


def test_the_same_is_not_said_again_and_again(
    operations: FuseOperations, caplog: pytest.LogCaptureFixture
) -> None:
    """Standard error may be a pipe that is not read."""
    for data in (b"fly", b"fly", b"fly", b"on", b"fly", b"off", b"fly", b"run"):
        with suppress(OSError):
            write(operations, "kdamonds/0/state", data)
    assert len(caplog.records) == 4


def test_what_is_only_too_early_is_not_told(
    operations: FuseOperations, caplog: pytest.LogCaptureFixture
) -> None:
    """A program asks again until it is its turn."""
    write(operations, "kdamonds/0/state", b"on")
    with pytest.raises(OSError, match="busy"):
        write(operations, "kdamonds/0/state", b"on")
    assert not caplog.records
