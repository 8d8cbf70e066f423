"""How long memory lies idle: bytes not accessed for at least so long, and bytes accessed again after that.

The cold-age and promotion histograms of far memory (Lagar-Cavilla et al. 2019), from windows: udamon.core.idle_time. A
census says how many bytes of a region were accessed. Of samples, and of other tools' files, a region counts as accessed
with all of its bytes where it was at all, as DAMON assumes: an estimate, of samples by `adaptive` with bounds
(udamon.report.sampled).

Pages that several mappings have count once (udamon.report.groups). Of the group's bytes were idle for a time

- at least: of each process the idle ones that nothing else maps; or what was there at the end less all that was
  accessed in the windows that cover the time, if that is more.
- at most: their sum, what was there at the end, and the least that was there and not accessed in any window within it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import inf
from operator import itemgetter
from textwrap import wrap
from typing import Any

from udamon import text
from udamon.core import ages
from udamon.core.ages import AgesReport, SampleBounds, sentence
from udamon.core.idle_time import LABELS, SECONDS, IdleTimes, Seen, Together, alone, total
from udamon.model import is_census
from udamon.report import groups, sampled
from udamon.report.grain import grain_of
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal, table
from udamon.report.untouched import SIZE
from udamon.text import Shown
from udamon.units import format_share, format_size, format_time

ROWS = 50_000
"""Rows of a part of the recording that is in memory, about at most."""
REGIONS = f"""
    SELECT seq, target, "begin", time, start, "end", {SIZE}, {{least}}, {{most}},
        CAST(coalesce(private, 0) AS DOUBLE)
    FROM shared_regions WHERE {{once}} ORDER BY seq, target, start
"""
MOMENTS = """
    SELECT bounds.seq, begun, ended, low, high, resident_low, resident_high FROM ({bounds}) AS bounds JOIN (
        SELECT seq, min("begin") AS begun, max(time) AS ended FROM regions GROUP BY seq
    ) AS windows ON bounds.seq = windows.seq ORDER BY bounds.seq
