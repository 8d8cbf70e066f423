"""What to watch and how: the specification of a monitor, and the options that only the command line has."""

from __future__ import annotations

from dataclasses import dataclass, fields
from os import PathLike, fsdecode
from typing import TYPE_CHECKING

from udamon.arguments import is_number, is_whole, path_of, plain, shown
from udamon.core.attrs import Attrs, IntervalsGoal, check_regions
from udamon.core.policies import POLICIES
from udamon.errors import AttrsError, UsageError
from udamon.model import Range, names_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from udamon.workload.truth import Truth

DEFAULT_OVERHEAD = 0.01
"""The budget, a share of one CPU, where neither an interval nor a budget is given."""
OPERATIONS = ("vaddr", "fvaddr", "paddr", "sim")
VIA = ("auto", *names_of(lambda one: not one.simulated))
"""The primitives that may be named for real memory."""
LONGEST_S = 30 * 86_400
"""The longest interval: 30 days. Clocks are 64-bit nanoseconds, so there must be some limit."""


_NUMBERS = (
    "sample", "aggr", "update", "min_regions", "max_regions", "overhead", "duration", "max_pause",
)  # fmt: skip


class FromBudget(float):
    """The type of an interval (seconds) that was left out. It then follows from the budget (`overhead`), as on the
    command line; the float is the value that the monitor starts with, and compares equal to other floats."""

    __slots__ = ()


DEFAULT_SAMPLE, DEFAULT_AGGR = FromBudget(0.005), FromBudget(0.1)


