"""Which objects of a table a reader reads, so that each row is read once.

Compaction is published by a manifest: which compacted objects take the place of which others, for one date. A manifest
is created whole or not at all, and the newest of a date counts; before it is there compacted objects are not seen, from
then on those that they replace are not, whether they were removed or not.

Where the newest manifest of a date cannot be read, or names an object that is not there, all objects of that date are
read, as such whose rows may be in several: compacted ones have nothing but rows of the others, and of equal rows one
counts. So no row counts twice, and none is lost whose object is there. Whether an object is missing is not known where
no manifest can be read, so it is named as damaged.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from udamon import plain_json
from udamon.fleet.objects import ObjectName, compacted_date, directory, is_hour
from udamon.fleet.store import ObjectUnreadable, Store, Stored
from udamon.fleet.tables import Table

_MANIFEST = re.compile(r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})\.(?P<generation>[0-9]{6})\.json")
_MOST_BYTES = 256 << 20
"""Of a manifest: a day of 80,000 hosts, an object an hour of each."""
_LAST_GENERATION = 999_999
"""None follows it, so compaction could not publish another one."""
_UNKNOWN = (
    "which objects of its day take the place of others is not known, so all are read, each row once, and none is "
    "merged or removed; bring it back from a copy"
)
"""What a manifest that cannot be read has for a consequence, and what to do; behind the reason."""

Dates = tuple[str | None, str | None]
"""The first and the last day, like 2026-11-29; None for no limit."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Of one date: the compacted `objects`, and the paths of those that must not be read any more."""

    date: str
    generation: int
    objects: tuple[str, ...] = ()
    replaces: frozenset[str] = frozenset()
    path: str = ""
    created: float = 0.0

    @property
    def data(self) -> bytes:
        document = {
            "schema": 1, "date": self.date, "generation": self.generation,
            "objects": sorted(self.objects), "replaces": sorted(self.replaces),
        }  # fmt: skip
        return json.dumps(document, indent=0).encode()


@dataclass(frozen=True, slots=True, order=True)
class DamagedObject:
    """An object that cannot be read, or not all of it. `why` is a clause that continues its path. Where it is not
    `left_out`, its rows are read but for those that `why` says. A manifest has no rows of its own (`has_rows`)."""

    object: str
    why: str
    left_out: bool = True
    has_rows: bool = True

    @property
    def document(self) -> dict[str, str]:
        """For JSON."""
        return {"object": self.object, "why": self.why}


@dataclass(slots=True)
class Day:
    """What is there of a table and date: objects as nodes wrote them, compacted ones, and the newest manifest."""

    date: str
    raw: list[Stored] = field(default_factory=list)
    compacted: list[Stored] = field(default_factory=list)
    manifest: Manifest | None = None
    older: list[str] = field(default_factory=list)
    """Manifests that a newer one has replaced."""
    unknown: bool = False
    """A manifest may say which objects to read, and it cannot be read (it is among `damaged`, `manifest` is None), or
    names an object that is not there."""
    damaged: tuple[DamagedObject, ...] = ()
    """What was found by reading; those that are left out are neither in `raw` nor in `compacted`."""

    def visible(self) -> tuple[list[Stored], list[Stored]]:
        """The objects to read: raw and compacted ones."""
        if self.unknown:
            return self.raw, self.compacted
        if self.manifest is None:
            return self.raw, []
        there = {each.path: each for each in self.compacted}
        raw = [each for each in self.raw if each.path not in self.manifest.replaces]
        return raw, [there[path] for path in sorted(self.manifest.objects) if path in there]

    def amiss(self) -> list[DamagedObject]:
        """What is damaged, and the compacted objects that the manifest names and that are not there."""
        if self.manifest is None:
            return list(self.damaged)
        known = {each.path for each in self.compacted} | {each.object for each in self.damaged}
        why = (
            f"is missing, which {self.manifest.path} names; bring it back from a copy, or remove that manifest where "
            "the objects that it replaces are still there"
        )
        gone = sorted(set(self.manifest.objects) - known)
        return [*self.damaged, *(DamagedObject(path, why) for path in gone)]

    def without(self, damaged: Iterable[DamagedObject]) -> Day:
        """The same without damaged objects; those that a reader would not read do not matter."""
        wanted = {each.path for part in self.visible() for each in part}
        found = [each for each in damaged if each.object in wanted]
        out = {each.object for each in found if each.left_out}
        return replace(
            self,
            raw=[each for each in self.raw if each.path not in out],
            compacted=[each for each in self.compacted if each.path not in out],
            damaged=(*self.damaged, *found),
        )

    def divided(self) -> tuple[list[Stored], list[Stored]]:
        """The objects to read: those whose rows are in no other, and those whose rows may be."""
        raw, compacted = self.visible()
        if self.unknown or (raw and compacted):  # late ones, whose rows may be among the compacted
            return [], [*raw, *compacted]
        often = Counter(map(_host_and_hour, raw))
        once = [each for each in raw if often[_host_and_hour(each)] == 1]
        return once + compacted, [each for each in raw if often[_host_and_hour(each)] > 1]

    def objects(self) -> ListedObjects:
        """The same by path, with what is damaged."""
        return ListedObjects.of(*self.divided(), self.amiss())


