"""What every JSON document about a recording has, whatever it reports."""

from __future__ import annotations

from typing import Any

from udamon.report.source import Source


def common(source: Source) -> dict[str, Any]:
    """The keys: `sees` (what counts as an access, None where an older recording does not say); `damaged`, what is
    missing: numbers of snapshots, None where none is or nothing tells."""
    return {
        "sees": source.recording.metadata.get("sees"),
        "damaged": [
            {
                "file": str(damage.path),
                "offset": damage.offset,
                "first_snapshot": damage.first,
                "last_snapshot": damage.last,
            }
            for recording in source.recordings
            for damage in recording.damaged
        ],
    }
