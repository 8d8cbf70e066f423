"""Bytes of every owner of memory that were used in all windows together, and that were untouched at the end.

Where mappings are the finest that was seen, a window tells how much of one was touched and not which pages, and only
bounds follow for several windows:

- Used at least: the most that was touched in one window, by the target itself for sure. At most: the sum over all
  windows, and no more than was resident.
- Not touched for a time, at least: what is resident at the end, less the sum of what was touched in the windows that
  cover that time. At most: the least that was resident and not touched in any window within that time, for memory that
  was not touched all along was there and not touched in each of them. A window that began before that time bounds
  nothing: all that was touched in it may have been before. So where no window lies within, at most all that is there.

Where single pages were seen, what was not touched for a time is what has had no access for so long by its age.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from udamon.model import MAPPING
from udamon.report import groups
from udamon.report.catalog import Catalog
from udamon.report.grain import grain_of
from udamon.report.owners import Owner, owners_of, places_of
from udamon.report.place import Axis, sums
from udamon.report.source import RecordingSource

IDLE = "nr_accesses = 0 AND (CAST(age AS DOUBLE) + 1) * ticks * sample_ns >= {age}"
SIZE = 'CAST(coalesce(resident, "end" - start) AS DOUBLE)'
"""SQL of a region: whether its age says that nothing of it was accessed for `age` ns; and its resident bytes."""
_AMOUNTS = {
    "touched": "CAST(touched AS DOUBLE)",
    "sure": "CAST({sure} AS DOUBLE)",
    "resident": SIZE,
    "private": "CASE WHEN {once} THEN CAST(coalesce(private, 0) AS DOUBLE) ELSE 0 END",
    "counted": f"CASE WHEN {{once}} THEN {SIZE} ELSE 0 END",
    "anonymous": "CASE WHEN {once} THEN CAST(coalesce(anonymous, 0) AS DOUBLE) ELSE 0 END",
    "idle": f"CASE WHEN {IDLE} THEN {SIZE} ELSE 0 END",
}
"""Of a region, in bytes: touched by anybody, by the target itself for sure, there, mapped by nothing else, there where
no other target tells of the same memory, of this neither page cache nor shared memory, idle for the time."""

SUMMED = """
    SELECT target, seq, first, last, max(time) AS time, min("begin") AS begun, {sums} FROM (
        SELECT target, seq, time, "begin", first, last, "into", over, {densities} FROM ({placed}) AS placed
    ) AS densities GROUP BY target, seq, first, last
"""
WHOLE = """
    SELECT target, seq, max(time) AS time, min("begin") AS begun, {amounts} FROM shared_regions
    WHERE start IS NOT NULL GROUP BY target, seq
"""
# Of each window of a target, what is left beside the owners is a line, too, so that nothing is left out: {rest} and on.
WINDOWS = """
    WITH owned AS (
        SELECT target, seq, name, max(time) AS time, min(begun) AS begun, {sums} FROM ({spread}) AS spread
        GROUP BY target, seq, name
    )
    SELECT * FROM owned UNION ALL
    SELECT whole.target, whole.seq, {rest} + CAST(whole.target AS BIGINT) AS name, whole.time, whole.begun, {less}
    FROM ({whole}) AS whole LEFT JOIN (
        SELECT target, seq, {sums} FROM owned GROUP BY target, seq
    ) AS known ON whole.target = known.target AND whole.seq = known.seq
"""

# Rows of a target's line in one window; `windows` has which windows each target has.
USES = """
    SELECT name, max(resident), sum(touched), max(sure),
        coalesce(sum(resident) FILTER (WHERE seq = latest), 0), coalesce(sum(private) FILTER (WHERE seq = latest), 0),
        coalesce(sum(idle) FILTER (WHERE seq = latest), 0), coalesce(sum(touched) FILTER (WHERE time > {edge}), 0),
        coalesce(min(resident - sure) FILTER (WHERE begun >= {edge}), 0),
        count(*) FILTER (WHERE begun >= {edge}), max(within)
    FROM owner_windows JOIN owner_targets ON owner_windows.target = owner_targets.target GROUP BY name
"""
TARGETS = """
    SELECT target, max(seq) AS latest,
        count(DISTINCT seq) FILTER (WHERE "begin" >= {edge}) AS within
    FROM regions GROUP BY target
