"""How much of a service may be reclaimed now: what the watching agent reports, less what was reclaimed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from udamon.agent.acting.settings import ReclaimSettings
from udamon.core.idle_time import SECONDS

BACKOFF_NS = 300_000_000_000
"""How long a service is left alone after its refaults exceeded the limit."""
_RENEWED_S, _RENEWED_AGES = 3600, 6
"""The agent measures each age again within an hour, long ones within six times the age (agent/cycles.py). A figure that
is older says nothing of now: a recording has the service, or the budget does not suffice."""


@dataclass(frozen=True, slots=True)
class ReportedService:
    """What the watching agent reports of a service.

    `cold`: a lower bound in bytes, by age in seconds; `measured_ago_ns`: how long ago that was measured. Unknown ages
    are missing. `safe_s`, `working_set`: None where unknown.
    """

    key: str
    cgroup: Path
    of_class: str
    cold: Mapping[int, int]
    measured_ago_ns: Mapping[int, int]
    safe_s: int | None
    working_set: int | None

    def ages(self, settings: ReclaimSettings) -> list[int]:
        """Ages of which the cold bytes may be taken, s: the safe age and longer ones. While nothing of a service runs,
        only the longer ones are measured; what is cold for them is cold for the safe age, too."""
        return [
            age for age in self.cold if self.safe_s is not None and age >= max(settings.min_age, self.safe_s)
        ]

    def is_old(self, age: int) -> bool:
        """Whether that was measured so long ago that it says nothing of now."""
        return self.measured_ago_ns[age] > max(_RENEWED_S, _RENEWED_AGES * age) * 1_000_000_000

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> ReportedService:
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


class ReclaimAccount:
    """What was reclaimed from one service, and its refaults since."""

    def __init__(self) -> None:
        self.taken = 0
        """Bytes in all."""
        self.backed_off_until_ns = 0
        self._since: list[tuple[int, int]] = []  # when, and how much was asked for
        self._refaulted: tuple[int, int] | None = None

    def amount(self, told: ReportedService, settings: ReclaimSettings, now_ns: int) -> int:
        """Cold bytes that were not requested yet; 0 also where that is unknown or old, and while it is backed off."""
        if now_ns < self.backed_off_until_ns or not told.cold:
            return 0
        # The safe age changes, and other ages were measured before this one: what is older than all of them goes.
        oldest_ns = now_ns - max(told.measured_ago_ns.values())
        self._since = [one for one in self._since if one[0] >= oldest_ns]
        left = [0]
        for age in told.ages(settings):
            if not told.is_old(age):
                measured_ns = now_ns - told.measured_ago_ns[age]
                left.append(told.cold[age] - sum(size for at_ns, size in self._since if at_ns >= measured_ns))
        return max(left)

    def asked(self, now_ns: int, size: int, moved: int) -> None:
        """Record that `size` bytes were requested and `moved` bytes left memory."""
        self._since.append((now_ns, size))
        self.taken += moved

    def refaults(self, now_ns: int, refaulted: int, told: ReportedService, limit: float) -> float | None:
        """Record the group's refaults so far. Where they exceed `limit` (share of the working set a minute), back the
        service off and return that share; else None."""
        before, self._refaulted = self._refaulted, (now_ns, refaulted)
        if before is None or now_ns <= before[0] or not told.working_set or not self.taken:
            return None
        share = (refaulted - before[1]) / told.working_set * 60e9 / (now_ns - before[0])
        if share <= limit:
            return None
        self.backed_off_until_ns = now_ns + BACKOFF_NS
        return share
