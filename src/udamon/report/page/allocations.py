"""The sites of a page: the largest, their stacks as numbers of names."""

from __future__ import annotations

from typing import Any

from udamon.errors import RecordingError, UsageError
from udamon.report import sites
from udamon.report.allocations import has_some, unseen_sentences
from udamon.report.sites import NONE_ALIVE, UNTOLD, Site, Sites, bytes_of_sites, name_of, place_of
from udamon.report.source import RecordingSource

MAX_SITES = 300
"""Table and flame graph end here; both say so."""


def measure(source: RecordingSource) -> Sites | str | None:
    """None where no allocations were recorded; a sentence without its full stop where nothing can be told of
    them.
    """
    if not has_some(source.recording):
        return None
    try:
        return sites.measure(source)
    except (RecordingError, UsageError) as error:
        return str(error).removesuffix(".")


def document(found: Sites | str | None) -> dict[str, Any] | None:
    """`names`, and `sites` whose `calls` are numbers of names, the outermost first; `own` is the place of the call that
    names the site among them. `why` where there are none."""
    if found is None:
        return None
    if isinstance(found, str):
        return {"why": found, "names": [], "sites": [], "notes": []}
    numbers: dict[str, int] = {}
    shown = found.sites[:MAX_SITES]
    rows = [_site(site, numbers) for site in shown]
    return {
        "why": None if shown else NONE_ALIVE,
        "names": list(numbers),
        "sites": rows,
        "left_out": len(found.sites) - len(shown),
        "left_out_bytes": round(bytes_of_sites(found.sites[MAX_SITES:])),
        "idle_seconds": found.idle_ns / 1e9,
        "notes": found.notes + unseen_sentences(found.allocations.unseen),
    }


def _site(site: Site, numbers: dict[str, int]) -> dict[str, Any]:
    own = site.call
    names = [name_of(call) for call in site.calls] or [UNTOLD]
    return {
        "calls": [numbers.setdefault(name, len(numbers)) for name in reversed(names)],
        "own": len(names) - 1 - (0 if own is None else site.calls.index(own)),
        "place": place_of(own),
        "bytes": round(site.size.estimate),
        "low": round(site.size.low),
        "high": round(site.size.high),
        "resident": round(site.resident),
        "touched": round(site.touched),
        "cold": round(site.cold),
        "age": site.age_ns / 1e9,
        "accessed": site.accessed,
    }
