"""How much there is to watch, before anything is looked at: what the rule of `--via auto` goes by."""

from __future__ import annotations

from collections.abc import Iterable

from udamon.availability.choice import Load
from udamon.core.target import Target
from udamon.errors import OutOfFiles
from udamon.linux.procfs import ProcessId, rss_bytes
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE
from udamon.ops.pauses import Pauses, small_pages

FINE_FROM = 512 << 20
"""Resident bytes from which on it is asked which of the pages are huge ones: that takes a walk."""


def load_of(
    processes: Iterable[ProcessId],
    roots: Roots = Roots(),  # noqa: B008 (immutable)
    *,
    pauses: bool = False,
) -> Load:
    """Of those that still run. How long clearing would stop one of them is forecast with `pauses` alone."""
    number = pages = longest_ns = 0
    forecast = Pauses(roots.proc)
    for process in processes:
        try:
            resident = rss_bytes(process, roots.proc)
        except (OSError, OutOfFiles):
            continue  # it has ended
        number += 1
        large = resident >= FINE_FROM
        pages += small_pages(process, resident, roots.proc) if large else resident // PAGE_SIZE
        if pauses:
            target = Target(number, process.pid, process.start_time)
            longest_ns = max(longest_ns, forecast.forecast_ns(target))
    return Load(number, pages, longest_ns)
