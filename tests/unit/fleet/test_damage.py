"""Objects that cannot be read are found before an engine meets them."""

from __future__ import annotations

from pathlib import Path
from random import Random, SystemRandom

import pytest

from tests.unit.fleet.damages import DAMAGES, FOOTER, GOOD, name, put_damaged, written
from tests.unit.fleet.rows import service
from tests.unit.report.fleet.made import put
from udamon.errors import CannotError
from udamon.fleet.damage import checked, read_through
from udamon.fleet.footers import columns
from udamon.fleet.listing import visible
from udamon.fleet.objects import parquet
from udamon.fleet.store import Directory, ObjectUnreadable, Stored
from udamon.fleet.tables import SERVICES, TABLES, Type


def test_each_is_named_with_its_reason(tmp_path: Path) -> None:
    put(tmp_path, "services", [service(host="a"), service(host="b")])
    store = Directory(tmp_path)
    good = visible(store, SERVICES).all
    reasons = put_damaged(tmp_path)
    found = checked(store, SERVICES)
    inside = read_through(store, SERVICES, found.stored)
    damaged = {each.object: each.why for each in [*found.damaged, *inside]}
    assert damaged.keys() == reasons.keys()
    assert {path: why for path, why in damaged.items() if reasons[path] not in why} == {}
    # These alone take reading more than the schema.
    assert {reasons[each.object] for each in inside} == {
        DAMAGES[kind][1] for kind in ("torn", "rows of zeros")
    }
    assert set(found.all) == {*good, *(each.object for each in inside)}
    assert found.bytes == sum((tmp_path / path).stat().st_size for path in found.all)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("by", ["udamon", "DuckDB"])
def test_footers_tell_the_schema(table: str, by: str, tmp_path: Path) -> None:
    """As it is described, of what udamon writes and of what DuckDB merges."""
    import duckdb

    kind = TABLES[table]
    row = {
        each.name: {Type.INT64: 1, Type.DOUBLE: 1.0, Type.TIME: 3_600_000_000, Type.STRING: "a",
                    Type.INT64_LIST: [1, None]}[each.type]
        for each in kind.columns
    }  # fmt: skip
    data = parquet(kind, kind.batch([row]))
    if by == "DuckDB":
        (tmp_path / "1.parquet").write_bytes(data)
        duckdb.execute(f"COPY (FROM '{tmp_path}/1.parquet') TO '{tmp_path}/2.parquet'")
        data = (tmp_path / "2.parquet").read_bytes()
    found = columns(len(data), lambda begin, length: data[begin : begin + length], kind.key)
    names = {Type.INT64: "int64", Type.DOUBLE: "double", Type.TIME: "time", Type.STRING: "string",
             Type.INT64_LIST: "list of int64"}  # fmt: skip
    assert [(each.name, each.kind, each.nulls) for each in found] == [
        (each.name, names[each.type], 0) for each in kind.columns
    ]


def test_nothing_but_the_end_of_an_object_is_read(tmp_path: Path) -> None:
    class Counted(Directory):
        def part(self, path: str, begin: int, length: int | None) -> bytes:
            read.append((path, begin, length))
            return super().part(path, begin, length)

    read: list[tuple[str, int, int | None]] = []
    many = [service(f"service-{n}", host="a", window=n % 12, resident=n * n) for n in range(9000)]
    put(tmp_path, "services", many)
    store = Counted(tmp_path)
    found = checked(store, SERVICES)
    assert not found.damaged
    size = found.bytes
    assert size > 3 * 16384
    assert read == [(found.all[0], size - 16384, 16384)]


def test_a_long_footer_is_read_in_two_parts(tmp_path: Path) -> None:
    wide = ", ".join(f"1 AS more_{n}" for n in range(500))
    Directory(tmp_path).create(name(0), written(f"*, {wide}", "good"))
    store = Directory(tmp_path)
    assert not checked(store, SERVICES).damaged


