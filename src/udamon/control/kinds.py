"""What the files of the tree hold: how each kind of value is written, read, and refused (docs/damon.md#sysfs).

A refusal is an OSError with the kernel's error number. What stands behind a NUL byte does not count, and one
newline at the end does no harm.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from typing import Protocol

Value = int | bool | str

_NUMBER = re.compile(r"(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*))\n?")
_TRUE, _FALSE = "eEyYtT1", "dDnNfF0"


def refused(number: int, why: str = "") -> OSError:
    """The error that a file operation ends with; `why` is for people, what was wrong and what to do."""
    return OSError(number, why or os.strerror(number))


def shown(text: str) -> str:
    """How a sentence quotes what was written."""
    return ascii(text[:60].removesuffix("\n"))


def text_of(data: bytes) -> str:
    """What was written, up to the first NUL; bytes that are no UTF-8 are kept as they are."""
    return data.partition(b"\0")[0].decode(errors="surrogateescape")


class Kind(Protocol):
    """One kind of value. `word` is its name in documents."""

    @property
    def word(self) -> str: ...

    def parse(self, text: str) -> Value:
        """Raises OSError: EINVAL, or ERANGE for a number too large."""

    def show(self, value: Value) -> str:
        """As the file reads, without the newline that ends it."""


@dataclass(frozen=True, slots=True)
class Number:
    """An integer from `least` to `most` as C writes it: 10, 0xa or 012. `limit` refuses what fits but is not meant.

    Some files answer EINVAL to every mistake (`range_error` False); the others tell ERANGE for what does not fit.
    """

    word: str
    least: int
    most: int
    limit: tuple[int, int] | None = None
    range_error: bool = True

    def parse(self, text: str) -> int:
        sign, digits = 1, text
        if text[:1] == "+" or (text[:1] == "-" and self.least < 0):
            sign, digits = (-1 if text[0] == "-" else 1), text[1:]
        found = _NUMBER.fullmatch(digits)
        if found is None:
            raise refused(
                errno.EINVAL, f"{shown(text)} is no number as C writes it; give one like 10, 0xa or 012."
            )
        base = {"hex": 16, "octal": 8, "decimal": 10}[found.lastgroup or "decimal"]
        number = sign * int(found[found.lastgroup or 0], base)
        if not self.least <= number <= self.most:
            raise refused(errno.ERANGE if self.range_error else errno.EINVAL, self._outside(text))
        if self.limit is not None and not self.limit[0] <= number <= self.limit[1]:
            raise refused(errno.EINVAL, self._outside(text))
        return number

    def _outside(self, text: str) -> str:
        least, most = self.limit or (self.least, self.most)
        return f"{shown(text)} is too small or too large; give {least} to {most}."

    def show(self, value: Value) -> str:
        return str(int(value))


@dataclass(frozen=True, slots=True)
class Boolean:
    """The first letter decides, or the first two of on and off."""

    word: str = "bool"

    def parse(self, text: str) -> bool:
        first = text[:1]
        if first and (first in _TRUE or text[:2].lower() == "on"):
            return True
        if first and (first in _FALSE or text[:2].lower() == "of"):
            return False
        raise refused(errno.EINVAL, f"{shown(text)} is neither yes nor no; give Y or N.")

    def show(self, value: Value) -> str:
        return "Y" if value else "N"


@dataclass(frozen=True, slots=True)
class Keyword:
    """One of `words`. What may stand there before anything was written can be another (`unset`)."""

    words: tuple[str, ...]

    @property
    def word(self) -> str:
        return ", ".join(self.words)

    def parse(self, text: str) -> str:
        word = text.removesuffix("\n")
        if word not in self.words:
            raise refused(errno.EINVAL, f"{shown(text)} is none of {self.word}; give one of them.")
        return word

    def show(self, value: Value) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class TextKind:
    """Kept to the letter, the newline that the writer sent included, as in the kernel."""

    word: str = "text"

    def parse(self, text: str) -> str:
        return text

    def show(self, value: Value) -> str:
        return str(value)


ULONG = Number("ulong", 0, 2**64 - 1)
ULONG_EINVAL = Number("ulong", 0, 2**64 - 1, range_error=False)
UINT = Number("uint", 0, 2**32 - 1)
UINT_EINVAL = Number("uint", 0, 2**32 - 1, range_error=False)
INT = Number("int", -(2**31), 2**31 - 1)
INT_EINVAL = Number("int", -(2**31), 2**31 - 1, range_error=False)
BOOL = Boolean()
TEXT = TextKind()


class Count(Number):
    """How many directories there are; writing it makes them anew."""

    __slots__ = ()


def count(most: int = 2**31 - 1) -> Count:
    """The kind of `nr_…` files: an int from 0 to `most`."""
    return Count("int ≥ 0" if most == 2**31 - 1 else f"0 to {most}", -(2**31), 2**31 - 1, limit=(0, most))


def positive() -> Number:
    """An unsigned number of 64 bits, at least 1."""
    return Number("ulong ≥ 1", 0, 2**64 - 1, limit=(1, 2**64 - 1))
