"""What every report of a recording says of it: keys that every JSON document has, and lines behind every text."""

from __future__ import annotations

from typing import Any

from udamon.model import WRITES_ONLY
from udamon.ops.coverage import document, line
from udamon.record.reader import Recording
from udamon.report.grain import MAPPING, NOTE, grain_of


def common_keys(recording: Recording) -> dict[str, Any]:
    """Keys of every document.

    `sees` says what counts as an access, and `marked_by_others` whether accesses of others may be among them; null
    where an older recording does not say.
    """
    return {
        "sees": recording.metadata.get("sees"),
        "marked_by_others": recording.metadata.get("marked_by_others"),
        "grain": grain_of(recording),
        "coverage": coverage(recording),
    }


def common_lines(recording: Recording, *, told: bool = False) -> list[str]:
    """What must be said beside any figure of the recording, a sentence each; without coverage where that was `told`."""
    lines = [NOTE] if grain_of(recording) == MAPPING else []
    if recording.metadata.get("sees") == WRITES_ONLY:
        lines.append("Writes only: memory that was merely read counts as not accessed.")
    if recording.metadata.get("marked_by_others") in ("yes", "maybe"):
        lines.append(
            "In-kernel DAMON watched physical memory beside this, or may have: "
            "files and shared memory are upper bounds."
        )
    if not told and (text := line(coverage(recording))):
        lines.append(text)
    return lines


def coverage(recording: Recording) -> dict[str, Any]:
    """How many of the processes that were wanted were seen, how many were missed, and the bytes of these.

    `processes_missed` and `bytes_missed` are null where nobody knows, and `why` says why. Where `exact` is false, more
    may have been missed.
    """
    metadata = recording.metadata
    if metadata.get("ops") == "paddr" or metadata.get("via") == "sim":
        return document({"exact": True}, complete=True)
    messages = [(path, message) for path, message in recording.messages() if message.events]
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
