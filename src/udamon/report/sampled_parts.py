"""Parts of what a target needs and of what is cold of it, where samples have bounds for all of it alone.

Of a part, at least so much is as of all of its target, less all of the rest; and at most as much as of all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from udamon.report import sampled
from udamon.report.source import RecordingSource
from udamon.report.untouched import OwnerBounds


def needed(owners: Sequence[OwnerBounds], touched: Mapping[int, int], most: int) -> list[OwnerBounds]:
    """Of samples with bounds: the owners with those of what was needed. `touched`: of each target, at least, in one
    window, in which the rest of it had no more than it ever had. Nothing needs more than all together."""
    there = Counter[int]()
    for one in owners:
        there[one.target] += round(one.resident)
    found = []
    for one in owners:
        least = max(touched[one.target] - (there[one.target] - one.resident), 0.0)
        used = min(least, one.resident), min(max(most, least), one.resident)
        low, high = (min(max(side, used[0]), used[1]) for side in one.used)
        found.append(replace(one, used=used, used_estimate=(low, high)))
    return found


def cold(
    source: RecordingSource, owners: Sequence[OwnerBounds], age_ns: int
) -> tuple[list[OwnerBounds], tuple[int, int]]:
    """Of samples with bounds: the owners with those of what was cold, and of all together. Of a part at least so much
    is cold as of all of its target, less the rest."""
    spans = sampled.spans(source, age_ns)
    ends = {target: amounts for target, *amounts in source.query(sampled.LAST.format(spans=spans))}
    found = []
    for one in owners:
        there, low, high = ends.get(one.target, ends.get(sampled.TOGETHER_TARGET, (0.0, 0.0, 0.0)))
        most = min(one.at_end, high)
        least = min(max(low - max(there - one.at_end, 0.0), 0.0), most)
        estimate = min(max(one.cold_estimate or 0.0, least), most)
        found.append(replace(one, cold=(least, most), cold_estimate=estimate))
    return found, (
        round(sum(low for _, low, _ in ends.values())),
        round(sum(high for *_, high in ends.values())),
    )
