"""How much a scheme may do in a charge window, and where it goes on in the next one (docs/damon.md#quotas)."""

from __future__ import annotations

from collections.abc import Sequence

from udamon.core.regions import Region
from udamon.core.scheme import U64_MAX, Quota
from udamon.core.target import Target
from udamon.model import PAGE_SIZE
from udamon.schemes.goals import Goals, Read
from udamon.schemes.score import MOST

FIRST_BYTES_PER_MS = 1_024 * PAGE_SIZE
"""The throughput of an action while none was measured."""


class ChargedQuota:
    """A quota at work.

    `esz` is the effective size in bytes of the present window, `charged_sz` and `charged_ns` what was used up of it,
    `min_score` the lowest priority that still fits. `resume`: the target and address up to which the last full
    window came.
    """

    def __init__(self, quota: Quota, min_region: int) -> None:
        self.quota = quota
        self.goals = Goals(quota.goals)
        self.is_set = self._is_set()
        self.esz = 0
        self.charged_sz = self.charged_ns = 0
        self.total_charged_sz = self.total_charged_ns = 0
        self._last_bytes_per_ms = 0
        self.min_score = 0
        self.resume: tuple[Target, int] | None = None
        self._charged_from_ns: int | None = None
        self._min_region = min_region

    def commit(self, quota: Quota) -> None:
        """Take new values; what was charged and the effective size stay until the window ends
        (docs/damon.md#commits)."""
        self.quota = quota
        self.goals.commit(quota.goals)
        self.is_set = self._is_set()
        if not self.is_set:
            # The kernel goes on limiting by an effective size that is never computed again.
            self.esz, self.min_score, self.resume = 0, 0, None

    def _is_set(self) -> bool:
        return bool(self.quota.ms or self.quota.bytes or self.goals)

    @property
    def begun(self) -> bool:
        """There was a charge window already."""
        return self._charged_from_ns is not None

    @property
    def full(self) -> bool:
        """Nothing more may be done in this window: less than one region is left of the size.

        Less than a page thus makes no tries of size 0 (docs/damon.md#quotas), and a first window is limited like all
        others. Beyond the kernel, which only estimates by size: or all of the time was taken.
        """
        if not self.is_set:
            return False
        if self.quota.ms and self.charged_ns >= self.quota.ms * 1_000_000:
            return True
        return self.esz - self.charged_sz < self._min_region

    @property
    def room(self) -> int:
        """Bytes that may still be charged, in whole regions."""
        left = max(self.esz - self.charged_sz, 0)
        return left - left % self._min_region

    def window(self, now_ns: int, read: Read) -> bool:
        """Begin a new charge window if it is time; True if the one before had become full."""
        first = self._charged_from_ns is None
        if self._charged_from_ns is not None:
            passed = now_ns - self._charged_from_ns
            if 0 <= passed < self.quota.reset_interval_ms * 1_000_000:
                return False
        exceeded = not first and self.full
        self.total_charged_sz += self.charged_sz
        if self.charged_ns:
            self._last_bytes_per_ms = self.charged_sz * 1_000_000 // self.charged_ns
        self._charged_from_ns = now_ns
        self.charged_sz = self.charged_ns = 0
        self.esz = self._effective_size(read)
        return exceeded

    def _effective_size(self, read: Read) -> int:
        """The least of what goals, time and size allow."""
        quota = self.quota
        if not quota.ms and not self.goals:
            return quota.bytes
        esz = U64_MAX
        if self.goals:
            esz = self.goals.tune(quota.goal_tuner, quota.bytes, read)
        if quota.ms:
            esz = min(esz, max(self._bytes_per_ms() * quota.ms, self._min_region))
        if quota.bytes:
            esz = min(esz, quota.bytes)
        return esz

    def _bytes_per_ms(self) -> int:
        """Of all windows, or of the last one if that was faster.

        The kernel uses all windows. From user space, a region costs about a millisecond regardless of its size, so
        after a few small ones the average would only allow small pieces, which are as slow. An estimate that is too
        high does no harm, because `full` measures time itself.
        """
        if not self.total_charged_ns:
            return FIRST_BYTES_PER_MS
        return max(self.total_charged_sz * 1_000_000 // self.total_charged_ns, self._last_bytes_per_ms)

    def prefer(self, sizes: Sequence[int]) -> None:
        """Set the priority below which nothing is done; `sizes[score]` are the matching bytes of each."""
        left = self.esz
        for score in range(MOST, -1, -1):
            left -= sizes[score]
            if left <= 0:
                self.min_score = score
                return
        self.min_score = 0

    def charge(self, target: Target, region: Region, size: int, applied: int, took_ns: int) -> None:
        """Count what was done to a region of which `size` bytes count; what failed of it only at a part, if there is
        one."""
        quota = self.quota
        self.total_charged_ns += took_ns
        self.charged_ns += took_ns
        if quota.fail_charge_denom and applied <= size:
            size = applied + (size - applied) * quota.fail_charge_num // quota.fail_charge_denom
        self.charged_sz += size
        if self.full:
            self.resume = target, region.end

    def forget_lost(self, targets: Sequence[Target]) -> None:
        """Do not resume at a target that is gone."""
        if self.resume is not None and not any(self.resume[0] is target for target in targets):
            self.resume = None
