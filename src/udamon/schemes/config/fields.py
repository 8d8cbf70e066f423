"""The fields of a scheme configuration: what is written at a place, read; every error names file, line and keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeVar

from udamon.configuration.tree import ConfigValue, names
from udamon.core.scheme import U32_MAX, U64_MAX
from udamon.core.scheme_fields import FieldSyntax, SchemeField
from udamon.errors import UsageError
from udamon.schemes.config.pattern import parse_bytes, parse_percent
from udamon.units import parse_time_ns, parse_time_us

_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)

_NUMBER = re.compile(r"\s*(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})\s*")
_YES = {"y", "yes", "true", "t", "on", "1"}
_NO = {"n", "no", "false", "f", "off", "0"}


def parsed(place: ConfigValue, parse: Callable[[str], _T]) -> _T:
    """What `parse` makes of the text at `place`; its UsageError becomes a ConfigError of that place."""
    text = place.text()  # what is wrong with that has its place already
    try:
        return parse(text)
    except UsageError as error:
        place.fail(str(error))


def parse_number(text: str, most: int = U64_MAX) -> int:
    """A whole number from 0 to `most`, also as 0x…; raises UsageError."""
    if not _NUMBER.fullmatch(text) or (number := int(text, 16 if "x" in text.lower() else 10)) > most:
        raise UsageError(f"{text[:48]!r} is not a whole number from 0 to {most}.")
    return number


def parse_flag(text: str) -> bool:
    """Y or N, and what else the kernel takes for them. Raises UsageError."""
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise UsageError(f"{text[:48]!r} is neither yes nor no; write true or false.")
    return word in _YES


def parse_us(text: str) -> int:
    """Microseconds: a bare number of them, or a time with its unit. Raises UsageError."""
    return _parse_time(text, 1_000)


def parse_ms(text: str) -> int:
    """Milliseconds: a bare number of them, or a time with its unit. Raises UsageError."""
    return _parse_time(text, 1_000_000)


def _parse_time(text: str, unit_ns: int) -> int:
    if _NUMBER.fullmatch(text):
        return parse_number(text)
    time = parse_time_ns(text)
    if time // unit_ns > U64_MAX:
        raise UsageError(f"{text[:48]!r} is longer than any time here.")
    if 0 < time < unit_ns:
        raise UsageError(f"{text[:48]!r} is less than one {'us' if unit_ns == 1_000 else 'ms'}.")
    return time // unit_ns


def parse_per(text: str, whole: int) -> int:
    """Parts of `whole`: a bare number of them, or a percentage, rounded down. Raises UsageError, also for more than
    all."""
    share = parse_percent(text)
    parts = parse_number(text) if share is None else int(share * whole)
    if parts > whole:
        raise UsageError(f"{text.strip()[:48]} is more than all; give at most {whole}, or 100%.")
    return parts


def parse_permil(text: str) -> int:
    """Parts of a thousand, or a percentage. Raises UsageError."""
    return parse_per(text, 1_000)


def parse_bp(text: str) -> int:
    """Parts of ten thousand, or a percentage. Raises UsageError."""
    return parse_per(text, 10_000)


def number(place: ConfigValue, most: int = U64_MAX) -> int:
    """A whole number up to `most`. Raises ConfigError."""
    return parsed(place, lambda text: parse_number(text, most))


def u32(place: ConfigValue) -> int:
    """A whole number of 32 bits. Raises ConfigError."""
    return number(place, U32_MAX)


def flag(place: ConfigValue) -> bool:
    """True or false. Raises ConfigError."""
    return parsed(place, parse_flag)


def time_us(place: ConfigValue) -> int:
    """Microseconds; without a unit only where the key says that it is about them."""
    return parsed(place, parse_us if str(place.path[-1]).endswith("_us") else parse_time_us)


def stall_us(place: ConfigValue) -> int:
    """Microseconds, for a metric that says that it is about them."""
    return parsed(place, parse_us)


def time_ms(place: ConfigValue) -> int:
    """Milliseconds. Raises ConfigError."""
    return parsed(place, parse_ms)


def bp(place: ConfigValue) -> int:
    """Parts of ten thousand. Raises ConfigError."""
    return parsed(place, parse_bp)


def permil(place: ConfigValue) -> int:
    """Parts of a thousand. Raises ConfigError."""
    return parsed(place, parse_permil)


def choice(place: ConfigValue, kinds: type[_E]) -> _E:
    """One of the words of `kinds`."""
    text = place.text()
    try:
        return kinds(text)
    except ValueError:
        place.fail(f"{text[:48]!r} is none of {', '.join(kinds)}.")


_READ: dict[FieldSyntax, Callable[[ConfigValue], object]] = {
    FieldSyntax.NUMBER: number,
    FieldSyntax.U32: u32,
    FieldSyntax.FLAG: flag,
    FieldSyntax.TEXT: ConfigValue.text,
    FieldSyntax.BYTES: lambda place: parsed(place, parse_bytes),
    FieldSyntax.TIME_US: time_us,
    FieldSyntax.TIME_MS: time_ms,
    FieldSyntax.PERMIL: permil,
}


def table_of(place: ConfigValue, fields: Sequence[SchemeField], *others: str) -> dict[str, ConfigValue]:
    """The table at `place`, which has these fields, and `others` that are tables or lists. Raises ConfigError."""
    known: dict[str, str] = {}
    for field in fields:
        known |= dict.fromkeys((field.written_key, *field.also), field.written_key)
    return place.table(known | names(*others))


def values_of(table: dict[str, ConfigValue], fields: Sequence[SchemeField]) -> dict[str, object]:
    """Those fields that are given, by their attributes. Raises ConfigError."""
    found: dict[str, object] = {}
    for field in fields:
        if (place := table.get(field.written_key)) is None:
            continue
        found[field.name] = choice(place, field.kind) if field.kind else _READ[field.written](place)
    return found


def needs(
    place: ConfigValue, table: dict[str, ConfigValue], fields: Sequence[SchemeField], what: str
) -> None:
    """Raises ConfigError where a field that must be given is not; `what` they are fields of."""
    for field in fields:
        if field.needed and field.written_key not in table:
            place.fail(f"{what} {field.written_key}: {field.needed}.")
