"""Which of the objects of a location can be read: found once, before an engine reads any of them.

One object that was cut off, is something else or may not be read would end a query over thousands. All engines get the
same list of objects, and what is left out is named. The check reads the end of each object (udamon.fleet.footers);
where an engine fails all the same, `read_through` reads objects whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from udamon.errors import CannotError
from udamon.fleet.apart import nulls_in
from udamon.fleet.footers import FooterColumn, NotParquet, columns
from udamon.fleet.listing import DamagedObject, Dates, Day, ListedObjects, visible
from udamon.fleet.objects import UnreadableParquet
from udamon.fleet.store import BucketStore, Directory, ObjectUnreadable, Store, Stored
from udamon.fleet.tables import Table, Type

AT_ONCE = 32
"""Requests to a remote store at a time: each waits far longer than it computes."""

_UNUSUAL = re.compile(r"[][{}*?\\\x00-\x1f\x7f\ud800-\udfff]|(?:^|/)[._][^/]*$|:[^/]*$")
"""In a path: what Spark takes as a pattern, control characters, and bytes that are not UTF-8; in a name: what Spark
passes over as hidden (. and _), or cannot open in a directory (colons). Names of objects have none of these. Names of
copies that a person made beside them may."""

_KINDS = {
    Type.INT64: "int64",
    Type.DOUBLE: "double",
    Type.TIME: "time",
    Type.STRING: "string",
    Type.INT64_LIST: "list of int64",
}


class EngineFailed(CannotError):
    """An engine could not read what it was given; an object that only reads as damaged in full may be why."""


def checked(
    store: Store, table: Table, dates: Dates = (None, None), known: Sequence[DamagedObject] = ()
) -> ListedObjects:
    """What a reader reads of some days (udamon.fleet.listing.visible): objects whose footers say that every engine can
    read them, and which are not among those `known` to be damaged. Raises CannotError."""
    return visible(store, table, dates, lambda objects: [*known, *footers_of(store, table, objects)])


def sound(store: Store, table: Table, day: Day) -> Day:
    """The day without what a reader would read and cannot. Raises CannotError."""
    return day.without(footers_of(store, table, [each for part in day.visible() for each in part]))


def footers_of(store: Store, table: Table, objects: Sequence[Stored]) -> list[DamagedObject]:
    """Those of the objects whose footers say that some engine cannot read them, or that rows have no key. Raises
    CannotError where the location does not answer."""
    return _each(store, objects, lambda each: _of_footer(store, table, each))


def read_through(store: Store, table: Table, objects: Sequence[Stored]) -> list[DamagedObject]:
    """Those of the objects that cannot be read to their end. Raises CannotError as `footers_of`."""

    def check(stored: Stored) -> DamagedObject | None:
        found = _of_footer(store, table, stored, whole=True)
        return found if found is not None and found.left_out else _of_rows(store, table, stored.path)

    return [found for found in _each(store, objects, check) if found.left_out]


def _each(
    store: Store, objects: Sequence[Stored], check: Callable[[Stored], DamagedObject | None]
) -> list[DamagedObject]:
    if isinstance(store, BucketStore) and len(objects) > 1:
        from concurrent.futures import ThreadPoolExecutor  # not in an agent, whose spool is a directory

        with ThreadPoolExecutor(min(AT_ONCE, len(objects))) as pool:
            return list(filter(None, pool.map(check, objects)))
    return list(filter(None, map(check, objects)))


_GONE = "is not there: it was removed after it was listed, or is a link that leads nowhere"


def _of_footer(store: Store, table: Table, stored: Stored, *, whole: bool = False) -> DamagedObject | None:
    path = stored.path
    if _UNUSUAL.search(path):
        return DamagedObject(path, "has a name that not every engine can open; give it another one")
    try:
        found = columns(
            stored.size, lambda begin, length: store.part(path, begin, length), table.key, whole=whole
        )
    except FileNotFoundError:
        return DamagedObject(path, _GONE)
    except ObjectUnreadable as error:
        return DamagedObject(path, error.why)
    except NotParquet as error:
        return DamagedObject(path, str(error))
    if why := _unlike(table, found):
        return DamagedObject(path, why)
    keys = {each.name: each.nulls for each in found if each.name in table.key}
    if None in keys.values():  # no statistics: only the rows themselves can tell
        return _of_rows(store, table, path)
    return _of_nulls(path, {name: nulls or 0 for name, nulls in keys.items()})


def _unlike(table: Table, found: Sequence[FooterColumn]) -> str | None:
    """Why these are not the columns of the table, as a clause; None where they are, or are some of them."""
    kinds = {each.name: each.kind for each in found}
    for each in table.columns:
        kind, wanted = kinds.get(each.name), _KINDS[each.type]
        if kind is None:
            if each.required:
                return f"has no column {each.name}, which every row of {table.name} needs"
        elif kind not in (wanted, "null"):  # null: no value of it is known
            return f"has another schema: its column {each.name} is {kind}, and not {wanted}"
    return None


def _of_nulls(path: str, nulls: dict[str, int]) -> DamagedObject | None:
    if not any(nulls.values()):
        return None
    some = ", ".join(f"{name} in {count}" for name, count in nulls.items() if count)
    return DamagedObject(path, f"has rows without a key, which are left out ({some})", left_out=False)


def _of_rows(store: Store, table: Table, path: str) -> DamagedObject | None:
    try:
        source = str(store.root / path) if isinstance(store, Directory) else store.read(path)
        nulls = nulls_in(source, table.key)
    except FileNotFoundError:
        return DamagedObject(path, _GONE)
    except ObjectUnreadable as error:
        return DamagedObject(path, error.why)
    except UnreadableParquet as error:
        return DamagedObject(path, f"is damaged inside: {error}")
    return _of_nulls(path, nulls)
