"""Objects of the table `services` that cannot be read, in each way that was thought of."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.fleet.rows import service
from udamon.fleet.objects import ObjectName, parquet
from udamon.fleet.store import Directory
from udamon.fleet.tables import SERVICES

GOOD = parquet(SERVICES, SERVICES.batch([service("web", "bad", window) for window in range(12)]))
FOOTER = int.from_bytes(GOOD[-8:-4], "little") + 8


def written(columns: str, rows: str = "range(3)") -> bytes:
    """Parquet by DuckDB; `good` is the relation of GOOD."""
    import duckdb

    from udamon.files.temporary import TemporaryDirectory

    place = TemporaryDirectory("made")
    try:
        (place.path / "good").write_bytes(GOOD)
        source = rows.replace("good", f"read_parquet('{place.path}/good')")
        duckdb.execute(f"COPY (SELECT {columns} FROM {source}) TO '{place.path}/made' (FORMAT parquet)")
        return (place.path / "made").read_bytes()
    finally:
        place.close()


def with_a_row_without(key: str) -> bytes:
    """The rows of GOOD, and one of a gigantic service that has no `key`."""
    more = f"SELECT * REPLACE (NULL AS {key}, 1::BIGINT << 50 AS resident_bytes) FROM good WHERE window_begin = noon"
    begin = "(SELECT MIN(window_begin) FROM good)"
    return written("*", f"(SELECT * FROM good UNION ALL {more.replace('noon', begin)})")


def _torn() -> bytes:
    """Pages of which some bytes are others; the footer is whole."""
    middle = len(GOOD) // 4
    return GOOD[:64] + bytes(255 - byte for byte in GOOD[64:middle]) + GOOD[middle:]


DAMAGES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty"),
    "short": (lambda: b"PAR1", "has 4 bytes, which is too short for Parquet"),
    "cut off": (lambda: GOOD[: len(GOOD) // 2], "does not end as Parquet does: it was cut off"),
    "zeros": (lambda: bytes(len(GOOD)), "does not end as Parquet does: it was cut off"),
    "text": (lambda: b"host,service\n" * 100, "does not end as Parquet does: it was cut off"),
    "footer too long": (lambda: GOOD[:-8] + b"\xff\xff\xff\x7fPAR1", "would be longer than the file"),
    "footer of zeros": (lambda: GOOD[:-FOOTER] + bytes(FOOTER - 8) + GOOD[-8:], "has a damaged footer (it ends"),
    "rows of zeros": (lambda: GOOD[:-2000] + bytes(1992) + GOOD[-8:], "has a damaged footer (a field is"),
    "footer of noise": (
        lambda: GOOD[:-FOOTER] + bytes(7 * n % 256 for n in range(FOOTER - 8)) + GOOD[-8:],
        "has a damaged footer (",
    ),
    "encrypted": (lambda: GOOD[:-4] + b"PARE", "is encrypted"),
    "other columns": (lambda: written("1 AS a"), "has no column namespace, which every row of services needs"),
    "no host": (lambda: written("* EXCLUDE host", "good"), "has no column host, which"),
    "other type": (
        lambda: written("* REPLACE ('many' AS resident_bytes)", "good"),
        "has another schema: its column resident_bytes is string, and not int64",
    ),
    "nanoseconds": (
        lambda: written("* REPLACE (window_begin::TIMESTAMP_NS AS window_begin)", "good"),
        "its column window_begin is local nanosecond time, and not time",
    ),
    "structs": (
        lambda: written("* REPLACE ([{'age': 1, 'bytes': 2}] AS cold_bytes)", "good"),
        "its column cold_bytes is list of struct, and not list of int64",
    ),
    "torn": (_torn, "is damaged inside: "),
}  # fmt: skip
"""Bytes of an object, and a part of the reason that is given."""


def name(number: int, host: str = "bad") -> str:
    """The path of an object that is called as one should be."""
    return ObjectName("services", "20261129T12", host, f"{number:012x}").path


def put_damaged(place: Path) -> dict[str, str]:
    """Each of DAMAGES as an object of a location, and such as only a directory has; the reason by path."""
    store, reasons = Directory(place), {}
    for number, (make, reason) in enumerate(DAMAGES.values()):
        assert store.create(name(number), make())
        reasons[name(number)] = reason
    kinds: list[tuple[Callable[[Path], Any], str]] = [
        (lambda file: file.symlink_to(file.name), "cannot be read: Too many levels of symbolic links"),
        (lambda file: file.symlink_to("a-file-of-long-ago"), "is not there: it was removed"),
        (os.mkfifo, "is empty"),
    ]
    for number, (make_it, reason) in enumerate(kinds, len(DAMAGES)):
        make_it(place / name(number))
        reasons[name(number)] = reason
    return reasons
