"""How much memory to give: a limit and a request, with a buffer, from what was recorded.

Of each window is known what cannot be dropped: without swap all anonymous and shared memory that is resident, accessed
or not. Files that are mapped can be read again, so of those only what was accessed counts: at most, within the stretch
of REUSE_S in which that was most (of single pages in all windows), for by "least recently used" what comes back within
that time stays. So do pages of the cache that are only read, where the recording tells of them. With swap, anonymous
memory that is not accessed can go, too, and what counts is what serves the accesses (udamon.report.right_size) or the
largest working set.

    limit = (peak over time + files accessed + page cache only read + the kernel's own) * (1 + buffer)

and the request is the same with the 90th percentile over time in place of the peak. Both are rounded up to MiB.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil
from textwrap import wrap
from typing import Any

from udamon.core.sizing import BUFFER, with_buffer
from udamon.errors import RecordingError, UsageError
from udamon.model import MAPPING
from udamon.record.naming import FILE, LIBRARY
from udamon.report import advice, untouched, wss
from udamon.report.advice import Advised
from udamon.report.common import missed_processes
from udamon.report.diff import footprint_of
from udamon.report.grain import grain_of
from udamon.report.levels import FEWEST
from udamon.report.right_size import RightSize
from udamon.report.right_size import measure as right_size
from udamon.report.source import RecordingSource, double
from udamon.text import Shown, lines
from udamon.units import MIB, counted, format_length, format_size

WHY_BUFFER = (
    "for page tables and stacks, and for growth that the recording did not see; it is the margin that Kubernetes' "
    "Vertical Pod Autoscaler takes"
)
HIGH_SHARE = 0.9
"""Of the way from request to limit, where reclaim begins (memory.high): Kubernetes' memoryThrottlingFactor."""

NO_GROUP = (
    "no control group was recorded, so pages that are only read (read, sendfile) are not in the number; "
    "record with --cgroup for those"
)
KEPT = """
    SELECT max(kept), quantile_cont(kept, 0.9) FROM (
        SELECT seq, sum(CASE WHEN files.name IS NULL THEN counted ELSE least(anonymous, counted) END) AS kept
        FROM owner_windows LEFT JOIN file_owners AS files ON owner_windows.name = files.name GROUP BY seq
    ) AS moments
"""
# Owners are numbered from 0; what lies beside them has larger numbers.
BESIDE = """
    SELECT max(there) FROM (
        SELECT seq, sum(counted) AS there FROM owner_windows WHERE name >= {owners} GROUP BY seq
    ) AS windows
"""

_WORTH_SAYING = 0.05
"""A share of what must stay, from which on it is said that its mappings are not known."""

# Of each file in each stretch of time no more than was there; then the stretch in which that is most of all files.
FILES = """
    SELECT max(used) FROM (
        SELECT stretch, sum(least(touched, there)) AS used FROM (
            SELECT owner_windows.name,
                floor((CAST(begun AS DOUBLE) - (SELECT min(begun) FROM owner_windows)) / {stretch} + {half}) AS stretch,
                sum(touched) AS touched, max(greatest(counted - anonymous, 0)) AS there
            FROM owner_windows JOIN file_owners AS files ON owner_windows.name = files.name GROUP BY 1, 2
        ) AS owners GROUP BY stretch
    ) AS stretches
"""
LENGTH = 'SELECT CAST(max(time) - min("begin") AS DOUBLE) FROM regions'
REUSE_S = 60.0
"""Pages of files that are reused within this time should stay in memory; others may be read again."""


@dataclass(frozen=True, slots=True)
class RecordedCache:
    """What a recording tells of page cache that is only read: `size` at most, and what the kernel has for the group,
    both at the largest; `why` says where that is from, or why it is not known (`size` None)."""

    size: int | None
    kernel: int
    why: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """In bytes. `peak` and `usual` are what was kept in memory at most, and in nine of ten windows (None of too few);
    `files` what was accessed of mapped files, at most. `doubts` are parts of a sentence."""

    peak: int
    usual: int | None
    files: int
    cache: RecordedCache
    swap: bool
    doubts: list[str]
    advised: list[Advised]

    @property
    def limit(self) -> int:
        return self._with_buffer(self.peak)

    @property
    def request(self) -> int:
        return self._with_buffer(self.peak if self.usual is None else self.usual)

    @property
    def high(self) -> int:
        """Where the kernel should begin to reclaim: memory.high, whole MiB."""
        return ceil((self.request + HIGH_SHARE * (self.limit - self.request)) / MIB) * MIB

    def _with_buffer(self, size: int) -> int:
        whole = size + self.files + (self.cache.size or 0) + self.cache.kernel
        return with_buffer(whole)


