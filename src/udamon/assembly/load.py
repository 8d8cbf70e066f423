"""The size of the targets before monitoring: the input of the rule of `--via auto`."""

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
"""From this many resident bytes on, the number of huge pages is read, which takes a walk."""


def load_of(
    processes: Iterable[ProcessId],
    roots: Roots = Roots(),  # noqa: B008 (immutable)
    *,
    pauses: bool = False,
) -> Load:
    """The load of those that still run. Only with `pauses` the longest pause of clearing is forecast."""
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
