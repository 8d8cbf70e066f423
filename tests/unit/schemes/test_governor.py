"""The governor: when it stops acting, what it says, and when it lets go on."""

from __future__ import annotations

import pytest

from udamon.acting.base import Applied
from udamon.core.scheme import Action, ActionRequest
from udamon.core.target import Target
from udamon.schemes.governed import GovernedActor
from udamon.schemes.governor import Governor, PressureLimits, PressureSample

S = 1_000_000_000


def run(governor: Governor, *faults: int, start: int = 0) -> None:
    """One reading a second, with these totals of major faults."""
    for second, total in enumerate(faults):
        governor.observe(PressureSample((start + second) * S, total))


def test_rates_up_to_the_limit_are_fine() -> None:
    governor = Governor(PressureLimits(max_major_faults=100))
    run(governor, 5000, 5100, 5200)
    assert governor.acting
    assert governor.stops == 0


def test_the_first_reading_says_nothing() -> None:
    governor = Governor(PressureLimits(max_major_faults=0))
    run(governor, 10**6)
    assert governor.acting


def test_above_the_limit_it_stops_and_says_so() -> None:
    governor = Governor(PressureLimits(max_major_faults=100))
    run(governor, 0, 101)
    assert not governor.acting
    assert "101 major faults a second" in governor.why
    assert "limit of 100" in governor.why


def test_it_resumes_after_the_rest_and_not_before() -> None:
    governor = Governor(PressureLimits(max_major_faults=100))
    run(governor, 0, 500, *[500] * 4)
    assert not governor.acting, "stopped at 1 s, rests for 5 s"
    run(governor, 500, start=6)
    assert governor.acting


def test_a_rest_goes_on_while_the_target_still_suffers() -> None:
    governor = Governor(PressureLimits(max_major_faults=100))
    run(governor, *range(0, 20 * 500, 500))
    assert not governor.acting
    assert governor.stops == 1


def stop_and_resume(governor: Governor, at: int) -> int:
    """Seconds of the rest that a second of many faults at `at` earns."""
    run(governor, 0, 10**6, start=at)
    now = at + 1
    while not governor.acting:
        now += 1
        governor.observe(PressureSample(now * S, 10**6))
    return now - at - 1


def test_rests_grow_twofold_up_to_five_minutes_and_a_calm_minute_makes_them_short_again() -> None:
    governor, at = Governor(PressureLimits(max_major_faults=100)), 0
    rests = []
    for _ in range(8):
        rests.append(stop_and_resume(governor, at))
        at += rests[-1] + 2
    assert rests == [5, 10, 20, 40, 80, 160, 300, 300]
    run(governor, 10**6, 10**6, start=at + 61)
    assert stop_and_resume(governor, at + 63) == 5


@pytest.mark.parametrize(("stalled_us", "acting"), [(100_000, True), (100_001, False)])
def test_pressure_is_the_share_of_time_some_task_waits(stalled_us: int, acting: bool) -> None:
    governor = Governor(PressureLimits(max_psi=0.1))
    governor.observe(PressureSample(0, None, {"cgroup /a": 7}))
    governor.observe(PressureSample(S, None, {"cgroup /a": 7 + stalled_us, "the system": 10**9}))
    assert governor.acting is acting
    assert acting or "cgroup /a waits for memory 10.0% of the time" in governor.why


def test_no_limits_no_stops() -> None:
    governor = Governor(PressureLimits(None, None))
    governor.observe(PressureSample(0, 0, {"the system": 0}))
    governor.observe(PressureSample(S, 10**9, {"the system": 10**6}))
    assert governor.acting


class Doing:
    """An actor that does all it is asked to."""

    def missing(self, request: ActionRequest) -> str | None:
        return None

    def apply(self, target: Target, start: int, end: int, request: ActionRequest) -> Applied:
        return Applied(end - start, end - start)

    def close(self) -> None:
        pass


def test_a_governed_actor_does_nothing_while_it_is_held() -> None:
    told: list[str] = []
    now, faults, reads = 0, 0, 0

    def read() -> PressureSample:
        nonlocal reads
        reads += 1
        return PressureSample(now, faults)

    actor = GovernedActor(
        Doing(), Governor(PressureLimits(max_major_faults=100)), read, lambda: now, told.append
    )
    target, pageout = Target(0), ActionRequest(Action.PAGEOUT)
    assert actor.apply(target, 0, 4096, pageout).applied == 4096
    assert actor.apply(target, 0, 4096, pageout).applied == 4096
    assert reads == 1, "at most one reading a second"
    now, faults = S, 1000
    assert actor.apply(target, 0, 4096, pageout) == Applied(0, 0)
    assert actor.apply(target, 0, 8192, ActionRequest(Action.STAT)).applied == 8192
    assert actor.withheld == 4096
    now = 7 * S
    assert actor.look() == ""
    assert actor.apply(target, 0, 4096, pageout).applied == 4096
    assert len(told) == 2
    assert told[0].startswith("stopped by the governor: 1000 major faults")
    assert "again" in told[1]
