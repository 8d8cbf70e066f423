"""Fields of a message of protobuf, by their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5


def parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of the fields that are texts, bytes or messages; others are passed over.

    Raises ValueError where this is no message.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _BYTES:
            length, at = _varint(data, at)
            if length > len(data) - at:
                raise ValueError("a field ends behind its message")
            yield key >> 3, data[at : at + length]
            at += length
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_EIGHT, _FOUR):
            at += 8 if kind == _EIGHT else 4
            if at > len(data):
                raise ValueError("a field ends behind its message")
        else:
            raise ValueError(f"there is no kind {kind} of fields")


def text(data: bytes) -> str:
    """Of a field; what is not UTF-8 is replaced."""
    return data.decode(errors="replace")


def entries(fields: Iterable[tuple[int, bytes]], *numbers: int) -> Iterator[tuple[str, str]]:
    """Those of maps from texts to texts, in the fields of these numbers. Raises ValueError."""
    for number, data in fields:
        if number in numbers:
            entry = dict(parts(data))
            yield text(entry.get(1, b"")), text(entry.get(2, b""))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number has no end")
