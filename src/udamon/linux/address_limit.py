"""How many bytes of addresses this process may have (ulimit -v). Libraries that reserve many abort it where they are
few."""

from __future__ import annotations

import resource

from udamon.errors import CannotError
from udamon.linux.procfs import read_bytes
from udamon.linux.roots import PROC
from udamon.units import format_size

DUCKDB_ADDRESSES = 640 << 20
"""Bytes of addresses without which DuckDB aborts the process, or fails at random; it reserves far more than it uses."""


def address_limit() -> int | None:
    """Bytes of addresses that this process may have; None where there is no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def require_addresses(size: int, what: str) -> None:
    """Raises CannotError where `what` needs that many bytes of addresses more, and this process may not have them."""
    most = address_limit()
    if most is None:
        return
    used = int(read_bytes(PROC / "self/statm").split()[0]) * resource.getpagesize()
    left = max(0, most - used)
    if left < size:
        raise CannotError(
            f"{what} takes {format_size(size)} of addresses or more, and {format_size(left)} are left of the "
            f"{format_size(most)} that this process may have; allow it more (ulimit -v)."
        )
