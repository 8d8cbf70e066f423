"""The objects of a made-up fleet, hour by hour, so that memory does not grow with the days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
from arro3.core import Array, DataType, RecordBatch, list_array
from numpy.typing import NDArray

from bench.fleet.model import HOUR_WINDOWS, LATE_OBJECTS, Fleet, Noise, host_of, name_of
from udamon.fleet.objects import ObjectName, parquet
from udamon.fleet.store import Store
from udamon.fleet.tables import AGES, DEPLOYS, NODES, SERVICES, VERSION, WINDOW_SECONDS, Table, Type

START = datetime(2026, 11, 1, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
WINDOW_US = WINDOW_SECONDS * 1_000_000
NULL = np.iinfo(np.int64).min

Ints = NDArray[np.int64]


def write(fleet: Fleet, store: Store, seed: int) -> dict[str, int]:
    """All objects of the fleet. Returns how many there are, and how many rows of services, each counted once."""
    random = np.random.default_rng([seed, 2])
    noises = [Noise(len(fleet.service), random) for _ in range(3)]
    names = _Names(fleet)
    told = {"objects": 0, "rows": 0, "repeated_objects": 0, "repeated_rows": 0}
    _put(store, DEPLOYS, "deployer", START_US, DEPLOYS.batch(_deploys(fleet)))
    for hour in range(fleet.windows // HOUR_WINDOWS):
        first = hour * HOUR_WINDOWS
        columns = _services(fleet, first, noises)
        for host, rows in names.hosts():
            alive = min(HOUR_WINDOWS, int(fleet.death[host]) - first)
            if alive <= 0:
                continue
            version = 1 if fleet.old[host] else VERSION
            young = bool(fleet.new[host]) and first * WINDOW_SECONDS < AGES[-1]
            repeated = random.random() < LATE_OBJECTS
            # One that came too soon, with two thirds of the hour; then the whole hour.
            for windows in [*([alive * 2 // 3] if repeated and alive > 2 else []), alive]:
                batch = names.batch(columns, rows, windows, young=young)
                old = batch.select(SERVICES.schema_of(version).names)
                _put(store, SERVICES, host_of(host), START_US + first * WINDOW_US, old, version)
                told["repeated_objects" if windows < alive else "objects"] += 1
                told["repeated_rows" if windows < alive else "rows"] += len(rows) * windows
            _put(
                store,
                NODES,
                host_of(host),
                START_US + first * WINDOW_US,
                _node(host, first, alive, len(rows)),
            )
    return told


def _put(
    store: Store, table: Table, host: str, time_us: int, batch: RecordBatch, version: int = VERSION
) -> None:
    data = parquet(table, batch, version)
    store.create(ObjectName.of(table, host, time_us, data).path, data)


def _services(fleet: Fleet, first: int, noises: list[Noise]) -> dict[str, Ints]:
    """Of an hour: columns of P x windows rows, pair by pair; lists have a last axis of ages."""
    level = fleet.level(first, HOUR_WINDOWS)[fleet.service] * fleet.factor[:, None]
    mine, cold_noise, promoted_noise = (noise.next(HOUR_WINDOWS) for noise in noises)
    resident = level * mine
    cold = (
        np.minimum(fleet.cold[fleet.service][:, None, :] * cold_noise[:, :, None], 1) * resident[:, :, None]
    )
    promoted = (
        fleet.promoted[fleet.service][:, None, :] * (promoted_noise * resident)[:, :, None] * WINDOW_SECONDS
    )
    window = START_US + (first + np.arange(HOUR_WINDOWS)) * WINDOW_US
    return {
        "window_begin": np.tile(window, len(fleet.service)).reshape(level.shape),
        "resident_bytes": np.rint(resident).astype(np.int64),
        "accessed_bytes": np.rint(resident - cold[:, :, AGES.index(300)]).astype(np.int64),
        "cold_bytes": np.rint(cold).astype(np.int64),
        "promoted_bytes": np.rint(promoted).astype(np.int64),
    }  # fmt: skip


class _Names:
    """What does not change from hour to hour, and batches of one host."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._edges = np.searchsorted(fleet.host, np.arange(fleet.hosts + 1))

    def hosts(self) -> Iterator[tuple[int, range]]:
        """Hosts, each with its pairs."""
        for host in range(self._fleet.hosts):
            rows = range(int(self._edges[host]), int(self._edges[host + 1]))
            if rows:
                yield host, rows

    def batch(self, columns: dict[str, Ints], rows: range, windows: int, *, young: bool) -> RecordBatch:
        """The first `windows` of the hour; `young`: watched since the start of the data alone."""
        services = np.repeat(self._fleet.service[rows.start : rows.stop], windows)
        cells = {name: values[rows.start : rows.stop, :windows] for name, values in columns.items()}
        count = len(services)
        known = None
        if young:
            watched = (cells["window_begin"] - START_US) // 1_000_000 + WINDOW_SECONDS
            known = (watched[..., None] >= np.array(AGES)).reshape(-1, len(AGES))
        texts = {
            "namespace": [f"team-{service % 7}" for service in services],
            "workload": [f"app-{service // 3}" for service in services],
            "service": [name_of(int(service)) for service in services],
            "host": [host_of(int(self._fleet.host[rows.start]))] * count,
            "via": ["pte"] * count,
            "grain": ["page"] * count,
        }
        numbers: dict[str, NDArray[Any]] = {
            "window_begin": cells["window_begin"].ravel(),
            "seconds": np.full(count, float(WINDOW_SECONDS)),
            "coverage": np.ones(count),
            "instances": np.ones(count, np.int64),
            "processes": 1 + services % 9,
            "resident_bytes": cells["resident_bytes"].ravel(),
            "accessed_bytes": cells["accessed_bytes"].ravel(),
            "limit_bytes": self._fleet.limit[services].astype(np.int64),
            "cpu_seconds": np.full(count, 0.01),
            "pause_seconds": np.full(count, 0.001),
        }
        arrays = []
        for each in SERVICES.columns:
            if each.name in texts:
                arrays.append(Array(texts[each.name], each.type.arrow))
            elif each.name in numbers:
                arrays.append(
                    Array.from_numpy(np.ascontiguousarray(numbers[each.name])).cast(each.type.arrow)
                )
            elif each.name in ("cold_bytes", "promoted_bytes"):
                arrays.append(_lists(cells[each.name].reshape(-1, len(AGES)), known))
            else:
                arrays.append(_nothing(count, each.type))
        return RecordBatch.from_arrays(arrays, schema=SERVICES.schema)


