"""The reports: what each asks for, and its rows as JSON documents have them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from udamon.core.idle_time import LABELS
from udamon.errors import CannotError
from udamon.fleet.damage import EngineFailed, checked, read_through
from udamon.fleet.listing import DamagedObject, Dates, ListedObjects
from udamon.fleet.objects import directory
from udamon.fleet.spool import OPEN
from udamon.fleet.store import Directory, Store
from udamon.fleet.tables import AGES, DEPLOYS, NODES, SERVICES, WINDOW_SECONDS, Table
from udamon.model import MAPPING, MIXED, PAGE
from udamon.report.fleet import deploys, machines, queries, student
from udamon.report.fleet.engines import FleetEngine, Row
from udamon.units import GIB, counted

TOO_FEW = f"too few: {queries.FEWEST_WINDOWS} are needed"
"""In the reason of a service of which few windows tell of promotions."""

SHORT = "less than a day was seen, so a daily peak may be missing"

ASSUMED = (
    "The intervals are from differences between hosts: what changed on all hosts at that moment for another reason, "
    "such as traffic, counts as the deploy's."
)
"""Of `after`."""

FEWEST_REPLICATES = 3
"""Hosts from which on a change of a service has an uncertainty."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is asked for. `days` is how many days `after` compares on each side, `dates` which days of the data
    are read (first and last, both included), `price` what a GiB costs a month."""

    report: str
    age_seconds: int = 120
    price: float | None = None
    least: float = 0.1
    deploy: str = ""
    days: int = 4
    false_discoveries: float = 0.01
    dates: Dates = (None, None)

    @property
    def place(self) -> int:
        return AGES.index(self.age_seconds)


@dataclass(frozen=True, slots=True)
class Report:
    """`rows` as in JSON. `seen` is the row of queries.seen(), None where no node told of itself; `grain` is PAGE,
    MAPPING or MIXED, and `bounded_share` the share of rows whose cold bytes are a lower bound, None where none tells.
    `objects`, `repeated` and `size` are of what was read, `damaged` what was not, or not all of it.
    """

    asked: Asked
    engine: str
    rows: list[Row]
    seen: Row | None
    grain: str | None
    bounded_share: float | None
    objects: int
    repeated: int
    size: int
    damaged: tuple[DamagedObject, ...] = ()
    passed_over: int = 0
    """Directories of the location that could not be looked into, and names that are not UTF-8."""
    shared_hosts: tuple[str, ...] = ()
    """Names of hosts that several machines have at once; each of these counts as a host."""
    shared_machines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Identities that machines of several names have at once, and these names, by which alone they are known apart."""
    doubled_hosts: tuple[str, ...] = ()
    """Hosts of which two agents at once wrote rows of one key, of which one counts."""
    known_ages: tuple[int, ...] | None = None
    """Where no row tells of the age that was asked for (of any, where none was): those that rows tell of, s."""

    @property
    def why(self) -> list[str]:
        """Why there are no figures, as sentences; empty where there are."""
        if self.known_ages is None:
            return []
        if not self.objects:
            return ["No object could be read, so nothing is known."]
        if not self.known_ages:
            return ["No row tells of any age: nobody has watched for long enough yet."]
        known = ", ".join(LABELS[AGES.index(age)] for age in self.known_ages)
        return [
            f"No row tells what was not touched for {LABELS[self.asked.place]}.",
            f"Known ages (--age): {known.replace(' ', '').replace(',', ', ')}.",
        ]

    def document(self) -> dict[str, Any]:
        """For JSON."""
        asked = self.asked
        return {
            "schema": 1,
            "engine": self.engine,
            "report": asked.report,
            "age_seconds": asked.age_seconds,
            "first_date": asked.dates[0],
            "last_date": asked.dates[1],
            **({"deploy": asked.deploy, "days": asked.days, "false_discovery_rate": asked.false_discoveries,
                "assumed": ASSUMED}
               if asked.report == "after" else {}),
            **({"least_share": asked.least} if asked.report == "can-shrink" else {}),
            "objects": {"read": self.objects, "repeated": self.repeated, "bytes": self.size,
                        "passed_over": self.passed_over},
            "damaged": [each.document for each in self.damaged],
            "shared_hosts": list(self.shared_hosts),
            "shared_machines": [
                {"machine": name, "hosts": list(hosts)} for name, hosts in self.shared_machines.items()
            ],
            "doubled_hosts": list(self.doubled_hosts),
            "known_ages_seconds": self.known_ages,
            "why": " ".join(self.why) or None,
            "seen": self.seen,
            "grain": self.grain,
            "bounded_share": self.bounded_share,
            "rows": self.rows,
        }  # fmt: skip


