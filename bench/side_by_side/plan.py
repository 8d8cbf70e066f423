"""What is run: workloads sized for a guest, attributes that keep pace under emulation, runs in rotated order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from udamon.core.attrs import Attrs
from udamon.model import PAGE_SIZE
from udamon.workload import shapes
from udamon.workload.config import load
from udamon.workload.spec import Workload, WorkloadPhase

ATTRS = Attrs(
    sample_us=50_000, aggr_us=1_000_000, update_us=1_000_000, min_nr_regions=10, max_nr_regions=1000
)
"""The same for all monitors. Emulation is 10 to 20 times slower than a machine, so are these than the defaults."""

STEP_NS = 5_000_000_000
STEPS = 4
"""Every workload is watched for so many phases of this length."""

SHRINK = 8
"""The shapes of 8 GiB become 1 GiB; the others fit as they are."""

ALONE = "alone"
"""The run of a workload that nobody watches."""


def workload(name: str, settle_s: float) -> Workload:
    """The shape `name` at a size for the guest, after a phase in which it sleeps and the monitor starts."""
    shape = load(shapes.find(name))
    phases = [replace(phase, duration_ns=STEP_NS) for phase in shape.phases[:STEPS]]
    while len(phases) < STEPS:
        phases.append(replace(phases[0], name=f"{phases[0].name} {len(phases)}"))
    regions = shape.regions
    if shape.resident_bytes > 1 << 30:
        regions = tuple(replace(r, size=-(-r.size // SHRINK // PAGE_SIZE) * PAGE_SIZE) for r in regions)
    settle = WorkloadPhase("settle", round(settle_s * 1e9))
    return Workload(regions, (settle, *phases), shape.rate)


WORKLOADS = {
    "zigzag": "two regions of 100 MB: both, then in turns of 5 s",
    "stairs": "ten regions of 10 MB: all, then one after the other, 5 s each",
    "one": "one hot part of 31 MiB in 1 GiB",
    "many": "40 hot clusters, 41 MiB together, in 1 GiB",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One workload watched once by one monitor (or ALONE)."""

    round: int
    workload: str
    monitor: str

    @property
    def id(self) -> str:
        return f"{self.round}-{self.workload}-{self.monitor}"


def runs(rounds: int, workloads: Sequence[str], monitors: Sequence[str]) -> Iterator[Run]:
    """Rounds of all pairs; who comes first changes from round to round and from workload to workload."""
    everyone = [ALONE, *monitors]
    for number in range(rounds):
        for place, name in enumerate(workloads):
            first = (number + place) % len(everyone)
            for monitor in everyone[first:] + everyone[:first]:
                yield Run(number, name, monitor)
