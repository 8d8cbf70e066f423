"""The questions, each one SQL query over views of the fleet's tables (`view`), for DuckDB, Spark and Trino.

They keep to what udamon.report.translate carries over: no engine's own functions, no decimals, no integer overflow
(sums are doubles), no percentile function (Trino has only an approximate one), and every division by a double.

Bytes of a service are the mean, over its windows, of the sum over its hosts. Rows without a figure for the age that
was asked for (the agent had not watched for that long) count neither as cold nor as resident, but as not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import dedent

from udamon.fleet.tables import AGES, NODES, WINDOW_SECONDS, Column, Table, Type
from udamon.report.fleet.machines import doubled
from udamon.report.source import double

IDENTITY = "namespace, workload, service"

PROMOTION_LIMIT = 0.002
"""Share of the working set that may be promoted in a minute, and
WITHIN the share of windows in which it must hold: Lagar-Cavilla et al., Software-Defined Far Memory in Warehouse-Scale
Computers, ASPLOS 2019."""
WITHIN = 0.98

FEWEST_WINDOWS = 12
"""Windows that tell of promotions after an age, from which on it may be a service's safe age: an hour, as for the one
that the agent serves. In fewer nearly any service keeps within the limit."""

WORKING_SET_AGE = 120
"""Seconds: the working set is what was touched within this time (ibid.)."""

OUTLIER = 3.5
"""Of the modified z-score 0.6745 (x - median) / MAD: Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993."""

OUTLIER_SHARE = 0.1
"""Of the median, by which an outlier differs at least: where hosts hardly differ every one would be far out."""

FEWEST_HOSTS = 5
"""From which on a service has outliers."""

MOST = 1e15
"""No double of the tables (seconds, shares) is beyond it in either direction."""

SILENT_SECONDS = 3600
"""A host that has told nothing for so long before the end of the data is silent."""


def view(table: Table, shared: Sequence[str] | None = None) -> str:
    """The rows of a table, each fact once: all of TABLE_once, and of TABLE_repeated those that tell most.

    Of rows with one key, the one of which more of the window was watched counts; among equals, what is the same on
    every engine: the largest values, column by column. A double that is no number, or none that a machine has, is not
    known. A row without a key is of nothing that a report could name.

    `shared` are names of hosts that several machines have at once: `machine` is '' for all others, of which it does not
    matter, and which may have had several in the course of time. None: `machine` as it is in the objects.
    """
    plain = [each.name for each in table.columns if each.name not in table.identity]
    scalars = [each.name for each in table.columns if each.name in plain and each.type is not Type.INT64_LIST]
    first = [name for name in ("seconds", "coverage") if name in scalars]
    order = ", ".join(f"{name} DESC NULLS LAST" for name in [*first, *(n for n in scalars if n not in first)])
    names = ", ".join(table.names)
    known = ", ".join(_shown(each, shared) for each in table.columns)
    epoch = f"CAST(EPOCH({table.time}) AS BIGINT) AS epoch"
    keyed = " AND ".join(f"{name} IS NOT NULL" for name in table.key)
    same = f"OVER (PARTITION BY {', '.join(table.identity)}"
    at_once = f", {doubled(same)} AS doubled" if table is NODES else ""
    once, again = (", FALSE AS doubled", ", doubled") if table is NODES else ("", "")
    return dedent(f"""
        SELECT {known}, {epoch}{once} FROM {table.name}_once WHERE {keyed}
        UNION ALL
        SELECT {known}, {epoch}{again} FROM (
            SELECT {names}{at_once}, ROW_NUMBER() {same} ORDER BY {order}) AS telling
            FROM {table.name}_repeated WHERE {keyed}
        ) AS ranked WHERE telling = 1
    """)


def _shown(column: Column, shared: Sequence[str] | None) -> str:
    if column.name == "machine" and shared is not None:
        return f"{machine_of(shared)} AS machine"
    return _known(column.name) if column.type is Type.DOUBLE else column.name


def machine_of(shared: Sequence[str]) -> str:
    """The machine of a row whose host is one of `shared`, '' of another."""
    names = ", ".join(map(literal, shared))
    return f"CASE WHEN host IN ({names}) THEN COALESCE(machine, '') ELSE '' END" if shared else "''"


def _known(name: str) -> str:
    """The statistics of Parquet leave NaN out, so DuckDB takes a comparison with a bound for true without looking; a
    difference it does compute."""
    return f"CASE WHEN {name} - {name} = 0.0e0 AND ABS({name}) <= {double(MOST)} THEN {name} END AS {name}"


def cold(place: int) -> str:
    """Cold bytes by service at AGES[place]."""
    age = place + 1  # lists count from 1 in SQL
    return f"""
        WITH moments AS (
            SELECT {IDENTITY}, window_begin,
                SUM(CASE WHEN cold_bytes[{age}] IS NOT NULL THEN CAST(resident_bytes AS DOUBLE) END) AS resident,
                SUM(CAST(cold_bytes[{age}] AS DOUBLE)) AS cold,
                SUM(CAST(COALESCE(cold_bytes_high[{age}], cold_bytes[{age}]) AS DOUBLE)) AS cold_high,
                COUNT(*) AS row_count,
                COUNT(cold_bytes[{age}]) AS telling,
                SUM(coverage) AS covered, COUNT(coverage) AS covering
            FROM services GROUP BY {IDENTITY}, window_begin
        )
        SELECT {IDENTITY},
            MAX(row_count) AS hosts,
            COUNT(*) AS windows,
            AVG(resident) AS resident_bytes,
            AVG(cold) AS cold_bytes,
            AVG(cold_high) AS cold_bytes_high,
            SUM(cold) / NULLIF(SUM(resident), 0.0e0) AS cold_share,
            CAST(SUM(telling) AS DOUBLE) / CAST(SUM(row_count) AS DOUBLE) AS telling_share,
            SUM(covered) / NULLIF(CAST(SUM(covering) AS DOUBLE), 0.0e0) AS coverage
        FROM moments GROUP BY {IDENTITY}
        ORDER BY cold_bytes DESC NULLS LAST, {IDENTITY}
    """


def can_shrink(promotion_limit: float = PROMOTION_LIMIT, within: float = WITHIN) -> str:
    """How much of its limit each service can lose.

    The safe age is the smallest one whose promotions stay within `promotion_limit` of the working set a minute in the
    share `within` of the windows. What is needed is resident bytes without what is cold at that age, as a share of the
    limit, in the share `within` of the windows of its hosts, rounded up to a thousandth.
    """
    cold_there = " ".join(f"WHEN {age} THEN cold_bytes[{n}]" for n, age in enumerate(AGES, 1))
    need = "CAST(CEIL(1000.0e0 * (resident - cold) / NULLIF(limit_bytes, 0.0e0)) AS BIGINT)"
    known = "SUM(CASE WHEN need IS NOT NULL THEN row_count ELSE 0 END)"
    return f"""
        {_safe_ages(promotion_limit, within)},
        needs AS (
            SELECT {prefixed("safe")}, safe.hosts, safe.windows, safe.told, safe.safe_age, safe.promotion_rate,
                CAST(services.limit_bytes AS DOUBLE) AS limit_bytes,
                CAST(CASE safe_age {cold_there} END AS DOUBLE) AS cold,
                CAST(services.resident_bytes AS DOUBLE) AS resident
            FROM services JOIN safe ON {same("services", "safe")}
        ),
        counted AS (
            SELECT {IDENTITY}, hosts, windows, told, safe_age, promotion_rate, {need} AS need,
                COUNT(*) AS row_count, SUM(limit_bytes) AS limits, SUM(cold) AS cold, COUNT(cold) AS telling
            FROM needs GROUP BY {IDENTITY}, hosts, windows, told, safe_age, promotion_rate, {need}
        ),
        placed AS (
            SELECT counted.*,
                {known} OVER (
                    PARTITION BY {IDENTITY} ORDER BY need NULLS LAST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) AS up_to,
                {known} OVER (PARTITION BY {IDENTITY}) AS total
            FROM counted
        )
        SELECT {IDENTITY}, hosts, windows, told, safe_age AS safe_age_seconds, promotion_rate,
            SUM(cold) / NULLIF(CAST(SUM(telling) AS DOUBLE), 0.0e0) AS offloadable_bytes,
            SUM(limits) / CAST(SUM(CASE WHEN limits IS NOT NULL THEN row_count END) AS DOUBLE) AS limit_bytes,
            CAST(MIN(CASE WHEN CAST(up_to AS DOUBLE) >= {double(within)} * CAST(total AS DOUBLE)
                THEN need END) AS DOUBLE) / 1000.0e0 AS needed_share
        FROM placed GROUP BY {IDENTITY}, hosts, windows, told, safe_age, promotion_rate
        ORDER BY needed_share NULLS LAST, {IDENTITY}
    """


def _safe_ages(promotion_limit: float, within: float) -> str:
    """The view `safe`, after WITH: of each service hosts, windows, its safe age and the promotion rate there."""
    places = range(1, len(AGES) + 1)

    def each(text: str) -> str:
        return ", ".join(text.format(n=n) for n in places)

    def first(values: Iterable[str]) -> str:
        cases = (
            f"WHEN within_{n} >= {double(within)} AND told_{n} >= {FEWEST_WINDOWS} THEN {value}"
            for n, value in enumerate(values, 1)
        )
        return f"CASE {' '.join(cases)} END"

    # Less than nothing is not known: the counter of an agent of a version before began anew.
    told = "CASE WHEN promoted_bytes[{n}] >= 0 THEN"
    held = f"CAST(resident_bytes - cold_bytes[{AGES.index(WORKING_SET_AGE) + 1}] AS DOUBLE)"
    promoted = "CAST(promoted_bytes[{n}] AS DOUBLE) * 60.0e0 / seconds"
    keeps = f"promoted_{{n}} <= {double(promotion_limit)} * working_{{n}}"
    return f"""
        WITH moments AS (
            SELECT {IDENTITY}, window_begin, COUNT(*) AS hosts,
                {each(f"SUM({told} {promoted} END) AS promoted_{{n}}")},
                {each(f"SUM({told} {held} END) AS working_{{n}}")}
            FROM services WHERE seconds > 0 GROUP BY {IDENTITY}, window_begin
        ),
        rates AS (
            SELECT {IDENTITY}, MAX(hosts) AS hosts, COUNT(*) AS windows,
                {each("COUNT(promoted_{n}) AS told_{n}")},
                {each("AVG(promoted_{n} / NULLIF(working_{n}, 0.0e0)) AS rate_{n}")},
                {
        each(
            f"AVG(CASE WHEN {keeps} THEN 1.0e0 "
            "WHEN promoted_{n} IS NOT NULL THEN 0.0e0 END) AS within_{n}"
        )
    }
            FROM moments GROUP BY {IDENTITY}
        ),
        safe AS (
            SELECT {IDENTITY}, hosts, windows, GREATEST({each("told_{n}")}) AS told,
                {first(f"CAST({age} AS BIGINT)" for age in AGES)} AS safe_age,
                {first(f"rate_{n}" for n in places)} AS promotion_rate FROM rates
        )"""


def known() -> str:
    """How many rows tell of each age, as one row."""
    return f"SELECT {', '.join(f'COUNT(cold_bytes[{n}]) AS age_{n}' for n in range(1, len(AGES) + 1))} FROM services"


LEVELS = {"p10": 0.1, "p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


def percentiles(place: int) -> str:
    """Percentiles over the hosts of a service, of each host's means over its windows; linear between hosts."""
    age = place + 1

    def level(figure: str, name: str, share: float) -> str:
        at = f"{double(share)} * CAST(hosts - 1 AS DOUBLE)"
        weight = f"GREATEST(0.0e0, 1.0e0 - ABS(CAST({figure}_place AS DOUBLE) - {at}))"
        return f"SUM({weight} * {figure}) AS {figure}_{name}"

    levels = ", ".join(level(figure, *each) for figure in ("resident", "cold") for each in LEVELS.items())
    return f"""
        WITH hosts AS ({_of_hosts(age)}),
        placed AS (
            SELECT {IDENTITY}, resident, cold,
                ROW_NUMBER() OVER (PARTITION BY {IDENTITY} ORDER BY resident, host, machine) - 1 AS resident_place,
                ROW_NUMBER() OVER (PARTITION BY {IDENTITY} ORDER BY cold, host, machine) - 1 AS cold_place,
                COUNT(*) OVER (PARTITION BY {IDENTITY}) AS hosts
            FROM hosts
        )
        SELECT {IDENTITY}, MAX(hosts) AS hosts, {levels}
        FROM placed GROUP BY {IDENTITY}
        ORDER BY resident_max DESC, {IDENTITY}
    """


