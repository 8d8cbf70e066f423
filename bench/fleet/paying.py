"""What DuckDB and Spark cost by the rows of a fleet, and from how many rows a cluster answers sooner.

A report's CPU is taken as `fixed + rows * each` (least squares over the sizes measured). An engine on `cores` idle
cores takes `fixed + rows * each / cores`: what does not depend on the rows runs on one core, the rest divides
perfectly. That favours Spark, whose workers exchange rows over a network. Reading from an object store is taken to
divide as cores do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from bench.figures import Figure

CORES = 16
"""Of the one machine that DuckDB has, and of each of Spark's."""
WORKERS = 10
NODES, SERVICES, WINDOWS = 100_000, 30, 288
"""A large fleet: nodes, services on a node, windows of a day."""
DAYS = (1, 30)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one report over `factor` times the fleet."""

    report: str
    factor: int
    engine: str
    rows: int
    bytes: int
    machine: str
    seconds: float
    cpu_seconds: float
    largest_process_mib: int
    load: float


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds of CPU, or MiB of memory: `fixed`, and of each row."""

    fixed: float
    each: float

    @classmethod
    def through(cls, found: Sequence[Cost]) -> Line:
        """Of CPU."""
        return cls.fitted([one.rows for one in found], [one.cpu_seconds for one in found])

    @classmethod
    def fitted(cls, rows: Sequence[int], values: Sequence[float]) -> Line:
        """Least squares; two sizes at least. Neither part is below 0."""
        centre, height = mean(rows), mean(values)
        each = sum((x - centre) * (y - height) for x, y in zip(rows, values, strict=True))
        each = max(0.0, each / sum((x - centre) ** 2 for x in rows))
        return cls(max(0.0, height - each * centre), each)

    def seconds(self, rows: float, cores: int) -> float:
        return self.fixed + rows * self.each / cores


def equal_at(duckdb: Line, spark: Line, workers: int) -> float | None:
    """Rows at which both take as long; None where DuckDB is faster at any number."""
    gain = duckdb.each / CORES - spark.each / (CORES * workers)
    return (spark.fixed - duckdb.fixed) / gain if gain > 0 else None


def costs(found: Iterable[Cost]) -> Figure:
    """Side by side, as it was measured."""
    pairs: dict[tuple[str, int], dict[str, Cost]] = {}
    for one in found:
        pairs.setdefault((one.report, one.factor), {})[one.engine] = one
    rows = [
        [
            f"`{report}`, {factor} ×",
            f"{both['duckdb'].rows:,}",
            *_cells(both["duckdb"]),
            *_cells(both["spark"]),
        ]
        for (report, factor), both in pairs.items()
    ]
    every = [one for both in pairs.values() for one in both.values()]
    loads = [one.load for one in every]
    head = ["report", "rows", *(f"{engine}: {what}" for engine in ("DuckDB", "Spark") for what in
            ("CPU", "by the clock", "memory"))]  # fmt: skip
    return Figure(
        "DuckDB beside Spark as data grow", head, rows,
        "One run each, Spark started for each report with a heap of 1 GiB; memory of the largest process. Measured on "
        f"{every[0].machine}, beside other work (load {min(loads):.0f} to {max(loads):.0f}): only CPU compares.",
    )  # fmt: skip


def paying(found: Iterable[Cost]) -> Figure:
    """From how many rows Spark answers sooner, and what a large fleet would take."""
    runs: dict[str, dict[str, list[Cost]]] = {}
    for one in found:
        runs.setdefault(one.report, {}).setdefault(one.engine, []).append(one)
    rows = []
    for report, engines in runs.items():
        duckdb, spark = (Line.through(engines[name]) for name in ("duckdb", "spark"))
        at = equal_at(duckdb, spark, WORKERS)
        memory = Line.fitted(
            [one.rows for one in engines["duckdb"]], [one.largest_process_mib for one in engines["duckdb"]]
        )
        many = [NODES * SERVICES * WINDOWS * days for days in DAYS]
        rows.append([
            f"`{report}`", _line(duckdb), _line(spark), "never" if at is None else f"{at / 1e6:,.0f} M",
            *(f"{_time(duckdb.seconds(each, CORES))}, {_time(spark.seconds(each, CORES * WORKERS))}" for each in many),
            f"{(memory.fixed + memory.each * many[0]) / 1024:,.0f} GiB",
        ])  # fmt: skip
    of_row = [one.bytes / one.rows for report in runs.values() for one in report["duckdb"]]
    head = [
        "report",
        "DuckDB",
        "Spark",
        "equal at",
        *(f"{days} d of {NODES:,} nodes" for days in DAYS),
        "DuckDB's memory, 1 d",
    ]
    return Figure(
        "Where Spark begins to pay, by extrapolation", head, rows,
        "CPU as a line through the sizes above: seconds, and seconds for each million rows. Then time by the clock, "
        f"DuckDB on one machine of {CORES} cores, Spark on {WORKERS} of them, all idle: what does not depend on the "
        "rows on one core, the rest, reading included, divided by the cores, with no cost of exchanging rows. "
        "Memory as a line, too: what the machine has not, DuckDB spills to disk, which no time here has in it. A day "
        f"of {NODES:,} nodes with {SERVICES} services each is "
        f"{NODES * SERVICES * WINDOWS / 1e6:,.0f} M rows, {mean(of_row):.0f} bytes each as measured.",
    )  # fmt: skip


def _cells(one: Cost) -> tuple[str, str, str]:
    return f"{one.cpu_seconds:.1f} s", f"{one.seconds:.0f} s", f"{one.largest_process_mib} MiB"


def _line(line: Line) -> str:
    return f"{line.fixed:.1f} + {line.each * 1e6:.2f}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
