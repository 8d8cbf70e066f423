"""Rows of the table `services`, made up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from udamon.fleet.tables import AGES

WINDOW_US = 300_000_000
NOON = int(datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()) * 1_000_000
MIB = 1 << 20


def service(
    name: str = "web",
    host: str = "h1",
    window: int = 0,
    *,
    cold: int | None = 4,
    resident: int = 10,
    **more: Any,
) -> dict[str, Any]:
    """A row of the window-th window after noon; sizes in MiB, the same cold bytes at each age."""
    return {
        "namespace": "shop", "workload": "front", "service": name, "host": host,
        "window_begin": NOON + window * WINDOW_US, "seconds": 300.0,
        "via": "pte", "grain": "page", "coverage": 1.0, "resident_bytes": resident * MIB,
        "cold_bytes": None if cold is None else [cold * MIB] * len(AGES),
        "promoted_bytes": None if cold is None else [0] * len(AGES),
    } | more  # fmt: skip
