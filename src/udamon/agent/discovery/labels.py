"""Labels that are safe to serve: printable, of bounded length, and of one service at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from udamon.text import escape

MOST = 200
"""Characters of a label's value, and of what is kept of an annotation."""

MOST_ANNOTATIONS = 32
"""Of one service."""

_ESCAPED = 3 * MOST


def bounded(text: str) -> str:
    """`text` without control characters, and of at most MOST characters: the end of a longer one is a digest of it.

    No `~` of `text` is left, which no runtime allows in a name, so that what stands behind one is ours.
    """
    shown = str(escape(text[:_ESCAPED], plain=False)).replace("~", r"\x7e")
    if len(text) <= _ESCAPED and len(shown) <= MOST:
        return shown
    return f"{shown[: MOST - 9]}~{_digest(text)}"


def selectable(found: Iterable[tuple[object, object]]) -> dict[str, str]:
    """Of texts only, the first MOST_ANNOTATIONS in the order of their keys; one that is too long is left out, since a
    part of it could match what the whole does not."""
    kept = sorted(
        (key, value)
        for key, value in found
        if isinstance(key, str) and isinstance(value, str) and len(key) <= MOST and len(value) <= MOST
    )
    return dict(kept[:MOST_ANNOTATIONS])


Labels = tuple[tuple[str, str], ...]


class Unique:
    """Labels by service. The first service that wants some labels gets them unchanged; others get a mark at the last
    label until they are free, so that no two series of metrics are one, and a copy takes no name away."""

    def __init__(self) -> None:
        self._wanted: dict[Labels, dict[str, None]] = {}
        self._of: dict[str, Labels] = {}

    def want(self, key: str, labels: Mapping[str, str]) -> str | None:
        """The service `key` wants these from now on; answers the service that gets those it wanted before."""
        asked = tuple(labels.items())
        if self._of.get(key) == asked:
            return None
        freed = self.free(key)
        self._of[key] = asked
        self._wanted.setdefault(asked, {})[key] = None
        return freed

    def labels(self, key: str) -> dict[str, str]:
        """Those of a service that wants some."""
        asked = self._of[key]
        if next(iter(self._wanted[asked])) == key:
            return dict(asked)
        last, value = asked[-1]
        return {**dict(asked), last: f"{value}~{_digest(key)}"}

    def free(self, key: str) -> str | None:
        """The service has ended; answers the service that gets its labels now."""
        asked = self._of.pop(key, None)
        if asked is None:
            return None
        askers = self._wanted[asked]
        had = next(iter(askers)) == key
        del askers[key]
        if not askers:
            del self._wanted[asked]
            return None
        return next(iter(askers)) if had else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
