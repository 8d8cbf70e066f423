"""Which way of looking `--via auto` means: one rule on facts, and its reason in words.

Without consent to read kernel memory it is the first of idle, kernel and refs that can be used. With it:

- `pte` as a census, which tells every page for less CPU than any other way
  (docs/benchmarks-checks.md#a-look-by-page-tables), where the budget pays for windows of at most LONGEST_WINDOW_S: a
  longer one tells nothing of idle times of a minute. And where the target may be cleared at all: not where clear_refs
  would stop it for longer than `--max-pause` while memory is short, for MADV_COLD is not used then
  (linux/cgroup/shortage.py).
- Else samples of single pages: by pte, or where memory is short by idle, for samples by pte are cleared by MADV_COLD.
- Else the census all the same, its windows as long as they must be.

What only a sampler does (a region policy, for example) is not for a census, and physical memory not for pte. What is
watched decides between pte and idle only: whether auto means in-kernel DAMON or refs never depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from udamon.availability.primitives import ORDER, Usable, probe, require
from udamon.errors import ConfigError, NotSupported
from udamon.linux.consent import standing
from udamon.linux.roots import Roots
from udamon.model import SAMPLERS
from udamon.ops.base import TOUCH_NS
from udamon.ops.calibration import PAGE_NS
from udamon.units import counted, format_time

LONGEST_WINDOW_S = 60.0

_LOOK_NS = 50
"""Looking at a small page and making ranges of the answers takes about what clear_refs takes."""
WINDOW_NS = 2 * (PAGE_NS + TOUCH_NS) + _LOOK_NS
"""What a window of a census by pte costs for a small page, monitor and target together, where all pages are touched all
the time: each is cleared twice in it."""

OFFER = "Page tables (kernel memory) would show every page: --via pte allows that."


class Load(NamedTuple):
    """All that is to be watched, as of now. `pause_ns`: how long clear_refs would stop one process, at most."""

    processes: int
    small_pages: int
    pause_ns: int


class ChoiceInputs(NamedTuple):
    """What the rule goes by.

    `usable`: whether pte, idle, kernel and refs can be used here by this user, and why not. `consent`: kernel memory
    may be read; `consent_problem`: what is wrong with the file that might say so. `load`: None where it is not known
    yet. `overhead`: the share of a CPU; None where intervals were given. `max_pause_ns`: None for any. `short`: how
    memory is short for a target. `needs_sampler`: what was asked for that no census does; `needs_idle`: nor does any
    sampler but idle.
    """

    usable: Mapping[str, Usable]
    consent: bool
    consent_problem: str | None = None
    load: Load | None = None
    overhead: float | None = None
    max_pause_ns: int | None = None
    short: str | None = None
    needs_sampler: str | None = None
    needs_idle: bool = False
    physical: bool = False


class Choice(NamedTuple):
    """`why`: the reason, as the rest of a sentence. `samples`: single pages are sampled."""

    via: str
    why: str
    samples: bool


def decide(facts: ChoiceInputs) -> Choice:
    """The rule. Raises NotSupported where nothing can be used."""
    passed = []
    if facts.consent and facts.usable["pte"].usable and not facts.physical:
        against = _against_census(facts)
        if against is None:
            return Choice(
                "pte", f"kernel memory may be read, and it tells every page{_windows(facts)}", False
            )
        if not facts.needs_idle and facts.short is None:
            return Choice("pte", f"it samples pages, for {against}", True)
        if facts.usable["idle"].usable:
            return Choice("idle", f"it samples pages, for {against}", True)
        if facts.needs_sampler is None:
            return Choice("pte", f"nothing else tells single pages here, though {against}", False)
        passed.append(against)
    elif not facts.physical:
        passed.append(_brief("pte", facts.usable["pte"]) if facts.consent else "pte is not allowed")
    for name in ORDER:
        if facts.physical and name == "refs":
            raise NotSupported(
                "physical memory needs idle page tracking or in-kernel DAMON, and neither can be used here; udamon "
                "doctor says what each of them lacks."
            )
        if facts.usable[name].usable:
            return Choice(name, "; ".join(passed) or "it is the best there is", name in SAMPLERS)
        passed.append(_brief(name, facts.usable[name]))
    raise NotSupported("no primitive can be used here; udamon doctor says what each of them lacks.")


def _against_census(facts: ChoiceInputs) -> str | None:
    """What speaks against a census by pte; None for nothing."""
    if facts.needs_sampler is not None:
        return f"{facts.needs_sampler} needs samples"
    load, limit = facts.load, facts.max_pause_ns
    if load is not None and limit is not None and load.pause_ns > limit and facts.short is not None:
        pause = format_time(round(load.pause_ns / 1e9, 3))
        return f"clear_refs would stop the target for {pause}, and MADV_COLD is not used while {facts.short}"
    window = _window_s(facts)
    if window is not None and window > LONGEST_WINDOW_S:
        return f"a census{_windows(facts)}"
    return None


def _window_s(facts: ChoiceInputs) -> float | None:
    """How long the windows of a census by pte may have to be; None where there is no budget, or no telling."""
    if facts.load is None or facts.overhead is None:
        return None
    return facts.load.small_pages * WINDOW_NS / 1e9 / facts.overhead


def _windows(facts: ChoiceInputs) -> str:
    window, load = _window_s(facts), facts.load
    if window is None or load is None:
        return ""
    processes = counted(load.processes, "process", "processes")
    return (
        f" of {processes} in windows of at most {format_time(round(window, 1))} ({load.small_pages} small pages, "
        f"{facts.overhead:.2%} of a CPU)"
    )


def _brief(name: str, found: Usable) -> str:
    """Why it cannot be used; of in-kernel DAMON without the list of its users."""
    why = found.why.rstrip(".")
    why = why.partition(":")[0] if name == "kernel" else why
    return f"{why[0].lower()}{why[1:]}"


def consent() -> tuple[bool, str | None]:
    """Whether kernel memory may be read without being asked for; and what is wrong with the file that says so."""
    try:
        return standing(), None
    except ConfigError as error:
        return False, str(error)


def facts_here(roots: Roots = Roots(), *, physical: bool = False) -> ChoiceInputs:  # noqa: B008 (immutable)
    """Of this machine and user, with nothing known of what is to be watched. Reads no kernel memory."""
    return facts_of({name: probe(name, roots) for name in ("pte", *ORDER)}, physical=physical)


def facts_of(usable: Mapping[str, Usable], *, physical: bool = False) -> ChoiceInputs:
    """The same, where it is known already what can be used."""
    return ChoiceInputs(usable, *consent(), physical=physical)


def choose(via: str, roots: Roots = Roots(), *, physical: bool = False) -> str:  # noqa: B008 (immutable)
    """The primitive `via` means, as far as that can be told before it is known what is watched. Raises NotSupported or
    UsageError."""
    if via == "auto":
        return decide(facts_here(roots, physical=physical)).via
    require(via, roots)
    return via


def offer(facts: ChoiceInputs) -> str | None:
    """What pte would see and how to allow it, where it would work and is not allowed; or what is wrong with the file
    that might allow it."""
    if facts.consent or facts.physical or not facts.usable["pte"].usable:
        return None
    return facts.consent_problem or OFFER