def test_every_footer_that_is_cut_or_changed_is_good_or_named() -> None:
    """No byte of a footer, whatever it becomes, ends the check."""
    from udamon.fleet.footers import NotParquet

    def changed(at: int, value: int) -> bytes:
        return GOOD[:at] + bytes([value]) + GOOD[at + 1 :]

    def named(data: bytes) -> bool:
        try:
            columns(len(data), lambda begin, length: data[begin : begin + length], SERVICES.key)
        except NotParquet:
            return True
        return False

    places = range(len(GOOD) - FOOTER, len(GOOD) - 8)
    assert sum(named(changed(at, value)) for at in places for value in (0, 0x19, 0x7F, 0xFF)) > 100


def test_rows_without_a_key_are_named_and_the_others_read(tmp_path: Path) -> None:
    null = written("* REPLACE (CASE WHEN epoch(window_begin) % 600 = 0 THEN host END AS host)", "good")
    Directory(tmp_path).create(name(0), null)
    store = Directory(tmp_path)
    found = checked(store, SERVICES)
    assert found.all == (name(0),)
    (damaged,) = found.damaged
    assert damaged.why == "has rows without a key, which are left out (host in 6)"
    assert not damaged.left_out


def test_rows_without_a_key_and_without_statistics(tmp_path: Path) -> None:
    """Polars and others may write none."""
    from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema
    from arro3.io import write_parquet

    batch = SERVICES.batch([service(host="a"), service(host="b")])
    fields = [
        Field(each.name, each.type, nullable=True) for each in map(SERVICES.schema.field, SERVICES.names)
    ]
    columns_ = [batch[each.name] for each in SERVICES.columns]
    at = SERVICES.names.index("service")
    columns_[at] = Array([None, "web"], DataType.utf8())
    made = RecordBatch.from_arrays(columns_, schema=Schema(fields))
    file = tmp_path / name(0)
    file.parent.mkdir(parents=True)
    write_parquet(RecordBatchReader.from_batches(made.schema, [made]), file, skip_arrow_metadata=True,
                  max_statistics_size=0)  # fmt: skip
    store = Directory(tmp_path)
    (damaged,) = checked(store, SERVICES).damaged
    assert damaged.why.endswith("(service in 1)")


class Refusing(Directory):
    """May not be read at one place, as by its mode or by a policy of a bucket."""

    def __init__(self, place: Path, path: str, error: Exception) -> None:
        super().__init__(place)
        self._path, self._error = path, error

    def part(self, path: str, begin: int, length: int | None) -> bytes:
        if path == self._path:
            raise self._error
        return super().part(path, begin, length)


def test_what_may_not_be_read_or_vanishes(tmp_path: Path) -> None:
    put(tmp_path, "services", [service(host="a"), service(host="b")])
    a, b = visible(Directory(tmp_path), SERVICES).all
    denied = ObjectUnreadable("here", a, "cannot be read: Permission denied")
    for error, why in (
        (denied, "cannot be read: Permission denied"),
        (FileNotFoundError(a), "is not there: it was removed after"),
    ):
        store = Refusing(tmp_path, a, error)
        found = checked(store, SERVICES)
        assert found.all == (b,)
        assert found.damaged[0].why.startswith(why)


def test_a_location_that_does_not_answer_is_no_damage(tmp_path: Path) -> None:
    put(tmp_path, "services", [service(host="a")])
    (a,) = visible(Directory(tmp_path), SERVICES).all
    store = Refusing(tmp_path, a, CannotError("the network is gone."))
    with pytest.raises(CannotError, match="the network is gone"):
        checked(store, SERVICES)


def test_no_damage_breaks_the_process_that_reads(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of footers with some other bytes the library that reads Parquet panics, and aborts of some."""
    seed = SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    random, stored = Random(seed), []
    for number in range(60):
        damaged = bytearray(GOOD)
        for _ in range(random.randint(1, 3)):
            at = len(damaged) - FOOTER + random.randrange(FOOTER - 8)
            damaged[at] = random.choice((damaged[at] ^ 1 << random.randrange(8), random.randrange(256)))
        path = name(number)
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(damaged)
        stored.append(Stored(path, len(damaged), 0))
    found = read_through(Directory(tmp_path), SERVICES, stored)
    assert {each.object for each in found} <= {each.path for each in stored}
    assert len(found) > 15
    assert capfd.readouterr().err == ""
