"""All schemes of one context: applied by the kdamond, inspected and changed by users."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from udamon.acting.base import Actor
from udamon.core.attrs import Attrs
from udamon.core.scheme import Goal, GoalMetric, Scheme, SchemeStatus
from udamon.core.split import size_limit
from udamon.core.target import Target
from udamon.core.tried import Answer
from udamon.engine.acting import PatternsFor, ResetAges, Totals
from udamon.errors import NotSupported, UsageError
from udamon.model import PAGE_SIZE, Emit
from udamon.schemes.installed import Installed
from udamon.schemes.metrics import MatchingBytes, Metrics
from udamon.schemes.passes import ApplyPass, Observer, matching_by_score
from udamon.schemes.pattern import matches
from udamon.schemes.pieces import Cuts
from udamon.schemes.sizes import AddressSizes, Sizes
from udamon.schemes.tried import TriedRegionsPass


class Schemes:
    """Decides; `actor` acts, `metrics` tells numbers. Implements engine.acting.Acting and SchemesControl.

    Hand it to the kdamond's Context. From other threads use it only through `Kdamond.ask`:
    `kdamond.ask(lambda: schemes.commit(new))`, `kdamond.ask(schemes.status)`.
    """

    def __init__(
        self,
        schemes: Sequence[Scheme],
        actor: Actor,
        metrics: Metrics,
        now_ns: Callable[[], int],
        *,
        min_region: int = PAGE_SIZE,
        patterns_for: PatternsFor | None = None,
        observers: Sequence[Observer] = (),
        sizes: Sizes | None = None,
        keep_up: bool = False,
    ) -> None:
        """`now_ns` is the clock's; `sizes` tells which bytes count, by default all addresses do. With `keep_up`,
        schemes with a quota and without an apply interval are due in each of its charge windows (Installed).

        Raises NotSupported where the actor cannot do what a scheme asks for.
        """
        self._actor = actor
        self._metrics = metrics
        self._now_ns = now_ns
        self._min_region = min_region
        self._patterns_for = patterns_for
        self._sizes: Sizes = sizes or AddressSizes()
        self._attrs = Attrs()
        self._sis = 0
        self._cuts = Cuts()
        self._walk: TriedRegionsPass | None = None
        self._emit: Emit = _ignore_event
        self._complained: set[str] = set()
        self._totals = Totals()
        self.observers = list(observers)
        self.check(schemes)
        self._keep_up = keep_up
        self.installed = [self._install(i, scheme) for i, scheme in enumerate(schemes)]

    # What people ask.

    def check(self, schemes: Sequence[Scheme]) -> None:
        """Could these be committed? Raises NotSupported, with what to do. From any thread."""
        for index, scheme in enumerate(schemes):
            for request in {Installed(index, scheme, self._min_region).request}:
                why = self._actor.missing(request)
                if why is not None:
                    raise NotSupported(f"scheme {index} ({scheme.action}) cannot act here: {why}")

    def commit(self, schemes: Sequence[Scheme], patterns_for: PatternsFor | None = None) -> None:
        """Go on with these schemes (docs/damon.md#commits): by index overwritten, the surplus dropped,
        others appended.

        What is overwritten keeps its charges, effective size and stats, and is active again whatever its watermarks
        said. All or nothing: raises NotSupported before anything changed, where the kernel ends its kdamond
        (docs/damon.md#commits).
        """
        self.check(schemes)
        if len(schemes) != len(self.installed):
            self._cancel_walk()
        self._patterns_for = patterns_for
        del self.installed[len(schemes) :]
        for installed, scheme in zip(self.installed, schemes, strict=False):
            installed.commit(scheme)
        for index in range(len(self.installed), len(schemes)):
            self.installed.append(self._install(index, schemes[index], self._sis))

    def _install(self, index: int, scheme: Scheme, sis: int = 0) -> Installed:
        installed = Installed(index, scheme, self._min_region, sis)
        installed.keeps_up = self._keep_up
        return installed

    def status(self) -> list[SchemeStatus]:
        """How each scheme is doing, with its stats and effective size."""
        return [installed.status() for installed in self.installed]

    def walk(self, answer: Answer) -> None:
        """Have `answer` called with the tried regions of one full pass of every scheme (docs/damon.md#tried-regions).

        With None when all schemes are held back by watermarks, when there are none or another number of them is
        committed, and at the end. Raises UsageError while another walk is going on.
        """
        if self._walk is not None:
            raise UsageError("somebody else asks for the tried regions right now; ask again in a moment.")
        self._walk = TriedRegionsPass(len(self.installed), answer)
        if not self.installed:
            self._cancel_walk()

    # What the kdamond asks.

    def start(self, attrs: Attrs, emit: Emit) -> None:
        self._emit = emit
        self.change(attrs, 0)

    def change(self, attrs: Attrs, sis: int) -> None:
        self._attrs = attrs
        if self._patterns_for is not None:
            for installed, pattern in zip(self.installed, self._patterns_for(attrs), strict=False):
                installed.change_pattern(pattern)
        for installed in self.installed:
            installed.schedule(sis, attrs)

    def next_due(self) -> int | None:
        return min((s.next_apply for s in self.installed if s.watermark.active), default=None)

    def wait_us(self) -> int:
        waits = [installed.watermark.check(self._free_mem) for installed in self.installed]
        if not any(installed.watermark.active for installed in self.installed):
            self._cancel_walk()
            self._tell()
        return min(waits, default=0)

    def apply(
        self, targets: Sequence[Target], sis: int, valid: Callable[[Target], bool]
    ) -> Sequence[ResetAges]:
        """One pass of all schemes that are due (docs/damon.md#apply-pass)."""
        self._sis = sis
        due = [installed for installed in self.installed if installed.due(sis)]
        if not due:
            return ()
        self._cuts.forget_lost(targets)
        self._sizes.begin(targets)
        for installed in due:
            self._account(installed, targets)
        done = ApplyPass(
            due,
            self._actor,
            self._attrs,
            self._cuts,
            min_region=self._min_region,
            limit=size_limit(targets, self._attrs.min_nr_regions, self._min_region),
            now_ns=self._now_ns,
            observers=self.observers,
            walk=self._walk,
            note=self._note,
            sizes=self._sizes,
        )
        done.run(targets, valid)
        for installed in self.installed:
            if sis >= installed.next_apply:
                self._end_pass(installed, sis)
        self._tell()
        return done.acted

    def finish(self) -> None:
        self._cancel_walk()
        self._tell(at_last=True)

    def close(self) -> None:
        self._actor.close()

    def _account(self, installed: Installed, targets: Sequence[Target]) -> None:
        """Charge window, effective size and least priority, before a pass."""
        quota = installed.quota
        quota.forget_lost(targets)
        if not quota.is_set:
            return
        before = quota.esz
        if quota.window(self._now_ns(), lambda goal: self._read(goal, installed, targets)):
            installed.stats.qt_exceeds += 1
        if quota.esz != before:
            for observer in self.observers:
                observer.effective_size(installed.index, quota.esz)
        quota.prefer(matching_by_score(installed, targets, self._attrs, self._sizes))

    def _end_pass(self, installed: Installed, sis: int) -> None:
        if self._walk is not None and self._walk.finish(installed.index):
            self._walk = None
        installed.schedule(sis, self._attrs)
        for observer in self.observers:
            observer.after_apply_interval(installed.index, installed.stats)

    def _read(self, goal: Goal, installed: Installed, targets: Sequence[Target]) -> int | None:
        try:
            if goal.target_metric is not GoalMetric.NODE_ELIGIBLE_MEM_BP:
                return self._metrics.value(goal)
            matching = [
                MatchingBytes(target, r.start, r.end)
                for target in targets
                for r in target.regions
                if matches(installed.limits, r)
            ]
            return self._metrics.eligible_bp(goal, matching)
        except Exception as error:  # a monitor outlives a number that it cannot have
            self._report_problem(
                f"the goal {goal.target_metric} of scheme {installed.index} cannot be read: {error}"
            )
            return None

    def _free_mem(self) -> int | None:
        try:
            return self._metrics.free_mem_permil()
        except Exception as error:
            self._report_problem(
                f"free memory cannot be read, so watermarks hold their schemes back: {error}"
            )
            return None

    def _report_problem(self, text: str) -> None:
        if text not in self._complained:
            self._complained.add(text)
            self._note(text)

    def _note(self, text: str) -> None:
        self._emit("note", {"text": text})

    def _cancel_walk(self) -> None:
        if self._walk is not None:
            walk, self._walk = self._walk, None
            walk.cancel()

    def _tell(self, *, at_last: bool = False) -> None:
        now = self._now_ns()
        if at_last or self._totals.due(now):
            self._totals.tell(self.status(), now, self._emit)


def _ignore_event(name: str, data: Mapping[str, object]) -> None:
    """Before the start there is nobody to tell."""
