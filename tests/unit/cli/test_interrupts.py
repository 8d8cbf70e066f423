"""A Ctrl-C at moments of which the interpreter, or a library, would make a traceback."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.unit.snapshots import recorded, snap
from udamon import __main__
from udamon.cli import main as cli
from udamon.record import tables
from udamon.units import format_length


def test_while_udamon_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "udamon.cli.main", Interrupted("udamon.cli.main"))
    assert __main__.main() == 130


@pytest.mark.parametrize("error", [RuntimeError("External error: KeyboardInterrupt"), ImportError("numpy")])
def test_while_a_library_imports_another(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(words: list[str]) -> int:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise error  # noqa: B904 - as libraries do

    monkeypatch.setattr(cli, "_run", run)
    assert cli.main([]) == 130


@pytest.mark.parametrize("convert", [tables.parquet, tables.csv])
def test_while_a_library_reads_batches(convert: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = recorded(tmp_path / "a", [snap(0, [(0, 4096, 1, 0)])], via="idle")

    def batches() -> Iterator[object]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(recording, "batches", batches)
    with pytest.raises(KeyboardInterrupt):
        convert(recording, io.BytesIO())


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.0037, "3.7 ms"), (0.1234, "100 ms"), (12.34, "12.3 s"), (0, "0 us")]
)
def test_a_length_is_never_rounded_to_nothing(seconds: float, shown: str) -> None:
    assert format_length(seconds) == shown
