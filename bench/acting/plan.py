"""What is run: a workload of which three quarters turn cold, and who takes them out."""

from __future__ import annotations

from collections.abc import Iterator

from udamon.units import MIB

HOT, COLD = 128 * MIB, 384 * MIB
PARTS = 4
SETTLE_S, WORK_S = 35.0, 40.0
"""Starting Python takes up to 20 s in a guest: whoever acts is at work before the cold part turns cold."""
JUDGED_S = 20.0
"""By then most of the cold memory should be out."""
RATE = "200k"
"""Accesses a second: every hot page six times a second, in about a third of an emulated CPU."""

ALONE, UDAMON, HANDED, MODULE = "alone", "udamon", "handed", "kernel"
WHO = {
    ALONE: "without",
    UDAMON: "`udamon reclaim`",
    HANDED: "`udamon reclaim --via kernel`",
    MODULE: "DAMON_RECLAIM",
}

MIN_AGE_S, QUOTA = 5, 64 * MIB


def _config() -> str:
    names = [(kind, k) for k in range(PARTS) for kind in ("hot", "cold")]
    sizes = {"hot": HOT // PARTS, "cold": COLD // PARTS}
    regions = [f"{kind}{k}, {sizes[kind]}" for kind, k in names]
    everything = [f"{kind}{k}, 1, 4096, {sizes[kind]}, rw" for kind, k in names]
    work = [f"hot{k}, 1, 4096, 1, rw" for k in range(PARTS)]
    return "\n".join(
        [
            *regions,
            "",
            "settle",
            f"{SETTLE_S * 1000:.0f}",
            *everything,
            "",
            "work",
            f"{WORK_S * 1000:.0f}",
            *work,
            "",
        ]
    )


CONFIG = _config()
"""Hot and cold parts in turns; all are accessed while it settles, and then the hot ones alone."""

KERNEL = {
    "min_age": MIN_AGE_S * 1_000_000,
    "quota_sz": QUOTA,
    "quota_ms": 0,
    "quota_reset_interval_ms": 1000,
    "wmarks_high": 1000,
    "wmarks_mid": 1000,
    "wmarks_low": 0,
    "sample_interval": 50_000,
    "aggr_interval": 1_000_000,
}
"""Parameters of DAMON_RECLAIM. Its watermarks would keep it at rest while half of the memory is free; udamon has
none for a process. The intervals are ten times the defaults, as emulation asks (see side_by_side/plan.py)."""


def reclaim_command(pid: int, via: str) -> list[str | int]:
    """The same by udamon: its own kdamond with the policy adaptive, or in-kernel DAMON on the same process."""
    return [
        "reclaim", "-p", pid, "--via", via, "--sample-interval", "50ms", "--aggr-interval", "1s",
        "--min-age", f"{MIN_AGE_S}s", "--quota-sz", QUOTA, "--quota-ms", 0, "--json",
    ]  # fmt: skip


def runs(rounds: int) -> Iterator[tuple[int, str]]:
    """Rounds of all of them; who comes first changes."""
    who = list(WHO)
    for number in range(rounds):
        for k in range(len(who)):
            yield number, who[(number + k) % len(who)]
