"""The finest that a recording tells of: single pages, or mappings of which it says only how much was accessed."""

from __future__ import annotations

from collections.abc import Mapping

from udamon.model import MAPPING, MIXED, PAGE, grain, is_census, primitive
from udamon.record.reader import Recording
from udamon.report.filters import TICKS

WORDS = {
    PAGE: "ticks accessed",
    MAPPING: "resident bytes touched",
    MIXED: "ticks accessed, or of resident bytes touched",
}
"""What a rate is a share of."""

NOTE = (
    "Grain: mappings. Of each it is known which share of its resident bytes was touched in a window, and not "
    "which pages."
)

SAMPLED_NOTE = "Grain: pages, of which samples were checked: figures are estimates."

FOREIGN_NOTE = (
    "Grain: regions of another tool's file, which does not tell what was resident or touched of them: "
    "a region that was accessed at all counts with all of its addresses."
)


_SHARE = f"""
    CASE WHEN coalesce(ticks, 0) = 0 THEN NULL WHEN touched >= resident AND resident > 0 THEN CAST(1 AS DOUBLE)
        WHEN touched < resident THEN CAST(touched AS DOUBLE) / resident ELSE {TICKS} END
"""
"""Without least(), which differs between engines in what it makes of nulls."""
_RATE = f"CASE WHEN coalesce(ticks, 0) > 0 THEN coalesce(access_rate, {TICKS}) END"
"""nr_accesses is a known rate (model.Rates) rounded to whole ticks."""


def has_shares(metadata: Mapping[str, object]) -> bool:
    """Whether nr_accesses only repeats which share of a region was touched, rounded up to a tick: of a census that
    measures no rates. What was touched itself says more."""
    one = primitive(metadata.get("via"))
    return one is not None and one.kind == "census" and not one.samples


def rate_of(metadata: Mapping[str, object]) -> str:
    """SQL: the access rate 0..1 of a region, null where it has no ticks: of ticks, or the share that was touched."""
    return _SHARE if has_shares(metadata) else _RATE


def has_rates(metadata: Mapping[str, object]) -> bool:
    """Whether regions may have rates with bounds (model.Rates)."""
    one = primitive(metadata.get("via"))
    return one is not None and is_census(one.name, metadata.get("policy")) and one.samples


def is_sampled(metadata: Mapping[str, object]) -> bool:
    """Whether a region policy chose the pages that were checked: what is told of the others is inferred."""
    return metadata.get("policy") is not None and metadata.get("read_from") is None


def grain_of(recording: Recording) -> str:
    """PAGE or MAPPING; MIXED of another tool's file, which does not tell how it was made."""
    return MIXED if recording.metadata.get("read_from") is not None else grain(recording.metadata.get("via"))
