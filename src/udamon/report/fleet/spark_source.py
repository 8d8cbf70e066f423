"""Objects of a bucket for Spark, by a Python data source: workers read them by obstore, and no jar is needed."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

from udamon.fleet.store import BucketStore
from udamon.fleet.tables import TABLES, Table

OBJECTS_A_TASK = 64


class ObjectPaths(InputPartition):
    """What one task reads."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)


class ObjectSource(DataSource):
    """Options: `location`, `table`, and the paths of the objects, one a line."""

    @classmethod
    def name(cls) -> str:
        return "udamon"

    def reader(self, schema: Any) -> ObjectReader:
        return ObjectReader(
            self.options["location"], self.options["table"], self.options["paths"].split("\n")
        )


class ObjectReader(DataSourceReader):
    """Reads objects of a table in the tasks of Spark, several in each."""

    def __init__(self, location: str, table: str, paths: Sequence[str]) -> None:
        self._location, self._table, self._paths = location, table, list(paths)

    def partitions(self) -> list[InputPartition]:
        starts = range(0, len(self._paths), OBJECTS_A_TASK)
        return [ObjectPaths(self._paths[at : at + OBJECTS_A_TASK]) for at in starts]

    def read(self, partition: InputPartition) -> Iterator[Any]:
        """Record batches of pyarrow, with null for columns that an object has not."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        assert isinstance(partition, ObjectPaths)
        table, store = TABLES[self._table], BucketStore(self._location)
        schema = pa.schema(table.schema)
        for path in partition.paths:
            found = pq.read_table(io.BytesIO(store.read(path)))
            columns = [
                found[field.name].cast(field.type) if field.name in found.column_names
                else pa.nulls(len(found), field.type)
                for field in schema
            ]  # fmt: skip
            yield from pa.table(columns, schema=schema).to_batches()


def read(spark: Any, store: BucketStore, table: Table, schema: str, paths: Sequence[str]) -> Any:
    """A data frame of the rows of these objects."""
    spark.dataSource.register(ObjectSource)
    options = {"location": store.location, "table": table.name, "paths": "\n".join(paths)}
    return spark.read.format("udamon").options(**options).schema(schema).load()
