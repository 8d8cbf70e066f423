"""Schemes that in-kernel DAMON is handed as they are: written into its tree, committed, and their results read back."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

from udamon.claim.damon import DamonClaim
from udamon.core.attrs import Attrs
from udamon.core.scheme import Scheme, SchemeStats, SchemeStatus, WatermarkMetric
from udamon.core.tried import Answer, TriedRegion, TriedRegions
from udamon.engine.acting import PatternsFor
from udamon.engine.kernel import scheme_plan as plan
from udamon.errors import CannotError, NotSupported
from udamon.linux.damon_tree import GOAL, Setting, untouched

_TOLD = tuple(f.name for f in fields(SchemeStats) if f.name != "sz_moved")
"""What the kernel counts. Whether anything moved it does not look at."""
_ENDED = {errno.ECANCELED, errno.EINVAL, errno.EPERM, errno.ENOENT, errno.ENODEV, errno.EBUSY}


class KernelSchemes:
    """Implements engine.acting.SchemesControl. Used on the engine's own thread, save for `check`.

    What belongs to the source of snapshots (`beside`) is a scheme, too, and comes after all others.
    """

    def __init__(self, claim: DamonClaim, ops: str, schemes: Sequence[Scheme] = ()) -> None:
        self.schemes = list(schemes)
        self.target: int | None = None
        """The index of the only target; None while there are several, or none."""
        self._claim = claim
        self._ops = ops
        self._beside: list[Setting] = []
        self.patterns_for: PatternsFor | None = None
        self._before = [SchemeStats() for _ in self.schemes]  # from kdamonds that were stopped
        self._last = [SchemeStats() for _ in self.schemes]

    def __len__(self) -> int:
        return len(self.schemes)

    def check(self, schemes: Sequence[Scheme]) -> None:
        for index, scheme in enumerate(schemes):
            why = plan.impossible(scheme, self._ops)
            if why is not None:
                raise NotSupported(f"scheme {index} ({scheme.action}) cannot act here: {why}")

    def set_up(self, beside: Iterable[Setting]) -> None:
        """Write all schemes. `beside`: settings of one more scheme, at the index after them; none for none.

        Raises NotSupported, naming what this kernel lacks, or CannotError.
        """
        self._beside = list(beside)
        if self.schemes or self._beside:
            self._write(self.schemes)

    def _write(self, schemes: Sequence[Scheme]) -> None:
        self.check(schemes)
        self._claim.set_up([plan.number(len(schemes) + bool(self._beside))])
        for index, scheme in enumerate(schemes):
            layered = self._claim.tree.has(f"{plan.SCHEMES}/{index}/core_filters")
            self._write_settings(plan.scheme(index, scheme, layered=layered))
        self._claim.set_up(self._beside)

    def _write_settings(self, settings: Iterable[Setting]) -> None:
        """Only what is not as the kernel made it, so that a file it lacks matters only where it is needed."""
        waiting: list[Setting] = []
        for path, value in settings:
            if value in untouched(path):
                continue
            # A number makes directories, which what follows needs.
            if not self._claim.tree.has(path):
                self._flush(waiting)
                waiting = []
                if not self._claim.tree.has(path):
                    raise NotSupported(plan.lacking(path, value))
            waiting.append((path, value))
        self._flush(waiting)

    def _flush(self, settings: Sequence[Setting]) -> None:
        try:
            self._claim.set_up(settings)
        except CannotError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno == errno.EINVAL and cause.filename:
                for path, value in settings:
                    if str(cause.filename).endswith(path) and (why := plan.refused(path, value)) is not None:
                        raise NotSupported(why) from error
            raise

    def commit(self, schemes: Sequence[Scheme], patterns_for: PatternsFor | None = None) -> None:
        """Where the kernel refuses, what was there before goes on. Raises NotSupported or CannotError."""
        if self.commits_blocked and self._claim.tree.on:
            raise NotSupported(
                "this kernel's DAMON takes no other schemes while watermarks may deactivate those it has; stop, and "
                "start again with the new ones."
            )
        self.status()
        try:
            self._commit(schemes)
        except CannotError:
            self._commit(self.schemes)
            raise
        kept = min(len(schemes), len(self.schemes))
        self.schemes, self.patterns_for = list(schemes), patterns_for
        # The kernel keeps the stats of those it overwrites, and begins others at 0.
        new = [SchemeStats() for _ in range(len(schemes) - kept)]
        self._before = self._before[:kept] + new
        self._last = self._last[:kept] + [replace(stats) for stats in new]

    def _commit(self, schemes: Sequence[Scheme]) -> None:
        self._write(schemes)
        try:
            if self._claim.tree.on:
                self._claim.command("commit")
        except OSError as error:
            raise CannotError(
                f"in-kernel DAMON refused the schemes: {error.strerror}; look at paths and ranges of their filters."
            ) from error

    def feed(self, schemes: Sequence[Scheme]) -> None:
        """Take the numbers of goals (current_value) from `schemes`, which for the rest are those that were handed over.

        Raises NotSupported or CannotError.
        """
        given = [scheme.quotas.goals for scheme in schemes]
        settings = [
            (f"{plan.SCHEMES}/{index}/quotas/goals/{n}/current_value", str(goal.current_value))
            for index, goals in enumerate(given)
            for n, goal in enumerate(goals)
            if goal != self.schemes[index].quotas.goals[n]
        ]
        if not settings:
            return
        if self.commits_blocked:
            raise NotSupported(
                "this kernel's DAMON takes no numbers for goals while watermarks may deactivate its schemes; leave "
                "the goal or the watermarks out, or use --via idle or refs."
            )
        self._claim.set_up(settings)
        self.schemes = [
            replace(scheme, quotas=replace(scheme.quotas, goals=goals))
            for scheme, goals in zip(self.schemes, given, strict=True)
        ]
        self._ask("commit_schemes_quota_goals")

    def start(self, attrs: Attrs) -> None:
        """Before anything is written: patterns under these attributes."""
        self.schemes = self._adapted(attrs)

    def change(self, attrs: Attrs) -> None:
        """Attributes changed: so do patterns that are meant in seconds and percent. Raises CannotError."""
        changed = self._adapted(attrs)
        if changed != self.schemes:
            self.commit(changed, self.patterns_for)

    def _adapted(self, attrs: Attrs) -> list[Scheme]:
        if self.patterns_for is None:
            return self.schemes
        patterns = self.patterns_for(attrs)
        return [replace(s, access_pattern=p) for s, p in zip(self.schemes, patterns, strict=False)]

    @property
    def commits_blocked(self) -> bool:
        """Whether a commit could block forever. This kernel handles commits only after an aggregation; there is none
        while all schemes are inactive. Kernels that tune intervals (6.14 and later) handle commits at any time."""
        may_deactivate = any(s.watermarks.metric is not WatermarkMetric.NONE for s in self.schemes)
        return may_deactivate and not self._claim.tree.has(GOAL)

    def restarted(self) -> None:
        """Another kdamond will count from 0."""
        for before, last in zip(self._before, self._last, strict=True):
            _add(before, last)
        self._last = [SchemeStats() for _ in self.schemes]

    def status(self) -> list[SchemeStatus]:
        tree = self._claim.tree
        sized = tree.has(f"{plan.SCHEMES}/0/quotas/effective_bytes")
        if self.schemes and self._ask("update_schemes_stats"):
            if sized:
                self._ask("update_schemes_effective_quotas")
            self._last = [self._read_stats(index) for index in range(len(self.schemes))]
        found = []
        for index, scheme in enumerate(self.schemes):
            stats = replace(self._before[index])
            _add(stats, self._last[index])
            esz = (
                int(tree.read(f"{plan.SCHEMES}/{index}/quotas/effective_bytes"))
                if sized
                else scheme.quotas.bytes
            )
            found.append(SchemeStatus(index, scheme, True, "", esz, None, stats))
        return found

    def _read_stats(self, index: int) -> SchemeStats:
        at, stats = f"{plan.SCHEMES}/{index}/stats", SchemeStats()
        for name in _TOLD:
            if self._claim.tree.has(f"{at}/{name}"):
                setattr(stats, name, int(self._claim.tree.read(f"{at}/{name}")))
        return stats

    def walk(self, answer: Answer) -> None:
        """Waits for one pass of every scheme; the kernel does not say of which target a region is, if of several."""
        tree = self._claim.tree
        if not self.schemes or not self._ask("update_schemes_tried_regions"):
            answer(None)
            return
        target = -1 if self.target is None else self.target
        answer(
            [
                TriedRegions(
                    [
                        TriedRegion(target, *row)
                        for row in tree.tried_regions(f"{plan.SCHEMES}/{index}/tried_regions")
                    ]
                )
                for index in range(len(self.schemes))
            ]
        )
        self._ask("clear_schemes_tried_regions")

    def _ask(self, keyword: str) -> bool:
        """Give a command; False where the kdamond has ended or its schemes are inactive."""
        try:
            self._claim.tree.command(keyword)
        except OSError as error:
            if error.errno in _ENDED:
                return False
            raise
        return True


def _add(to: SchemeStats, more: SchemeStats) -> None:
    for name in _TOLD:
        setattr(to, name, getattr(to, name) + getattr(more, name))
