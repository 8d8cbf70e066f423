"""The governor: stops acting while the target suffers, and tries again later. Pure: it is told times and totals."""

from __future__ import annotations

from dataclasses import dataclass, field

SECOND_NS = 1_000_000_000
FIRST_REST_NS = 5 * SECOND_NS
LONGEST_REST_NS = 300 * SECOND_NS
CALM_NS = 60 * SECOND_NS
"""Acting for so long without suffering makes the next rest a short one again."""


@dataclass(frozen=True, slots=True)
class PressureLimits:
    """What a target may suffer, None for no limit.

    `max_major_faults`: of all targets together, a second; 100 cost a target about 1 % of its time from an SSD, less
    from zram. `max_psi`: share of the time in which some task waits for memory, of the system and of each cgroup that
    is watched.
    """

    max_major_faults: float | None = 100.0
    max_psi: float | None = 0.1


@dataclass(frozen=True, slots=True)
class PressureSample:
    """Totals at one time (ns): major faults of the targets, and µs of waiting for memory by name ("the system",
    "cgroup /a"). A total that falls (a target ended) begins anew; one that cannot be read is left out."""

    time_ns: int
    major_faults: int | None = None
    stall_us: dict[str, int] = field(default_factory=dict)


class Governor:
    """Judges by totals that are a second or more apart. `why` says why nothing may be done now; "" when it may.

    A rest lasts 5 s, then twice as long each time, up to 5 min; it goes on while the target still suffers. A minute of
    acting without suffering forgets that.
    """

    def __init__(self, limits: PressureLimits = PressureLimits()) -> None:
        self.limits = limits
        self.why = ""
        self.stops = 0
        """How often acting was stopped."""
        self._last: PressureSample | None = None
        self._rest_ns = FIRST_REST_NS
        self._resting_until_ns = 0
        self._resumed_ns = 0

    @property
    def acting(self) -> bool:
        return not self.why

    def wants(self, now_ns: int) -> bool:
        """True when there is something to judge again: only then need totals be read."""
        return self._last is None or now_ns - self._last.time_ns >= SECOND_NS

    def observe(self, now: PressureSample) -> None:
        """Take in new totals. The first say nothing: rates need two."""
        before, self._last = self._last, now
        if before is None or now.time_ns <= before.time_ns:
            return
        complaint = self._complaint(before, now)
        if complaint:
            self._stop(complaint, now.time_ns)
        elif self.why and now.time_ns >= self._resting_until_ns:
            self.why = ""
            self._resumed_ns = now.time_ns

    def _complaint(self, before: PressureSample, now: PressureSample) -> str:
        seconds = (now.time_ns - before.time_ns) / SECOND_NS
        limits = self.limits
        if limits.max_major_faults is not None and None not in (before.major_faults, now.major_faults):
            rate = ((now.major_faults or 0) - (before.major_faults or 0)) / seconds
            if rate > limits.max_major_faults:
                return f"{rate:.0f} major faults a second, above the limit of {limits.max_major_faults:g}"
        if limits.max_psi is not None:
            for name, total in now.stall_us.items():
                share = (total - before.stall_us.get(name, total)) / 1e6 / seconds
                if share > limits.max_psi:
                    return f"{name} waits for memory {share:.1%} of the time, above the limit of {limits.max_psi:.1%}"
        return ""

    def _stop(self, complaint: str, now_ns: int) -> None:
        if not self.why:
            self.stops += 1
            calm = now_ns - self._resumed_ns >= CALM_NS
            self._rest_ns = (
                FIRST_REST_NS if calm or self.stops == 1 else min(self._rest_ns * 2, LONGEST_REST_NS)
            )
            self._resting_until_ns = now_ns + self._rest_ns
        self._resting_until_ns = max(self._resting_until_ns, now_ns + SECOND_NS)
        self.why = f"the governor holds still: {complaint}"
