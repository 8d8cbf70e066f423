"""Many small objects of a closed day into few large ones, published by a manifest (udamon.fleet.listing).

A day is merged in this order, and may be killed after every step: compacted objects are created, which nobody reads;
the manifest is created, whole or not at all, which puts them in the place of others; after a time of grace, in which
readers that have listed the old objects end, these are removed. Two at once create the same generation of the
manifest, and only one of them can: the other's objects are never read, and are removed later.

Objects that cannot be read stay where they are, and no manifest replaces them. While a manifest cannot be read, or a
compacted object that it names is damaged or missing, its day stays as it is: what it replaced may be the only copy of
its rows, and rows that come late may be among those that cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path
from time import time

from udamon.errors import CannotError
from udamon.fleet.damage import EngineFailed, footers_of, read_through, sound
from udamon.fleet.listing import DamagedObject, Day, ListedObjects, Manifest, days, manifest_path
from udamon.fleet.objects import compacted_date, compacted_path
from udamon.fleet.store import Store
from udamon.fleet.tables import Table

OBJECT_BYTES = 384 << 20
"""What compacted objects are cut at; a day that has less is one object."""

GRACE_S = 3600.0
"""For how long objects stay that a manifest has replaced: longer than a query takes."""

CLOSED_S = 6 * 3600.0
"""After its end a day counts as closed; what comes later is merged by the next run."""

UNPUBLISHED_S = 86400.0
"""After which time compacted objects without a manifest were left by a run that was killed."""

Merge = Callable[[ListedObjects, Path], list[Path]]
"""Rows of objects, each fact once and sorted, as files in a directory."""


@dataclass(slots=True)
class Compacted:
    """What was done to one table. `days` were merged, `removed` counts objects that nobody reads any more."""

    days: int = 0
    merged_objects: int = 0
    made_objects: int = 0
    bytes: int = 0
    removed: int = 0
    damaged: dict[str, DamagedObject] = field(default_factory=dict)
    """By path: what cannot be read, or not all of it."""


def compact(
    store: Store,
    table: Table,
    merge: Merge,
    work: Path,
    *,
    now: float,
    grace_s: float = GRACE_S,
    closed_s: float = CLOSED_S,
) -> Compacted:
    """Merge every closed day that has two objects or more which no manifest replaces, and remove what was replaced
    `grace_s` ago. `now` is seconds since 1970. Raises CannotError."""
    done = Compacted()
    for day in closed_days(store, table, now, closed_s):
        _merge_day(store, table, day, merge, work / day.date, done)
    found, _ = days(store, table)
    for day in found.values():
        done.removed += _remove(store, table, day, grace_s, done)
    return done


def closed_days(store: Store, table: Table, now: float, closed_s: float) -> list[Day]:
    """The days that ended `closed_s` before `now`, from the first on. Raises CannotError."""
    found, _ = days(store, table)
    return [day for date, day in sorted(found.items()) if _end_of(date) + closed_s <= now]


def _end_of(date: str) -> float:
    return datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() + 86400


def _merge_day(store: Store, table: Table, day: Day, merge: Merge, work: Path, done: Compacted) -> None:
    if day.unknown:
        done.damaged |= {each.object: each for each in day.amiss()}
        return
    if not day.visible()[0]:
        return
    found = _merged(store, table, day, merge, work, done)
    if found is None:
        return
    sources, files = found
    made: list[str] = []
    there = {each.path for each in [*day.raw, *day.compacted]}
    for file in files:
        path = compacted_path(table, day.date, _digest(file))
        made.append(path)
        done.bytes += file.stat().st_size
        if path not in there:  # as a run that was killed left it
            store.upload(path, file)
        file.unlink()
    old = day.manifest or Manifest(day.date, 0)
    # What was replaced before and is gone needs no mention: if it comes again, its rows are found twice and count once.
    replaces = (old.replaces & there | sources) - set(made)
    manifest = Manifest(day.date, old.generation + 1, tuple(made), replaces)
    if not store.create(manifest_path(table, day.date, manifest.generation), manifest.data):
        raise CannotError(
            f"{store.location} is compacted by somebody else at this moment; nothing is lost, run it again later."
        )
    done.days += 1
    done.merged_objects += len(sources)
    done.made_objects += len(made)


def _merged(
    store: Store, table: Table, day: Day, merge: Merge, work: Path, done: Compacted
) -> tuple[set[str], list[Path]] | None:
    """The objects that were merged and the files they became; None where there is nothing to merge."""
    day = sound(store, table, day)
    work.mkdir()
    for attempt in count():
        # Also objects of which some rows can be read stay as they are.
        whole = day.without([replace(each, left_out=True) for each in day.damaged])
        done.damaged |= {each.object: each for each in day.amiss()}
        raw, compacted = whole.visible()
        if (
            not raw
            or len(raw) + len(compacted) < 2
            or any(compacted_date(each.object) for each in day.amiss())
        ):
            return None
        objects, place = whole.objects(), work / str(attempt)
        place.mkdir()
        try:
            return set(objects.all), merge(objects, place)
        except EngineFailed:
            found = read_through(store, table, objects.stored)
            if not found:
                raise
            day = day.without(found)
    raise AssertionError  # count() has no end


def _remove(store: Store, table: Table, day: Day, grace_s: float, done: Compacted) -> int:
    """Objects that no reader can want: replaced by a manifest that is old enough, or never published."""
    if day.manifest is None or time() - day.manifest.created < grace_s:
        return 0
    gone = [each.path for each in [*day.raw, *day.compacted] if each.path in day.manifest.replaces]
    named = {*day.manifest.objects, *gone}
    # Of a run that ended before its manifest: old enough that it does not run any more.
    unpublished = [
        each.path
        for each in day.compacted
        if each.path not in named and time() - each.created >= UNPUBLISHED_S
    ]
    if not gone and not unpublished and not day.older:
        return 0
    if broken := day.without(footers_of(store, table, day.visible()[1])).amiss():
        done.damaged |= {each.object: each for each in broken}
        return 0
    return _delete(store, [*gone, *unpublished, *day.older])


def _delete(store: Store, paths: Iterable[str]) -> int:
    removed = 0
    for path in paths:
        store.delete(path)
        removed += 1
    return removed


def _digest(file: Path) -> str:
    found = sha256()
    with file.open("rb") as data:
        while piece := data.read(1 << 20):
            found.update(piece)
    return found.hexdigest()[:12]
