"""From a specification to an engine that is ready to run.

Modules that only one kind of monitor needs are imported when that kind is made: half of the cost of a short recording
is its start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from udamon.assembly import parts
from udamon.assembly.load import load_of
from udamon.assembly.spec import (
    DEFAULT_OVERHEAD,
    NO_OPTIONS,
    MonitorSpec,
    Options,
    attrs_of,
    max_pause_ns,
    overhead_of,
)
from udamon.availability.choice import Choice, decide, facts_here, offer
from udamon.availability.others import NOBODY, OtherMonitors, find
from udamon.availability.primitives import Usable, require, sees
from udamon.core.clock import Clock, MonotonicClock
from udamon.core.policies import make_policy
from udamon.engine.base import Engine
from udamon.errors import NotPermitted, NotSupported, UsageError
from udamon.linux import cpu_time, open_files
from udamon.linux.cgroup.shortage import shortage
from udamon.model import ASKED_FOR, BY_MAPPING, CENSUSES, Range, is_census, is_sampler
from udamon.ops.opening import open_ops, open_sampler
from udamon.ops.vaddr import ProcessOperations
from udamon.targets.processes import process_source

if TYPE_CHECKING:
    from udamon.acting.sim import SimMemory
    from udamon.availability.tlb import Tlb
    from udamon.core.attrs import Attrs
    from udamon.core.scheme import Scheme
    from udamon.core.target import Target
    from udamon.engine.acting import PatternsFor
    from udamon.engine.resident import Residents
    from udamon.engine.tuner import Tuner
    from udamon.linux.held import Held
    from udamon.ops.base import OperationsSet, Sampler
    from udamon.targets.processes import ProcessSource

DEFAULT_POLICY = "adaptive"
KERNEL_POLICY = "damon"
"""The region policy of in-kernel DAMON, which may be named there."""
RESIDENT_GRAIN = 64 << 10
"""Smaller holes (bytes) are ignored, so that the list of resident ranges stays short."""


_WIDER = (
    "{via} tells no part of a mapping from another: mappings that a --range lies in are watched as a whole, and "
    "figures are of all of them."
)


@dataclass(frozen=True, slots=True)
class Built:
    """An engine and its description; `notes` are for readers of its recording.

    `why`: the reason for the choice of `via`, as the rest of a sentence; `offered`: a sentence about a primitive that
    would see more but is not allowed; `others`: other programs that clear or set the same bits. `sim_memory`: the
    memory that schemes act on in a simulation; with `same_cpu`, processors are visited.
    """

    engine: Engine
    ops: str
    via: str
    policy: str | None
    notes: tuple[str, ...] = ()
    sim_memory: SimMemory | None = None
    same_cpu: bool = False
    why: str = ASKED_FOR
    offered: str | None = None
    others: OtherMonitors = NOBODY

    def settle(self) -> None:
        """Nothing more will be opened: drop the privileges that were only needed for opening."""
        if self.via == "pte":
            from udamon.ops.kernel_tables import give_up_privileges

            give_up_privileges()

    def tlb(self) -> Tlb | None:
        """Whether accesses through a TLB are seen, as measured now (takes 0.1 s); None for a simulation."""
        from udamon.availability.tlb import measured

        return measured(self.via, same_cpu=self.same_cpu, sampled=not is_census(self.via, self.policy))

    @property
    def sees(self) -> str:
        """What counts as an access: "reads and writes", or "writes only"."""
        return sees(self.via)


def build(
    spec: MonitorSpec,
    options: Options = NO_OPTIONS,
    *,
    command_pid: int | None = None,
    own: bool = False,
    cpu_ns: Callable[[], int] = cpu_time.process_ns,
    kernel_schemes: Sequence[Scheme] = (),
    patterns_for: PatternsFor | None = None,
) -> Built:
    """The monitor that `spec` describes. Raises UdamonError.

    `command_pid` is that of the started command. With `own`, the calling process may be a target. `cpu_ns` returns the
    CPU time of the monitor, for the budget. `kernel_schemes` are for in-kernel DAMON, if that is the engine; a kdamond
    of this process gets its schemes from modules.work.
    """
    return _Builder(spec, options, command_pid, own, cpu_ns, kernel_schemes, patterns_for).build()


class _Builder:
    """What `build` was given, for all its steps."""

    def __init__(
        self,
        spec: MonitorSpec,
        options: Options,
        command_pid: int | None,
        own: bool,
        cpu_ns: Callable[[], int],
        kernel_schemes: Sequence[Scheme],
        patterns_for: PatternsFor | None,
    ) -> None:
        self.spec = spec
        self.options = options
        self.command_pid = command_pid
        self.own = own
        self.cpu_ns = cpu_ns
        self.kernel_schemes = kernel_schemes
        self.patterns_for = patterns_for
        self.source: ProcessSource | None = None

    def build(self) -> Built:
        spec, options = self.spec, self.options
        attrs = attrs_of(spec, options)
        clock = MonotonicClock()
        if spec.ops == "sim":
            self._refuse_clear("sim")
            return self._simulated(attrs, clock)
        if spec.via != "auto":  # what is wrong on any machine is said before what is missing on this one
            self._refuse(spec.via, is_sampler(spec.via, spec.policy))
        ops = self._open_ops()
        choice, offered = self._choose(ops)
        try:
            built = self._by(choice, ops, attrs, clock)
        except (NotSupported, NotPermitted) as error:
            if spec.via != "auto" or choice.via != "pte":
                raise
            choice, offered = self._choose(ops, Usable(False, str(error)))  # this kernel is not understood
            built = self._by(choice, ops, attrs, clock)
        return replace(built, why=choice.why, offered=offered)

    def _by(self, choice: Choice, ops: OperationsSet, attrs: Attrs, clock: Clock) -> Built:
        spec, options, via = self.spec, self.options, choice.via
        self._refuse(via, choice.samples)
        if via == "kernel":
            return self._in_kernel(ops, attrs, clock)
        if not choice.samples:
            return self._by_census(ops, via, attrs, clock)
        if ops.name == "paddr" and via in CENSUSES:
            raise UsageError(f"{via} sees the memory of processes, not physical memory; use --ops vaddr.")
        sampler = open_sampler(
            via,
            same_cpu=options.same_cpu,
            max_pause_ns=max_pause_ns(spec),
            allowed=True,  # asked for by name, or chosen by a rule that asks whether it is
        )
        if isinstance(ops, ProcessOperations):
            ops.hold(open_files.room() // (2 if via == "pte" else 1))  # a page map of each, and a pidfd
        residents = _residents(ops, clock, max_pause_ns(spec))
        built = self._by_samples(ops, sampler, via, attrs, clock, Random(), residents)
        others = find(via)
        return replace(built, same_cpu=options.same_cpu, notes=others.notes(via), others=others)

    def _by_census(self, ops: OperationsSet, via: str, attrs: Attrs, clock: Clock) -> Built:
        from udamon.engine.tuner import CensusBudget

        watch = parts.census_watch(
            via,
            ops,
            attrs,
            clock,
            max_pause_ns=max_pause_ns(self.spec),
            clear=self.options.clear or "auto",
            allowed=True,  # asked for by name, or chosen by a rule that asks whether it is
        )
        if via == "pte" and isinstance(ops, ProcessOperations):
            ops.hold(open_files.room())  # a page map of each
        budget = overhead_of(self.spec, self.options)
        tuner = None if budget is None else CensusBudget(budget)
        others = find(via)
        engine = parts.kdamond(ops, watch, attrs, clock, tuner=tuner, cpu_ns=self.cpu_ns)
        wider = (_WIDER.format(via=via),) if ops.name == "fvaddr" and via in BY_MAPPING else ()
        return Built(engine, ops.name, via, None, (*wider, *others.notes(via)), others=others)

    def _simulated(self, attrs: Attrs, clock: Clock) -> Built:
        from udamon.acting.sim import SimMemory
        from udamon.ops.sim import SimSpace

        self._refuse_max_pause("sim")
        if self.options.same_cpu:
            raise UsageError("--same-cpu is of use with idle alone, and this looks via sim; leave it out.")
        truth, random = self.options.truth or parts.truth_of((self.spec.command or ("",))[0]), Random()
        memory, seed = SimMemory(truth), random.getrandbits(64)
        sampler, space = parts.sim_sampler(truth, clock, seed, memory), SimSpace(truth, memory=memory)
        built = self._by_samples(space, sampler, "sim", attrs, clock, random, None)
        return replace(built, sim_memory=memory)

    def _in_kernel(self, ops: OperationsSet, attrs: Attrs, clock: Clock) -> Built:
        from udamon.engine.interval_stretch import IntervalStretch
        from udamon.engine.kernel.engine import KernelEngine

        spec = self.spec
        share = None if spec.overhead is None else overhead_of(spec, self.options) or DEFAULT_OVERHEAD
        engine = KernelEngine(
            ops,
            attrs,
            clock,
            budget=None if share is None else IntervalStretch(share),
            residents=_residents(ops, clock),
            schemes=self.kernel_schemes,
            patterns_for=self.patterns_for,
            cpu_ns=self.cpu_ns,
        )
        return Built(engine, ops.name, "kernel", "kernel")

    def _by_samples(
        self,
        ops: OperationsSet,
        sampler: Sampler,
        via: str,
        attrs: Attrs,
        clock: Clock,
        random: Random,
        residents: Residents | None,
    ) -> Built:
        from udamon.core.adaptive import AdaptivePolicy
        from udamon.engine.sample_budget import SampleBudget
        from udamon.engine.tuner import IntervalBudget, IntervalGoalTuner

        policy = make_policy(self.spec.policy or DEFAULT_POLICY, random)
        watch = parts.sampled_watch(policy, sampler, random, residents)
        share = overhead_of(self.spec, self.options)
        tuner: Tuner | None = None
        if attrs.goal.aggrs:
            tuner = IntervalGoalTuner()
        elif share is not None and isinstance(policy, AdaptivePolicy):
            tuner = SampleBudget(policy, watch, share)
        elif share is not None and self.spec.overhead is not None:
            tuner = IntervalBudget(share, clock.now_ns)
        engine = parts.kdamond(ops, watch, attrs, clock, tuner=tuner, cpu_ns=self.cpu_ns)
        return Built(engine, ops.name, via, policy.name)

    def _open_ops(self) -> OperationsSet:
        spec = self.spec
        if spec.paddr:
            return open_ops("paddr", None, self.options.ranges)
        pids = [self.command_pid] if self.command_pid is not None else spec.pids
        exclude = frozenset[int]() if self.own and os.getpid() in pids else None
        self.source = process_source(pids, with_children=spec.children, cgroup=spec.cgroup, exclude=exclude)
        return open_ops(spec.ops, self.source, self.options.ranges)

    def _choose(self, ops: OperationsSet, pte: Usable | None = None) -> tuple[Choice, str | None]:
        """The chosen primitive, and a sentence about pte if that was not allowed. `pte`: the reason why it is not
        usable."""
        spec, options, via = self.spec, self.options, self.spec.via
        if via != "auto":
            require(via)
            return Choice(via, ASKED_FOR, samples=is_sampler(via, spec.policy)), None
        facts = facts_here(physical=ops.name == "paddr")
        if pte is not None:
            facts = facts._replace(usable={**facts.usable, "pte": pte})
        if facts.consent and facts.usable["pte"].usable and self.source is not None:
            limit = max_pause_ns(spec)
            # A command that was just started has yet to grow.
            processes = [] if self.command_pid is not None else self.source.processes()
            facts = facts._replace(
                load=load_of(processes, pauses=limit is not None) if processes else None,
                overhead=overhead_of(spec, options),
                max_pause_ns=limit,
                short=next(filter(None, (shortage(process.pid) for process in processes)), None),
                needs_sampler=self._needs_sampler(),
                needs_idle=options.same_cpu,
            )
        return decide(facts), offer(facts)

    def _needs_sampler(self) -> str | None:
        named = self.options.named
        wanted = {
            named("policy"): self.spec.policy is not None,
            named("same_cpu"): self.options.same_cpu,
            named("intervals_goal"): bool(self.options.goal.aggrs),
        }
        return next((name for name, given in wanted.items() if given), None)

    def _refuse(self, via: str, samples: bool) -> None:
        """Raises UsageError for what looking via `via`, by samples or not, has no use for."""
        spec, named = self.spec, self.options.named
        self._refuse_clear(via)
        if self.options.same_cpu and via != "idle":
            raise UsageError(f"--same-cpu is of use with idle alone, and this looks via {via}; leave it out.")
        if via == "kernel":
            if spec.via == "kernel":  # where auto chose it, a limit of pauses holds: it never stops a target
                self._refuse_max_pause(via)
            if spec.policy not in (None, KERNEL_POLICY):
                raise UsageError(
                    f"in-kernel DAMON has a region policy of its own; leave {named('policy')} {spec.policy} out, or "
                    f"use {named('via')} idle."
                )
        elif not samples:
            if spec.policy is not None:
                raise UsageError(
                    f"{via} answers for all memory and has no use for {named('policy')}; leave it out."
                )
            if self.options.goal.aggrs:
                raise UsageError(
                    f"{via} answers for all memory at once: --intervals-goal is of use with idle and kernel."
                )

    def _refuse_clear(self, via: str) -> None:
        if self.options.clear is None:
            return
        if via != "pte":
            raise UsageError(f"--clear is of use with pte alone, and this looks via {via}; leave it out.")
        if self.spec.policy is not None:
            raise UsageError(
                f"--clear is how a census clears, and {self.options.named('policy')} asks for samples; "
                "leave one of them out."
            )

    def _refuse_max_pause(self, via: str) -> None:
        if self.spec.max_pause is not None:
            raise UsageError(
                f"{via} does not stop a target to look at it: leave {self.options.named('max_pause')} out."
            )


def _residents(ops: OperationsSet, clock: Clock, longest_ns: int | None = None) -> Residents | None:
    """Where processes are in memory; of physical memory all that is watched is. Their locks are held for `longest_ns`
    at a time at most."""
    from udamon.engine.resident import Residents
    from udamon.linux.pagemap_scan import LONGEST_NS
    from udamon.linux.procfs import ProcessId
    from udamon.linux.residency import resident

    if ops.name == "paddr":
        return None

    longest = LONGEST_NS if longest_ns is None else min(LONGEST_NS, longest_ns)

    def look(target: Target, held: Held) -> list[Range]:
        process = ProcessId(target.pid or 0, target.start_time or 0)
        return resident(process, target.ranges, grain=RESIDENT_GRAIN, longest_ns=longest, held=held)

    return Residents(look, clock.now_ns, cpu_time.thread_ns)
