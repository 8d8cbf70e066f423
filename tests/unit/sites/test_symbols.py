"""Names of functions, and what is said where there are none."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from udamon.sites import symbolizing, symbols


def test_without_the_extra_the_note_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report puts "There are" before it, which had "names of functions need an extra" behind it."""
    monkeypatch.setattr(symbols, "available", lambda: False)
    (missing,) = symbols.find({}, {}).missing
    assert missing.startswith("no names of functions, which need an extra; run: ")


def test_what_a_library_prints_while_it_fails_is_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It may be bytes of the file that it stumbled over."""
    monkeypatch.setattr(symbols, "available", lambda: True)
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nprintf '\\377\\n' >&2\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    found = symbols.find({1: ("/a", b"")}, {1: [4096]})
    assert found.missing == ["no functions of /a: reading it took too much time or memory"]


def test_servers_for_debug_files_without_their_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distributions set DEBUGINFOD_URLS for all users, also where nothing can ask there."""

    def refuse(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setenv("DEBUGINFOD_URLS", "http://127.0.0.1:9")
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    found = symbolizing.symbols("/nowhere/file", "ab" * 20, [4096], str)
    assert (found["symbols"], found["lines"]) == ([], False)
    assert "DEBUGINFOD_URLS needs elfutils' libdebuginfod.so.1" in found["why"]
