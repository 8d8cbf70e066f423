"""Text for people: whatever comes from outside is shown, and never obeyed by a terminal.

Names of processes, files, control groups and lock files, command lines and what a recording says are chosen by others.
A character that moves the cursor, colours, hides or turns text around becomes an escape like \\x1b or \\u202e, and so
does one that begins a new line. What is printed is a `Shown`, which only this file makes: from text that it escapes,
from lines that it joins, and from colours of udamon's own. A plain str is escaped as one line where it is printed
(udamon.console), so whoever forgets this file shows \\x0a and \\x1b, and forges nothing.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories that are escaped: control, format, surrogates, line and paragraph separators; private use and unassigned,
too, for which a terminal has no sign that all agree on, and of which a later Unicode may make a format character."""

_LIKE = str.maketrans(
    {"…": "...", "·": "-", "–": "-", "→": "->", "≥": ">=", "≤": "<=", "µ": "u", "×": "x", "●": "*", "❚": "|"}
)
"""udamon's own signs beyond ASCII, and what stands for them where there is only ASCII."""

_PAINT = re.compile(r"\x1b\[[0-9;]*m")


class Shown(str):
    """Text that may be printed as it is; a f-string or a slice of it is a plain str again."""

    __slots__ = ()

    def rstrip(self, chars: str | None = None, /) -> Shown:
        return Shown(super().rstrip(chars))


def ascii_only(environ: Mapping[str, str] | None = None, encoding: str | None = None) -> bool:
    """True where nothing but ASCII may be printed: standard output is not UTF-8, or the locale is C by name.

    Python speaks UTF-8 in the locale C, and then sets LC_CTYPE itself; who asked for C gets it all the same. No
    locale at all expresses no choice, so Python's default applies.
    """
    environ = os.environ if environ is None else environ
    if encoding is None:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if encoding.lower().replace("-", "").replace("_", "") not in ("utf8", "utf8sig"):
        return True
    kind = environ.get("LC_CTYPE")
    if kind == "C.UTF-8" and sys.flags.utf8_mode:  # Python's own (PEP 538)
        kind = None
    return (environ.get("LC_ALL") or kind or environ.get("LANG")) in ("C", "POSIX")


def escape(text: str, *, plain: bool | None = None) -> Shown:
    """`text` as one line of printable characters; a `Shown` stays as it is.

    Backslashes stay, so that escaping twice is escaping once. `plain`: ASCII alone; by default as `ascii_only` says.
    A byte of a file name that is not UTF-8 becomes \\xNN.
    """
    if isinstance(text, Shown) or (text.isascii() and text.isprintable()):
        return Shown(text)
    plain = ascii_only() if plain is None else plain
    return Shown("".join(char if _prints(char, plain) else _code(ord(char)) for char in text))


def _prints(char: str, plain: bool) -> bool:
    if char.isascii() or plain:
        return char.isascii() and char.isprintable()
    from unicodedata import category

    return category(char) not in _HIDDEN


def _code(point: int) -> str:
    if 0xDC80 <= point <= 0xDCFF:  # os.fsdecode: a byte that is not UTF-8
        point -= 0xDC00
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def ours(text: str) -> str:
    """A text of udamon's own, without signs beyond ASCII where they cannot be shown."""
    return text.translate(_LIKE) if not text.isascii() and ascii_only() else text


def line(*parts: str) -> Shown:
    """One line of parts, each escaped unless it is `Shown`."""
    return Shown("".join(map(escape, parts)))


def lines(found: Iterable[str]) -> Shown:
    """Lines of text, each escaped unless it is `Shown` (which may be several lines)."""
    return Shown("\n".join(map(escape, found)))


def paint(code: str, text: str, end: str = "\x1b[0m") -> Shown:
    """`text` in a colour: `code` is udamon's own sequence, ESC [ numbers m. Raises ValueError for another one."""
    if not all(_PAINT.fullmatch(one) for one in (code, end) if one):
        raise ValueError(f"{code!r} is no colour")
    return Shown(f"{code}{escape(text)}{end}")


def without_colour(text: str) -> str:
    """`text` without the sequences that `paint` makes."""
    return _PAINT.sub("", text)


def width(text: str) -> int:
    """Columns that escaped text takes in a terminal: wide characters take two, combining ones none, colours none."""
    text = without_colour(text) if isinstance(text, Shown) and "\x1b" in text else text
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(char: str) -> int:
    from unicodedata import category, east_asian_width

    if category(char) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


def cut(text: str, room: int, tail: str = "", dots: str = "..") -> Shown:
    """`text` and `tail`, escaped, or as much of the beginning of `text` as fits beside `tail` into `room` columns.

    An escape is shown whole or not at all.
    """
    shown, tail = escape(text), escape(tail)
    room -= width(tail)
    if width(shown) <= room:
        return line(shown, tail)
    room -= len(dots)
    kept, used = [], 0
    for char in text:
        one = escape(char)
        used += width(one)
        if used > room:
            break
        kept.append(one)
    return line(*kept, dots, tail)


_LONG_WORD = re.compile(r"\S{600,}")
_LONGEST_SENTENCE = 3000


def sentence(said: str) -> str:
    """What an error says, without the middle of what is too long: a value that it quotes may have any length."""
    said = _LONG_WORD.sub(lambda found: f"{found[0][:300]}..{found[0][-200:]}", said)
    return said if len(said) <= _LONGEST_SENTENCE else f"{said[:2000]} .. {said[-500:]}"


def wrapped(text: Shown, room: int) -> Shown:
    """Lines that are longer than `room` columns, broken at blanks; what follows stands below the last column of the
    line that begins in its first half. Coloured pictures, and words that are too long, stay as they are."""
    return Shown("\n".join(each for one in text.split("\n") for each in _broken(Shown(one), room)))


def _broken(line: Shown, room: int) -> list[str]:
    if "\x1b[48;" in line or width(line) <= room:
        return [line]
    shown = without_colour(line)
    begins = [
        len(shown) - len(shown.lstrip(" ")),
        *(gap.end() for gap in re.finditer(r"\S {2,}(?=\S)", shown)),
    ]
    indent = " " * max(column for column in begins if column <= room // 2 or column == begins[0])
    found: list[str] = []
    kept, used = "", -1
    for word in line.split(" "):
        size = width(Shown(word))
        if used + 1 + size > room and kept.strip():
            found.append(kept.rstrip())
            kept, used = indent + word, len(indent) + size
        elif found and not kept.strip():  # blanks where the line was broken
            kept, used = indent + word, len(indent) + size
        else:
            kept, used = (word if used < 0 else f"{kept} {word}"), used + 1 + size
    return [*found, kept]


def pad(text: str, side: str, room: int) -> Shown:
    """`text`, escaped, filled up to `room` columns; `side` is < or >, where the text goes."""
    shown = escape(text)
    fill = " " * (room - width(shown))
    return line(fill, shown) if side == ">" else line(shown, fill)


def is_text(name: str) -> bool:
    """Whether a text can be written as UTF-8: bytes of a name that are not UTF-8 cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
