"""Sizes, times and shares as people write them, and back.

Sizes are binary whatever the letter says ("4K" = "4 KiB" = 4096), as in the kernel's own files.
"""

from __future__ import annotations

import re

from udamon.errors import UsageError

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

_SIZES = {"": 1, "B": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB, "P": 1 << 50, "E": 1 << 60}
_TIMES_NS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000,
    "m": 60_000_000_000, "min": 60_000_000_000, "h": 3_600_000_000_000, "d": 86_400_000_000_000,
}  # fmt: skip
# Nobody means a number of more digits, and Python refuses to read endless ones.
_NUMBER = re.compile(r"\s*([0-9][0-9,]{0,39}(?:\.[0-9]{1,40})?|\.[0-9]{1,40})\s*([A-Za-zµ%]{0,20})\s*")


_WHOLE = re.compile(r"-?[0-9]{1,18}")


def whole_number(text: str) -> int | None:
    """The number that up to 18 digits 0 to 9 are, with or without a minus; None for all else.

    str.isdigit is true of digits that int does not take, and int raises for more than 4300 of them.
    """
    return int(text) if _WHOLE.fullmatch(text) else None


def _split(text: str, what: str, example: str) -> tuple[float | int, str]:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise UsageError(f"{text[:60]!r} is not a {what}; write it like {example}.")
    digits = match[1].replace(",", "")
    return (float(digits) if "." in digits else int(digits)), match[2]


def parse_size(text: str) -> int:
    """Bytes from "4096", "4 KiB", "1.5G", "0x1000". Raises UsageError, also for a part of a byte without a unit: who
    writes 1.5 means something larger."""
    if re.fullmatch(r"\s*0[xX][0-9a-fA-F]{1,40}\s*", text):
        return int(text, 16)
    number, unit = _split(text, "size", "4096, 4KiB or 1.5G")
    letter = re.sub(r"i?[bB]?$", "", unit).upper()
    if letter not in _SIZES or (unit.lower() in {"i", "ib"}):
        raise UsageError(f"{text!r} is not a size: unknown unit {unit!r}; use B, KiB, MiB, GiB or TiB.")
    if _SIZES[letter] == 1 and number != int(number):
        raise UsageError(
            f"{text!r} is not a size: a byte has no parts; give a unit, as in {text.strip(' bB')}GiB."
        )
    return int(number * _SIZES[letter])


def parse_time_ns(text: str) -> int:
    """Nanoseconds from "5ms", "100 us", "1.5s", "2m"; a bare number is refused. Raises UsageError."""
    number, unit = _split(text, "time", "5ms, 100us or 1.5s")
    if not unit:
        raise UsageError(f"the time {text!r} has no unit; write {text}ms or {text}s.")
    if unit not in _TIMES_NS:
        raise UsageError(f"{text!r} is not a time: unknown unit {unit!r}; use us, ms, s, m or h.")
    return int(number * _TIMES_NS[unit])


def parse_duration_ns(text: str) -> int:
    """Nanoseconds; unlike an interval, a duration may be a bare number of seconds. Raises UsageError."""
    bare = re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", text)
    return parse_time_ns(text.strip() + "s") if bare else parse_time_ns(text)


def parse_time_us(text: str) -> int:
    """Microseconds, rounded down; see parse_time_ns."""
    return parse_time_ns(text) // 1_000


def parse_share(text: str) -> float:
    """A share between 0 and 1 from "1%" or "0.01". Raises UsageError."""
    number, unit = _split(text, "share", "1% or 0.01")
    share = number / 100 if unit == "%" else float(number)
    if unit not in {"", "%"} or not 0 <= share <= 1:
        raise UsageError(f"{text!r} is not a share between 0 and 1; write it like 1% or 0.01.")
    return share


def format_size(size: float) -> str:
    """A short binary size: "512 B", "4.0 KiB", "1.5 GiB"; what rounds to 1024 of a unit is 1.0 of the next."""
    if abs(round(size)) < KIB:
        return f"{size:.0f} B"
    for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB", "PiB"), 1):
        number = f"{size / KIB**power:.1f}"
        if abs(float(number)) < KIB:
            return f"{number} {unit}"
    return f"{size / KIB**6:.1f} EiB"


def format_range(low: float, high: float) -> str:
    """Two sizes as "27.0 to 150.0 MiB"; one where both look alike."""
    least, most = format_size(low), format_size(high)
    return most if least == most else from_to(least, most)


def from_to(least: str, most: str) -> str:
    """Two written sizes as a range, with the unit once where it is the same."""
    size, unit = least.split(" ")
    return f"{size if most.endswith(f' {unit}') else least} to {most}"


def format_share(share: float, sign: str = "") -> str:
    """A share 0..1 in whole percents; what is above none is never shown as none. `sign`: that of an upper bound, which
    "<1%" has already."""
    return "<1%" if 0 < share <= 0.005 else f"{sign}{share:.0%}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """ "1 service", "2 services"; `many` where it is not `one` with an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def format_length(seconds: float) -> str:
    """A time as format_time has it, to tenths of a second where it is as long."""
    return format_time(round(seconds, 1) if seconds >= 0.1 else seconds)


def format_time(seconds: float) -> str:
    """A short time: "5 ms", "1.5 s", "2 m 5 s"; what rounds to 1000 of a unit is 1 of the next."""
    if seconds < 0:
        return f"-{format_time(-seconds)}"
    for factor, unit, most in ((1e6, "us", 1000), (1e3, "ms", 1000), (1, "s", 60)):
        number = f"{seconds * factor:.3g}"
        if float(number) < most:
            return f"{number} {unit}"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {rest} s"