def _nothing(store: Store, asked: Dates) -> CannotError:
    """Why there is no object of these days to read."""
    if any(store.list(OPEN)):
        return CannotError(
            f"{store.location} is the spool of an agent and has only rows of an hour that is not over; the agent "
            "makes objects of them when it is, and when the agent ends."
        )
    give = "give the location that udamon fleet upload fills, or the spool of an agent."
    paths = "\n".join(stored.path for stored in store.list(directory(SERVICES)))
    if there := sorted(set(re.findall(r"/date=([0-9]{4}-[0-9]{2}-[0-9]{2})/", paths))):
        days = " ".join(f"{word} {day}" for word, day in zip(("from", "to"), asked, strict=True) if day)
        return CannotError(
            f"{store.location} has objects of services from {there[0]} to {there[-1]}, and none {days}, which is asked "
            "for; ask for days that it has."
        )
    if isinstance(store, Directory) and not os.path.isdir(store.root):
        return CannotError(f"{store.location} is no directory; {give}")
    return CannotError(f"{store.location} has no objects of services; {give}")


def measure(asked: Asked, store: Store, engine: FleetEngine) -> Report:
    """Objects that cannot be read are left out, and named in `damaged`. Raises UdamonError."""
    found: list[DamagedObject] = []
    while True:
        read: list[tuple[Table, ListedObjects]] = []
        try:
            return _measured(asked, store, engine, found, read)
        except EngineFailed:
            known = {each.object for each in found}
            more = [each for table, objects in read for each in read_through(store, table, objects.stored)]
            if not {each.object for each in more} - known:
                raise  # it is not the objects
            found += more


def _measured(
    asked: Asked,
    store: Store,
    engine: FleetEngine,
    damaged: Sequence[DamagedObject],
    read: list[tuple[Table, ListedObjects]],
) -> Report:
    """Without objects that are known to be damaged. What is read is added to `read`."""

    def table(wanted: Table, dates: Dates, shared: Sequence[str] | None = None) -> ListedObjects:
        found = checked(store, wanted, dates, damaged)
        read.append((wanted, found))
        engine.table(wanted, found, shared)
        return found

    dates = asked.dates
    if asked.report == "after":
        table(DEPLOYS, (None, None))
        dates = _around(asked, engine, store, read[0][1].damaged)
    nodes = table(NODES, dates)
    shared = [row["host"] for row in engine.rows(machines.shared_hosts())] if nodes.all else []
    cloned: dict[str, list[str]] = {}
    for row in engine.rows(machines.shared_machines()) if nodes.all else []:
        cloned.setdefault(row["machine"], []).append(row["host"])
    doubled = [row["host"] for row in engine.rows(machines.doubled_hosts())] if nodes.all else []
    services = table(SERVICES, dates, shared)
    if not services.all and not services.damaged:
        raise _nothing(store, dates)
    rows = [_KINDS[asked.report].row(asked, row) for row in engine.rows(sql_of(asked))]
    if asked.report == "after":
        rows = _judged(rows, asked.false_discoveries)
    seen = engine.rows(queries.seen(shared))[0] if nodes.all else None
    known = None if _KINDS[asked.report].tells(rows) else _known_ages(asked, engine)
    (grains,) = engine.rows(queries.grains(asked.place))
    first, last = grains["first_grain"], grains["last_grain"]
    grain = first if first == last and first in (None, PAGE, MAPPING) else MIXED
    all_of = [objects for _, objects in read]
    return Report(
        asked, engine.name, rows, seen, grain, grains["bounded_share"],
        sum(len(each.all) for each in all_of), len(services.repeated), sum(each.bytes for each in all_of),
        tuple(damage for each in all_of for damage in each.damaged), len(store.passed_over), tuple(shared),
        cloned, tuple(doubled), known,
    )  # fmt: skip