@dataclass(frozen=True, slots=True)
class ListedObjects:
    """Paths below a location. A row of `once` is in one object alone, a row of `repeated` may be in several. `stored`
    has both; `damaged` are objects that are not read, or not all of them."""

    once: tuple[str, ...]
    repeated: tuple[str, ...]
    stored: tuple[Stored, ...]
    damaged: tuple[DamagedObject, ...] = ()

    @classmethod
    def of(
        cls, once: list[Stored], repeated: list[Stored], damaged: Sequence[DamagedObject] = ()
    ) -> ListedObjects:
        return cls(_paths(once), _paths(repeated), (*once, *repeated), tuple(sorted(set(damaged))))

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.once, *self.repeated)

    @property
    def bytes(self) -> int:
        return sum(each.size for each in self.stored)


def manifest_path(table: Table, date: str, generation: int) -> str:
    """Where the manifest of a date and generation lies."""
    return f"{_manifests(table)}/{date}.{generation:06d}.json"


def _manifests(table: Table) -> str:
    return f"{directory(table)}/_manifest"


def days(store: Store, table: Table) -> tuple[dict[str, Day], list[Stored]]:
    """What is there of a table, by date, and Parquet files that are not called as objects are. Raises CannotError."""
    found: dict[str, Day] = {}
    others: list[Stored] = []
    manifests: dict[str, list[tuple[int, Stored]]] = {}
    for stored in store.list(directory(table)):
        if generation := _generation(table, stored.path):
            manifests.setdefault(generation[0], []).append((generation[1], stored))
        elif date := compacted_date(stored.path):
            found.setdefault(date, Day(date)).compacted.append(stored)
        elif name := ObjectName.parse(stored.path):
            found.setdefault(name.date, Day(name.date)).raw.append(stored)
        elif stored.path.endswith(".parquet"):
            others.append(stored)
    for date, known in manifests.items():
        *older, (number, newest) = sorted(known)
        day = found.setdefault(date, Day(date))
        day.older = [stored.path for _, stored in older]
        try:
            day.manifest = _read(store, table, date, number, newest)
            # What it replaces may be there still.
            day.unknown = not {each.path for each in day.compacted}.issuperset(day.manifest.objects)
        except _Unreadable as error:
            _not_known(day, newest.path, str(error))
    _mark_not_listed(store, table, found)
    return found, others


def _generation(table: Table, path: str) -> tuple[str, int] | None:
    """Date and generation of a manifest; None for the path of anything else."""
    place, _, name = path.rpartition("/")
    match = _MANIFEST.fullmatch(name) if place == _manifests(table) else None
    return (match["date"], int(match["generation"])) if match and is_hour(match["date"]) else None


def _not_known(day: Day, path: str, why: str) -> None:
    day.manifest, day.unknown = None, True
    day.damaged = (*day.damaged, DamagedObject(path, f"{why}; {_UNKNOWN}", left_out=False, has_rows=False))


