"""Monitoring attributes: intervals and bounds on the number of regions (docs/damon.md#terms, #commits)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from udamon.errors import AttrsError

MOST_REGIONS = 1_000_000
"""That may be asked for: each costs a check in every sampling interval, and memory in proportion. The kernel has no
limit, and values that are read from it, or written to its files, may be larger."""


@dataclass(frozen=True, slots=True)
class IntervalsGoal:
    """What interval tuning aims at; `aggrs` = 0 switches it off (docs/damon.md#interval-tuning)."""

    access_bp: int = 0
    aggrs: int = 0
    min_sample_us: int = 0
    max_sample_us: int = 0


@dataclass(frozen=True, slots=True)
class Attrs:
    """Intervals in microseconds. An interval of 0 counts as the smallest that works, as in the kernel."""

    sample_us: int = 5_000
    aggr_us: int = 100_000
    update_us: int = 60_000_000
    min_nr_regions: int = 10
    max_nr_regions: int = 1_000
    goal: IntervalsGoal = IntervalsGoal()

    def __post_init__(self) -> None:
        """Raises AttrsError for what DAMON answers with EINVAL."""
        if min(self.sample_us, self.aggr_us, self.update_us) < 0:
            raise AttrsError("an interval is negative; give intervals of at least 1us.")
        if self.min_nr_regions < 3:
            raise AttrsError(
                f"the minimum number of regions is {self.min_nr_regions}; it must be at least 3."
            )
        if self.min_nr_regions > self.max_nr_regions:
            raise AttrsError(
                f"the minimum number of regions ({self.min_nr_regions}) is above the maximum "
                f"({self.max_nr_regions}); raise the maximum or lower the minimum."
            )
        if self.sample_us > self.aggr_us:
            raise AttrsError(
                f"the sampling interval ({self.sample_us} us) is longer than the aggregation interval "
                f"({self.aggr_us} us); make the aggregation interval at least as long."
            )
        goal = self.goal
        if goal.aggrs and goal.min_sample_us > goal.max_sample_us:
            raise AttrsError("the intervals goal's min_sample is above its max_sample; swap them.")
        if goal.aggrs and not goal.min_sample_us <= self.sample_us <= goal.max_sample_us:
            raise AttrsError(
                f"the sampling interval ({self.sample_us} us) is outside the intervals goal's "
                f"{goal.min_sample_us}..{goal.max_sample_us} us; start inside."
            )

    @classmethod
    def chosen(
        cls,
        sample_us: int | None,
        aggr_us: int | None,
        update_us: int,
        min_regions: int,
        max_regions: int,
        goal: IntervalsGoal,
    ) -> Attrs:
        """What a user asks for: an interval that is None follows the other as 1:20, and both are DAMON's defaults
        where neither is given, moved into the bounds of `goal`. Raises AttrsError."""
        sample, aggr = sample_us, aggr_us
        if sample is None:
            sample = 5_000 if aggr is None else max(aggr // 20, 1)
        if aggr is None:
            aggr = sample * 20
        for number in (min_regions, max_regions):
            check_regions(number)
        if goal.aggrs and sample_us is None and aggr_us is None:
            sample = min(max(sample, goal.min_sample_us), goal.max_sample_us)
            aggr = sample * 20
        return cls(sample, aggr, update_us, min_regions, max_regions, goal)

    @property
    def max_nr_accesses(self) -> int:
        """Samples in an aggregation: at least 1, at most 2**32-1."""
        return samples_in(self.aggr_us, self.sample_us)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def check_regions(number: int) -> None:
    """Whether a user may ask for so many regions. Raises AttrsError."""
    if number < 0:
        raise AttrsError("a number of regions is negative; give numbers of at least 3.")
    if number > MOST_REGIONS:
        raise AttrsError(
            f"a number of regions is above {MOST_REGIONS:,}, and each is checked in every sampling interval; give "
            "a smaller one."
        )


def samples_in(interval_us: int, sample_us: int) -> int:
    """floor(interval / sample), at least 1 and at most 2**32-1; a sample of 0 gives 1."""
    if sample_us == 0:
        return 1
    return min(max(interval_us // sample_us, 1), 0xFFFF_FFFF)
