"""What differs between two recordings by the code that allocates (report sites of both).

A site is the same one in both where the functions of its stack are the same, from the innermost outwards. Lines of
source and addresses are left out, because they change with each build; a call without a function is known by the name
of its file of code alone. Sites of one recording that become one by that are added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import fsum
from textwrap import wrap
from typing import Any

from udamon.report.allocations import Call
from udamon.report.diff import share, signed
from udamon.report.grain import grain_of
from udamon.report.sites import LENGTH, Site, Sites, bytes_of_sites, chain_of, usual_idle
from udamon.report.sites import measure as measure_sites
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal, clock, fitted
from udamon.sites.estimate import SURE
from udamon.text import Shown, cut, line, lines
from udamon.units import format_size

Key = tuple[tuple[str | None, str | None], ...]
"""Function, or else the name of the file of code, of each call."""


@dataclass(slots=True)
class SiteChange:
    """Sites of one stack of functions, in both recordings; empty where there is none."""

    calls: list[Call]
    call: Call | None
    before: list[Site] = field(default_factory=list)
    after: list[Site] = field(default_factory=list)

    @property
    def change(self) -> float:
        """By how many bytes the estimate grew."""
        return bytes_of_sites(self.after) - bytes_of_sites(self.before)

    @property
    def certain(self) -> bool:
        """Whether the intervals of the two sides have no number of bytes in common, so sampling alone does not
        explain the change."""
        (low, high), (least, most) = (_interval(side) for side in (self.before, self.after))
        return high < least or most < low


@dataclass(frozen=True, slots=True)
class SiteDiff:
    """The report: what changed most comes first."""

    before: Sites
    after: Sites
    changes: list[SiteChange]
    grains: tuple[str, str]


def measure(before: RecordingSource, after: RecordingSource) -> SiteDiff:
    """Raises RecordingError when one of the two has no snapshot or no allocation."""
    lengths = [source.query(LENGTH)[0][0] for source in (before, after)]
    idle_ns = usual_idle(
        min((length for length in lengths if length is not None), default=0)
    )  # the same for both
    found = [measure_sites(source, idle_ns) for source in (before, after)]
    changes: dict[Key, SiteChange] = {}
    for side, report in zip(("before", "after"), found, strict=True):
        for site in report.sites:
            one = changes.setdefault(_key(site), SiteChange(site.calls, site.call))
            (one.before if side == "before" else one.after).append(site)
    order = sorted(changes.items(), key=lambda item: (-abs(item[1].change), str(item[0])))
    grains = grain_of(before.recording), grain_of(after.recording)
    return SiteDiff(found[0], found[1], [change for _, change in order], grains)


def _key(site: Site) -> Key:
    return tuple(
        (one.function, None)
        if one.function is not None
        else (None, one.module and one.module.rsplit("/", 1)[-1])
        for one in site.calls
    )


def _interval(sites: Sequence[Site]) -> tuple[float, float]:
    """Sums of the ends: at least as wide as the interval of the sum."""
    return fsum(site.size.low for site in sites), fsum(site.size.high for site in sites)


def document(report: SiteDiff) -> dict[str, Any]:
    """The JSON document: bytes, seconds; null for the side that has no such site."""
    return {
        "schema": 1,
        "by": "site",
        "confidence": SURE,
        "idle_seconds": {"before": report.before.idle_ns / 1e9, "after": report.after.idle_ns / 1e9},
        "grains": dict(zip(("before", "after"), report.grains, strict=True)),
        "sites": [
            {
                "function": one.call and one.call.function,
                "module": one.call and one.call.module,
                "stack": [{"function": call.function, "module": call.module} for call in one.calls],
                "before": _side(one.before),
                "after": _side(one.after),
                "change_bytes": round(one.change),
                "certain": one.certain,
            }
            for one in report.changes
        ],
        "notes": _notes(report),
    }


def _side(sites: Sequence[Site]) -> dict[str, int] | None:
    if not sites:
        return None
    low, high = _interval(sites)
    return {
        "bytes": round(bytes_of_sites(sites)),
        "bytes_low": round(low),
        "bytes_high": round(high),
        "touched_bytes": round(fsum(site.touched for site in sites)),
        "cold_bytes": round(fsum(site.cold for site in sites)),
    }


def _notes(report: SiteDiff) -> list[str]:
    return list(dict.fromkeys([*report.before.notes, *report.after.notes]))


def render(report: SiteDiff, terminal: Terminal, top: int = 15) -> Shown:
    """For people: two lines a site."""
    rows = [["before", "after", "change", "", "cold before", "after", ""]]
    shown = [one for one in report.changes if abs(one.change) >= 1][:top]
    for one in shown:
        then, now = _side(one.before), _side(one.after)
        rows.append([
            format_size(then["bytes"]) if then else "none",
            format_size(now["bytes"]) if now else "none",
            signed(one.change),
            share(bytes_of_sites(one.before), bytes_of_sites(one.after)),
            format_size(then["cold_bytes"]) if then else "",
            format_size(now["cold_bytes"]) if now else "",
            "" if one.certain else "perhaps",
        ])  # fmt: skip
    (head, *figures), narrow = fitted(rows, ">>>>>><", terminal.width, spare=(3, 4), name=6)
    found: list[str] = ["bytes of allocations alive at the end, by estimate", "", head]
    for text, one in zip(figures, shown, strict=True):
        found += [text, line("      ", cut(chain_of(one.call, one.calls, places=False), terminal.width - 6))]
    found += narrow
    if not shown:
        found.append("no site changed")
    if rest := sum(abs(one.change) >= 1 for one in report.changes) - len(shown):
        found.append(f"  {rest} more sites changed (--json has all)")
    idle = clock(report.before.idle_ns), clock(report.after.idle_ns)
    said = [f"Cold: at least so much was not touched for {idle[0]} before, {idle[1]} after."]
    if any(not one.certain for one in shown):
        said.append("Perhaps: sampling alone may explain the change (95 %).")
    found.append("")
    found += [row for note in (*said, *_notes(report)) for row in wrap(note, terminal.width)]
    return lines(found)
