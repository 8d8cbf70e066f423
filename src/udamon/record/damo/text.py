"""damo's JSON as a stream: the values around the regions one by one, the regions as columns."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from itertools import chain
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udamon.errors import RecordingError
from udamon.native._native import damo_scan

if TYPE_CHECKING:
    from udamon.native._native import DamoRegions
from udamon import plain_json
from udamon.plain_json import JsonError, TooDeep
from udamon.record.chunks import Progress, chunks, silent
from udamon.record.limits import DEFAULT, ReadLimits

_CODES = "QQIIQ"
LARGEST_VALUE = 1 << 20
"""Characters of one value outside of the regions, such as a snapshot without its regions."""

USUAL_VALUES, MOST_OVER, VALUE_COST = 1024, 1 << 24, 32
"""Characters of keys and values that a record or a snapshot may have, each with this many more; and how many more all
of them may have together. Python takes a quarter of a second to pass over a MiB of small values that nobody asked for,
and a MiB of them takes a KiB of a compressed file."""


class Columns:
    """Regions that were read and not taken yet: start, end, nr_accesses, age, touched."""

    def __init__(self) -> None:
        self.arrays = [array(code) for code in _CODES]
        self.odd: dict[int, tuple[float, float]] = {}
        """Index among all regions of the text → age in us and nr_accesses in per cent, negative if not given."""
        self.taken = 0

    def add(self, found: DamoRegions) -> None:
        """Append what a scan found."""
        first = self.taken + len(self.arrays[0])
        new = (found.start, found.end, found.nr_accesses, found.age, found.touched)
        for values, more in zip(self.arrays, new, strict=True):
            values += more
        triples = iter(found.odd)
        for index, usec, percent in zip(triples, triples, triples, strict=True):
            self.odd[first + int(index)] = usec, percent

    def take(self, count: int) -> tuple[list[array[int]], dict[int, tuple[float, float]]]:
        """The next `count` regions, and what is odd by index in them. Raises ValueError when there are fewer."""
        if count > len(self.arrays[0]):
            raise ValueError("its regions are not a list")
        taken = [values[:count] for values in self.arrays]
        for values in self.arrays:
            del values[:count]
        odd = {}
        if self.odd:
            rows = [row for row in self.odd if row < self.taken + count]
            odd = {row - self.taken: self.odd.pop(row) for row in rows}
        self.taken += count
        return taken, odd


class DamoText:
    """Reads one file from its beginning; `value` and `sign` move on in what is around the regions.

    Raises RecordingError with the place in the (uncompressed) text.
    """

    def __init__(
        self, path: Path, *, compressed: bool, progress: Progress = silent, limits: ReadLimits = DEFAULT
    ) -> None:
        self.path = path
        self.columns = Columns()
        self.where = "at its beginning"
        """What a message about a wrong value says of the place."""
        self._compressed = compressed
        self._chunks = chunks(path, compressed=compressed, progress=progress)
        self._limits = limits
        self._rest = b""
        self._inside = -1
        self._done = 0  # bytes of the text that were scanned
        self._text, self._at = "", 0
        self._free = self._over = 0

    def sign(self, expected: str) -> str:
        """Take the next sign, which must be one of `expected`."""
        while self._at == len(self._text):
            self._more()
        found = self._text[self._at]
        if found not in expected:
            raise self.wrong(
                f"there is {self._text[self._at : self._at + 20]!r} instead of one of {expected}"
            )
        self._at += 1
        return found

    def value(self) -> Any:
        """Take the next value, which must be whole within LARGEST_VALUE characters."""
        while True:
            try:
                value, end = plain_json.read_within(self._text, self._at, self._limits.depth)
            except TooDeep as error:
                raise self.wrong(f"a value {error} (--max-depth)") from error
            except JsonError as error:
                raise self.wrong(f"a value {error}") from error
            except JSONDecodeError as error:
                # Tokens are whole: a value that lacks something lacks it at the very end.
                if error.pos < len(self._text) - 1 or len(self._text) - self._at > LARGEST_VALUE:
                    raise self.wrong(error.msg) from error
            else:
                self._charge(end - self._at)
                self._at = end
                return value
            self._more()

    def begin(self) -> None:
        """A record or a snapshot begins: damo says this much of it, and what is more is charged."""
        self._free = USUAL_VALUES

    def _charge(self, size: int) -> None:
        over = size + VALUE_COST - self._free
        self._free = max(0, -over)
        if over > 0:
            self._over += over
            if self._over > MOST_OVER:
                raise self.wrong(
                    f"there are more than {MOST_OVER:,} characters of what damo does not say around its regions"
                )

    def peek(self, sign: str) -> bool:
        """Whether `sign` comes next; then it is taken."""
        while self._at == len(self._text):
            self._more()
        if self._text[self._at] != sign:
            return False
        self._at += 1
        return True

    def end(self) -> None:
        """Read on to the end of the file, where nothing but spaces may be."""
        self.where = "after its records"
        if self._text[self._at :]:
            raise self.wrong(f"there is {self._text[self._at : self._at + 20]!r}")
        for chunk in chain([self._rest], self._chunks):
            if chunk.strip():
                raise self.wrong("there is more text")

    def wrong(self, what: str) -> RecordingError:
        """The error for something that is wrong here."""
        return RecordingError(
            f"{self.path} is not as damo writes it {self.where}: {what}; record or copy it again."
        )

    def _more(self) -> None:
        chunk = next(self._chunks, b"")
        if not chunk:
            what = "within an array of regions" if self._inside >= 0 else "within a value"
            raise self.wrong(f"the file ends {what}")
        data = self._rest + chunk if self._rest else chunk
        try:
            found = damo_scan(text=data, inside=self._inside)
        except ValueError as error:
            what, at = error.args
            raise self._wrong_at(self._done + at, what) from None
        self._inside = found.inside
        self._rest = data[found.done :]
        if len(self._rest) > LARGEST_VALUE:
            raise self._wrong_at(self._done + found.done, "a value does not end")
        self._done += found.done
        self.columns.add(found)
        if len(self.columns.arrays[0]) > self._limits.piece_rows:
            raise self.wrong(
                f"a snapshot has more than {self._limits.piece_rows:,} regions (--max-memory allows more)"
            )
        if found.skeleton:
            self._text = self._text[self._at :] + found.skeleton.decode("utf-8", "surrogateescape")
            self._at = 0

    def _wrong_at(self, offset: int, what: str) -> RecordingError:
        line, begin, done = 1, 0, 0  # counted only now: it would cost as much as a tenth of the scan
        for chunk in chunks(self.path, compressed=self._compressed):
            part = chunk[: offset - done]
            if newlines := part.count(b"\n"):
                line, begin = line + newlines, done + part.rindex(b"\n") + 1
            done += len(chunk)
            if done >= offset:
                break
        return RecordingError(
            f"{self.path}:{line}:{offset - begin + 1}: {what}; it is not JSON as damo writes it, "
            "so record or copy it again."
        )


def members(text: DamoText) -> Iterator[str]:
    """The keys of the object that comes next; the caller takes each value."""
    text.sign("{")
    if text.peek("}"):
        return
    seen = set[str]()
    while True:
        key = text.value()
        if not isinstance(key, str):
            raise text.wrong(f"{json.dumps(key)} is no key")
        if key in seen:
            raise text.wrong(f"it says {key[:40]!a} twice")
        seen.add(key)
        text.sign(":")
        yield key
        if text.sign(",}") == "}":
            return


def items(text: DamoText) -> Iterator[int]:
    """Count through the array that comes next; the caller takes each item."""
    text.sign("[")
    if text.peek("]"):
        return
    count = 0
    while True:
        yield count
        count += 1
        if text.sign(",]") == "]":
            return
