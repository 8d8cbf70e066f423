"""Region policies by the names that users give."""

from __future__ import annotations

from random import Random

from udamon.core.damon import DamonPolicy
from udamon.core.policy import RegionPolicy
from udamon.errors import UsageError
from udamon.model import PAGE_SIZE

POLICIES = {"damon": DamonPolicy}


def make_policy(name: str, random: Random, min_region: int = PAGE_SIZE) -> RegionPolicy:
    """A fresh policy called `name`, drawing from `random`. Raises UsageError for an unknown name."""
    if name not in POLICIES:
        raise UsageError(f"there is no region policy {name!r}; use {' or '.join(sorted(POLICIES))}.")
    return POLICIES[name](random, min_region)
