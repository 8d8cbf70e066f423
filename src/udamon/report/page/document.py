"""The page of a recording as data: everything that its script shows, in one compact JSON document.

Times are seconds since the recording's start, bytes are integers, and addresses are hexadecimal strings
(JavaScript's numbers end at 2**53). The codes of the picture (udamon.report.page.cells) are deflated.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from udamon.core.ages import AgesReport
from udamon.core.idle_time import LABELS
from udamon.errors import RecordingError
from udamon.report import ages, hot_cold, info, phases, recommend, right_size, size, wss
from udamon.report.catalog import Catalog, TargetInfo
from udamon.report.common import common_lines
from udamon.report.filters import Filters
from udamon.report.grain import grain_of
from udamon.report.layout import PictureRow
from udamon.report.levels import FEWEST
from udamon.report.page import allocations, cells, curves
from udamon.report.page.cells import Picture
from udamon.report.sites import Sites
from udamon.report.source import RecordingSource

ROWS, COLUMNS = 128, 1440
MAX_MAPPINGS = 500
"""The table of mappings ends here; it says so."""


@dataclass(frozen=True, slots=True)
class PageContents:
    """What a page is made of."""

    about: info.Info
    picture: Picture
    curve: list[curves.Bin]
    working_set: wss.WorkingSet
    histograms: curves.Histograms
    mappings: list[hot_cold.OwnerUse]
    size: size.Size
    right_size: tuple[right_size.RightSize, recommend.Recommendation] | None
    """None where nothing was accessed."""
    phases: phases.Phases
    ages: AgesReport
    sites: Sites | str | None
    """None where no allocations were recorded; a sentence where nothing can be told of them."""
    filtered: bool
    notes: list[str]
    """What must be said beside any figure of the recording, as beside texts."""


def measure(source: RecordingSource, rows: int = ROWS, columns: int = COLUMNS) -> PageContents:
    """Everything of a page. Raises RecordingError when there is no snapshot."""
    picture = cells.measure(source, rows, columns)
    curve = curves.over_time(source, picture.begin_ns, picture.end_ns, picture.columns)
    working_set = wss.measure(source, bins=2)
    histograms = curves.histograms(source)
    mappings = sorted(hot_cold.measure(source).lines, key=lambda line: -line.use.touched)
    about = info.measure(source, Catalog(source.recording))
    whose = allocations.measure(source)
    return PageContents(
        about, picture, curve, working_set, histograms, mappings, size.measure(source), _right_size(source),
        phases.measure(source), ages.measure(source), whose, _filtered(source),
        common_lines(source, told=True),  # coverage is among the facts
    )  # fmt: skip


def _right_size(source: RecordingSource) -> tuple[right_size.RightSize, recommend.Recommendation] | None:
    try:
        report = right_size.measure(source)
        return report, recommend.measure(source, report)
    except RecordingError:
        return None


def _filtered(source: RecordingSource) -> bool:
    """Whether filters leave a part out. A warm-up that is left out is among the facts, and no filter."""
    return source.filters != Filters(since_ns=source.filters.since_ns)


def title_of(page: PageContents) -> str:
    """What was recorded: one target's name, or how many there are."""
    targets = [about for about, snapshots, *_ in page.about.targets if snapshots]
    names = sorted({target.comm for target in targets if target.comm})
    if len(targets) == 1:
        return targets[0].label
    return f"{len(targets)} processes" + (f": {', '.join(names[:3])}" if names else "")


def document(page: PageContents, opens_at: str | None = None) -> dict[str, Any]:
    """The JSON document. `opens_at`: the element that a browser is to show first (None: the top)."""
    start = page.picture.start_ns
    return {
        "schema": 1,
        "title": title_of(page),
        "facts": info.facts(page.about),
        "filtered": page.filtered,
        "opens_at": opens_at,
        "grain": grain_of(page.about.recording),
        "rate_of": page.about.catalog.rate_of,
        "rate_word": page.about.catalog.rate_word,
        "few": page.working_set.why,
        "fewest": FEWEST,
        "notes": page.notes,
        "targets": [_target(*target, start) for target in page.about.targets],
        "picture": _picture(page.picture, page.about.catalog),
        "curve": _curve(page.curve),
        "working_set": page.working_set.exact,
        "bounds": page.working_set.bounds_document,
        "group": page.working_set.exact is None,
        "estimate": page.working_set.estimated,
        "snapshots": page.working_set.total.snapshots,
        "monitor": {"share": _share(page.about)},
        "wall": _wall(page),
        "size": size.totals(page.size),
        "right_size": None if page.right_size is None else _given(*page.right_size),
        "phases": _phases(page.phases, page.about.catalog),
        "ages": _ages(page.ages),
        "sites": allocations.document(page.sites),
        "histograms": {
            "rate": _histogram(curves.RATE_LABELS, page.histograms.by_rate),
            "age": _histogram(curves.AGE_LABELS, page.histograms.by_age),
        },
        "mappings": [_mapping(row, start, page.about.catalog) for row in page.mappings[:MAX_MAPPINGS]],
        "mappings_left_out": max(0, len(page.mappings) - MAX_MAPPINGS),
    }  # fmt: skip