"""
SPAN = 'SELECT min("begin"), max(time), max("begin") FROM regions'

AGES_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400)
"""Of a time watched, the longest of these that it holds."""


@dataclass(frozen=True, slots=True)
class OwnerBounds:
    """Memory of one owner, in bytes: `resident` at most at a time, `at_end` in the last window; `used` at least and at
    most in all windows; `cold` at least and at most at the end, for the time that was asked, None where it was not
    watched for so long; `cold_alone` of it at least in pages that nothing else maps. `owner` is None for memory of no
    known mapping."""

    target: int
    owner: Owner | None
    resident: float
    at_end: float
    used: tuple[float, float]
    cold: tuple[float, float] | None
    cold_alone: float
    cold_estimate: float | None = None
    """Where pages were sampled: `cold` then has no bounds, or those that come with this estimate."""
    used_estimate: tuple[float, float] | None = None
    """Where pages were sampled and `used` has bounds: what it is by the estimates of the windows."""


def age_of(source: RecordingSource) -> float | None:
    """The longest age of AGES_S that was watched, seconds; None where that is less than the first of them. Where
    mappings are the finest that was seen and no window is that short, the length of the last one, which does bound
    something. Raises RecordingError where there is no snapshot."""
    begin, end, last = source.query(SPAN)[0]
    if begin is None:
        raise source.nothing()
    age = max((age for age in AGES_S if age * 1e9 <= end - begin), default=None)
    if age is not None and grain_of(source.recording) == MAPPING and end - last > age * 1e9:
        return float(end - last) / 1e9
    return age


def measure(source: RecordingSource, age_s: float | None) -> list[OwnerBounds]:
    """Every owner of memory, and for each target what lies beside them; `age_s` as `age_of` has it. Raises
    RecordingError where there is no snapshot."""
    _, end, _ = source.query(SPAN)[0]
    if end is None:
        raise source.nothing()
    census = grain_of(source.recording) == MAPPING
    lasts = dict(source.query("SELECT target, max(seq) FROM regions GROUP BY target ORDER BY target"))
    last = max(lasts.values())
    ended = {info.target for info in Catalog(source.recording).targets.values() if info.ended_ns is not None}
    gone = {target for target in ended if lasts.get(target, last) < last}
    age_ns = round((age_s or 0) * 1e9)
    edge = end - age_ns
    owners = owners_in_windows(source, age_ns)
    source.keep("owner_targets", TARGETS.format(edge=edge))
    found = []
    for name, most, touched, sure, at_end, alone, idle, lately, untouched, seen, within in source.query(
        USES.format(edge=edge)
    ):
        owner = owners[name] if name < len(owners) else None
        target = owner.target if owner is not None else name - len(owners)
        at_end, untouched = (0.0, 0.0) if target in gone else (at_end, untouched)
        cold, cold_alone = None, 0.0
        if age_s is not None:
            # What was not there in one of the windows was touched since, when it came. Without a window, all may be.
            high = at_end if not within else min(untouched, at_end) if seen == within else 0.0
            cold = (min(max(at_end - lately, 0.0), high), high) if census else (min(idle, at_end),) * 2
            cold_alone = min(max(alone - lately, 0.0), high) if census else 0.0
        found.append(
            OwnerBounds(target, owner, most, at_end, (sure, max(sure, min(touched, most))), cold, cold_alone)
        )
    return [one for one in found if one.resident >= 1]


def owners_in_windows(source: RecordingSource, age_ns: int = 0) -> list[Owner]:
    """Keep a table `owner_windows` beside the source: of each window of a target a line for each of these owners (by
    number) and for what lies beside them (a larger one), with bytes as `_AMOUNTS` has them."""
    owners = owners_of(source.recording)
    amounts = {
        name: sql.format(sure=groups.sure(source), age=age_ns, once=source.filters.once)
        for name, sql in _AMOUNTS.items()
    }
    source.keep("owner_windows", _windows(source, owners, amounts))
    return owners


def _windows(source: RecordingSource, owners: Sequence[Owner], amounts: Mapping[str, str]) -> str:
    """A query: target, seq, name (the number of an owner, or as many as they are and the target's), time, begun, and
    bytes of each amount."""
    axis = Axis(source, "owner", places_of(owners)[0])
    columns = ("target", "seq", "time", '"begin"', "start", '"end"', "nr_accesses", "ticks", "sample_ns", "age",
               "touched", "resident", "private", "anonymous", "touched_min", "same_as")  # fmt: skip
    names = tuple(amounts)
    summed = SUMMED.format(
        placed=axis.placed(columns, rows="shared_regions"),
        densities=", ".join(f'{sql} / NULLIF("end" - start, 0) AS {name}' for name, sql in amounts.items()),
        sums=", ".join(sums(name, name) for name in names),
    )
    return WINDOWS.format(
        spread=axis.spread(("target", "seq", "time", "begun"), names, f"({summed}) AS summed"),
        sums=", ".join(f"sum({name}) AS {name}" for name in names),
        whole=WHOLE.format(amounts=", ".join(f"sum({sql}) AS {name}" for name, sql in amounts.items())),
        less=", ".join(f"greatest(whole.{name} - coalesce(known.{name}, 0), 0) AS {name}" for name in names),
        rest=len(owners),
    )