def sql_of(asked: Asked) -> str:
    """The report's query over the views `services` and `deploys` (queries.view)."""
    return _KINDS[asked.report].sql(asked)


def _around(asked: Asked, engine: FleetEngine, store: Store, damaged: Sequence[DamagedObject]) -> Dates:
    """The days that are compared, within those that were asked for. `damaged` is of the table deploys."""
    sql = "SELECT deploy, MIN(epoch) AS first_epoch, MAX(epoch) AS last_epoch FROM deploys GROUP BY deploy"
    known = {row["deploy"]: row for row in engine.rows(sql)}
    if asked.deploy not in known:
        if isinstance(store, Directory) and not os.path.isdir(store.root):
            raise _nothing(store, asked.dates)
        some = ", ".join(sorted(known)[:5])
        there = f"there are: {some}" if some else "there is none; tell of it by udamon fleet deploy"
        if damaged:
            there += f"; damaged objects of deploys: {len(damaged)}, such as {damaged[0].object}"
        raise CannotError(f"{store.location} knows no deploy {asked.deploy!r}; {there}.")
    reach = asked.days * 86400
    first = _date(known[asked.deploy]["first_epoch"] - reach)
    last = _date(known[asked.deploy]["last_epoch"] + reach)
    return max(first, asked.dates[0] or first), min(last, asked.dates[1] or last)


def _known_ages(asked: Asked, engine: FleetEngine) -> tuple[int, ...] | None:
    """Ages of which some row tells; None where that which was asked for is among them."""
    (row,) = engine.rows(queries.known())
    known = tuple(age for n, age in enumerate(AGES, 1) if row[f"age_{n}"])
    wanted = AGES if asked.report == "can-shrink" else (asked.age_seconds,)
    return None if set(wanted) & set(known) else known


def _date(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).date().isoformat()


@dataclass(frozen=True, slots=True)
class _FleetKind:
    """`tells`: whether rows show that some row of the tables tells of the age that was asked for."""

    sql: Callable[[Asked], str]
    row: Callable[[Asked, Row], Row]
    tells: Callable[[Sequence[Row]], bool] = bool


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _identity(row: Row) -> Row:
    return {"service": row["service"], "namespace": row["namespace"], "workload": row["workload"]}


def _cold(asked: Asked, row: Row) -> Row:
    money = None
    if asked.price is not None and row["cold_bytes"] is not None:
        money = row["cold_bytes"] / GIB * asked.price
    exact = row["cold_bytes"] == row["cold_bytes_high"]
    return _identity(row) | {
        "hosts": row["hosts"],
        "windows": row["windows"],
        "resident_bytes": _whole(row["resident_bytes"]),
        "cold_bytes": _whole(row["cold_bytes"]),
        "cold_bytes_high": None if exact else _whole(row["cold_bytes_high"]),
        "cold_share": row["cold_share"],
        "telling_share": row["telling_share"],
        "coverage": row["coverage"],
        **({} if asked.price is None else {"cold_price_month": money}),
    }


def _can_shrink(asked: Asked, row: Row) -> Row:
    lose = None if row["needed_share"] is None else 1 - row["needed_share"]
    limit = row["limit_bytes"]
    return _identity(row) | {
        "hosts": row["hosts"],
        "windows": row["windows"],
        "safe_age_seconds": row["safe_age_seconds"],
        "promotion_share_minute": row["promotion_rate"],
        "offloadable_bytes": _whole(row["offloadable_bytes"]),
        "limit_bytes": _whole(limit),
        "can_lose_share": lose,
        "can_lose_bytes": None if lose is None or limit is None else round(max(0.0, lose) * limit),
        "can_shrink": lose is not None and lose >= asked.least,
        "why": _doubt(row),
    }


def _doubt(row: Row) -> str | None:
    """Why nothing is decided of a service, or what is to be known of what is; None where there is nothing to say."""
    if row["told"] < queries.FEWEST_WINDOWS:
        return f"{counted(row['told'], 'window')} with promotions, which is {TOO_FEW}"
    if row["safe_age_seconds"] is None:
        return "promotions are above the limit at every age"
    if row["limit_bytes"] is None:
        return "it has no limit"
    return SHORT if row["windows"] * WINDOW_SECONDS < 86400 else None


