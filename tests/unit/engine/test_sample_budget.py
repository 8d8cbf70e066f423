"""The budget of a sampling monitor, on a made-up machine whose costs are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fakes import FakeSpace
from udamon.core.attrs import Attrs
from udamon.core.regions import Region
from udamon.core.target import Target
from udamon.engine.context import Context
from udamon.engine.sample_budget import FIRST_CHECKS, LEAST_CHECKS, SampleBudget
from udamon.engine.watch import SampledWatch
from udamon.model import Range

MIB = 1 << 20


@dataclass
class FakePolicy:
    """Makes all the checks it may, or `wants` of them."""

    checks: int = 0
    backed_off: bool = False
    wants: int | None = None


@dataclass
class FakeWatch:
    checks: int = 0
    checking_ns: int = 0


@dataclass
class Machine:
    """Each check costs `check_ns`, all else of an aggregation `rest_ns`, give or take `noise`."""

    check_ns: float
    rest_ns: float
    share: float = 0.01
    noise: float = 0.0
    seen: float = 0.05
    random: Random = field(default_factory=lambda: Random(1))

    def __post_init__(self) -> None:
        self.policy, self.watch = FakePolicy(), FakeWatch()
        self.budget = SampleBudget(self.policy, self.watch, self.share)
        target = Target(0, regions=[Region(0, 100 * MIB)])
        self.context = Context(FakeSpace([Range(0, 100 * MIB)]), _no_watch(), Attrs(), [target])
        begun = self.budget.begin(self.context, lambda: 0)
        assert begun is not None
        assert begun.attrs is not None
        self.context.attrs = begun.attrs
        self.now_s = 0.0
        self.spent: list[tuple[float, float, float]] = []  # from, to, CPU seconds
        self.told: list[str] = []

    def run(self, seconds: float) -> None:
        end = self.now_s + seconds
        while self.now_s < end:
            self._aggregate()

    def _aggregate(self) -> None:
        window_s = self.context.attrs.aggr_us / 1e6
        checks = (
            self.policy.checks if self.policy.wants is None else min(self.policy.checks, self.policy.wants)
        )
        checking = checks * self.check_ns * self._jitter()
        rest = self.rest_ns * self._jitter()
        self.watch.checks += checks
        self.watch.checking_ns += int(checking)
        self.spent.append((self.now_s, self.now_s + window_s, (checking + rest) / 1e9))
        self.now_s += window_s
        region = self.context.targets[0].regions[0]
        region.nr_accesses = round(self.seen * self.context.attrs.max_nr_accesses)
        tuned = self.budget.tune(self.context, int(checking + rest), int(window_s * 1e9))
        if tuned is not None and tuned.attrs is not None:
            self.context.attrs = tuned.attrs
        elif tuned is not None:
            self.told.append(tuned.why)

    def _jitter(self) -> float:
        return 1 + self.noise * (2 * self.random.random() - 1)

    def share_in(self, begin: float, end: float) -> float:
        """CPU taken in [begin, end) s, each aggregation's spread evenly over it."""
        total = sum(
            cpu * max(min(b, end) - max(a, begin), 0) / (b - a)
            for a, b, cpu in self.spent
            if b > begin and a < end
        )
        return total / (end - begin)


def _no_watch() -> SampledWatch:
    """The budget does not ask it anything."""
    return object.__new__(SampledWatch)


def test_it_begins_with_little() -> None:
    machine = Machine(1_000, 1e6)
    assert machine.policy.checks == FIRST_CHECKS
    assert machine.context.attrs.aggr_us == 500_000


def test_checks_are_what_is_left_to_pay_for() -> None:
    """1 % of 500 ms is 5 ms; 2 ms of them go elsewhere, so 3 ms make 1500 checks of 2 us."""
    machine = Machine(2_000, 2e6)
    machine.run(10)
    assert machine.context.attrs.aggr_us == 500_000
    assert 0.98 * 1500 <= machine.policy.checks <= 1.02 * 1500
    assert 0.0098 <= machine.share_in(5, 10) <= 0.0102


def test_windows_become_longer_where_all_else_eats_the_share() -> None:
    """4 ms for each window of 500 ms are 0.8 %; at 1 s they are 0.4 %, which leaves more than half."""
    machine = Machine(2_000, 4e6)
    machine.run(20)
    assert machine.context.attrs.aggr_us == 1_000_000
    assert machine.share_in(10, 20) <= 0.0101


def test_windows_become_shorter_where_all_else_is_cheap_and_something_is_learnt() -> None:
    machine = Machine(1_000, 1e5)
    machine.run(30)
    assert machine.context.attrs.aggr_us == 100_000


def test_windows_become_longer_where_nothing_is_seen() -> None:
    machine = Machine(1_000, 1e5, seen=0.0)
    machine.policy.backed_off = True
    machine.run(30)
    assert machine.context.attrs.aggr_us == 2_000_000


def test_at_the_longest_windows_the_regions_become_fewer_and_come_back() -> None:
    """150 ms for each window of 10 s are 1.5 %: more than there is."""
    machine = Machine(1_000, 150e6)
    machine.run(300)
    assert machine.context.attrs.aggr_us == 10_000_000
    assert machine.context.attrs.max_nr_regions < 1000
    assert machine.policy.checks == LEAST_CHECKS
    machine.rest_ns = 1e6
    machine.policy.backed_off = True
    machine.run(1000)
    assert machine.context.attrs.max_nr_regions == 1000


def test_what_takes_the_whole_share_makes_windows_long_at_once() -> None:
    """6 ms for each window of 500 ms are more than 0.1 %; in one of 10 s they are 0.06 %."""
    machine = Machine(1_000, 6e6, share=0.001)
    machine.run(1)
    assert machine.context.attrs.aggr_us == 10_000_000
    machine.run(100)
    assert machine.share_in(5, 100) <= 0.0012
    assert machine.policy.checks > 100


def test_it_says_when_less_is_needed_and_when_no_longer() -> None:
    machine = Machine(1_000, 1e6)
    machine.run(2)
    machine.policy.backed_off, machine.policy.wants = True, 50
    machine.run(3)
    machine.policy.backed_off, machine.policy.wants = False, None
    machine.run(3)
    first, second = machine.told
    assert "only 50 of" in first
    assert "something new" in second


def test_a_sudden_rise_is_paid_back() -> None:
    """Checks become five times as dear: the aggregation that learns of it is too dear, the next ones make up."""
    machine = Machine(1_000, 1e6)
    machine.run(10)
    machine.check_ns = 5_000
    machine.run(20)
    assert machine.share_in(10, 20) <= 0.012
    assert 0.009 <= machine.share_in(15, 30) <= 0.0105


@settings(max_examples=40, deadline=None)
@given(
    check_ns=st.floats(200, 50_000),
    rest_ms=st.floats(0.1, 6),
    share=st.sampled_from([0.005, 0.01, 0.05, 0.1]),
    noise=st.floats(0, 0.5),
    seed=st.integers(0, 1000),
)
def test_never_far_above_the_share(
    check_ns: float, rest_ms: float, share: float, noise: float, seed: int
) -> None:
    """Over any 10 s after the first 5 s, at most 1.2 times the share: where the least that it does fits at all."""
    machine = Machine(check_ns, rest_ms * 1e6, share, noise, random=Random(seed))
    machine.run(25)
    least = (LEAST_CHECKS * check_ns + rest_ms * 1e6) * (1 + noise) / 500e6
    for begin in range(5, 16):
        assert machine.share_in(begin, begin + 10) <= max(1.2 * share, 1.05 * least)