"""
"""Of all targets together in each window: bytes accessed and there, at least and at most."""

SPANS_END = "SELECT sum(low), sum(high) FROM ({spans}) AS spans WHERE seq = (SELECT max(seq) FROM regions)"

Windows = Iterator[tuple[tuple[int, int, int, int], list[tuple[Seen, float]]]]
"""(seq, target, begin, end) of each, and its regions with the bytes that nothing else maps."""

ALL_OR_NOTHING = f"CASE WHEN nr_accesses > 0 THEN {SIZE} ELSE 0 END"


def measure(source: RecordingSource) -> AgesReport:
    """Of the memory that is there at the end. Raises RecordingError when there is no snapshot."""
    metadata = source.recording.metadata
    measured = is_census(metadata.get("via"), metadata.get("policy"))
    together = groups.needed(source)
    targets: dict[int, IdleTimes] = {}
    lone: dict[int, IdleTimes] = {}  # of what nothing else maps
    newest: dict[int, int] = {}  # target → number of its last window
    for (seq, target, begin_ns, end_ns), rows in _windows(source, measured):
        targets.setdefault(target, IdleTimes()).window(begin_ns, end_ns, (seen for seen, _ in rows))
        if together:
            private = (alone(seen, size) for seen, size in rows)
            lone.setdefault(target, IdleTimes()).window(begin_ns, end_ns, private)
        newest[target] = seq
    if not targets:
        raise source.nothing()
    last = max(newest.values())
    alive = [target for target in targets if newest[target] == last]
    begin = min(idle.begin_ns or 0 for idle in targets.values())
    known = None
    if together:
        always = measured and not any(idle.gaps for idle in targets.values())
        known = _together(source, [lone[target] for target in alive], measured=measured, always=always)
    watched = max(targets[target].end_ns for target in alive) - begin
    return AgesReport.of(
        (targets[target] for target in alive),
        begin,
        grain_of(source.recording),
        measured=measured,
        together=known,
        sampled=_sampled(source, watched) if not measured and groups.estimated(source) else None,
    )


def _sampled(source: RecordingSource, watched_ns: int) -> SampleBounds:
    """Of what is there at the end; None for longer than was watched."""
    low: list[float | None] = []
    high: list[float | None] = []
    for seconds in SECONDS:
        found: tuple[float | None, float | None] = None, None
        if seconds * 1_000_000_000 <= watched_ns:
            spans = sampled.spans(source, seconds * 1_000_000_000)
            found = source.query(SPANS_END.format(spans=spans))[0]
        low.append(found[0])
        high.append(found[1])
    return SampleBounds(low, high)


def _together(
    source: RecordingSource, lone: Sequence[IdleTimes], *, measured: bool, always: bool
) -> Together:
    """`measured`: how much of a region was accessed; `always`: and every access was seen."""
    moments = source.query(MOMENTS.format(bounds=groups.query_of(source)))
    end = max(ended for _, _, ended, *_ in moments)
    *_, there, size = moments[-1]
    least, most = [], []
    for seconds in SECONDS:
        edge = end - seconds * 1_000_000_000
        accessed = sum(high for _, _, ended, _, high, _, _ in moments if ended > edge)
        left = [most_there - low for _, begun, _, low, _, _, most_there in moments if begun >= edge]
        least.append(max(0.0, there - accessed) if always else 0.0)
        most.append(min(left, default=inf) if measured else inf)
    return Together(total(one.told() for one in lone), size, least, most)


def document(report: AgesReport) -> dict[str, Any]:
    """The JSON document."""
    return {"schema": 1, **ages.document(report)}


def _windows(source: RecordingSource, measured: bool) -> Windows:
    most = "CAST(touched AS DOUBLE)" if measured else ALL_OR_NOTHING
    least = f"least({groups.sure(source)}, CAST(touched AS DOUBLE))" if measured else ALL_OR_NOTHING
    for part in source.in_parts(REGIONS.format(least=least, most=most, once=source.filters.once), ROWS):
        for key, rows in groupby(part, key=itemgetter(0, 1, 2, 3)):
            regions = []
            for row in rows:
                if row[4] is not None:
                    size = row[6]
                    seen = Seen(row[4], row[5], size, min(row[7], size), min(row[8], size))
                    regions.append((seen, row[9]))
            yield key, regions


def render(report: AgesReport, terminal: Terminal) -> Shown:
    """For people: one number, and a line for each idle time."""
    size = report.found.size
    watched = format_time(report.watched_ns / 1e9)
    first = sentence(report)
    if first is None:
        return text.lines(
            [f"{format_size(size)} were watched for {watched}: too short to tell of {LABELS[0]}"]
        )
    lines: list[Shown | str] = [first, ""]
    bounded = not report.measured and report.bounds is not None
    rows = [["idle for", "bytes", *(["bounds"] if bounded else []), "share", "touched again after"]]
    bars = []
    sides = report.bounds or (report.cold, report.cold)
    for label, cold, again, low, high in zip(LABELS, report.cold, report.promoted, *sides, strict=True):
        if cold is None:
            break
        share = cold / size if size else 0.0
        again_text = "-" if again is None else format_size(again)
        between = [f"{format_size(low or 0.0)} to {format_size(high or 0.0)}"] if bounded else []
        rows.append([label, format_size(cold), *between, format_share(share), again_text])
        bars.append("" if bounded else terminal.bar(share, max(8, terminal.width - 52)))
    shown = table(rows, ">" * len(rows[0]))
    lines.append(shown[0])
    lines += [text.line(line, f"  {bar}" if bar else "") for line, bar in zip(shown[1:], bars, strict=True)]
    longer = next((label for label, cold in zip(LABELS, report.cold, strict=True) if cold is None), None)
    if longer is not None:
        lines += ["", f"Watched for {watched}: nothing is known of {longer} or longer."]
    if report.why is not None:
        why = f"{'Lower bounds' if report.parts or report.shared else 'Note'}: {report.why}."
        lines += ["", *wrap(why, max(40, terminal.width))]
    return text.lines(lines)
