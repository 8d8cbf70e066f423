"""Reports over the tables of a fleet: one SQL query each, on DuckDB or Spark."""
