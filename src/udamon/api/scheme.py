"""A scheme in the units of the library: seconds, bytes and fractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from udamon.arguments import is_number, is_whole, path_of, plain, shown
from udamon.core.scheme import ANY_COUNT, U64_MAX, AccessPattern, Action, Bounds, Quota
from udamon.core.scheme import Scheme as DamosScheme
from udamon.core.scheme_fields import MIGRATIONS
from udamon.errors import UsageError
from udamon.linux.cgroup.groups import find_cgroup
from udamon.schemes.config.pattern import MAX, NONE, Quantity, QuantityBounds, QuantityUnit, WantedScheme

if TYPE_CHECKING:
    from udamon.assembly.build import Built
    from udamon.modules.action_backends import ActionBackend
    from udamon.modules.work import AnyWork

_WHOLE = ("min_size", "max_size", "quota_bytes")
_NUMBERS = (
    *_WHOLE, "min_accesses", "max_accesses", "min_age", "max_age", "quota_time", "quota_reset", "apply_interval",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scheme:
    """A rule: which memory, and the action on it (DAMON's operation schemes). `Monitor` applies it.

    action: "pageout", "cold", "willneed", "hugepage", "nohugepage", "collapse", "lru_prio", "lru_deprio" or "stat"
        (only count). Migration between nodes, goals, watermarks and filters need a file of schemes, whose path
        `Monitor` accepts as well (docs/acting.md).
    min_size, max_size: bytes of a region.
    min_accesses, max_accesses: a fraction of the samples of an aggregation.
    min_age, max_age: for how many seconds the access rate has been like that.
    quota_bytes, quota_time: the limits of bytes and of seconds of CPU time in each `quota_reset` seconds; 0 is no
        limit. If both are left out, they are those of `udamon reclaim`: 128 MiB and 10 ms.
    apply_interval: seconds between two passes; None: each aggregation.

    A bound that is None does not restrict anything. Raises UsageError for an unknown action, and for values that are
    out of range or contradict each other.
    """

    action: str
    _: KW_ONLY
    min_size: int | None = None
    max_size: int | None = None
    min_accesses: float | None = None
    max_accesses: float | None = None
    min_age: float | None = None
    max_age: float | None = None
    quota_bytes: int | None = None
    quota_time: float | None = None
    quota_reset: float = 1.0
    apply_interval: float | None = None

    def __post_init__(self) -> None:
        """Raises UsageError."""
        for name in _NUMBERS:
            value = plain(getattr(self, name))
            object.__setattr__(self, name, value)
            whole = name in _WHOLE
            if value is not None and not (is_whole(value) if whole else is_number(value)):
                raise UsageError(
                    f"{name} {shown(value)} is no {'whole number' if whole else 'number'}; give one."
                )
        if not isinstance(self.action, str):
            raise UsageError(f"the action {shown(self.action)} is no word; give one such as 'pageout'.")
        if self.action not in list(Action) or self.action in MIGRATIONS:
            usable = ", ".join(action for action in Action if action not in MIGRATIONS)
            raise UsageError(f"there is no action {self.action!r} for a Scheme; use one of {usable}.")
        for name in ("size", "accesses", "age"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if any(bound is not None and not 0 <= bound < 1 << 63 for bound in (low, high)):
                raise UsageError(f"min_{name} and max_{name} must be numbers from 0.")
            if low is not None and high is not None and low > high:
                raise UsageError(f"min_{name} {low} is above max_{name} {high}; swap them.")
        if max(self.min_accesses or 0, self.max_accesses or 0) > 1:
            raise UsageError("min_accesses and max_accesses are fractions of the samples; give at most 1.")
        if self.quota_reset is None or not 0.001 <= self.quota_reset <= 1e6:
            raise UsageError("quota_reset is a time of 0.001 to 1,000,000 seconds.")
        if not 0 <= (self.quota_bytes or 0) < 1 << 63 or not 0 <= (self.quota_time or 0) <= 1e6:
            raise UsageError(
                "quotas are numbers from 0: quota_bytes below 2**63, quota_time up to 1,000,000."
            )
        if self.apply_interval is not None and not 1e-6 <= self.apply_interval <= 1e6:
            raise UsageError("apply_interval is a time in seconds of at least 0.000001.")

    @property
    def bounded(self) -> bool:
        """Whether any bound restricts the memory."""
        bounds = (
            self.min_size,
            self.max_size,
            self.min_accesses,
            self.max_accesses,
            self.min_age,
            self.max_age,
        )
        return any(bound is not None for bound in bounds)

    @property
    def limited(self) -> bool:
        """Whether it has a quota of its own (0 included)."""
        return self.quota_bytes is not None or self.quota_time is not None


def read(schemes: str | PathLike[str] | Sequence[Scheme], *, apply: bool, sparse: bool) -> list[WantedScheme]:
    """The internal schemes for the argument of `Monitor`: schemes, or the path of a file of them. Raises UsageError,
    ConfigError, MissingExtra, and CannotError for a file that cannot be read.

    `sparse`: a default quota is charged only for memory that is really reclaimed (ReclaimParameters.schemes).
    """
    if isinstance(schemes, str | bytes | PathLike):
        from udamon.schemes.config.reading import load_schemes

        return load_schemes(Path(path_of("schemes", schemes)))
    schemes = _all_schemes(schemes)
    for scheme in schemes:
        if apply and not scheme.bounded and scheme.action != Action.STAT:
            raise UsageError(
                f"without a bound {scheme.action} would be applied to all memory, the hot included; give min_age, "
                "max_accesses or another bound."
            )
    from udamon.modules.reclaim import ReclaimParameters

    (like,) = ReclaimParameters().schemes(sparse=sparse)
    return [_wanted(scheme, like.scheme.quotas) for scheme in schemes]


def put_to_work(built: Built, wanted: Sequence[WantedScheme], cgroup: str | None, *, apply: bool) -> AnyWork:
    """Have the schemes act while a monitor runs. Raises UdamonError."""
    from udamon.modules.action_backends import backend_for
    from udamon.modules.start import start_work
    from udamon.schemes.governor import PressureLimits

    def backend() -> ActionBackend:
        return backend_for(built.ops, dry=not apply, sim_memory=built.sim_memory)

    cgroups = {} if cgroup is None else {f"cgroup {cgroup}": find_cgroup(cgroup)}
    return start_work(built, wanted, backend, dry=not apply, limits=PressureLimits(), cgroups=cgroups)


def _all_schemes(given: Sequence[Scheme]) -> tuple[Scheme, ...]:
    found: tuple[object, ...]
    try:
        found = tuple(given)
    except TypeError:  # it has no elements
        found = (None,)
    schemes = tuple(one for one in found if isinstance(one, Scheme))
    if len(schemes) < len(found):
        raise UsageError(
            f"schemes {shown(given)} are none; give a sequence of Scheme, or the path of a file."
        )
    return schemes


def _wanted(scheme: Scheme, default: Quota) -> WantedScheme:
    size = Bounds(scheme.min_size or 0, U64_MAX if scheme.max_size is None else scheme.max_size)
    damos = DamosScheme(
        access_pattern=AccessPattern(size, ANY_COUNT, ANY_COUNT),
        action=Action(scheme.action),
        apply_interval_us=round((scheme.apply_interval or 0) * 1e6),
        quotas=_quota(scheme, default),
    )
    accesses = QuantityBounds(_share(scheme.min_accesses, NONE), _share(scheme.max_accesses, MAX))
    return WantedScheme(
        damos, accesses, QuantityBounds(_age(scheme.min_age, NONE), _age(scheme.max_age, MAX))
    )


def _quota(scheme: Scheme, default: Quota) -> Quota:
    reset_ms = round(scheme.quota_reset * 1e3)
    if not scheme.limited and scheme.action != Action.STAT:
        return replace(default, reset_interval_ms=reset_ms)
    if not (scheme.quota_bytes or scheme.quota_time):
        return Quota()
    return Quota(
        ms=max(1, round(scheme.quota_time * 1e3)) if scheme.quota_time else 0,
        bytes=scheme.quota_bytes or 0,
        reset_interval_ms=reset_ms,
    )


def _share(share: float | None, default: Quantity) -> Quantity:
    return (
        default if share is None else Quantity(Fraction(share).limit_denominator(10**9), QuantityUnit.SHARE)
    )


def _age(seconds: float | None, default: Quantity) -> Quantity:
    return default if seconds is None else Quantity(round(seconds * 1e6), QuantityUnit.US)
