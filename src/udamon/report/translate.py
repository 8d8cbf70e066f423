"""The SQL of a report for the engine that a fleet has its recordings on, by SQLGlot (extra `engines`)."""

from __future__ import annotations

from udamon import extras


def translate(sql: str, dialect: str, *, pretty: bool = False) -> str:
    """A query or view of udamon.report in SQLGlot's `dialect`: "spark", "trino", "snowflake" and others.

    Addresses are unsigned 64-bit numbers, which few engines have: there they are decimals of twenty digits,
    as these engines read them from Parquet. What a list is too short for is null, as on DuckDB: others fail there
    unless they are asked for that. Raises MissingExtra without SQLGlot.
    """
    try:
        from sqlglot import exp, parse_one
    except ImportError:
        raise extras.missing("translating a report", "engines") from None

    def portable(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Bracket):
            node.set("safe", True)
        unsigned = isinstance(node, exp.DataType) and node.this == exp.DataType.Type.UBIGINT
        return exp.DataType.build("DECIMAL(20, 0)") if unsigned else node

    tree = parse_one(sql, read="duckdb")
    return (tree if dialect == "duckdb" else tree.transform(portable)).sql(dialect=dialect, pretty=pretty)
