"""The kernel's side of a context: its DAMON set up for our targets, kept in step with them, and given back."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from udamon.claim.damon import DamonClaim
from udamon.core.attrs import Attrs
from udamon.core.scheme import Scheme
from udamon.core.target import Target
from udamon.engine.kernel import plan
from udamon.engine.kernel.plan import Entry
from udamon.engine.kernel.schemes import KernelSchemes
from udamon.engine.kernel.source import KernelSource, Traced, TriedRegionsSource
from udamon.errors import CannotError, NotSupported
from udamon.linux.damon_tree import CONTEXT, GOAL, TRIED, Setting
from udamon.linux.procfs import ProcessId, cpu_ns
from udamon.linux.roots import Roots
from udamon.linux.tracefs import tracefs_root

RESTART_NOTE = (
    "this kernel cannot take a target off a running DAMON: it was begun anew for the ones that came, "
    "so ages start again."
)


class KernelContext:
    """In-kernel DAMON with one context. `positions` are our targets in the order of the kernel's list.

    `source` is "tracepoint", "tried_regions" or "auto" (the first that can be had). `schemes` is what it is to do.
    """

    def __init__(self, ops: str, roots: Roots, source: str = "auto", schemes: Sequence[Scheme] = ()) -> None:
        self.positions: list[Target] = []
        self.valid_from_ns = 0
        self._ops = ops
        self._roots = roots
        self._wanted = source
        self._claim = DamonClaim(roots)
        self.schemes = KernelSchemes(self._claim, ops, schemes)
        self._source: KernelSource | None = None
        self._kdamond: ProcessId | None = None
        self._cpu_before_ns = self._cpu_ns = 0
        self._tunes = False

    @property
    def source(self) -> KernelSource:
        assert self._source is not None, "the context is not open"
        return self._source

    @property
    def on(self) -> bool:
        """True while the kdamond runs."""
        return self._claim.tree.on

    @property
    def ours(self) -> bool:
        """False once somebody else has written over what was set up here."""
        return self._claim.owns_kdamond()

    @property
    def cpu_ns(self) -> int:
        """CPU time of all kdamonds that were started here."""
        if self._kdamond is not None:
            with suppress(OSError):
                self._cpu_ns = cpu_ns(self._kdamond, self._roots.proc)
        return self._cpu_before_ns + self._cpu_ns

    def target_at(self, position: int) -> Target | None:
        """The target at this place of the kernel's list."""
        return self.positions[position] if position < len(self.positions) else None

    def open(self, attrs: Attrs) -> Attrs:
        """Claim DAMON and set the context up, off; returns the attributes without what this kernel lacks.

        Raises TargetBusy naming who has it, NotSupported, NotPermitted or CannotError.
        """
        self._claim.take()
        self._claim.set_up(plan.context_only())
        tree, offers = self._claim.tree, f"{CONTEXT}/avail_operations"
        offered = tree.read(offers).split() if tree.has(offers) else [self._ops]
        if self._ops not in offered:
            raise NotSupported(
                f"this kernel's DAMON watches {', '.join(offered) or 'nothing'} and not {self._ops}; boot a "
                f"kernel built with CONFIG_DAMON_{'PADDR' if self._ops == 'paddr' else 'VADDR'}=y."
            )
        self._claim.set_up(plan.operations(self._ops))
        has_goal = self._claim.tree.has(GOAL)
        if not has_goal:
            attrs = replace(attrs, goal=type(attrs.goal)())
        self._tunes = bool(attrs.goal.aggrs)
        self._claim.set_up(plan.attributes(attrs, goal=has_goal))
        self._source = self._open_source(attrs)
        self.schemes.set_up(self._source.settings())
        return attrs

    def _open_source(self, attrs: Attrs) -> KernelSource:
        root = tracefs_root(self._roots)
        if root is not None and self._wanted != "tried_regions":
            try:
                return Traced(self._claim, root, attrs.max_nr_regions)
            except (OSError, ValueError) as error:
                why = str(error)
        else:
            why = "tracefs is not mounted, or not writable"
        self._claim.set_up([(f"{CONTEXT}/schemes/nr_schemes", "1")])
        if self._wanted == "tracepoint" or not self._claim.tree.has(TRIED):
            raise NotSupported(
                f"what in-kernel DAMON finds cannot be had: {why}, and this kernel has no tried_regions; "
                "mount tracefs with: mount -t tracefs tracefs /sys/kernel/tracing."
            )
        return TriedRegionsSource(self._claim, position=len(self.schemes), tunes=self._tunes)

    def start(self, targets: Sequence[Target]) -> None:
        """Start the kdamond for these targets. Raises CannotError where the kernel refuses."""
        self._adopt([])
        self._claim.set_up(plan.targets([self._entry(target) for target in targets]))
        self.valid_from_ns = time.monotonic_ns()
        self._kdamond = self._claim.start()
        self._adopt(targets)

    def follow(self, targets: Sequence[Target]) -> str | None:
        """Bring the kernel's list in step with `targets`; returns a note on what that cost, if anything.

        The kernel's list has those that ended until they are removed; they cost little. Raises CannotError.
        """
        new = [target for target in targets if target not in self.positions]
        gone = [target for target in self.positions if target not in targets]
        removable = self._claim.tree.has(f"{CONTEXT}/targets/0/obsolete_target")
        if not self.on:
            if not targets:
                return None
            self._restart(targets)
            return None
        if not new and not (gone and removable):
            return None
        if not gone or removable:
            try:
                self._commit(new, gone)
                return None
            except OSError:
                pass  # an old kernel, or a target that ended just now
        self._restart(targets)
        return RESTART_NOTE

    def _commit(self, new: Sequence[Target], gone: Sequence[Target]) -> None:
        # A process that ended has no pid that the kernel would take; whose it is does not matter, it goes.
        entries = [
            Entry(os.getpid(), obsolete=True) if target in gone else self._entry(target)
            for target in self.positions
        ]
        entries += [self._entry(target) for target in new]
        self._command_commit(plan.targets(entries))
        if gone:
            kept = [target for target in self.positions if target not in gone]
            self._adopt([*kept, *new])
            self.valid_from_ns = time.monotonic_ns()
            # The kernel has forgotten them; now the tree does, too, so that both count alike.
            self._claim.set_up(plan.targets([self._entry(target) for target in self.positions]))
        else:
            self._adopt([*self.positions, *new])

    def _restart(self, targets: Sequence[Target]) -> None:
        self.schemes.status()  # what the one that ends has counted
        self.turn_off()
        self.schemes.restarted()
        self.start(targets)

    def change(self, attrs: Attrs) -> None:
        """Commit new attributes to the running kdamond. Raises OSError or CannotError."""
        has_goal = self._claim.tree.has(GOAL)
        self._command_commit(plan.attributes(attrs, goal=has_goal))
        self.valid_from_ns = time.monotonic_ns()

    def _command_commit(self, settings: Iterable[Setting]) -> None:
        """Raises OSError where the kernel refuses, or would not answer."""
        if self.schemes.commits_blocked:
            raise OSError(errno.EBUSY, "this kernel takes no commits while schemes may be inactive")
        self._claim.command("commit", settings)

    def turn_off(self) -> None:
        """End the kdamond; what it found can still be read. Raises OSError."""
        self._cpu_before_ns, self._cpu_ns = self.cpu_ns, 0
        self._kdamond = None
        if self._claim.owns_kdamond():
            self._claim.tree.turn_off()

    def _adopt(self, targets: Sequence[Target]) -> None:
        self.positions = list(targets)
        self.schemes.target = targets[0].index if len(targets) == 1 else None
        if isinstance(self._source, TriedRegionsSource):
            self._source.targets = len(self.positions)

    def _entry(self, target: Target) -> Entry:
        return Entry(target.pid, () if self._ops == "vaddr" else target.ranges)

    def close(self) -> None:
        """Give DAMON and tracing back as they were found. Idempotent. Raises CannotError where that fails."""
        try:
            with suppress(CannotError, OSError):
                self.turn_off()
            if self._source is not None:
                self._source.close()
                self._source = None
        except OSError as error:
            raise CannotError(
                f"the tracing instance could not be removed: {error.strerror}; end what reads it, then remove "
                f"it with rmdir {error.filename}."
            ) from error
        finally:
            self._claim.release()
