"""Limits on what reports say of a recording, as people write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from udamon.arguments import named
from udamon.errors import UsageError
from udamon.report.levels import LEVELS
from udamon.units import parse_share, parse_size, parse_time_ns

DEFAULT_COLD_AGE = "10s"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CheckLimits:
    """What must hold; None where nothing is asked. Bytes, shares 0..1, ns.

    `level` of the working set and of the footprint over all snapshots is compared. Cold is memory that was not
    accessed for `cold_age_ns`; its share is of bytes in memory (of all that is monitored, where that is not
    known) over the whole recording. `max_rate_of` and `min_rate_of` have (mapping's name, label or kind, rate).
    """

    level: str = "max"
    max_wss: int | None = None
    min_wss: int | None = None
    max_footprint: int | None = None
    max_cold_share: float | None = None
    cold_age_ns: int = 10_000_000_000
    max_rate_of: tuple[tuple[str, float], ...] = ()
    min_rate_of: tuple[tuple[str, float], ...] = ()
    min_length_ns: int | None = None
    min_snapshots: int | None = None

    @classmethod
    def parse(
        cls,
        *,
        level: str = "max",
        max_wss: str | None = None,
        min_wss: str | None = None,
        max_footprint: str | None = None,
        max_cold_share: str | None = None,
        cold_age: str = DEFAULT_COLD_AGE,
        max_rate: tuple[str, ...] = (),
        min_rate: tuple[str, ...] = (),
        min_length: str | None = None,
        min_snapshots: int | None = None,
    ) -> CheckLimits:
        """From what people write. Raises UsageError, also when nothing is asked."""
        if level not in LEVELS:
            raise UsageError(f"{level!r} is no level; give one of {', '.join(LEVELS)}.")
        if min_snapshots is not None and min_snapshots < 1:
            raise UsageError(f"--min-snapshots {min_snapshots} asks for nothing; give at least 1.")
        found = cls(
            level=level,
            max_wss=_maybe("--max-wss", parse_size, max_wss),
            min_wss=_maybe("--min-wss", parse_size, min_wss),
            max_footprint=_maybe("--max-footprint", parse_size, max_footprint),
            max_cold_share=_maybe("--max-cold-share", parse_share, max_cold_share),
            cold_age_ns=named("--cold-age", parse_time_ns, cold_age),
            max_rate_of=tuple(named("--max-rate", _rate_of, rate) for rate in max_rate),
            min_rate_of=tuple(named("--min-rate", _rate_of, rate) for rate in min_rate),
            min_length_ns=_maybe("--min-length", parse_time_ns, min_length),
            min_snapshots=min_snapshots,
        )
        if found == cls(level=found.level, cold_age_ns=found.cold_age_ns):
            raise UsageError("nothing is asked; give a limit, such as --max-wss 2GiB.")
        return found


def _maybe(flag: str, parse: Callable[[str], _T], text: str | None) -> _T | None:
    return None if text is None else named(flag, parse, text)


def _rate_of(text: str) -> tuple[str, float]:
    name, equals, rate = text.rpartition("=")
    if not equals or not name:
        raise UsageError(f"{text!r} is not MAPPING=RATE; write it like heap=20%.")
    return name, parse_share(rate)
