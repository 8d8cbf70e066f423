"""From a node's spool to the fleet's location, each object once."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from time import monotonic, sleep

from udamon.errors import CannotError, UsageError
from udamon.fleet.listing import DamagedObject
from udamon.fleet.objects import ObjectName, digest_of
from udamon.fleet.spool import objects
from udamon.fleet.store import Directory, ObjectUnreadable, Store

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0


@dataclass(slots=True)
class Uploaded:
    """What was done. `failure` is why objects are `left`, as a sentence; `damaged` are those of them that cannot be
    uploaded, and will not be when it is tried again."""

    objects: int = 0
    bytes: int = 0
    left: int = 0
    tries: int = 0
    failure: str | None = None
    damaged: list[DamagedObject] = field(default_factory=list)


def upload(
    spool: str | os.PathLike[str],
    store: Store,
    patience_s: float = 0.0,
    *,
    wait: Callable[[float], None] = sleep,
    random: Random | None = None,
) -> Uploaded:
    """Create the objects of the spool in the store, oldest first, and remove them from the spool.

    An object is removed only after the store has it, and creating one again changes nothing: so whenever this is
    killed, nothing is lost and nothing is there twice. What fails is tried again for `patience_s` seconds, after waits
    that double, with a random part so that a fleet does not come back in step. An object that is damaged, in the spool
    or where it should go, stays and keeps no other from its place. Raises UsageError where the store is the
    spool or lies in it: what is there already would be removed.
    """
    done, source, begin = Uploaded(), Directory(spool), monotonic()
    if isinstance(store, Directory) and _lies_in(store, source):
        raise UsageError(f"{store.location} is the spool itself, or lies in it; give another location.")
    random = Random() if random is None else random
    pause = FIRST_WAIT_S
    while True:
        done.damaged, done.failure, before = [], None, done.objects
        waiting = list(objects(source))
        done.left = len(waiting)
        for stored in waiting:
            try:
                size = _moved(source, store, stored.path, done)
            except CannotError as error:
                done.failure = str(error)
                break
            if size is not None:
                done.objects += 1
                done.bytes += size
            done.left -= 1
        done.left += len(done.damaged)
        if done.failure is None or monotonic() - begin >= patience_s:
            return _told(done)
        if done.objects > before:
            pause = FIRST_WAIT_S
        wait(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_WAIT_S)


def _told(done: Uploaded) -> Uploaded:
    if done.failure is None and done.damaged:
        done.failure = (
            f"damaged objects stay in the spool ({len(done.damaged)}), and keep no other from its place."
        )
    return done


def _moved(source: Directory, store: Store, path: str, done: Uploaded) -> int | None:
    """The object's size; None where it was not uploaded, since it is gone or damaged. Raises CannotError where another
    try may succeed."""
    try:
        data = source.read(path)
    except FileNotFoundError:  # the ring has dropped it meanwhile
        return None
    except ObjectUnreadable as error:
        done.damaged.append(DamagedObject(path, error.why))
        return None
    name = ObjectName.parse(path)
    if name is None or name.digest != digest_of(data):
        done.damaged.append(
            DamagedObject(path, "has other bytes than its name says; remove it from the spool")
        )
        return None
    done.tries += 1
    if not store.create(path, data):
        try:
            same = store.read(path) == data
        except FileNotFoundError:
            raise CannotError(f"{store.location}/{path} vanished; try again.") from None
        if not same:
            why = f"is something else in {store.location}, which is no whole object; remove it there"
            done.damaged.append(DamagedObject(path, why))
            return None
    source.delete(path)
    return len(data)


def _lies_in(inner: Directory, outer: Directory) -> bool:
    place = inner.root.resolve()
    known = outer.root.stat()
    return any(
        os.path.exists(each) and os.path.samestat(each.stat(), known) for each in (place, *place.parents)
    )
