"""The finest that a recording tells of: single pages, or mappings of which it says only how much was accessed."""

from __future__ import annotations

from udamon.model import MAPPING, MIXED, PAGE, grain
from udamon.record.reader import Recording

WORDS = {
    PAGE: "ticks accessed",
    MAPPING: "resident bytes touched",
    MIXED: "ticks accessed, or of resident bytes touched",
}
"""What a rate is a share of."""

NOTE = (
    "Grain: mappings. Of each it is known how much was touched in a window, and not which pages; "
    "its rate is that share."
)


FOREIGN_NOTE = (
    "Grain: regions of another tool's file, which does not tell what was resident or touched of them: "
    "a region that was accessed at all counts with all of its addresses."
)


def grain_of(recording: Recording) -> str:
    """PAGE or MAPPING; MIXED of another tool's file, which does not tell how it was made."""
    return MIXED if recording.metadata.get("read_from") is not None else grain(recording.metadata.get("via"))
