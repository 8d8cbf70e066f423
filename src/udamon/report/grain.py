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


def grain_of(recording: Recording) -> str:
    """PAGE or MAPPING."""
    return grain(recording.metadata.get("via"))
