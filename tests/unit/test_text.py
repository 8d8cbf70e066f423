"""Escaping: what a terminal shows it does not obey, and columns stay columns."""

from __future__ import annotations

import io
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import bad_characters
from udamon import console, text
from udamon.errors import CannotError
from udamon.report.terminal import Terminal, shorten, table


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("redis-server", "redis-server"),
        ("é 漢字 ~", "é 漢字 ~"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("\a\b\r\n\t\x7f\x85\x9b", r"\x07\x08\x0d\x0a\x09\x7f\x85\x9b"),
        ("evil\u202etxt.exe", r"evil\u202etxt.exe"),
        ("\u200b\u2028\u2029\ufeff", r"\u200b\u2028\u2029\ufeff"),
        ("\ue000\U000e0001\U0010ffff", r"\ue000\U000e0001\U0010ffff"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("\ud800", r"\ud800"),
        (r"\x1b", r"\x1b"),
    ],
)
def test_escape(name: str, shown: str) -> None:
    assert text.escape(name, plain=False) == shown
    assert text.escape(text.escape(name, plain=False)) == shown


def test_ascii_alone() -> None:
    assert text.escape("é漢\U0001f600", plain=True) == r"\xe9\u6f22\U0001f600"


@pytest.mark.parametrize(
    ("environ", "encoding", "plain"),
    [
        ({"LANG": "C"}, "utf-8", True),
        ({"LANG": "POSIX"}, "UTF-8", True),
        ({"LANG": "C.UTF-8"}, "utf-8", False),
        ({"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, "utf-8", True),
        ({"LC_ALL": "de_DE.UTF-8", "LANG": "C"}, "utf-8", False),
        ({"LC_CTYPE": "en_US.UTF-8", "LANG": "C"}, "utf-8", False),
        ({}, "utf-8", False),
        ({"LANG": "de_DE"}, "iso-8859-1", True),
        ({}, "ascii", True),
    ],
)
def test_where_only_ascii_is_shown(environ: dict[str, str], encoding: str, plain: bool) -> None:
    assert text.ascii_only(environ, encoding) is plain


@given(st.text())
def test_nothing_is_left_that_a_terminal_obeys(name: str) -> None:
    shown = text.escape(name, plain=False)
    assert not bad_characters(shown)
    assert "\n" not in shown
    assert text.escape(name, plain=True).isascii()


@given(st.text(), st.integers(4, 30), st.text(max_size=1))
def test_cut_fits(name: str, room: int, tail: str) -> None:
    shown = text.cut(name, room, tail)
    assert text.width(shown) <= max(room, 2 + text.width(text.escape(tail)))
    if text.width(text.escape(name + tail)) <= room:
        assert shown == text.escape(name) + text.escape(tail)


def test_cut_keeps_escapes_whole() -> None:
    assert shorten("ab\x1b\x1b", 9) == r"ab\x1b.."
    assert shorten("ab\x1b\x1b", 8) == r"ab\x1b.."
    assert shorten("ab\x1b\x1b", 7) == "ab.."
    assert shorten("漢字漢字", 7) == "漢字.."


def test_columns_by_width() -> None:
    """Wide characters take two columns, combining ones none; a name with a newline stays in its row."""
    rows = [["漢字", "1"], ["e\u0301", "2"], ["a\nb", "3"]]
    assert table(rows, "<<", "") == ["漢字    1", "e\u0301       2", r"a\x0ab  3"]


def test_colours_are_of_our_own() -> None:
    """A name with the sequences that udamon uses is escaped; a colour has no columns."""
    heat = Terminal(80, 256, True).heat([0.0, None, 1.0])
    assert "\x1b[48;5;" in heat
    assert text.width(heat) == 3
    assert text.line("a\x1b[0m", heat).startswith(r"a\x1b[0m" + "\x1b[48;5;")
    with pytest.raises(ValueError, match="no colour"):
        text.paint("\x1b[2J", "x")


def test_plain_text_is_one_line_wherever_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    console.out("a\nb\x1b[31m")
    console.say("c\r\nd")
    console.out(text.lines(["e", "f\n"]))
    found = capsys.readouterr()
    assert found.out == "a\\x0ab\\x1b[31m\ne\nf\\x0a\n"
    assert found.err == "udamon: c\\x0d\\x0ad\n"


def test_an_error_is_one_line() -> None:
    error = CannotError("the file a\x1b]0;b\x07\nc cannot be read; choose another.")
    assert str(error) == r"the file a\x1b]0;b\x07\x0ac cannot be read; choose another."


def test_a_line_that_is_rewritten_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    stream = io.StringIO()
    line = console.OneLine(stream)
    line.show("漢字漢字漢字")
    line.show("a\nb")
    line.clear()
    assert stream.getvalue() == "\r漢字漢字" + "\r" + r"a\x0ab  " + "\r      \r"


def test_own_signs_without_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert text.ours("a · b … 1–2") == "a - b ... 1-2"
    assert not Terminal.of_stdout().blocks


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("as it is", ["as it is"]),
        ("some words that are too many", ["some words that are", "too many"]),
        ("  some words that are too many", ["  some words that", "  are too many"]),
        ("note  some words that are many", ["note  some words", "      that are many"]),
        ("a b  some words that are many", ["a b  some words that", "     are many"]),
        ("averylongwordthatdoesnotfithere", ["averylongwordthatdoesnotfithere"]),
        ("averylongwordthatdoesnotfithere or so", ["averylongwordthatdoesnotfithere", "or so"]),
        ("漢漢漢漢漢漢漢 漢漢漢 漢漢", ["漢漢漢漢漢漢漢", "漢漢漢 漢漢"]),
        ("a  yes  some words of it", ["a  yes  some words", "        of it"]),
        ("a  \x1b[32myes\x1b[0m  some words of it", ["a  \x1b[32myes\x1b[0m  some words", "        of it"]),
        ("\x1b[48;5;17m" + "x " * 30, ["\x1b[48;5;17m" + "x " * 30]),
    ],
)
def test_long_lines_are_broken_between_words(line: str, expected: list[str]) -> None:
    assert text.wrapped(text.Shown(line), 20).split("\n") == expected


@given(st.lists(st.text("ab  漢", max_size=60), max_size=4), st.integers(10, 40))
def test_no_word_is_lost_and_lines_of_short_words_fit(found: list[str], room: int) -> None:
    before = text.Shown("\n".join(found))
    broken = text.wrapped(before, room)
    assert broken.split() == before.split()
    for line in broken.split("\n"):
        assert text.width(line) <= room or " " not in line.strip()
