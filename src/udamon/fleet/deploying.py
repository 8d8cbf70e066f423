"""Rows of the table `deploys`: what changed when, written by those who deploy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from udamon.errors import UsageError
from udamon.fleet.objects import ObjectName, parquet
from udamon.fleet.store import Store
from udamon.fleet.tables import DEPLOYS

_WRITER = "deploys"
"""In the place of a host in the objects' names."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Deploy:
    """A change of one service. `hosts`: where; empty for all at once. `time_us`: when the new version ran there,
    microseconds since 1970. Raises UsageError for a name that a report cannot ask for."""

    name: str
    service: str
    time_us: int
    namespace: str = ""
    workload: str = ""
    hosts: Sequence[str] = ()
    before: str | None = None
    after: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)

    def rows(self) -> list[dict[str, Any]]:
        """As Table.batch takes them: one for each host."""
        return [
            {
                "deploy": self.name, "namespace": self.namespace, "workload": self.workload, "service": self.service,
                "host": host, "time": self.time_us, "before": self.before, "after": self.after,
            }
            for host in dict.fromkeys(self.hosts or ("",))
        ]  # fmt: skip


def tell(store: Store, deploy: Deploy) -> tuple[str, bool]:
    """Create the object of its rows: its path, and False where it was there already. Raises CannotError."""
    data = parquet(DEPLOYS, DEPLOYS.batch(deploy.rows()))
    path = ObjectName.of(DEPLOYS, _WRITER, deploy.time_us, data).path
    return path, store.create(path, data)


def check_name(name: str) -> None:
    """Raises UsageError. Backslashes and quotes mean different things to the engines that reports run on."""
    if not name or any(sign in name for sign in "'\\") or not name.isprintable():
        raise UsageError(f"{name[:60]!r} is no name of a deploy: quotes and backslashes cannot be in it.")


def parse_moment(text: str) -> int:
    """Microseconds since 1970 of a moment in ISO 8601, in UTC unless it says otherwise. Raises UsageError."""
    try:
        found = datetime.fromisoformat(text)
        aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        since = (aware - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        since = -1
    if since < 0 or len(text) <= len("2026-11-29"):
        raise UsageError(
            f"{text[:40]!r} is no moment; write it like 2026-11-29T14:05:00Z, or with an offset such as +01:00."
        )
    return since
