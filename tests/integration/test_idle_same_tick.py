"""Two checks of one page that begin in the same tick: neither may take the other's preparation for an access."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from tests.unit.fake_idle import PRESENT, START_TIME, FakeIdle
from udamon.core.policy import NOT_ACCESSED, Slots
from udamon.core.target import Target
from udamon.ops.idle import IdleSampler


def test_checks_of_a_page_at_rest_that_begin_together_agree(tmp_path: Path) -> None:
    fake = FakeIdle(tmp_path)
    fake.process(4321, {0: PRESENT | 64})
    slots = Slots()
    for _ in range(3):
        slots.add(0, 0, 4096, 1, 3)
        slots.add(0, 0, 4096, 4, 4)
    with closing(IdleSampler(fake.roots)) as sampler:
        answers = sampler.sample(
            [Target(0, 4321, START_TIME)], slots, time.monotonic_ns(), ticks=4, tick_ns=5_000_000, seed=1
        )
    assert set(answers.answer) == {NOT_ACCESSED}
