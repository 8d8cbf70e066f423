"""Numbers of flags: what a parser takes for one. Python's own int and float also take 1_000, other digits than 0 to 9,
nan and inf, and quote thousands of digits in what they raise."""

from __future__ import annotations

import argparse
import re

from udamon.arguments import named
from udamon.errors import UsageError
from udamon.units import parse_duration_ns, whole_number

_DECIMAL = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?|\.[0-9]{1,18}")

_MANY_DIGITS = re.compile(r"-?[0-9]{19,}")


def whole(text: str) -> int:
    """A whole number of at most 18 digits. Raises ArgumentTypeError, of which a parser makes a sentence."""
    number = whole_number(text)
    if number is None:
        many = "has more than 18 digits" if _MANY_DIGITS.fullmatch(text) else "is not a whole number"
        raise argparse.ArgumentTypeError(f"{text[:40]!r} {many}")
    return number


def decimal(text: str) -> float:
    """A number from 0 on, with or without a fraction. Raises as `whole`."""
    if not _DECIMAL.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from 0 on")
    return float(text)


def require_shown(flag: str, number: int | None) -> None:
    """Raises UsageError for a number of lines below 1; None is not given."""
    if number is not None and number < 1:
        raise UsageError(f"{flag} {number} shows nothing; give at least 1.")


LONGEST_NS = 1 << 60
"""36 years: clocks of 64 bits, and what is added to them, go further."""


def some_time(flag: str, text: str) -> int:
    """A duration in nanoseconds, above 0 and at most 36 years. Raises UsageError."""
    duration = named(flag, parse_duration_ns, text)
    if duration == 0:
        raise UsageError(f"{flag} {text} is no time at all; give at least 1ms, or leave it out.")
    if duration > LONGEST_NS:
        raise UsageError(f"{flag} {text} is more than 36 years; give less, or leave it out.")
    return duration
