"""What changed at a deploy: one SQL query, in the same subset as udamon.report.fleet.queries.

docs/fleet.md#the-questions names the method and its sources.
"""

from __future__ import annotations

from udamon.fleet.deploying import check_name
from udamon.fleet.tables import WINDOW_SECONDS
from udamon.report.fleet.queries import IDENTITY, literal, prefixed, same

FIGURES = ("resident_bytes", "working_set_bytes", "cold_bytes")
"""What `after` compares."""


def after(deploy: str, place: int, days: int) -> str:
    """The step at a deploy, by service and figure: moments over hosts, of the step as a share of the mean before.

    Of a host, windows are averaged to hours and hours to days since the deploy, of whole days alone, so that hours of
    day weigh the same before and after; then a step beside a linear trend is fitted (least squares, a common slope).
    `others` counts other deploys of the service in that time.
    """
    age, seconds = place + 1, days * 86400
    side = {
        name: f"CASE WHEN number {sign} 0 THEN {{0}} ELSE 0.0e0 END"
        for name, sign in (("b", "<"), ("a", ">="))
    }
    sums = ", ".join(
        f"SUM({side[name].format(value)}) AS {name}_{what}"
        for name in side
        for what, value in (("n", "1.0e0"), ("t", "t"), ("tt", "t * t"), ("y", "y"), ("ty", "t * y"))
    )
    return f"""
        {_days(deploy, age, seconds)},
        points AS (
            SELECT {IDENTITY}, host, machine, figure, number, number + 5.0e-1 AS t,
                CASE figure WHEN 'resident_bytes' THEN resident WHEN 'cold_bytes' THEN cold
                    ELSE resident - cold END AS y
            FROM days CROSS JOIN ({" UNION ALL ".join(f"SELECT '{name}' AS figure" for name in FIGURES)}) AS names
        ),
        sums AS (
            SELECT {IDENTITY}, host, machine, figure, {sums} FROM points GROUP BY {IDENTITY}, host, machine, figure
        ),
        slopes AS (
            SELECT sums.*,
                ((b_ty - b_t * b_y / b_n) + (a_ty - a_t * a_y / a_n))
                    / ((b_tt - b_t * b_t / b_n) + (a_tt - a_t * a_t / a_n)) AS slope
            FROM sums WHERE a_n >= 2 AND b_n >= 2
        ),
        steps AS (
            SELECT {IDENTITY}, host, machine, figure, b_y / b_n AS before_bytes,
                (a_y / a_n - b_y / b_n) - slope * (a_t / a_n - b_t / b_n) AS step
            FROM slopes WHERE b_y > 0
        ),
        changes AS (
            SELECT {IDENTITY}, figure, COUNT(*) AS hosts, SUM(before_bytes) AS before_bytes, SUM(step) AS step_bytes,
                AVG(step / before_bytes) AS change, STDDEV_SAMP(step / before_bytes) AS spread
            FROM steps GROUP BY {IDENTITY}, figure
        ),
        busy AS (
            SELECT {prefixed("deploys")}, COUNT(*) AS others
            FROM deploys CROSS JOIN (SELECT MIN(epoch) AS first_epoch, MAX(epoch) AS last_epoch
                FROM deploys WHERE deploy = {_literal(deploy)}) AS it
            WHERE deploy <> {_literal(deploy)} AND epoch > first_epoch - {seconds} AND epoch < last_epoch + {seconds}
            GROUP BY {prefixed("deploys")}
        )
        SELECT {prefixed("changes")}, changes.figure, changes.hosts, changes.before_bytes, changes.step_bytes,
            changes.change, changes.spread, COALESCE(busy.others, 0) AS others
        FROM changes LEFT JOIN busy ON {same("changes", "busy")}
        ORDER BY {prefixed("changes")}, changes.figure
    """


def _days(deploy: str, age: int, seconds: int) -> str:
    """The view `days`, after WITH: the means of each host over the whole days since the deploy, `number`ed from it."""
    return f"""
        WITH everywhere AS (
            SELECT MIN(epoch) AS epoch FROM deploys WHERE deploy = {_literal(deploy)} AND host = ''
        ),
        local AS (
            SELECT host, MIN(epoch) AS epoch FROM deploys WHERE deploy = {_literal(deploy)} AND host <> '' GROUP BY host
        ),
        timed AS (
            SELECT {prefixed("services")}, services.host, services.machine,
                services.epoch - COALESCE(local.epoch, everywhere.epoch) AS since,
                CAST(resident_bytes AS DOUBLE) AS resident, CAST(cold_bytes[{age}] AS DOUBLE) AS cold
            FROM services LEFT JOIN local ON services.host = local.host CROSS JOIN everywhere
        ),
        hours AS (
            SELECT {IDENTITY}, host, machine, FLOOR(CAST(since AS DOUBLE) / 3.6e3) AS hour,
                AVG(resident) AS resident, AVG(cold) AS cold
            FROM timed
            WHERE cold IS NOT NULL AND since >= -{seconds} AND since < {seconds}
                AND (since >= 0 OR since <= -{WINDOW_SECONDS})
            GROUP BY {IDENTITY}, host, machine, FLOOR(CAST(since AS DOUBLE) / 3.6e3)
        ),
        days AS (
            SELECT {IDENTITY}, host, machine, FLOOR(hour / 2.4e1) AS number,
                AVG(resident) AS resident, AVG(cold) AS cold
            FROM hours GROUP BY {IDENTITY}, host, machine, FLOOR(hour / 2.4e1) HAVING COUNT(*) = 24
        )"""


def _literal(value: str) -> str:
    """A literal of a deploy's name."""
    check_name(value)
    return literal(value)
