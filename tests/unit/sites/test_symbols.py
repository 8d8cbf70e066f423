"""Names of functions, and what is said where there are none."""

from __future__ import annotations

import pytest

from udamon.sites import symbols


def test_without_the_extra_the_note_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report puts "There are" before it, which had "names of functions need an extra" behind it."""
    monkeypatch.setattr(symbols, "available", lambda: False)
    (missing,) = symbols.find({}, {}).missing
    assert missing.startswith("no names of functions, which need an extra; run: ")