@dataclass(frozen=True, slots=True, eq=False)
class MonitorSpec:
    """What a monitor watches, and how. Exactly one target: `pids`, `cgroup`, `command` or `paddr`.

    Times are in seconds, shares are fractions of one CPU. `Monitor` checks the specification.

    pids: process ids; the caller's own is allowed. A single number is accepted as well.
    children: also watch their descendants, as they start and end; also those of `command`.
    cgroup: the path of a control group: every process in it and below ("/": all of the machine).
    command: a program and its arguments. The monitor starts it, and ends it with the block if it still runs. With `ops`
        "sim", the name or path of a workload (see `udamon eval`), which is simulated in real time.
    paddr: the physical memory of the machine (needs root).
    ops: the operations set: "vaddr" (processes), "paddr" (implied by `paddr`), or "sim".
    via: the access-check primitive: "auto" (docs/limits.md#what-auto-takes), "idle" (needs root), "kernel" (needs
        root), "refs", "softdirty" or "pte" (needs root; asking for it by name is the consent to read kernel memory).
    policy: the region policy of sampling primitives, "adaptive" (the default) or "damon". With via "pte" it selects
        samples instead of a census.
    sample, aggr: the sampling and the aggregation interval. If both are left out they are `FromBudget`: they, and the
        number of checks, follow from `overhead`. If one of them is given there is no budget, and the other is chosen so
        that their ratio is 1:20.
    update: the interval between updates of the list of targets and of their mappings.
    min_regions, max_regions: bounds on the number of regions of all targets.
    overhead: the budget, a share of one CPU; 0.01 if it and both intervals are left out.
    duration: the monitor ends after this time; None: when its targets have ended.
    max_pause: the longest time for which a look may stop a target; None: no limit.
    """

    pids: tuple[int, ...] = ()
    children: bool = False
    cgroup: str | None = None
    command: tuple[str, ...] | None = None
    paddr: bool = False
    ops: str = "vaddr"
    via: str = "auto"
    policy: str | None = None
    sample: float | FromBudget = DEFAULT_SAMPLE
    aggr: float | FromBudget = DEFAULT_AGGR
    update: float = 1.0
    min_regions: int = 10
    max_regions: int = 1000
    overhead: float | None = None
    duration: float | None = None
    max_pause: float | None = None

    def __post_init__(self) -> None:
        """Accepts a single pid, any sequence of pids or words, numbers of numpy, and a pathlib.Path as the cgroup.
        Raises UsageError for other types."""
        values = {name: plain(getattr(self, name)) for name in _NUMBERS}
        values |= {"pids": _pids(self.pids), "command": _command(self.command)}
        if self.cgroup is not None:
            values["cgroup"] = path_of("cgroup", self.cgroup)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        """Equal values; an interval that was given differs from a default of the same length."""
        return self._key() == other._key() if isinstance(other, MonitorSpec) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        values = [getattr(self, field.name) for field in fields(self)]
        return (*values, given(self.sample), given(self.aggr))


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line has beyond MonitorSpec.

    `ranges` are for fvaddr and paddr. `same_cpu`: with idle, visit the processor where the target runs. `clear`: how
    pte clears accessed bits. `goal`: tune the intervals as the kernel does. `truth`: the simulated workload, if it was
    already read. `flags`: messages use the names of flags.
    """

    ranges: tuple[Range, ...] = ()
    same_cpu: bool = False
    clear: str | None = None
    goal: IntervalsGoal = IntervalsGoal()  # noqa: RUF009 (immutable)
    truth: Truth | None = None
    flags: bool = False

    def named(self, field: str) -> str:
        """What the user calls a field of the specification."""
        return f"--{field.replace('_', '-')}" if self.flags else field


NO_OPTIONS = Options()


def given(interval: float) -> bool:
    """Whether an interval was chosen by the user."""
    return not isinstance(interval, FromBudget)


def attrs_of(spec: MonitorSpec, options: Options = NO_OPTIONS) -> Attrs:
    """The attributes that `spec` starts with. Raises UsageError for an interval of 0, AttrsError for what DAMON
    refuses."""
    named = options.named
    return Attrs.chosen(
        interval_us(named("sample"), spec.sample) if given(spec.sample) else None,
        interval_us(named("aggr"), spec.aggr) if given(spec.aggr) else None,
        interval_us(named("update"), spec.update),
        regions(named("min_regions"), spec.min_regions),
        regions(named("max_regions"), spec.max_regions),
        options.goal,
    )


def overhead_of(spec: MonitorSpec, options: Options = NO_OPTIONS) -> float | None:
    """The share of a CPU to keep to; None where intervals are given. Raises UsageError."""
    named, overhead = options.named, spec.overhead
    if options.goal.aggrs and overhead is not None:
        raise UsageError(
            f"{named('overhead')} and {named('intervals_goal')} both choose the intervals; leave one of them out."
        )
    chosen = given(spec.sample) or given(spec.aggr) or bool(options.goal.aggrs)
    if chosen and overhead is not None:
        raise UsageError(
            f"{named('overhead')} chooses the intervals; leave it or {named('sample')} and {named('aggr')} out."
        )
    if chosen:
        return None
    if overhead is None:
        return DEFAULT_OVERHEAD
    if not is_number(overhead):
        raise UsageError(
            f"{named('overhead')} {shown(overhead)} is no share of one CPU; give a number up to 1."
        )
    if overhead == 0:
        least = "0.01%" if options.flags else "0.0001"
        raise UsageError(f"{named('overhead')} 0 leaves nothing to watch with; give at least {least}.")
    if not 0 < overhead <= 1:
        raise UsageError(f"{named('overhead')} {overhead} is no share of one CPU; give a number up to 1.")
    return overhead


def max_pause_ns(spec: MonitorSpec) -> int | None:
    """The longest that a look may stop a target; None where that is not limited."""
    return None if spec.max_pause is None else round(spec.max_pause * 1e9)


def check(spec: MonitorSpec) -> None:
    """Check a specification, without looking at the machine. Raises UsageError."""
    for name in ("children", "paddr"):
        if not isinstance(getattr(spec, name), bool):
            raise UsageError(
                f"{name} {shown(getattr(spec, name))} is neither True nor False; give one of them."
            )
    targets = {
        "pids": bool(spec.pids),
        "cgroup": spec.cgroup is not None,
        "command": spec.command is not None,
        "paddr": spec.paddr,
    }
    chosen = [name for name, there in targets.items() if there]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} exclude each other; give one target.")
    if not chosen:
        raise UsageError("there is nothing to watch; give pids, cgroup, command or paddr.")
    if spec.command == ():
        raise UsageError("the command is empty; give a program and its arguments.")
    if spec.children and not (spec.pids or spec.command):
        raise UsageError("children goes with pids or command.")
    for name, value, known in (
        ("ops", spec.ops, OPERATIONS),
        ("via", spec.via, (*VIA, *names_of(lambda one: one.simulated))),
    ):
        if not isinstance(value, str) or value not in known:
            raise UsageError(f"there is no {name} {shown(value)}; use one of {', '.join(known)}.")
    if spec.policy is not None and not (isinstance(spec.policy, str) and spec.policy in POLICIES):
        raise UsageError(f"there is no region policy {shown(spec.policy)}; use {' or '.join(POLICIES)}.")
    _check_operations(spec)
    for name in ("duration", "max_pause"):
        seconds = getattr(spec, name)
        if seconds is not None and not (is_number(seconds) and 0.001 <= seconds <= 1e9):
            raise UsageError(f"{name} {shown(seconds)} is no time in seconds; give at least 0.001.")
    attrs_of(spec)
    overhead_of(spec)


def _check_operations(spec: MonitorSpec) -> None:
    if spec.ops == "fvaddr":
        raise UsageError("fvaddr needs address ranges, which a specification does not have; use ops vaddr.")
    if spec.ops == "paddr" and not spec.paddr:
        raise UsageError("ops paddr watches physical memory: give paddr=True, and no other target.")
    if spec.ops != "sim":
        if spec.via == "sim":
            raise UsageError("via sim looks at a simulated workload: it goes with ops sim.")
        return
    if spec.command is None or len(spec.command) != 1:
        raise UsageError("ops sim simulates one workload: give its name or path as the command.")
    if spec.via not in ("auto", "sim") or spec.children or spec.max_pause is not None:
        raise UsageError("ops sim has its own primitive; leave via, children and max_pause out.")


def interval_us(name: str, seconds: float) -> int:
    """An interval in microseconds: at least 1, at most 30 days. Raises UsageError."""
    if not is_number(seconds) or not seconds > 0:
        raise UsageError(f"{name} {shown(seconds)} is no interval; give at least 0.000001 (seconds).")
    if seconds > LONGEST_S:
        raise UsageError(f"{name} {shown(seconds)} is longer than 30 days; give a shorter interval.")
    if round(seconds * 1e6) == 0:
        raise UsageError(f"{name} {shown(seconds)} is no interval; give at least 0.000001 (seconds).")
    return round(seconds * 1e6)


def regions(name: str, number: int) -> int:
    """A number of regions that may be asked for. Raises AttrsError."""
    if not is_whole(number):
        raise AttrsError(f"{name} {shown(number)} is no whole number; give one of at least 3.")
    check_regions(number)
    return number


def _pids(pids: int | Iterable[int]) -> tuple[int, ...]:
    found: list[object] = []
    try:
        if not isinstance(pids, str | bytes):
            found = list(pids)  # type: ignore[arg-type]
    except TypeError:  # it has no elements
        found = [pids]
    numbers = tuple(map(plain, found))
    if (isinstance(pids, str | bytes) and pids) or not all(map(is_whole, numbers)):
        raise UsageError(
            f"pids {shown(pids)} are no process numbers; give whole numbers as ps -e shows them."
        )
    return numbers


def _command(command: str | Iterable[str | PathLike[str]] | None) -> tuple[str, ...] | None:
    if command is None:
        return None
    try:
        given = (command,) if isinstance(command, str | bytes | PathLike) else tuple(command)
        words = tuple(map(fsdecode, given))
    except TypeError:
        words = ("\0",)
    if any("\0" in word for word in words):
        raise UsageError(
            f"the command {shown(command)} has what is no word; give a program and its arguments."
        )
    return words
