"""The tables of a fleet: what is written is what the description says, to the last type."""

from __future__ import annotations

import io

import pytest
from arro3.core import DataType, Field, Schema
from arro3.io import read_parquet

from tests.imports import ROOT
from tests.unit.fleet.rows import NOON, service
from udamon.errors import UsageError
from udamon.fleet.objects import parquet
from udamon.fleet.tables import AGES, SERVICES, TABLES, VERSION, Table, place_of

PORTABLE = {
    DataType.int64(), DataType.float64(), DataType.utf8(), DataType.timestamp("us", tz="UTC"),
}  # fmt: skip


def fields(schema: Schema) -> list[Field]:
    return [schema.field(at) for at in range(len(schema))]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_types_are_those_that_every_engine_reads(table: Table) -> None:
    for field in fields(table.schema):
        kind = field.type.value_type if DataType.is_list(field.type) else field.type
        assert kind in PORTABLE, field


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_keys_are_columns_that_are_never_null(table: Table) -> None:
    required = {each.name for each in table.columns if each.required}
    assert {*table.key, *table.order, table.time} <= required
    assert set(table.apart) <= {*table.names} - required
    assert set(table.key) <= {*table.order}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_columns_are_only_added(table: Table) -> None:
    """A version begins with the columns of the one before, so what was required stays so."""
    for version in range(1, VERSION):
        before, after = table.schema_of(version), table.schema_of(version + 1)
        assert fields(after)[: len(before)] == fields(before)
    assert not any(each.required for each in table.columns if each.since > 1)


def test_an_object_has_what_its_rows_have() -> None:
    rows = [service(window=3, cold=None), service("api", window=3), service(window=2, limit_bytes=7)]
    rows[1]["cold_bytes"] = [5] * 4 + [None] * (len(AGES) - 4)
    data = parquet(SERVICES, SERVICES.batch(rows))
    found = read_parquet(io.BytesIO(data)).read_all()
    assert found.column_names == SERVICES.names
    assert found["service"].to_pylist() == ["api", "web", "web"]  # sorted
    assert found["window_begin"].cast(DataType.int64()).to_pylist() == [
        NOON + n * 300_000_000 for n in (3, 2, 3)
    ]
    assert found["cold_bytes"].to_pylist()[0] == [5, 5, 5, 5, *[None] * 7]
    assert found["cold_bytes"].to_pylist()[2] is None
    assert found["limit_bytes"].to_pylist() == [None, 7, None]
    assert data == parquet(SERVICES, SERVICES.batch(reversed(rows)))


def test_an_object_of_the_version_before_lacks_columns() -> None:
    batch = SERVICES.batch([service()])
    old = SERVICES.schema_of(1)
    found = read_parquet(io.BytesIO(parquet(SERVICES, batch.select(old.names), version=1)))
    assert found.schema.names == old.names
    assert len(old) < len(SERVICES.schema)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="no column 'colour'"):
        SERVICES.batch([service(colour="red")])
    with pytest.raises(UsageError, match="grain of the table services is null"):
        SERVICES.batch([service(grain=None)])


def test_ages_have_places() -> None:
    assert AGES[place_of(120)] == 120
    with pytest.raises(UsageError, match="no age of 90 s"):
        place_of(90)


def test_the_document_has_every_column() -> None:
    text = (ROOT / "docs" / "fleet.md").read_text()
    for table in TABLES.values():
        assert table.document() in text, f"put TABLES[{table.name!r}].document() into docs/fleet.md"