def _lists(values: Ints, known: NDArray[np.bool_] | None) -> Array:
    ends = Array.from_numpy(np.arange(0, values.size + 1, len(AGES), dtype=np.int32))
    if known is None:
        entries = Array.from_numpy(np.ascontiguousarray(values).ravel())
    else:
        told = zip(values.ravel().tolist(), known.ravel().tolist(), strict=True)
        entries = Array([value if there else None for value, there in told], DataType.int64())
    return list_array(ends, entries, type=Type.INT64_LIST.arrow)


def _nothing(count: int, kind: Type) -> Array:
    if kind is not Type.INT64_LIST:
        return Array([None] * count, kind.arrow)
    mask = Array([True] * count, DataType.bool())
    ends = Array([0] * (count + 1), DataType.int32())
    return list_array(ends, Array([], DataType.int64()), type=kind.arrow, mask=mask)


def _node(host: int, first: int, windows: int, services: int) -> RecordBatch:
    return NODES.batch(
        {
            "host": host_of(host),
            "window_begin": START_US + (first + at) * WINDOW_US,
            "seconds": float(WINDOW_SECONDS),
            "memory_bytes": 512 << 30,
            "available_bytes": 128 << 30,
            "far_bytes": 0,
            "services_wanted": services,
            "services_seen": services,
            "processes_missed": 0,
            "agent_cpu_seconds": 2.0,
            "agent_resident_bytes": 60 << 20,
            "rows_dropped": 0,
        }
        for at in range(windows)
    )


def _deploys(fleet: Fleet) -> list[dict[str, Any]]:
    return [
        {
            "deploy": f"deploy-{number:02d}", "namespace": f"team-{service % 7}", "workload": f"app-{service // 3}",
            "service": name_of(service), "host": "", "time": START_US + window * WINDOW_US,
            "before": "1", "after": "2",
        }
        for number, (service, window) in enumerate(fleet.deploys)
    ]  # fmt: skip
