"""How the objects of the tables are called, and what they are: Parquet with zstd, sorted, of one host and hour.

    services/v1/date=2026-11-29/web-1.20261129T14.0a1b2c3d4e5f.parquet     a host and hour, and a digest of the bytes
    services/v1/date=2026-11-29/compact.0a1b2c3d4e5f.parquet               many hosts, by `udamon fleet compact`
    services/v1/_manifest/2026-11-29.000001.json                           which objects compacted ones replace

An object is created once and never changed. Its bytes follow from its rows and its name from both, so creating it again
changes nothing, and what comes late or again with other rows has another name, also after the first was compacted and
removed. What begins with _ is passed over by Spark and others that read a directory.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import groupby
from typing import Any

from arro3.core import RecordBatch, RecordBatchReader
from arro3.io import read_parquet, write_parquet

from udamon.errors import is_panic
from udamon.fleet.tables import LAYOUT, VERSION, Table

HOUR_US = 3_600_000_000

_RAW = re.compile(
    r"(?P<table>[a-z]+)/v(?P<layout>[0-9]{1,6})/date=(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})/"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*)\.(?P<hour>[0-9]{8}T[0-9]{2})\.(?P<digest>[0-9a-f]{12})\.parquet"
)
_COMPACT = re.compile(
    r"[a-z]+/v[0-9]{1,6}/date=(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})/compact\.[0-9a-f]{12}\.parquet"
)


def directory(table: Table) -> str:
    """Where all of a table lies, below a location."""
    return f"{table.name}/v{LAYOUT}"


@dataclass(frozen=True, slots=True, order=True)
class ObjectName:
    """Of the rows of one host and hour. `host` is the host's name as names of objects can have it, `hour` is like
    20261129T14 (UTC), `digest` is of the object's bytes."""

    table: str
    hour: str
    host: str
    digest: str

    @classmethod
    def of(cls, table: Table, host: str, time_us: int, data: bytes) -> ObjectName:
        """Of these bytes, with rows of a host and the hour of a moment (microseconds since 1970)."""
        hour = datetime.fromtimestamp(time_us // HOUR_US * 3600, UTC).strftime("%Y%m%dT%H")
        plain = re.sub(r"[^A-Za-z0-9.-]", "_", host)[:100]
        plain = plain if re.match("[A-Za-z0-9]", plain) else f"h{plain}"
        return cls(table.name, hour, plain, digest_of(data))

    @classmethod
    def parse(cls, path: str) -> ObjectName | None:
        """None where the path is not one that `path` gives."""
        found = _RAW.fullmatch(path)
        if found is None or int(found["layout"]) != LAYOUT:
            return None
        name = cls(found["table"], found["hour"], found["host"], found["digest"])
        return name if name.date == found["date"] and is_hour(found["date"], found["hour"][-2:]) else None

    @property
    def date(self) -> str:
        return f"{self.hour[:4]}-{self.hour[4:6]}-{self.hour[6:8]}"

    @property
    def path(self) -> str:
        return f"{self.table}/v{LAYOUT}/date={self.date}/{self.host}.{self.hour}.{self.digest}.parquet"


def digest_of(data: bytes) -> str:
    """Twelve hexadecimal digits of SHA-256."""
    return sha256(data).hexdigest()[:12]


def compacted_path(table: Table, date: str, digest: str) -> str:
    """Where a compacted object of a date lies."""
    return f"{directory(table)}/date={date}/compact.{digest}.parquet"


def compacted_date(path: str) -> str | None:
    """The date of a compacted object; None for the path of anything else."""
    found = _COMPACT.fullmatch(path)
    return found["date"] if found and is_hour(found["date"]) else None


def is_hour(date: str, hour: str = "00") -> bool:
    """Whether there is such a date, with such an hour, from 1970 on."""
    try:
        return datetime.fromisoformat(f"{date}T{hour}").year >= 1970
    except ValueError:
        return False


def by_hour(table: Table, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, list[Mapping[str, Any]]]]:
    """The rows by the hour they belong to: its first microsecond since 1970, and its rows."""

    def hour(row: Mapping[str, Any]) -> int:
        return int(row[table.time]) // HOUR_US * HOUR_US

    for begin, found in groupby(sorted(rows, key=hour), key=hour):
        yield begin, list(found)


def parquet(table: Table, batch: RecordBatch, version: int = VERSION) -> bytes:
    """The bytes of an object: the same rows give the same bytes."""
    file = io.BytesIO()
    write_parquet(
        RecordBatchReader.from_batches(table.schema_of(version), [batch]),
        file,
        compression="zstd(3)",
        key_value_metadata=table.metadata(version),
        skip_arrow_metadata=True,  # the Parquet types say it all
    )
    return file.getvalue()


class UnreadableParquet(Exception):
    """A file that arro3 cannot read. The message is the reason."""


def batches(source: bytes | str) -> Iterator[RecordBatch]:
    """The record batches of a Parquet file, of its bytes or its path. Raises UnreadableParquet."""
    try:
        yield from read_parquet(io.BytesIO(source) if isinstance(source, bytes) else source)
    except BaseException as error:  # arro3 raises bare exceptions, and panics, which is no Exception
        if is_panic(error):
            raise UnreadableParquet("it breaks the reader") from error
        if not isinstance(error, Exception):
            raise
        raise UnreadableParquet(str(error).split("\n")[0][:200].rstrip(".")) from error