def _wall(page: PageContents) -> float | None:
    """When the recording began, seconds since 1970; None where it does not say."""
    wall = page.about.catalog.wall_ns(page.picture.start_ns)
    return None if wall is None else wall / 1e9


def _given(report: right_size.RightSize, found: recommend.Recommendation) -> dict[str, Any]:
    """The curve's `low` and `high` are alike where it is known, or estimated."""
    curve = [
        {"serve": share, "bytes": most if least == most else None, "low": least, "high": most}
        for share, least, most in report.curve
    ]
    return recommend.document(found) | {"curve": curve, "estimated": report.estimated}


def _ages(found: AgesReport) -> dict[str, Any]:
    """`rows`: [idle for, bytes at least, bytes at most], as far as is known. `estimate`: None where that was measured,
    else "with bounds", or "without bounds", where both are the estimate itself."""
    known = zip(LABELS, *(found.bounds or (found.cold, found.cold)), strict=True)
    return {
        "resident_bytes": round(found.found.size),
        "shared": found.shared,
        "seconds": found.watched_ns / 1e9,
        "rows": [
            [label, round(low), round(high)]
            for label, low, high in known
            if low is not None and high is not None
        ],
        "estimate": None if found.measured else "without bounds" if found.bounds is None else "with bounds",
        "why": found.why,
    }


def _phases(found: phases.Phases, catalog: Catalog) -> list[dict[str, Any]]:
    return [
        {
            "begin": phase["begin"],
            "end": phase["end"],
            "hot_bytes": phase["hot_bytes"],
            "bounds": phase["bounds"],
            "moved": [
                {
                    "label": row["label"],
                    "start": f"{row['start']:x}",
                    "before": row["rate_before"],
                    "rate": row["rate"],
                    "upper_bound": row["upper_bound"],
                }
                for row in phase["moved"]
            ],
        }
        for phase in phases.document(found, catalog)["phases"]
    ]


def _share(about: info.Info) -> float | None:
    """Of one CPU, what watching took after the start; None where the recording does not say."""
    length = about.end_ns - about.begin_ns
    return about.catalog.cpu_share(about.recording.metadata, length / 1e9) if length > 0 else None


def _histogram(labels: Sequence[str], sizes: Sequence[tuple[float, float]]) -> list[list[object]]:
    """[label, idle bytes, accessed bytes]."""
    return [[label, round(idle), round(hot)] for label, (idle, hot) in zip(labels, sizes, strict=True)]


def _picture(picture: Picture, catalog: Catalog) -> dict[str, Any]:
    begin, end = picture.begin_ns - picture.start_ns, picture.end_ns - picture.start_ns
    return {
        "columns": picture.columns,
        "begin": begin / 1e9,
        "end": end / 1e9,
        "rows": [_row(row, catalog) for row in picture.rows],
        "rates": _packed(picture.rates),
        "ages": _packed(picture.ages),
    }


def _row(row: PictureRow, catalog: Catalog) -> dict[str, Any]:
    return {
        "target": row.band.target,
        "start": f"{row.range.start:x}",
        "end": f"{row.range.end:x}",
        "bytes": row.size,
        "first": row.first,
        "label": row.band.label,
        "name": row.band.name or "[anon]",
        "upper_bound": catalog.upper_bound_of(row.band.names),
    }


def _packed(codes: bytes) -> str:
    return b64encode(zlib.compress(codes, 9)).decode("ascii")


def _curve(bins: Sequence[curves.Bin]) -> dict[str, list[int | None]]:
    return {
        "bin": [one.bin for one in bins],
        "low": [round(one.low) for one in bins],
        "mean": [round(one.mean) for one in bins],
        "high": [round(one.high) for one in bins],
        "resident": [None if one.resident is None else round(one.resident) for one in bins],
    }


def _target(
    about: TargetInfo, snapshots: int, begin: int, end: int, regions: int, start: int
) -> dict[str, Any]:
    return {
        "target": about.target,
        "label": about.label,
        "command": " ".join(about.cmdline),
        "user": about.user,
        "snapshots": snapshots,
        "begin": (begin - start) / 1e9 if snapshots else None,
        "end": (end - start) / 1e9 if snapshots else None,
        "ended": about.ended_why,
    }


def _mapping(line: hot_cold.OwnerUse, start_ns: int, catalog: Catalog) -> dict[str, Any]:
    owner, use = line.owner, line.use
    used = [(low, high) for low, high, part in line.offsets if part.heat > 0]
    return {
        "target": owner.target,
        "name": owner.name or "[anon]",
        "label": owner.place,
        "kind": owner.kind,
        "start": f"{owner.start:x}",
        "end": f"{owner.pieces[-1].end:x}",
        "size": round(use.size),
        "resident": round(use.resident),
        "touched": round(use.touched),
        "rate": round(use.rate, 4),
        "upper_bound": catalog.upper_bound(owner.kind),
        "last": None if use.last_ns is None else (use.last_ns - start_ns) / 1e9,
        "offsets": [[low, high] for low, high in _joined(used)] if len(used) < len(line.offsets) else [],
    }


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted spans, those that touch as one."""
    found: list[tuple[int, int]] = []
    for low, high in spans:
        if found and found[-1][1] == low:
            found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return found
