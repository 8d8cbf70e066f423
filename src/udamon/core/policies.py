"""Region policies by the names that users give."""

from __future__ import annotations

from random import Random

from udamon.core.adaptive import AdaptivePolicy, Parameters
from udamon.core.damon import DamonPolicy
from udamon.core.policy import RegionPolicy
from udamon.errors import UsageError
from udamon.model import PAGE_SIZE

POLICIES = ("adaptive", "damon")


def make_policy(
    name: str,
    random: Random,
    min_region: int = PAGE_SIZE,
    checks: int | None = None,
    parameters: Parameters | None = None,
    find: int | None = None,
) -> RegionPolicy:
    """A fresh policy called `name`, drawing from `random`.

    `checks` an aggregation at most, `parameters`, and `find`, the bytes of the smallest island worth finding, for those
    that have them; `damon` has none. Raises
    UsageError for a name that is unknown, or that they do not go with.
    """
    if name == "adaptive":
        return AdaptivePolicy(min_region, checks, parameters, find)
    if name != "damon":
        raise UsageError(f"there is no region policy {name!r}; use {' or '.join(POLICIES)}.")
    if checks is not None or parameters is not None:
        raise UsageError(
            "the policy damon makes one check a region and tick, so it takes no number of checks."
        )
    return DamonPolicy(random, min_region)