def _percentiles(_asked: Asked, row: Row) -> Row:
    return _identity(row) | {
        "hosts": row["hosts"],
        **{
            f"{figure}_bytes": {name: _whole(row[f"{figure}_{name}"]) for name in queries.LEVELS}
            for figure in ("resident", "cold")
        },
    }


def _outliers(_asked: Asked, row: Row) -> Row:
    return _identity(row) | {
        "machine": row["machine"] or None,
        **{name: row[name] for name in ("host", "hosts", "figure", "value", "median", "score")},
    }


def _coverage(_asked: Asked, row: Row) -> Row:
    names = ("hosts", "silent_hosts", "watched_share", "coverage", "telling_share", "mapping_share")
    return _identity(row) | {
        **{name: row[name] for name in names},
        "rows": int(row["row_count"]),
        "missing_rows": max(0, int(row["expected_rows"]) - int(row["row_count"])),
        "silent_hosts": int(row["silent_hosts"]),
    }


def _after(_asked: Asked, row: Row) -> Row:
    return _identity(row) | {
        "figure": row["figure"],
        "hosts": row["hosts"],
        "before_bytes": _whole(row["before_bytes"]),
        "step_bytes": _whole(row["step_bytes"]),
        "change": row["change"],
        "spread": row["spread"],
        "why": f"{counted(row['others'], 'other deploy')} of it in these days" if row["others"] else None,
    }


def _judged(rows: Sequence[Row], rate: float) -> list[Row]:
    """The rows, each with its 95 % interval, its p-value and whether it counts as changed; those that did first."""
    tested: list[tuple[Row, float]] = []
    for row in rows:
        spread, hosts = row.pop("spread"), row["hosts"]
        row |= {"low": None, "high": None, "p": None, "q": None, "changed": None}
        if row["why"] is None and (hosts < FEWEST_REPLICATES or not spread):
            too_few = f"{counted(hosts, 'host')}, which is too few: {FEWEST_REPLICATES} are needed"
            row["why"] = too_few if hosts < FEWEST_REPLICATES else "all its hosts changed by the same share"
        if row["why"] is None:
            tested.append((row, spread))
    for figure in deploys.FIGURES:  # each is a question of its own
        family = [(row, spread) for row, spread in tested if row["figure"] == figure]
        spreads = student.moderated([spread for _, spread in family], [row["hosts"] - 1 for row, _ in family])
        for (row, _), (spread, freedom) in zip(family, spreads, strict=True):
            error = student.standard_error(spread, row["hosts"])
            reach = error * student.quantile(0.95, freedom)
            row |= {"low": row["change"] - reach, "high": row["change"] + reach}
            row["p"] = student.two_sided(row["change"] / error, freedom)
        found = student.adjusted([row["p"] for row, _ in family])
        for (row, _), q in zip(family, found, strict=True):
            row |= {"q": q, "changed": q <= rate}
    keys: Mapping[bool | None, int] = {True: 0, False: 1, None: 2}
    return sorted(rows, key=lambda row: (keys[row["changed"]], 1.0 if row["p"] is None else row["p"]))


def _told(rows: Sequence[Row]) -> bool:
    return any(row["telling_share"] for row in rows)


def _safe(rows: Sequence[Row]) -> bool:
    return any(row["safe_age_seconds"] is not None for row in rows)


_KINDS = {
    "cold": _FleetKind(lambda asked: queries.cold(asked.place), _cold, _told),
    "can-shrink": _FleetKind(lambda _: queries.can_shrink(), _can_shrink, _safe),
    "percentiles": _FleetKind(lambda asked: queries.percentiles(asked.place), _percentiles),
    "outliers": _FleetKind(lambda asked: queries.outliers(asked.place), _outliers),
    "coverage": _FleetKind(lambda asked: queries.coverage(asked.place), _coverage, _told),
    "after": _FleetKind(lambda asked: deploys.after(asked.deploy, asked.place, asked.days), _after),
}
REPORTS = tuple(_KINDS)
