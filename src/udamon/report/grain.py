"""The finest that a recording tells of: single pages, or mappings of which it says only how much was accessed."""

from __future__ import annotations

from udamon.record.reader import Recording

PAGE, MAPPING, MIXED, REGION = "page", "mapping", "mixed", "region"

MAPPINGS = {"refs"}
"""Ways of looking that tell of a mapping how much of it was accessed, and not which pages."""

WORDS = {
    PAGE: "ticks accessed",
    MAPPING: "resident bytes touched",
    REGION: "ticks accessed",
    MIXED: "ticks accessed, or of resident bytes touched",
}
"""What a rate is a share of."""

NOTE = (
    "Grain: mappings. Of each it is known how much was touched in a window, and not which pages; "
    "its rate is that share."
)


REGION_NOTE = (
    "Grain: regions of another tool's file. It does not tell what was resident or touched of them: "
    "a region that was accessed at all counts with all of its addresses."
)


def grain_of(recording: Recording) -> str:
    """PAGE, MAPPING or MIXED; REGION of another tool's file, which does not tell how it was made."""
    if recording.metadata.get("read_from") is not None:
        return REGION
    return MAPPING if recording.metadata.get("via") in MAPPINGS else PAGE