def _mark_not_listed(store: Store, table: Table, found: dict[str, Day]) -> None:
    """Days whose manifest may be in what could not be listed."""
    for path, why in store.passed_over.items():
        if path == _manifests(table):
            for day in found.values():
                if day.compacted:
                    _not_known(day, path, f"cannot be listed ({why})")
        elif (generation := _generation(table, path)) and generation[0] in found:
            _not_known(found[generation[0]], path, f"cannot be read ({why})")


class _Unreadable(Exception):
    """A manifest that cannot be believed. The message is the reason, a clause that continues its path."""


def _read(store: Store, table: Table, date: str, generation: int, stored: Stored) -> Manifest:
    """Raises _Unreadable; CannotError where the location does not answer."""
    try:
        if stored.size > _MOST_BYTES:
            raise ValueError("is larger than any that compaction writes")
        if generation >= _LAST_GENERATION:
            raise ValueError("has the last number there is")
        document = plain_json.read_object(store.read(stored.path))
        objects, replaces = _contents(document, table, date, generation)
    except FileNotFoundError as error:
        raise _Unreadable(
            "is not there: it is a link that leads nowhere, or was removed meanwhile"
        ) from error
    except ObjectUnreadable as error:
        raise _Unreadable(error.why) from error
    except ValueError as error:
        raise _Unreadable(f"cannot be believed: it {error}") from error
    return Manifest(date, generation, tuple(objects), frozenset(replaces), stored.path, stored.created)


def _contents(
    document: Mapping[str, Any], table: Table, date: str, generation: int
) -> tuple[list[str], list[str]]:
    """The objects that a manifest names, and those that it replaces. Raises ValueError, with a clause."""
    found = [document.get(key) for key in ("schema", "date", "generation")]
    if type(found[0]) is not int or found[0] != 1:
        raise ValueError("is of another version")
    if type(found[2]) is not int or found[1:] != [date, generation]:
        raise ValueError("is of another date or generation than its name says")
    lists = [document.get(key) for key in ("objects", "replaces")]
    for paths in lists:
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise ValueError("lacks a list of objects")
    objects, replaces = lists[0] or [], lists[1] or []
    begin = f"{directory(table)}/date={date}/"
    if not all(path.startswith(begin) and compacted_date(path) for path in objects):
        raise ValueError("names something else than compacted objects of its day")
    # Compaction removes what is replaced: nothing that is to be read, and nothing of another day or table.
    if not all(
        path.startswith(begin) and (ObjectName.parse(path) or compacted_date(path)) for path in replaces
    ):
        raise ValueError("replaces something else than objects of its day")
    if len({*objects, *replaces}) < len(objects) + len(replaces):
        raise ValueError("names an object twice")
    return objects, replaces


Check = Callable[[Sequence[Stored]], Sequence[DamagedObject]]
"""Which of some objects are damaged."""


def visible(
    store: Store,
    table: Table,
    dates: Dates = (None, None),
    check: Check = lambda _: (),
) -> ListedObjects:
    """What a reader reads of the days from the first to the last of `dates` (None: no limit), without what `check`
    finds damaged. Raises CannotError."""
    first, last = dates
    by_date, others = days(store, table)
    wanted = [
        day
        for date, day in sorted(by_date.items())
        if (first is None or date >= first) and (last is None or date <= last)
    ]
    found = check([*others, *(each for day in wanted for part in day.visible() for each in part)])
    out = {each.object for each in found if each.left_out}
    once: list[Stored] = []
    repeated = [each for each in others if each.path not in out]
    unnamed = {each.path for each in others}
    damaged = [each for each in found if each.object in unnamed]
    for day in wanted:
        sound = day.without(found)
        of_day = sound.divided()
        once += of_day[0]
        repeated += of_day[1]
        damaged += sound.amiss()
    if not unnamed <= out:  # nothing tells which hosts and hours they have rows of
        once, repeated = [], [*repeated, *once]
    return ListedObjects.of(once, repeated, damaged)


def _paths(found: Iterable[Stored]) -> tuple[str, ...]:
    return tuple(sorted(each.path for each in found))


def _host_and_hour(stored: Stored) -> tuple[str, str]:
    name = ObjectName.parse(stored.path)
    assert name is not None  # days() has put it among the raw ones
    return name.host, name.hour
