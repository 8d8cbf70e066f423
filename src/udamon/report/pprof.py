"""Sites in pprof's format: profile.proto, which is a dozen kinds of fields (docs/decisions/0010-sites.md)."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from typing import TypeVar

from udamon.report.allocations import Call
from udamon.report.sites import Sites, name_of
from udamon.text import escape

_Key = TypeVar("_Key")


def profile(report: Sites, time_ns: int) -> bytes:
    """The gzipped file: samples by stack with live, touched and cold bytes; `time_ns` is the wall-clock time of the
    end, 0 where it is not known."""
    strings: _Numbers[str] = _Numbers("")
    functions: _Numbers[tuple[str, str]] = _Numbers()
    locations: _Numbers[Call] = _Numbers()
    mappings: _Numbers[int] = _Numbers()
    out, located = bytearray(), bytearray()
    modules = report.allocations.modules
    for kind in ("live", "touched", "cold"):
        out += _message(1, _varint(1, strings[kind]) + _varint(2, strings["bytes"]))
    for site in report.sites:
        places = [locations[call] + 1 for call in site.calls]
        values = [round(value) for value in (site.size.estimate, site.touched, site.cold)]
        out += _message(2, _packed(1, places) + _packed(2, values))
    for number, call in enumerate(locations.all):
        function = functions[(name_of(call), call.file or "")] + 1
        row = _varint(1, function) + _varint(2, call.line or 0)
        # Of a damaged recording the event that names a module may be missing.
        mapping = mappings[call.module_number] + 1 if call.module_number in modules else 0
        body = _varint(1, number + 1) + _varint(2, mapping) + _varint(3, call.address) + _message(4, row)
        located += _message(4, body)
    for number, module in enumerate(mappings.all):
        path, build_id = modules[module]
        body = (
            _varint(1, number + 1) + _varint(5, strings[path]) + _varint(6, strings[build_id]) + _varint(7, 1)
        )
        out += _message(3, body)
    out += located
    for number, (name, file) in enumerate(functions.all):
        named = _varint(2, strings[name]) + _varint(3, strings[name]) + _varint(4, strings[file])
        out += _message(5, _varint(1, number + 1) + named)
    period = _message(11, _varint(1, strings["live"]) + _varint(2, strings["bytes"]))
    rest = _varint(9, time_ns) + period + _varint(12, report.mean) + _varint(14, strings["live"])
    for text in strings.all:
        out += _message(6, escape(text, plain=False).encode())
    return gzip.compress(bytes(out + rest), mtime=0)


class _Numbers(dict[_Key, int]):
    """Numbers for what is asked for, from 0 in the order of asking; `all` has them."""

    def __init__(self, *first: _Key) -> None:
        self.all: list[_Key] = []
        for one in first:
            self[one]

    def __missing__(self, key: _Key) -> int:
        self[key] = len(self)
        self.all.append(key)
        return len(self) - 1


def _varint(field: int, value: int) -> bytes:
    return _number(field << 3) + _number(value) if value else b""


def _packed(field: int, values: Iterable[int]) -> bytes:
    return _message(field, b"".join(map(_number, values)))


def _message(field: int, body: bytes) -> bytes:
    return _number(field << 3 | 2) + _number(len(body)) + body


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
