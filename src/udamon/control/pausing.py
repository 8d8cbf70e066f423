"""What stands between a kdamond and its schemes here: `pause`, and a goal for intervals that can come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from udamon.core.attrs import Attrs
from udamon.core.target import Target
from udamon.engine.acting import Acting, ResetAges
from udamon.engine.context import Context
from udamon.engine.tuner import IntervalGoalTuner, TunedAttrs
from udamon.model import Emit


class Pausing:
    """Schemes that can be told to rest, and monitoring with them: the file `pause`."""

    def __init__(self, schemes: Acting, *, paused: bool = False) -> None:
        self.paused = paused
        self._schemes = schemes
        self._attrs = Attrs()

    def start(self, attrs: Attrs, emit: Emit) -> None:
        self._attrs = attrs
        self._schemes.start(attrs, emit)

    def change(self, attrs: Attrs, sis: int) -> None:
        self._attrs = attrs
        self._schemes.change(attrs, sis)

    def wait_us(self) -> int:
        return max(self._attrs.sample_us, 1) if self.paused else self._schemes.wait_us()

    def next_due(self) -> int | None:
        return self._schemes.next_due()

    def apply(
        self, targets: Sequence[Target], sis: int, valid: Callable[[Target], bool]
    ) -> Sequence[ResetAges]:
        return self._schemes.apply(targets, sis, valid)

    def finish(self) -> None:
        self._schemes.finish()

    def close(self) -> None:
        self._schemes.close()


class OptionalIntervalsGoal:
    """The kernel's interval tuning, for as long as the attributes have a goal."""

    def __init__(self) -> None:
        self._tuner = IntervalGoalTuner()

    def begin(self, context: Context, cpu_ns: Callable[[], int]) -> TunedAttrs | None:
        return None

    def tune(self, context: Context, cpu_ns: int, window_ns: int) -> TunedAttrs | None:
        if not context.attrs.goal.aggrs:
            self._tuner = IntervalGoalTuner()
            return None
        return self._tuner.tune(context, cpu_ns, window_ns)
