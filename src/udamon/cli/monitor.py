"""From flags to an engine that is ready to run.

What only one kind of monitor needs is imported where that is made: half of a short recording's cost is its start.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from udamon.cli import attributes, targets
from udamon.cli.child import OWN_FAILURE
from udamon.core.attrs import Attrs
from udamon.core.clock import Clock, MonotonicClock
from udamon.core.policies import POLICIES, make_policy
from udamon.engine.base import Engine
from udamon.errors import CannotError, NotSupported, UsageError
from udamon.linux import open_files
from udamon.linux.pid_namespace import require_own
from udamon.linux.sysfs_damon import kernel_damon
from udamon.model import Range
from udamon.ops.available import choose, sees
from udamon.ops.opening import open_census, open_ops, open_sampler
from udamon.ops.processes import process_source
from udamon.ops.vaddr import ProcessOperations
from udamon.units import parse_share, parse_time_us

if TYPE_CHECKING:
    from udamon.core.scheme import Scheme
    from udamon.core.target import Target
    from udamon.engine.acting import PatternsFor
    from udamon.engine.kdamond import Kdamond
    from udamon.engine.resident import Residents
    from udamon.engine.tuner import Tuner
    from udamon.engine.watch import Watch
    from udamon.linux.held import Held
    from udamon.ops.acting.sim import SimMemory
    from udamon.ops.base import OperationsSet, Sampler
    from udamon.ops.tlb import Tlb
    from udamon.workload.truth import Truth

DEFAULT_OVERHEAD = 0.01
DEFAULT_POLICY = "adaptive"
KERNEL_POLICY = "damon"
"""The region policy that in-kernel DAMON has: asking for it there is no mistake."""
CENSUSES = ("refs", "softdirty")
RESIDENT_GRAIN = 64 << 10
"""Holes smaller than this are not worth telling apart: the list of resident ranges stays short."""
PRIMITIVES = ("auto", "idle", "kernel", "refs", "softdirty")


_MARKED = (
    "while in-kernel DAMON {} physical memory, pages of files and shared memory count as touched in all processes that "
    "map them when one touched them: take what refs says of these mappings for an upper bound."
)
_MARKED_BY_OTHERS = {"yes": _MARKED.format("watches"), "maybe": _MARKED.format("may be watching")}


@dataclass(frozen=True, slots=True)
class Monitor:
    """An engine and the words for what it does; `notes` are for whoever reads its recording.

    `sim_memory` is what is acted on where everything is simulated; with `same_cpu`, processors are visited.
    """

    engine: Engine
    ops: str
    via: str
    policy: str | None
    notes: tuple[str, ...] = ()
    sim_memory: SimMemory | None = None
    same_cpu: bool = False
    marked_by_others: str = "no"
    """Whether in-kernel DAMON marks pages as referenced for all who map them: "yes", "no" or "maybe"."""

    def tlb(self) -> Tlb | None:
        """What becomes of accesses through a TLB, as measured now (0.1 s); None of a simulation."""
        from udamon.ops.tlb import measured

        return measured(self.via, same_cpu=self.same_cpu)

    @property
    def sees(self) -> str:
        """What counts as an access: "reads and writes", or "writes only"."""
        return sees(self.via)


def configure(parser: argparse.ArgumentParser) -> None:
    targets.configure(parser)
    group = parser.add_argument_group("how to look")
    group.add_argument("--ops", choices=("vaddr", "fvaddr", "paddr"), help="operations set (default vaddr)")
    group.add_argument("--via", choices=PRIMITIVES, default="auto", help="access-check primitive")
    group.add_argument(
        "--policy",
        choices=POLICIES,
        help=f"region policy, for sampling primitives (default {DEFAULT_POLICY})",
    )
    group.add_argument(
        "--overhead",
        metavar="SHARE",
        help="of one CPU: what the monitor may use; chooses the intervals and how much is looked at (default 1%%, "
        "when no interval is given)",
    )
    group.add_argument(
        "--same-cpu",
        action="store_true",
        help="with idle: visit the processor where the target runs, to see working sets within the TLB's reach",
    )
    group.add_argument(
        "--max-pause",
        metavar="TIME",
        help="the longest that a look may stop a target (default: as long as it takes; said where it is over 10 ms)",
    )
    attributes.configure(parser)


def validate(args: argparse.Namespace) -> None:
    """What can be told wrong before anything is started, and room for many targets.

    Raises UsageError, and NotSupported where /proc is another pid namespace's.
    """
    attributes.attrs_of(args)
    targets.ranges(args.range)
    max_pause_ns(args)
    open_files.raise_limit()
    if args.sim is None and not args.paddr:
        try:
            require_own()  # a COMMAND is not started for nothing
        except CannotError as error:
            if args.command is not None:
                error.status = OWN_FAILURE
            raise
    if args.sim is None:
        overhead_of(args)


def build(
    args: argparse.Namespace,
    command_pid: int | None,
    kernel_schemes: Sequence[Scheme] = (),
    patterns_for: PatternsFor | None = None,
) -> Monitor:
    """The monitor that `args` describe; `command_pid` is the started command's. Raises UdamonError.

    `kernel_schemes` are handed to in-kernel DAMON, if that is what watches; the kdamond of this process gets its own
    by modules.work.
    """
    attrs = attributes.attrs_of(args)
    clock = MonotonicClock()
    if args.sim is not None:
        return _simulated(args, attrs, clock)
    ops = _open_ops(args, command_pid)
    via = _choose_via(args, ops)
    if args.same_cpu and via != "idle":
        raise UsageError(f"--same-cpu is of use with idle alone, and this looks via {via}; leave it out.")
    if via == "kernel":
        _refuse_max_pause(args, via)
        return _in_kernel(args, ops, attrs, clock, kernel_schemes, patterns_for)
    if via in CENSUSES:
        return _by_census(args, ops, via, attrs, clock)
    sampler = open_sampler(via, same_cpu=args.same_cpu)
    if isinstance(ops, ProcessOperations):
        ops.hold(open_files.room())  # a page map of each
    residents = _residents(ops, clock, max_pause_ns(args))
    built = _by_samples(args, ops, sampler, via, attrs, clock, Random(), residents, _conflict())
    return replace(built, same_cpu=args.same_cpu)


def _by_census(args: argparse.Namespace, ops: OperationsSet, via: str, attrs: Attrs, clock: Clock) -> Monitor:
    from udamon.engine.tuner import CensusBudget
    from udamon.engine.watch import CensusWatch

    _refuse_policy(args, via)
    if attrs.goal.aggrs:
        raise UsageError(
            f"{via} answers for all memory at once: --intervals-goal is of use with idle and kernel."
        )
    census = open_census(via, ops, max_ranges=attrs.max_nr_regions, max_pause_ns=max_pause_ns(args))
    watch = CensusWatch(census, clock)
    budget = overhead_of(args)
    tuner = None if budget is None else CensusBudget(budget)
    physical = kernel_damon().physical if via == "refs" else "no"
    notes = () if physical == "no" else (_MARKED_BY_OTHERS[physical],)
    return Monitor(
        _kdamond(ops, watch, attrs, clock, tuner), ops.name, via, None, notes, marked_by_others=physical
    )


def _simulated(args: argparse.Namespace, attrs: Attrs, clock: Clock) -> Monitor:
    from udamon.ops.acting.sim import SimMemory
    from udamon.ops.sim import SimSampler, SimSpace

    _refuse_ops(args, "--sim")
    _refuse_max_pause(args, "sim")
    if args.same_cpu:
        raise UsageError("--same-cpu is of use with idle alone, and this looks via sim; leave it out.")
    truth, random = _truth(args.sim), Random()
    memory, seed = SimMemory(truth), random.getrandbits(64)
    sampler = SimSampler(truth, clock, origin_ns=clock.now_ns(), seed=seed, memory=memory)
    space = SimSpace(truth, memory)
    built = _by_samples(args, space, sampler, "sim", attrs, clock, random, None, ())
    return replace(built, sim_memory=memory)


def _in_kernel(
    args: argparse.Namespace,
    ops: OperationsSet,
    attrs: Attrs,
    clock: Clock,
    schemes: Sequence[Scheme],
    patterns_for: PatternsFor | None,
) -> Monitor:
    from udamon.engine.interval_stretch import IntervalStretch
    from udamon.engine.kernel import KernelEngine

    if args.policy not in (None, KERNEL_POLICY):
        raise UsageError(
            f"in-kernel DAMON has a region policy of its own; leave --policy {args.policy} out, or use --via idle."
        )
    budget = None if args.overhead is None else IntervalStretch(overhead_of(args) or DEFAULT_OVERHEAD)
    residents = _residents(ops, clock)
    engine = KernelEngine(
        ops, attrs, clock, budget=budget, residents=residents, schemes=schemes, patterns_for=patterns_for
    )
    return Monitor(engine, ops.name, "kernel", "kernel")


def _kdamond(
    ops: OperationsSet, watch: Watch, attrs: Attrs, clock: Clock, tuner: Tuner | None = None
) -> Kdamond:
    from udamon.engine.context import Context
    from udamon.engine.kdamond import Kdamond

    return Kdamond(Context(ops, watch, attrs), clock, tuner=tuner, cpu_ns=time.process_time_ns)


def _by_samples(
    args: argparse.Namespace,
    ops: OperationsSet,
    sampler: Sampler,
    via: str,
    attrs: Attrs,
    clock: Clock,
    random: Random,
    residents: Residents | None,
    notes: tuple[str, ...],
) -> Monitor:
    from udamon.core.adaptive import AdaptivePolicy
    from udamon.engine.sample_budget import SampleBudget
    from udamon.engine.tuner import IntervalBudget, IntervalGoalTuner
    from udamon.engine.watch import SampledWatch

    policy = make_policy(args.policy or DEFAULT_POLICY, random)
    watch = SampledWatch(policy, sampler, random, residents=residents)
    share = overhead_of(args)
    tuner: Tuner | None = None
    if attrs.goal.aggrs:
        tuner = IntervalGoalTuner()
    elif share is not None and isinstance(policy, AdaptivePolicy):
        tuner = SampleBudget(policy, watch, share)
    elif share is not None and args.overhead is not None:
        tuner = IntervalBudget(share, clock.now_ns)
    return Monitor(_kdamond(ops, watch, attrs, clock, tuner), ops.name, via, policy.name, notes)


def _conflict() -> tuple[str, ...]:
    """What a recording via idle must say of a DAMON that is at work beside it."""
    found = kernel_damon()
    if not found.busy:
        return ()
    return (f"{found.why[:-1]}; it uses up the same accessed bits, so idle may see less than there is.",)


def _residents(ops: OperationsSet, clock: Clock, longest_ns: int | None = None) -> Residents | None:
    """Where processes are in memory; of physical memory all that is watched is. Their locks are held for `longest_ns`
    at a time at most."""
    from udamon.engine.resident import Residents
    from udamon.linux.pagemap_scan import LONGEST_NS
    from udamon.linux.procfs import ProcessId
    from udamon.ops.residency import resident

    if ops.name == "paddr":
        return None

    longest = LONGEST_NS if longest_ns is None else min(LONGEST_NS, longest_ns)

    def look(target: Target, held: Held) -> list[Range]:
        process = ProcessId(target.pid or 0, target.start_time or 0)
        return resident(process, target.ranges, grain=RESIDENT_GRAIN, longest_ns=longest, held=held)

    return Residents(look, clock.now_ns, time.thread_time_ns)


def _open_ops(args: argparse.Namespace, command_pid: int | None) -> OperationsSet:
    name = args.ops or ("paddr" if args.paddr else "vaddr")
    if args.paddr != (name == "paddr"):
        raise UsageError("--ops paddr watches physical memory: it goes with --paddr, and nothing else does.")
    ranges = targets.ranges(args.range)
    if args.paddr:
        return open_ops(name, None, ranges)
    pids = [command_pid] if command_pid is not None else targets.pids(args.pid or [])
    source = process_source(pids, with_children=args.children, cgroup=args.cgroup)
    return open_ops(name, source, ranges)


def _choose_via(args: argparse.Namespace, ops: OperationsSet) -> str:
    via = choose(args.via)
    if ops.name == "paddr" and args.via == "auto" and via in CENSUSES:
        raise NotSupported(
            "physical memory needs idle page tracking or in-kernel DAMON, and neither can be used here; "
            "udamon doctor says what each of them lacks."
        )
    return via


def _refuse_policy(args: argparse.Namespace, via: str) -> None:
    if args.policy is not None:
        raise UsageError(f"{via} answers for all memory and has no use for --policy; leave it out.")


def _refuse_max_pause(args: argparse.Namespace, via: str) -> None:
    if args.max_pause is not None:
        raise UsageError(f"{via} does not stop a target to look at it: leave --max-pause out.")


def max_pause_ns(args: argparse.Namespace) -> int | None:
    """The longest that a look may stop a target; None where that is not limited. Raises UsageError."""
    if args.max_pause is None:
        return None
    limit = parse_time_us(args.max_pause)
    if limit == 0:
        raise UsageError(f"--max-pause {args.max_pause} leaves no time to look; give at least 1ms.")
    return limit * 1_000


def _refuse_ops(args: argparse.Namespace, target: str) -> None:
    if args.ops is not None or args.via != "auto" or args.range:
        raise UsageError(f"{target} has its own operations set; leave --ops, --via and --range out.")


def overhead_of(args: argparse.Namespace) -> float | None:
    """The share of a CPU to keep to; None where intervals are given."""
    if args.intervals_goal is not None and args.overhead is not None:
        raise UsageError("--overhead and --intervals-goal both choose the intervals; leave one of them out.")
    explicit = args.sample is not None or args.aggr is not None or args.intervals_goal is not None
    if explicit and args.overhead is not None:
        raise UsageError("--overhead chooses the intervals; leave it or --sample and --aggr out.")
    if explicit:
        return None
    overhead = DEFAULT_OVERHEAD if args.overhead is None else parse_share(args.overhead)
    if overhead == 0:
        raise UsageError("--overhead 0 leaves nothing to watch with; give at least 0.01%.")
    return overhead


def _truth(config: str) -> Truth:
    from udamon.workload import shapes
    from udamon.workload.config import load
    from udamon.workload.layout import place
    from udamon.workload.truth import Truth

    workload = load(shapes.find(config))
    return Truth(workload, place(workload))
