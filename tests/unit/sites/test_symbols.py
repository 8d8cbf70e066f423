"""Names of functions, and what is said where there are none."""

from __future__ import annotations

import pytest

from udamon.sites import symbolizing, symbols


def test_without_the_extra_the_note_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report puts "There are" before it, which had "names of functions need an extra" behind it."""
    monkeypatch.setattr(symbols, "available", lambda: False)
    (missing,) = symbols.find({}, {}).missing
    assert missing.startswith("no names of functions, which need an extra; run: ")


def test_servers_for_debug_files_without_their_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distributions set DEBUGINFOD_URLS for all users, also where nothing can ask there."""

    def refuse(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setenv("DEBUGINFOD_URLS", "http://127.0.0.1:9")
    monkeypatch.setattr(symbolizing.ctypes, "CDLL", refuse)
    found = symbolizing.symbols("/nowhere/file", "ab" * 20, [4096], str)
    assert (found["symbols"], found["lines"]) == ([], False)
    assert "DEBUGINFOD_URLS needs elfutils' libdebuginfod.so.1" in found["why"]