def outliers(place: int) -> str:
    """Hosts on which a service has far more or less memory, or cold memory, than on its others."""
    age = place + 1
    return f"""
        WITH hosts AS ({_of_hosts(age)}),
        figures AS (
            SELECT {IDENTITY}, host, machine, figure,
                CASE figure WHEN 'resident_bytes' THEN resident ELSE cold / NULLIF(resident, 0.0e0) END AS found
            FROM hosts CROSS JOIN (SELECT 'resident_bytes' AS figure UNION ALL SELECT 'cold_share' AS figure) AS names
        ),
        known AS (SELECT * FROM figures WHERE found IS NOT NULL),
        middles AS ({_median("known", "found")}),
        distances AS (
            SELECT {prefixed("known")}, known.figure, known.host, known.machine, known.found,
                middles.median, middles.hosts,
                ABS(known.found - middles.median) AS distance
            FROM known JOIN middles ON {same("known", "middles")} AND known.figure = middles.figure
            WHERE middles.hosts >= {FEWEST_HOSTS}
        ),
        spreads AS ({_median("distances", "distance")})
        SELECT {prefixed("distances")}, distances.figure, distances.host, distances.machine, distances.hosts,
            distances.found AS value, distances.median AS median,
            6.745e-1 * (distances.found - distances.median) / spreads.median AS score
        FROM distances JOIN spreads ON {same("distances", "spreads")} AND distances.figure = spreads.figure
        WHERE spreads.median > 0 AND 6.745e-1 * distances.distance > {double(OUTLIER)} * spreads.median
            AND distances.distance >= {double(OUTLIER_SHARE)} * ABS(distances.median)
        ORDER BY ABS(6.745e-1 * (distances.found - distances.median) / spreads.median) DESC,
            distances.figure, {prefixed("distances")}, distances.host, distances.machine
    """


