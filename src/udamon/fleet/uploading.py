"""From a node's spool to the fleet's location, each object once."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from time import monotonic, sleep

from udamon.errors import CannotError, UsageError
from udamon.fleet.spool import objects
from udamon.fleet.store import Directory, Store

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0


@dataclass(slots=True)
class Uploaded:
    """What was done. `failure` is why objects are `left`, as a sentence."""

    objects: int = 0
    bytes: int = 0
    left: int = 0
    tries: int = 0
    failure: str | None = None


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
    that double, with a random part so that a fleet does not come back in step. Raises UsageError where the store is the
    spool or lies in it: what is there already would be removed.
    """
    done, source, begin = Uploaded(), Directory(spool), monotonic()
    if isinstance(store, Directory) and _lies_in(store, source):
        raise UsageError(f"{store.location} is the spool itself, or lies in it; give another location.")
    random = Random() if random is None else random
    pause = FIRST_WAIT_S
    while True:
        waiting = list(objects(source))
        done.left, done.failure = len(waiting), None
        for stored in waiting:
            try:
                data = source.read(stored.path)
            except FileNotFoundError:  # the ring has dropped it meanwhile
                done.left -= 1
                continue
            done.tries += 1
            try:
                _put(store, stored.path, data)
            except CannotError as error:
                done.failure = str(error)
                break
            source.delete(stored.path)
            done.objects += 1
            done.bytes += len(data)
            done.left -= 1
            pause = FIRST_WAIT_S
        if done.failure is None or monotonic() - begin >= patience_s:
            return done
        wait(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_WAIT_S)


def _put(store: Store, path: str, data: bytes) -> None:
    """Raises CannotError, also where something else has that path: the digest in it does not prove what is there."""
    if store.create(path, data):
        return
    try:
        same = store.read(path) == data
    except FileNotFoundError:
        same = False
    if not same:
        raise CannotError(
            f"{store.location} has something else at {path}, which is no whole object; remove it there."
        )


def _lies_in(inner: Directory, outer: Directory) -> bool:
    place = inner.root.resolve()
    known = outer.root.stat()
    return any(each.exists() and os.path.samestat(each.stat(), known) for each in (place, *place.parents))
