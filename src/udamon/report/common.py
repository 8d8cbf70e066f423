"""What every report of a recording says of it: keys that every JSON document has, and lines behind every text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from udamon.availability.others import RECLAIM
from udamon.model import MAPPING, MIXED, WRITES_ONLY
from udamon.record.reader import Recording
from udamon.report.filters import ALL
from udamon.report.grain import FOREIGN_NOTE, NOTE, SAMPLED_NOTE, grain_of, is_sampled
from udamon.report.source import RecordingSource
from udamon.targets.coverage import document, line
from udamon.units import format_time

CUT = (
    "Where --address cuts a mapping, what was touched of it is taken to be spread evenly: figures of the part are "
    "estimates, and no bounds."
)

UNFINISHED = "its recorder still runs, or was ended before it closed the file"


def common_keys(source: RecordingSource) -> dict[str, Any]:
    """Keys of every document.

    `sees` says what counts as an access, `marked_by_others` whether accesses of others may be among them, and
    `taken_by_others` who cleared accessed bits beside the monitor, so that more may have been accessed; null where an
    older recording does not say. `damaged` is what is missing: numbers of snapshots, null where none is or
    nothing tells.
    """
    recording = source.recording
    damaged = [
        {
            "file": str(damage.path),
            "offset": damage.offset,
            "first_snapshot": damage.first,
            "last_snapshot": damage.last,
        }
        for one in source.recordings
        for damage in one.damaged
    ]
    return keys_of(
        recording.metadata | {"grain": grain_of(recording)},
        _last(recording, "cost"),
        coverage(recording),
        warmup_s=source.warmup_ns / 1e9,
        damaged=damaged,
    )


def keys_of(
    metadata: Mapping[str, object],
    cost: Mapping[str, object],
    coverage: Mapping[str, Any],
    *,
    warmup_s: float = 0.0,
    damaged: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The same keys, from the metadata of a recording, the data of its last `cost` event and the document of its
    coverage."""
    return {
        "sees": metadata.get("sees"),
        "marked_by_others": metadata.get("marked_by_others"),
        "taken_by_others": _taken_by(metadata, cost),
        "grain": metadata.get("grain"),
        "coverage": coverage,
        "warmup_left_out_seconds": warmup_s,
        "damaged": list(damaged),
    }


def common_lines(source: RecordingSource, *, told: bool = False) -> list[str]:
    """What must be said beside any figure of the recording, a sentence each; without coverage where that was `told`."""
    recording = source.recording
    notes = {MAPPING: NOTE, MIXED: FOREIGN_NOTE}
    lines = [notes[grain]] if (grain := grain_of(recording)) in notes else []
    if is_sampled(recording.metadata):
        lines.append(SAMPLED_NOTE)
    if grain == MAPPING and source.filters.address != ALL:
        lines.append(CUT)
    if recording.metadata.get("sees") == WRITES_ONLY:
        lines.append("Writes only: memory that was merely read counts as not accessed.")
    if recording.metadata.get("marked_by_others") in ("yes", "maybe"):
        lines.append(
            "In-kernel DAMON watched physical memory beside this, or may have: "
            "files and shared memory are upper bounds."
        )
    if taken := taken_by_others(recording):
        lines.append(f"Accessed bits were cleared by {' and '.join(taken)}: more may have been accessed.")
    if recording.truncated:
        lines.append(f"The recording has no end: {UNFINISHED}.")
    if not told and (text := line(coverage(recording))):
        lines.append(text)
    if source.warmup_ns:
        lines.append(
            f"Without the warm-up, the first {format_time(source.warmup_ns / 1e9)} (--include-warmup)."
        )
    return lines


def lines_of_both(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Such sentences of two recordings: what is said of one alone has its name in front."""
    return [
        *(line if line in after else f"Before: {line}" for line in before),
        *(f"After: {line}" for line in after if line not in before),
    ]


def damage_lines(source: RecordingSource) -> list[str]:
    """What is missing, a sentence for each place. Commands say it on standard error, so it is for files that outlive
    them."""
    return [damage.sentence for damage in source.recording.damaged]


def taken_by_others(recording: Recording) -> list[str] | None:
    """Which other programs cleared accessed bits, in words; None if an older recording does not say."""
    return _taken_by(recording.metadata, _last(recording, "cost"))


def _taken_by(metadata: Mapping[str, object], cost: Mapping[str, object]) -> list[str] | None:
    """The same of a recording's metadata and its last `cost` event."""
    found = metadata.get("taken_by_others")
    if not isinstance(found, list):
        return None
    return [*map(str, found), *([RECLAIM] if cost.get("reclaim_pages") else [])]


def _last(recording: Recording, name: str) -> Mapping[str, object]:
    """The data of the last event of that name; {} where there is none."""
    messages = [place for place in recording.messages() if place[1].events]
    for at in reversed(messages):
        found = [event.data for event in recording.events_of([at]) if event.name == name]
        if found:
            return found[-1]
    return {}


def missed_processes(source: RecordingSource) -> int:
    """How many processes were wanted and not seen; 0 where nothing tells, and where targets are chosen, which were."""
    return 0 if source.filters.targets else coverage(source.recording)["processes_missed"] or 0


def coverage(recording: Recording) -> dict[str, Any]:
    """How many of the processes that were wanted were seen, how many were missed, and the bytes of these.

    The number and the bytes of these are null where they are not known, and `why` says why. Where `exact` is false,
    more may have been missed.
    """
    metadata = recording.metadata
    if metadata.get("ops") == "paddr" or metadata.get("via") == "sim":
        return document({"exact": True}, complete=True)
    messages = [place for place in recording.messages() if place[1].events]
    started: set[int] = set()
    for at in reversed(messages):
        found = None
        for event in recording.events_of([at]):
            if event.name == "coverage":
                found = event.data
            elif event.name == "target_start" and event.data.get("pid") is not None:
                started.add(int(str(event.data["target"])))
        if found is not None:
            return document(found)
    return document({"processes_seen": len(started), "why": "the recording does not say what was missed"})