def measure(
    source: RecordingSource, report: RightSize, *, swap: bool = False, reuse_s: float = REUSE_S
) -> Recommendation:
    """`swap`: anonymous memory that is not accessed may be swapped out. Raises as right_size.measure."""
    doubts = (
        [f"{counted(report.moments, 'window')}, so the request is for the peak, too"]
        if report.moments < FEWEST
        else []
    )
    if missed := missed_processes(source):
        were = "was" if missed == 1 else "were"
        doubts.append(f"{counted(missed, 'process', 'processes')} that {were} not seen")
    cache = _cache(source)
    if swap:
        working_set = wss.measure(source, bins=1)
        least = report.high
        peak, usual = (max(least, _at_most(working_set, level)) for level in ("max", "p90"))
        files = 0
    else:
        owners = untouched.owners_in_windows(source)
        named = [[number] for number, owner in enumerate(owners) if owner.kind in (FILE, LIBRARY)]
        source.table("file_owners", "name INTEGER", named)
        most, nine = source.query(KEPT)[0]
        there = wss.measure(source, footprint_of(source), bins=1).bounds("max")[1]  # shared memory once
        peak, usual = min(ceil(most), there), min(ceil(nine), there)
        files = _files(source, reuse_s)
        length_s = source.query(LENGTH)[0][0] / 1e9
        if files and length_s < reuse_s:
            doubts.append(
                f"{format_length(length_s)} were watched, and files may be used again within {format_length(reuse_s)} "
                "that were not by then"
            )
        beside = source.query(BESIDE.format(owners=len(owners)))[0][0] or 0
        if beside >= _WORTH_SAYING * peak and beside:
            doubts.append(
                f"{format_size(beside)} were in no known mapping and count as anonymous; files among them are unknown"
            )
    return Recommendation(
        peak,
        usual if report.moments >= FEWEST else None,
        min(files, report.resident),
        cache,
        swap,
        doubts,
        advice.measure(source),
    )


def _at_most(working_set: wss.WorkingSet, level: str) -> int:
    """An estimate is taken as it is: the largest of many upper bounds is far above all that was needed."""
    if working_set.sampled and working_set.group is None:
        return working_set.total.bytes[level]
    return working_set.bounds(level)[1]


def _files(source: RecordingSource, reuse_s: float) -> int:
    """What was accessed of mapped files, at most: by rows of pages where those were seen, else by mappings."""
    if grain_of(source.recording) == MAPPING or source.filters.cuts:
        stretch = FILES.format(stretch=double(reuse_s * 1e9), half=double(0.5))
        return ceil(source.query(stretch)[0][0] or 0)
    total = 0
    for kind in (FILE, LIBRARY):
        filters = replace(source.filters, mapping=kind)
        # None was accessed, or there is none.
        with suppress(RecordingError, UsageError), RecordingSource(source.recording, filters, source) as one:
            total += right_size(one, 1.0).high
    return total


def _cache(source: RecordingSource) -> RecordedCache:
    readings = [event for event in source.recording.events() if event.name == "page_cache"]
    if not readings:
        return RecordedCache(None, 0, NO_GROUP)
    if not source.filters.whole_moments:
        return RecordedCache(
            None, 0, "the page cache of a control group is that of all its memory, not of a part"
        )
    # A reading holds until the next one, so that the last one before the time that is looked at counts.
    begin, end = source.span_ns
    before = sum(event.time_ns <= begin for event in readings) if begin is not None else 0
    found = [event.data for event in readings[max(0, before - 1) :] if end is None or event.time_ns <= end]
    if not found:
        return RecordedCache(None, 0, "it was first read after the time that is looked at")
    largest, kernel = (
        max((size for data in found if isinstance(size := data.get(key), int)), default=0)
        for key in ("only_read_bytes", "kernel_bytes")
    )
    by = {
        "lru_gen": "the youngest two generations of lru_gen",
        "memory.stat": "the kernel's active list (memory.stat)",
    }.get(str(found[-1].get("source")), "the recording")
    return RecordedCache(
        largest, kernel, f"at most {format_size(largest)} were hot and mapped by nobody, by {by}"
    )


def document(found: Recommendation) -> dict[str, Any]:
    """Keys for the JSON document of right-size: bytes."""
    return {
        "limit_bytes": found.limit,
        "request_bytes": found.request,
        "high_bytes": found.high,
        "buffer": BUFFER,
        "swap": found.swap,
        "parts": {
            "peak_bytes": found.peak,
            "p90_bytes": found.usual,
            "files_bytes": found.files,
            "page_cache_bytes": found.cache.size,
            "kernel_bytes": found.cache.kernel,
        },
        "recommendation_why": "; ".join(found.doubts) or None,
        "page_cache": {"included": found.cache.size is not None, "why": found.cache.why},
        "advised": advice.document(found.advised),
    }


def render(found: Recommendation, width: int) -> Shown:
    """For people, ready to paste."""
    what = "accessed memory" if found.swap else "anonymous and shared memory"
    usual = "" if found.usual is None else f", {format_size(found.usual)} in nine of ten windows"
    files = "" if found.swap else f"; {format_size(found.files)} of known mapped files were accessed, at most"
    swap = "" if found.swap else " (without swap it cannot be dropped; with swap: --swap)"
    text = [
        f"{what}: {format_size(found.peak)} at the peak{usual}{swap}{files}.",
        f"Page cache: {found.cache.why}.",
        f"Buffer: {BUFFER:.0%} {WHY_BUFFER}.",
        *([f"Less sure: {'; '.join(found.doubts)}."] if found.doubts else []),
        *advice.sentences(found.advised),
    ]
    wrapped = (each for one in text for each in wrap(one, width, initial_indent="  ", subsequent_indent="  "))
    return lines([
        f"recommended limit {format_size(found.limit)}, request {format_size(found.request)}", *wrapped, "",
        *_pasted(found),
    ])  # fmt: skip


def _pasted(found: Recommendation) -> Iterator[str]:
    yield "  # Kubernetes, of a container"
    yield "  resources:"
    yield "    requests:"
    yield f"      memory: {found.request // MIB}Mi"
    yield "    limits:"
    yield f"      memory: {found.limit // MIB}Mi"
    yield "  # systemd, of a service"
    yield "  [Service]"
    yield f"  MemoryHigh={found.high // MIB}M"
    yield f"  MemoryMax={found.limit // MIB}M"
