"""How long memory lies idle: bytes not accessed for at least so long, and bytes accessed again after that.

The cold-age and promotion histograms of far memory (Lagar-Cavilla et al. 2019), from windows: udamon.core.idle_time. A
census says how many bytes of a region were accessed. Of samples, and of other tools' files, a region counts as accessed
with all of its bytes where it was at all, as DAMON assumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from textwrap import wrap
from typing import Any

from udamon import text
from udamon.core import ages
from udamon.core.ages import AgesReport, sentence
from udamon.core.idle_time import LABELS, IdleTimes, Seen
from udamon.model import is_census
from udamon.report.grain import grain_of
from udamon.report.groups import sure
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal, table
from udamon.report.untouched import SIZE
from udamon.text import Shown
from udamon.units import format_size, format_time

ROWS = 50_000
"""Rows of a part of the recording that is in memory, at most about so many."""
REGIONS = f"""
    SELECT seq, target, "begin", time, start, "end", {SIZE}, {{least}}, {{most}}
    FROM shared_regions WHERE same_as IS NULL ORDER BY seq, target, start
"""
ALL_OR_NOTHING = f"CASE WHEN nr_accesses > 0 THEN {SIZE} ELSE 0 END"


def measure(source: RecordingSource) -> AgesReport:
    """Of the memory that is there at the end. Raises RecordingError when there is no snapshot."""
    metadata = source.recording.metadata
    measured = is_census(metadata.get("via"), metadata.get("policy"))
    targets: dict[int, IdleTimes] = {}
    newest: dict[int, int] = {}  # target → number of its last window
    for (seq, target, begin_ns, end_ns), rows in _windows(source, measured):
        targets.setdefault(target, IdleTimes()).window(begin_ns, end_ns, rows)
        newest[target] = seq
    if not targets:
        raise source.nothing()
    last = max(newest.values())
    alive = [idle for target, idle in targets.items() if newest[target] == last]
    begin = min(idle.begin_ns or 0 for idle in targets.values())
    return AgesReport.of(alive, begin, grain_of(source.recording), measured=measured)


def document(report: AgesReport) -> dict[str, Any]:
    """The JSON document."""
    return {"schema": 1, **ages.document(report)}


def _windows(
    source: RecordingSource, measured: bool
) -> Iterator[tuple[tuple[int, int, int, int], list[Seen]]]:
    """(seq, target, begin, end) of each window, and its regions."""
    most = "CAST(touched AS DOUBLE)" if measured else ALL_OR_NOTHING
    least = f"least({sure(source)}, CAST(touched AS DOUBLE))" if measured else ALL_OR_NOTHING
    for part in source.in_parts(REGIONS.format(least=least, most=most), ROWS):
        for key, rows in groupby(part, key=itemgetter(0, 1, 2, 3)):
            regions = []
            for row in rows:
                if row[4] is not None:
                    size = row[6]
                    regions.append(Seen(row[4], row[5], size, min(row[7], size), min(row[8], size)))
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
    rows = [["idle for", "bytes", "share", "touched again after"]]
    bars = []
    for label, cold, again in zip(LABELS, report.cold, report.promoted, strict=True):
        if cold is None:
            break
        share = cold / size if size else 0.0
        again_text = "-" if again is None else format_size(again)
        rows.append([label, format_size(cold), f"{share:.0%}", again_text])
        bars.append(terminal.bar(share, max(8, terminal.width - 52)))
    shown = table(rows, ">>>>")
    lines.append(shown[0])
    lines += [text.line(line, f"  {bar}" if bar else "") for line, bar in zip(shown[1:], bars, strict=True)]
    longer = next((label for label, cold in zip(LABELS, report.cold, strict=True) if cold is None), None)
    if longer is not None:
        lines += ["", f"Watched for {watched}: nothing is known of {longer} or longer."]
    if report.why is not None:
        why = f"{'Lower bounds' if report.parts else 'Note'}: {report.why}."
        lines += ["", *wrap(why, max(40, terminal.width))]
    return text.lines(lines)
