"""The fields of a configuration line: numbers, sizes and shares, refused with the place they stand at."""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from udamon.errors import ConfigError, UsageError
from udamon.units import TIB, parse_share, parse_size, parse_time_ns

MAX_BYTES = 64 * TIB
MAX_NUMBER = 1e18
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?")
_DECIMAL = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}


def parse_rate(text: str) -> float:
    """Accesses per second, above 0 and at most 1e18, from "5000", "2.5e6", "100M". Raises UsageError."""
    factor = _DECIMAL.get(text[-1:], 1.0)
    number = text[:-1] if factor > 1 else text
    if not _NUMBER.fullmatch(number) or not 0 < float(number) * factor <= MAX_NUMBER:
        raise UsageError(
            f"the rate {text[:48]!r} must be accesses per second above 0 and at most 1e18; write it like 100M."
        )
    return float(number) * factor


class ConfigLine(NamedTuple):
    """A line with its comment taken off; `words` is its directive, if it has one."""

    number: int
    text: str
    words: dict[str, str]


class Fields:
    """Reads fields of the file called `name`. Every method raises ConfigError, with file and line."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fail(self, line: int, message: str) -> NoReturn:
        raise ConfigError(f"{self.name}:{line}: {message}")

    def short(self, line: int, what: str, text: str) -> str:
        """`text`, if it is no longer than a number may be (Python refuses to read endless digits)."""
        if len(text) > 48:
            self.fail(line, f"the {what} {text[:12]}… is too long for a number.")
        return text

    def size(self, line: int, what: str, text: str) -> int:
        """Bytes, above 0, at most 64 TiB."""
        try:
            size = parse_size(self.short(line, what, text))
        except UsageError as error:
            self.fail(line, f"the {what} is wrong: {error}")
        if not 0 < size <= MAX_BYTES:
            self.fail(line, f"the {what} {text} must be above 0 and at most 64 TiB.")
        return size

    def number(self, line: int, what: str, text: str) -> float:
        """A number from 0 to 1e18."""
        if not _NUMBER.fullmatch(text) or not 0 <= float(text) <= MAX_NUMBER:
            self.fail(line, f"the {what} {text[:48]!r} is not a number from 0 to 1e18.")
        return float(text)

    def read_rate(self, line: int, text: str) -> float:
        """Accesses per second; see parse_rate."""
        try:
            return parse_rate(text)
        except UsageError as error:
            self.fail(line, str(error))

    def share(self, line: ConfigLine, key: str) -> float | None:
        """The share that the directive of `line` gives for `key`, None where it gives none."""
        if key not in line.words:
            return None
        text = self.short(line.number, key, line.words[key])
        if _NUMBER.fullmatch(text) and 0 <= float(text) <= 1:  # parse_share knows no 9.7e-01
            return float(text)
        try:
            return parse_share(text)
        except UsageError as error:
            self.fail(line.number, str(error))

    def period_ns(self, line: int, text: str) -> int:
        """Nanoseconds, above 0."""
        try:
            period = parse_time_ns(self.short(line, "period", text))
        except UsageError as error:
            self.fail(line, str(error))
        if not 0 < period <= MAX_NUMBER:
            self.fail(line, f"the period {text} must be above 0 and below 30 years.")
        return period
