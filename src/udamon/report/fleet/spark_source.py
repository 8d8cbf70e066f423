"""Objects of a bucket for Spark, by a Python data source: workers read them by obstore, and no jar is needed.

Workers open the location as the driver does: its variables of that kind of store (AWS_…, GOOGLE_…, AZURE_…) travel in
the pickled class of the source. Options of a source and variables by spark.executorEnv would be shown by explain(),
the web page and the log of events, where Spark makes only some of their names unreadable.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

from udamon.fleet.settings import PREFIXES
from udamon.fleet.store import REMOTE, BucketStore
from udamon.fleet.tables import TABLES, Table

OBJECTS_A_TASK = 64


class ObjectPaths(InputPartition):
    """What one task reads."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)


class ObjectSource(DataSource):
    """Options: `location`, `table`, and the paths of the objects, one a line. `variables`: of the driver."""

    variables: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def name(cls) -> str:
        return "udamon"

    def reader(self, schema: Any) -> ObjectReader:
        paths = self.options["paths"].split("\n")
        return ObjectReader(self.options["location"], self.options["table"], paths, self.variables)


class ObjectReader(DataSourceReader):
    """Reads objects of a table in the tasks of Spark, several in each."""

    def __init__(self, location: str, table: str, paths: Sequence[str], variables: Mapping[str, str]) -> None:
        self._location, self._table, self._paths, self._variables = location, table, list(paths), variables

    def partitions(self) -> list[InputPartition]:
        starts = range(0, len(self._paths), OBJECTS_A_TASK)
        return [ObjectPaths(self._paths[at : at + OBJECTS_A_TASK]) for at in starts]

    def read(self, partition: InputPartition) -> Iterator[Any]:
        """Record batches of pyarrow, with null for columns that an object has not."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        assert isinstance(partition, ObjectPaths)
        table = TABLES[self._table]
        with with_variables(self._location, self._variables):
            store = BucketStore(self._location)
        schema = pa.schema([(field.name, _as_spark_has_it(field.type)) for field in pa.schema(table.schema)])
        for path in partition.paths:
            found = pq.read_table(io.BytesIO(store.read(path)))
            columns = [
                found[field.name].cast(field.type) if field.name in found.column_names
                else pa.nulls(len(found), field.type)
                for field in schema
            ]  # fmt: skip
            yield from pa.table(columns, schema=schema).to_batches()


def _as_spark_has_it(kind: Any) -> Any:
    """PySpark compares the whole schema from 4.3 on, names within types included, and takes every column as one that
    may be null."""
    import pyarrow as pa

    return pa.list_(pa.field("element", kind.value_type)) if pa.types.is_list(kind) else kind


def variables(location: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Those of an environment that are for the location's kind of store."""
    prefix = PREFIXES[REMOTE[location.partition("://")[0]]]
    return {name: value for name, value in environment.items() if name.startswith(prefix)}


@contextmanager
def with_variables(location: str, given: Mapping[str, str]) -> Iterator[None]:
    """Have these variables in place of this process's own for the location's kind of store: an identity is several of
    them, and must not be made of two. Where none are given, its own stand."""
    own = variables(location, os.environ) if given else {}
    for name in own:
        del os.environ[name]
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]
        os.environ.update(own)


def read(spark: Any, store: BucketStore, table: Table, schema: str, paths: Sequence[str]) -> Any:
    """A data frame of the rows of these objects."""
    found = variables(store.location, os.environ)

    class ObjectSourceOfDriver(ObjectSource):  # of a function: pickled whole, not by its name
        variables = found

    spark.dataSource.register(ObjectSourceOfDriver)
    options = {"location": store.location, "table": table.name, "paths": "\n".join(paths)}
    return spark.read.format("udamon").options(**options).schema(schema).load()
