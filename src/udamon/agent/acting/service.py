"""How much of a service may be taken out now: what the watching agent says, less what was taken since it looked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from udamon.agent.acting.settings import ReclaimSettings
from udamon.core.idle_time import SECONDS

REST_NS = 300_000_000_000
"""After more was refaulted than may be."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the watching agent says of a service. `cold`: bytes at least, by age in seconds; `measured_ago_ns`: how long
    ago that was measured; ages that are not known are missing. `safe_s`, `working_set`: None where not known."""

    key: str
    cgroup: Path
    of_class: str
    cold: Mapping[int, int]
    measured_ago_ns: Mapping[int, int]
    safe_s: int | None
    working_set: int | None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Told:
        """From the document of `agent status`. Raises KeyError, TypeError, ValueError or OverflowError for what is
        none."""
        ages = [str(age) for age in SECONDS if found["cold_bytes"][str(age)] is not None]
        safe, working_set = found["safe_cold_age_seconds"], found["working_set_bytes"]
        return cls(
            str(found["key"]),
            Path(found["cgroup"]),
            str(found["class"]),
            {int(age): int(found["cold_bytes"][age]["low"]) for age in ages},
            {int(age): round(found["measured_seconds_ago"][age] * 1e9) for age in ages},
            None if safe is None else int(safe),
            None if working_set is None else int(working_set["high"]),
        )


class Acted:
    """What was done to one service, and how it took that."""

    def __init__(self) -> None:
        self.taken = 0
        """Bytes in all."""
        self.rests_until_ns = 0
        self._since: list[tuple[int, int]] = []  # when, and how much was asked for
        self._refaulted: tuple[int, int] | None = None

    def amount(self, told: Told, settings: ReclaimSettings, now_ns: int) -> int:
        """Bytes that are cold by now and were not asked for yet; 0 also where that is not known, or while it rests."""
        if told.safe_s is None or now_ns < self.rests_until_ns:
            return 0
        age = max(settings.min_age, told.safe_s)
        if age not in told.cold:
            return 0
        measured_ns = now_ns - told.measured_ago_ns[age]
        self._since = [one for one in self._since if one[0] >= measured_ns]
        return max(0, told.cold[age] - sum(size for _, size in self._since))

    def asked(self, now_ns: int, size: int, moved: int) -> None:
        """So much was asked for, and `moved` went."""
        self._since.append((now_ns, size))
        self.taken += moved

    def refaults(self, now_ns: int, refaulted: int, told: Told, limit: float) -> float | None:
        """What its group took back so far. The share of its working set a minute, where that is too much: it rests."""
        before, self._refaulted = self._refaulted, (now_ns, refaulted)
        if before is None or now_ns <= before[0] or not told.working_set or not self.taken:
            return None
        share = (refaulted - before[1]) / told.working_set * 60e9 / (now_ns - before[0])
        if share <= limit:
            return None
        self.rests_until_ns = now_ns + REST_NS
        return share