def coverage(place: int) -> str:
    """What was not seen, by service: how many rows are missing between a host's first and last, and how many tell."""
    age = place + 1
    return f"""
        WITH hosts AS (
            SELECT {IDENTITY}, host, machine, MIN(epoch) AS first_epoch, MAX(epoch) AS last_epoch,
                COUNT(*) AS row_count,
                SUM(coverage) AS covered, COUNT(coverage) AS covering, SUM(seconds) AS watched,
                COUNT(cold_bytes[{age}]) AS telling,
                SUM(CASE WHEN grain = 'mapping' THEN 1 ELSE 0 END) AS coarse
            FROM services GROUP BY {IDENTITY}, host, machine
        ),
        fleet AS (SELECT MAX(last_epoch) AS end_epoch FROM hosts)
        SELECT {IDENTITY}, COUNT(*) AS hosts,
            SUM(CASE WHEN last_epoch < end_epoch - {SILENT_SECONDS} THEN 1 ELSE 0 END) AS silent_hosts,
            SUM(row_count) AS row_count,
            CAST(SUM((last_epoch - first_epoch) / {double(WINDOW_SECONDS)} + 1.0e0) AS BIGINT) AS expected_rows,
            SUM(watched) / CAST(SUM(row_count) AS DOUBLE) / {double(WINDOW_SECONDS)} AS watched_share,
            SUM(covered) / NULLIF(CAST(SUM(covering) AS DOUBLE), 0.0e0) AS coverage,
            CAST(SUM(telling) AS DOUBLE) / CAST(SUM(row_count) AS DOUBLE) AS telling_share,
            CAST(SUM(coarse) AS DOUBLE) / CAST(SUM(row_count) AS DOUBLE) AS mapping_share
        FROM hosts CROSS JOIN fleet GROUP BY {IDENTITY}
        ORDER BY silent_hosts DESC, telling_share, {IDENTITY}
    """


