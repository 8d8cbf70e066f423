"""A scheme in use: its definition, and its state."""

from __future__ import annotations

from dataclasses import replace

from udamon.core.attrs import Attrs
from udamon.core.scheme import AccessPattern, Scheme, SchemeStats, SchemeStatus
from udamon.schemes.filters import CoreFilters, action_requests
from udamon.schemes.pattern import PatternLimits
from udamon.schemes.quota import ChargedQuota
from udamon.schemes.watermarks import WatermarkState


class Installed:
    """One scheme of a running kdamond. `next_apply` is counted in sampling intervals since the start."""

    keeps_up = False
    """Whether it is due in each charge window of its quota, where an aggregation is longer than one: else a quota of so
    much a second would be one of so much an aggregation."""

    def __init__(self, index: int, scheme: Scheme, min_region: int, next_apply: int = 0) -> None:
        self.index = index
        self.next_apply = next_apply
        self.stats = SchemeStats()
        self.quota = ChargedQuota(scheme.quotas, min_region)
        self.watermark = WatermarkState(scheme.watermarks)
        self.refused: dict[int, str] = {}
        """Why nothing is tried on a target any more, by its index: acting on it has failed for good."""
        self._min_region = min_region
        self._take(scheme)

    def _take(self, scheme: Scheme) -> None:
        self.scheme = scheme
        self.limits = PatternLimits.of(scheme.access_pattern)
        self.filters = CoreFilters(scheme, self._min_region)
        self.request, self.request_past_pages = action_requests(scheme)

    def commit(self, scheme: Scheme) -> None:
        """Become another scheme, and keep what was charged, the effective size and the stats
        (docs/damon.md#commits)."""
        self.quota.commit(scheme.quotas)
        self.watermark.commit(scheme.watermarks)
        self.refused.clear()
        self._take(scheme)

    def change_pattern(self, pattern: AccessPattern) -> None:
        """Only the numbers that are counted in intervals have changed: nothing is opened or begun anew."""
        self._take(replace(self.scheme, access_pattern=pattern))

    def schedule(self, sis: int, attrs: Attrs) -> None:
        """Be due one apply interval from now."""
        interval = self.scheme.apply_interval_us or attrs.aggr_us
        if self.keeps_up and not self.scheme.apply_interval_us and self.quota.is_set:
            interval = min(interval, self.quota.quota.reset_interval_ms * 1_000)
        self.next_apply = sis + interval // (attrs.sample_us or 1)

    def due(self, sis: int) -> bool:
        return self.watermark.active and sis >= self.next_apply

    @property
    def exhausted(self) -> bool:
        """It has looked at as many snapshots as it may. Each target counts as one, and one whose last region was
        skipped does not count: both as in the kernel (docs/damon.md#apply-pass), whose users know them so."""
        return 0 < self.scheme.max_nr_snapshots <= self.stats.nr_snapshots

    def status(self) -> SchemeStatus:
        why = self.watermark.why
        if not why and self.exhausted:
            why = f"it has looked at its {self.scheme.max_nr_snapshots} snapshots"
        if not why and self.quota.begun and self.quota.full:
            why = self._quota_why()
        if not why and self.refused:
            why = next(iter(self.refused.values()))
        return SchemeStatus(
            self.index,
            self.scheme,
            self.watermark.active,
            why,
            self.quota.esz,
            self.quota.charged_sz,
            replace(self.stats),
        )

    def _quota_why(self) -> str:
        quota = self.quota
        if quota.goals and quota.esz == 0:
            score = quota.goals.last_score
            return "its goals cannot be measured" if score is None else "its goals are met"
        return "the quota of this window is used up"
