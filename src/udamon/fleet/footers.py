"""What the end of a Parquet file says of its columns: enough to tell whether every engine can read the file.

Only the schema is decoded, and of columns that may be null how many values are (Thrift's compact protocol, the structs
FileMetaData, SchemaElement and ColumnChunk of the Parquet format). Statistics of the other columns are not looked at:
of a table with thousands of objects they would be most of the work.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

TAIL_BYTES = 16384
"""Of the end of a file, what is read at first: the footer of an object of a host and hour is smaller."""

_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
_END = 8
"""The length of the footer and the magic number behind it."""
_DEEPEST = 16
"""Structs within structs; the format has no more than 7."""

_SCHEMA, _ROW_GROUPS = 2, 4  # fields of FileMetaData
_CHUNKS = 1  # of RowGroup
_METADATA = 3  # of ColumnChunk
_CHUNK_NAME, _STATISTICS = 3, 12  # of ColumnMetaData
_NULL_COUNT = 3  # of Statistics
_REQUIRED = 0  # repetition of a SchemaElement

_UNLIKE = (
    IndexError, KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError, struct.error,
)  # fmt: skip
"""What decoding raises where bytes are not what the format has at that place."""

Read = Callable[[int, int], bytes]
"""Bytes of a file: where they begin, and how many."""


class NotParquet(Exception):
    """A file whose footer cannot be read. The message is the reason, to be continued after `it`."""


@dataclass(frozen=True, slots=True)
class FooterColumn:
    """A column of the topmost level. `kind` is how udamon names the type: int64, double, time, string, list of one
    of these, or what the file calls it. `nulls` is the number of null values, None where that is not said."""

    name: str
    kind: str
    nulls: int | None


def columns(size: int, read: Read, counted: Collection[str], *, whole: bool = False) -> list[FooterColumn]:
    """The columns of a file of `size` bytes. Nulls are counted of the columns of these names alone, and 0 for those
    that cannot be null. `whole`: decode all of the footer, which takes some ten times as long. Raises NotParquet, and
    what `read` raises."""
    if size == 0:
        raise NotParquet("is empty")
    if size < len(_MAGIC) + _END:
        raise NotParquet(f"has {size} bytes, which is too short for Parquet")
    begin = max(0, size - TAIL_BYTES)
    tail = read(begin, size - begin)
    if len(tail) != size - begin or tail[-4:] not in (_MAGIC, _ENCRYPTED):
        raise NotParquet("does not end as Parquet does: it was cut off, or is something else")
    if tail[-4:] == _ENCRYPTED:
        raise NotParquet("is encrypted")
    length = int.from_bytes(tail[-8:-4], "little")
    if length > size - _END - len(_MAGIC):
        raise NotParquet("has a damaged footer: it would be longer than the file")
    if length + _END > len(tail):
        tail = read(size - _END - length, length + _END)
    try:
        return _columns(tail[len(tail) - _END - length : len(tail) - _END], counted, whole=whole)
    except ValueError as error:  # said here
        raise NotParquet(f"has a damaged footer ({error})") from error
    except _UNLIKE as error:  # of Python, about its own values
        raise NotParquet("has a damaged footer (a field is missing, or is something else)") from error


def _columns(footer: bytes, counted: Collection[str], *, whole: bool) -> list[FooterColumn]:
    decoder = _Decoder(footer)
    known: dict[int, Any] = {}
    found: list[_Element] = []
    for number, kind in decoder.fields():
        if number == _ROW_GROUPS:
            known[number] = []
            if found and not whole and not any(_may_be_null(each, counted) for each in found):
                break  # the larger part of a footer, which says nothing more of interest
        known[number] = decoder.value(kind)
        if number == _SCHEMA:
            found = _tree(known[number])
    if not found or _ROW_GROUPS not in known:
        raise ValueError("it ends too early")
    groups = known[_ROW_GROUPS]
    if whole and any(_CHUNK_NAME not in chunk[_METADATA] for group in groups for chunk in group[_CHUNKS]):
        raise ValueError("a column without a name")
    return [
        FooterColumn(
            each.name, each.kind, _nulls(groups, each.name) if _may_be_null(each, counted) else 0
        )
        for each in found
    ]  # fmt: skip


@dataclass(slots=True)
class _Element:
    name: str
    kind: str
    repetition: int
    children: list[_Element]


def _may_be_null(column: _Element, counted: Collection[str]) -> bool:
    return column.name in counted and column.repetition != _REQUIRED


def _nulls(groups: Sequence[Any], name: str) -> int | None:
    """Of a column in all row groups; None where one of them does not say it."""
    total = 0
    for group in groups:
        for chunk in group[_CHUNKS]:
            metadata = chunk[_METADATA]
            if metadata[_CHUNK_NAME] != [name.encode()]:
                continue
            statistics = metadata.get(_STATISTICS, {})
            if _NULL_COUNT not in statistics:
                return None
            total += statistics[_NULL_COUNT]
    return total


def _tree(elements: Sequence[Any]) -> list[_Element]:
    """The columns, of elements in depth-first order whose first is the root."""
    at = 1

    def element() -> _Element:
        nonlocal at
        own = elements[at]
        at += 1
        children = [element() for _ in range(own.get(5, 0))]
        name = own[4].decode("utf-8", "backslashreplace")
        return _Element(name, _kind(own, children), own.get(3, _REQUIRED), children)

    return [element() for _ in range(elements[0][5])]


_PHYSICAL = ("boolean", "int32", "int64", "int96", "float", "double", "binary", "fixed")
_SIGNED = {15, 16, 17, 18}  # ConvertedType: INT_8 to INT_64
_CONVERTED = {
    0: "string", 4: "enum", 5: "decimal", 6: "date", 7: "time of day", 8: "time of day", 9: "time", 10: "time",
    11: "uint8", 12: "uint16", 13: "uint32", 14: "uint64", 19: "json", 20: "bson", 21: "interval",
}  # fmt: skip
_LOGICAL = {1: "string", 4: "enum", 5: "decimal", 6: "date", 7: "time of day", 11: "null", 12: "json", 13: "bson",
            14: "uuid", 15: "half"}  # fmt: skip


def _kind(own: dict[int, Any], children: Sequence[_Element]) -> str:
    """How a column's type is named, of its SchemaElement."""
    if 1 not in own:
        if len(children) != 1 or (own.get(6) != 3 and 3 not in own.get(10, {})):
            return "struct"
        (inner,) = children  # a group of one element, which is repeated; of old writers the element itself
        return f"list of {inner.children[0].kind if len(inner.children) == 1 else inner.kind}"
    physical, logical = _PHYSICAL[own[1]], own.get(10, {})
    name = _logical(logical) if logical else _CONVERTED.get(own.get(6, -1))
    if own.get(6) in _SIGNED or name is None:
        name = {"int32": "int64", "float": "double"}.get(physical, physical)
    return name