def grains(place: int) -> str:
    """How what is told was seen, as one row: the least and the last name of a grain, and the share of the rows whose
    cold bytes are a lower bound."""
    age = place + 1
    return f"""
        SELECT MIN(grain) AS first_grain, MAX(grain) AS last_grain,
            AVG(CASE WHEN cold_bytes_high[{age}] > cold_bytes[{age}] THEN 1.0e0
                WHEN cold_bytes[{age}] IS NOT NULL THEN 0.0e0 END) AS bounded_share
        FROM services
    """


def seen(shared: Sequence[str]) -> str:
    """What nodes tell of themselves, as one row: how much was watched, and what was missed. `shared` as in `view`."""
    return f"""
        WITH hosts AS (
            SELECT host, MIN(epoch) AS first_epoch, MAX(epoch) AS last_epoch, COUNT(*) AS row_count,
                SUM(seconds) AS watched, SUM(services_wanted) AS wanted, SUM(services_seen) AS seen,
                MAX(processes_missed) AS missed, MAX(rows_dropped) AS dropped
            FROM nodes GROUP BY host, {machine_of(shared)}
        ),
        fleet AS (SELECT MAX(last_epoch) AS end_epoch FROM hosts)
        SELECT COUNT(*) AS hosts,
            SUM(CASE WHEN last_epoch < end_epoch - {SILENT_SECONDS} THEN 1 ELSE 0 END) AS silent_hosts,
            CAST(SUM(row_count) AS DOUBLE)
                / SUM((last_epoch - first_epoch) / {double(WINDOW_SECONDS)} + 1.0e0) AS windows_share,
            SUM(watched) / CAST(SUM(row_count) AS DOUBLE) / {double(WINDOW_SECONDS)} AS watched_share,
            CAST(SUM(seen) AS DOUBLE) / NULLIF(CAST(SUM(wanted) AS DOUBLE), 0.0e0) AS services_share,
            CAST(SUM(missed) AS BIGINT) AS processes_missed, CAST(SUM(dropped) AS BIGINT) AS rows_dropped
        FROM hosts CROSS JOIN fleet
    """


