"""The parts of a monitor in user space, each made in one place; only what is made is imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

from udamon.acting.exclusions import LEAVE_ALL, Exclusions
from udamon.linux.roots import Roots

if TYPE_CHECKING:
    from udamon.acting.paddr import PaddrActor
    from udamon.acting.refaults import Refaults
    from udamon.acting.sim import SimMemory
    from udamon.acting.vaddr import VaddrActor
    from udamon.core.attrs import Attrs
    from udamon.core.clock import Clock
    from udamon.core.policy import RegionPolicy
    from udamon.engine.acting import Acting
    from udamon.engine.census_watch import CensusWatch
    from udamon.engine.kdamond import Kdamond
    from udamon.engine.resident import Residents
    from udamon.engine.tuner import Tuner
    from udamon.engine.watch import SampledWatch, Watch
    from udamon.ops.base import OperationsSet, Sampler
    from udamon.ops.sim import SimSampler
    from udamon.workload.truth import Truth


def kdamond(
    ops: OperationsSet,
    watch: Watch,
    attrs: Attrs,
    clock: Clock,
    *,
    tuner: Tuner | None = None,
    schemes: Acting | None = None,
    name: str = "kdamond.0",
    cpu_ns: Callable[[], int] | None = None,
) -> Kdamond:
    """A kdamond over these parts; `cpu_ns` returns the CPU time for the budget (None: that of its thread)."""
    from udamon.engine.context import Context
    from udamon.engine.kdamond import Kdamond

    made = Kdamond(Context(ops, watch, attrs, schemes=schemes), clock, tuner=tuner, name=name)
    if cpu_ns is not None:
        made.charge(cpu_ns)
    return made


def census_watch(
    via: str,
    ops: OperationsSet,
    attrs: Attrs,
    clock: Clock,
    roots: Roots = Roots(),  # noqa: B008 (immutable)
    *,
    max_pause_ns: int | None = None,
    clear: str = "auto",
    allowed: bool = False,
) -> CensusWatch:
    """Watches what `ops` has by the census `via`. `clear` is how pte clears bits; `allowed`, that kernel memory may be
    read for it. Raises UsageError for physical memory."""
    from udamon.engine.census_watch import CensusWatch
    from udamon.ops.base import tells_rates
    from udamon.ops.opening import open_census

    census = open_census(
        via,
        ops,
        roots,
        max_ranges=attrs.max_nr_regions,
        max_pause_ns=max_pause_ns,
        clear=clear,
        allowed=allowed,
    )
    if not tells_rates(census):
        return CensusWatch(census, clock)
    from udamon.engine.rated_watch import RatedWatch

    return RatedWatch(census, clock)


def sampled_watch(
    policy: RegionPolicy, sampler: Sampler, random: Random, residents: Residents | None = None
) -> SampledWatch:
    """Watches by samples of `sampler`, which `policy` places."""
    from udamon.engine.watch import SampledWatch

    return SampledWatch(policy, sampler, random, residents=residents)


def sim_sampler(truth: Truth, clock: Clock, seed: int, memory: SimMemory | None = None) -> SimSampler:
    """The sampler of a simulated workload, which begins now."""
    from udamon.ops.sim import SimSampler

    return SimSampler(truth, clock, clock.now_ns(), seed, memory)


def sim_samplers(truths: Sequence[Truth], clock: Clock, seed: int) -> Sampler:
    """The sampler of several workloads, each a target, which begin now. The first is accessed as it would be alone."""
    from udamon.ops.sim import SimSamplers

    samplers = [sim_sampler(truth, clock, seed + (i << 32)) for i, truth in enumerate(truths)]
    return samplers[0] if len(samplers) == 1 else SimSamplers(samplers)


def truth_of(config: str) -> Truth:
    """The simulated workload that `config` names: a file, or one that comes with udamon. Raises UsageError."""
    from udamon.workload import shapes
    from udamon.workload.config import load
    from udamon.workload.layout import place
    from udamon.workload.truth import Truth

    workload = load(shapes.find(config))
    return Truth(workload, place(workload))


def actor(
    ops: str, roots: Roots, exclusions: Exclusions = LEAVE_ALL, refaults: Refaults | None = None
) -> PaddrActor | VaddrActor:
    """The actor for the operations set `ops`: on the memory of processes, or on frames."""
    if ops == "paddr":
        from udamon.acting.paddr import PaddrActor

        return PaddrActor(roots, exclusions=exclusions, refaults=refaults)
    from udamon.acting.vaddr import VaddrActor

    return VaddrActor(roots, exclusions=exclusions, refaults=refaults)