def _logical(logical: dict[int, Any]) -> str | None:
    if 8 in logical:
        unit = "nanosecond" if 3 in logical[8].get(2, {}) else ""
        local = "" if logical[8].get(1, False) else "local "
        return "time" if not unit and not local else f"{local}{unit} time".replace("  ", " ")
    if 10 in logical:
        width, signed = logical[10].get(1, 64), logical[10].get(2, True)
        return "int64" if signed else f"uint{width}"
    return next((_LOGICAL[number] for number in logical if number in _LOGICAL), None)


class _Decoder:
    """Thrift's compact protocol: structs are mappings from numbers of fields, strings are bytes."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._depth = data, 0, 0

    def fields(self) -> Any:
        """Number and type of each field of a struct; the caller takes each value before it goes on."""
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self._signed()
            yield number, kind

    def value(self, kind: int) -> Any:
        """The value of a field of this type."""
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._signed()
        if kind == 7:
            return struct.unpack("<d", self._bytes(8))[0]
        if kind == 8:
            return self._bytes(self._varint())
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("too deep")
        found = self._list() if kind in (9, 10) else self._struct(kind)
        self._depth -= 1
        return found

    def _struct(self, kind: int) -> dict[int, Any]:
        if kind != 12:
            raise ValueError(f"type {kind}")
        return {number: self.value(inner) for number, inner in self.fields()}

    def _list(self) -> list[Any]:
        head = self._byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self._varint()
        if count > len(self._data):  # each entry takes a byte at least
            raise ValueError("a list that is longer than the file")
        if kind in (1, 2):
            return [self._byte() == 1 for _ in range(count)]
        return [self.value(kind) for _ in range(count)]

    def _byte(self) -> int:
        found = self._data[self._at]
        self._at += 1
        return found

    def _bytes(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) != count:
            raise ValueError("cut off")
        self._at += count
        return found

    def _varint(self) -> int:
        found = shift = 0
        while True:
            byte = self._byte()
            found |= (byte & 127) << shift
            if byte < 128:
                return found
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def _signed(self) -> int:
        found = self._varint()
        return (found >> 1) ^ -(found & 1)
