"""The governor: stops acting under memory pressure, and tries again later. Pure: callers pass in times and totals."""

from __future__ import annotations

from dataclasses import dataclass, field

SECOND_NS = 1_000_000_000
MIN_BACKOFF_NS = 5 * SECOND_NS
MAX_BACKOFF_NS = 300 * SECOND_NS
BACKOFF_RESET_NS = 60 * SECOND_NS
"""After acting for this long without exceeding a limit, the next backoff is MIN_BACKOFF_NS again."""


@dataclass(frozen=True, slots=True)
class PressureLimits:
    """How much memory pressure targets may be under; None: no limit.

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
    """Compares totals that are a second or more apart. `why`: the reason why acting is stopped; "" while it is allowed.

    A backoff lasts 5 s, then twice as long each time, up to 5 min, and is extended while a limit is exceeded. After a
    minute of acting without exceeding a limit, the next backoff lasts 5 s again.
    """

    def __init__(self, limits: PressureLimits = PressureLimits()) -> None:
        self.limits = limits
        self.why = ""
        self.stops = 0
        """How many times acting was stopped."""
        self._last: PressureSample | None = None
        self._backoff_ns = MIN_BACKOFF_NS
        self._backoff_until_ns = 0
        self._resumed_ns = 0

    @property
    def acting(self) -> bool:
        return not self.why

    def wants(self, now_ns: int) -> bool:
        """Whether new totals are due. Callers read totals only then."""
        return self._last is None or now_ns - self._last.time_ns >= SECOND_NS

    def observe(self, now: PressureSample) -> None:
        """Compare new totals with the previous ones. The first call decides nothing: a rate needs two."""
        before, self._last = self._last, now
        if before is None or now.time_ns <= before.time_ns:
            return
        reason = self._reason(before, now)
        if reason:
            self._stop(reason, now.time_ns)
        elif self.why and now.time_ns >= self._backoff_until_ns:
            self.why = ""
            self._resumed_ns = now.time_ns

    def _reason(self, before: PressureSample, now: PressureSample) -> str:
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

    def _stop(self, reason: str, now_ns: int) -> None:
        if not self.why:
            self.stops += 1
            recovered = now_ns - self._resumed_ns >= BACKOFF_RESET_NS
            self._backoff_ns = (
                MIN_BACKOFF_NS if recovered or self.stops == 1 else min(self._backoff_ns * 2, MAX_BACKOFF_NS)
            )
            self._backoff_until_ns = now_ns + self._backoff_ns
        self._backoff_until_ns = max(self._backoff_until_ns, now_ns + SECOND_NS)
        self.why = f"stopped by the governor: {reason}"