def _of_hosts(age: int) -> str:
    return f"""
        SELECT {IDENTITY}, host, machine, AVG(CAST(resident_bytes AS DOUBLE)) AS resident,
            AVG(CAST(cold_bytes[{age}] AS DOUBLE)) AS cold
        FROM services WHERE cold_bytes[{age}] IS NOT NULL AND resident_bytes IS NOT NULL
        GROUP BY {IDENTITY}, host, machine
    """


def _median(table: str, column: str) -> str:
    """Of a column by service and figure: a table of `median` and `hosts`."""
    at = "5.0e-1 * CAST(hosts - 1 AS DOUBLE)"
    return f"""
        SELECT {IDENTITY}, figure, hosts,
            SUM(GREATEST(0.0e0, 1.0e0 - ABS(CAST(place AS DOUBLE) - {at})) * {column}) AS median
        FROM (
            SELECT {IDENTITY}, figure, {column},
                ROW_NUMBER() OVER (PARTITION BY {IDENTITY}, figure ORDER BY {column}, host, machine) - 1 AS place,
                COUNT(*) OVER (PARTITION BY {IDENTITY}, figure) AS hosts
            FROM {table}
        ) AS ranked GROUP BY {IDENTITY}, figure, hosts
    """


def literal(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _names() -> Iterable[str]:
    return IDENTITY.split(", ")


def prefixed(table: str) -> str:
    """The columns that name a service, of one table."""
    return ", ".join(f"{table}.{name}" for name in _names())


def same(one: str, other: str) -> str:
    """The condition that two tables are about the same service."""
    return " AND ".join(f"{one}.{name} = {other}.{name}" for name in _names())
