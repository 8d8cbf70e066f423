"""The spool of a node: an object for each hour, nothing lost but what is counted."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from arro3.io import read_parquet

from tests.unit.fleet.rows import NOON, service
from udamon.fleet.objects import HOUR_US, ObjectName, digest_of, parquet
from udamon.fleet.spool import Spool, objects
from udamon.fleet.store import Directory
from udamon.fleet.tables import SERVICES


def read(directory: Path) -> dict[str, list[tuple[str, int]]]:
    """Of each object, its rows as (service, resident bytes)."""
    store = Directory(directory)
    found = {}
    for stored in objects(store):
        table = read_parquet(io.BytesIO(store.read(stored.path))).read_all()
        found[stored.path] = list(
            zip(table["service"].to_pylist(), table["resident_bytes"].to_pylist(), strict=True)
        )
    return found


def count(directory: Path) -> int:
    return sum(map(len, read(directory).values()))


def test_one_object_for_each_hour(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "web-1.example")
    for window in range(25):
        assert spool.add("services", [service("a", window=window), service("b", window=window)])
    spool.close()
    found = read(tmp_path)
    assert [path.rsplit(".", 2)[0] for path in found] == [
        f"services/v1/date=2026-11-29/web-1.example.20261129T{hour}" for hour in (12, 13, 14)
    ]
    assert [len(rows) for rows in found.values()] == [24, 24, 2]
    assert spool.dropped_rows == 0
    assert not list((tmp_path / "_open").iterdir())


def test_rows_of_a_killed_process_are_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written before the end came is in the hour's object, once."""
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "_seal", lambda self, before: None)  # as if it had been killed before
        first = Spool(tmp_path, "h1")
        first.add("services", [service(window=0)])
        first.close()
    assert read(tmp_path) == {}
    second = Spool(tmp_path, "h1")
    second.add("services", [service(window=1)])
    second.add("services", [service(window=1)])  # told twice
    second.close()
    assert [len(rows) for rows in read(tmp_path).values()] == [2]


def test_a_second_part_of_an_hour_keeps_the_first(tmp_path: Path) -> None:
    for window in (0, 1):
        spool = Spool(tmp_path, "h1")
        spool.add("services", [service(window=window)])
        spool.close()
    first, second = map(ObjectName.parse, read(tmp_path))
    assert first is not None
    assert second is not None
    assert (first.host, first.hour) == (second.host, second.hour)
    assert count(tmp_path) == 2


def test_the_ring_drops_the_oldest(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "h1")
    spool.add("services", [service(f"s{n}", window=w) for n in range(50) for w in (0, 12, 24, 36)])
    spool.close()
    sizes = [stored.size for stored in objects(Directory(tmp_path))]
    assert len(sizes) == 4
    small = Spool(tmp_path, "h1", most_bytes=sum(sizes[-2:]))
    small.close()
    assert [path.split(".")[1][-2:] for path in read(tmp_path)] == ["14", "15"]
    assert small.dropped_rows == 2 * 50
    assert small.failure is not None
    assert "oldest rows are dropped" in small.failure


def test_a_damaged_part_of_an_hour_loses_that_part_alone(tmp_path: Path) -> None:
    """It is told, and neither keeps the hour open nor ends the thread that writes."""
    spool = Spool(tmp_path, "h1")
    spool.add("services", [service("lost", window=0)])
    spool.add("services", [service("kept", window=1)])
    until_written(tmp_path, 2)
    damaged = next(path for path in (tmp_path / "_open").iterdir() if b"lost" in path.read_bytes())
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"PAR1")
    spool.add("services", [service("later", window=12)])
    spool.close()
    assert sorted(name for rows in read(tmp_path).values() for name, _ in rows) == ["kept", "later"]
    assert spool.failure is not None
    assert "is damaged" in spool.failure


def until_written(place: Path, parts: int) -> None:
    while len(list((place / "_open").glob("*.parquet"))) < parts:
        sleep(0.01)


def test_a_damaged_object_leaves_the_ring(tmp_path: Path) -> None:
    """It is dropped as any other, and the ring stays within its size."""
    spool = Spool(tmp_path, "h1")
    spool.add("services", [service(window=w) for w in (0, 12)])
    spool.close()
    oldest, newest = objects(Directory(tmp_path))
    (tmp_path / oldest.path).write_bytes(b"PAR1" * 100)
    small = Spool(tmp_path, "h1", most_bytes=newest.size)
    small.close()
    assert [stored.path for stored in objects(Directory(tmp_path))] == [newest.path]
    assert small.dropped_rows == 0


def test_watching_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk takes nothing, `add` returns, and what does not fit into the queue is counted."""
    go = threading.Event()
    monkeypatch.setattr("udamon.fleet.spool.parquet", held(go, parquet))
    spool = Spool(tmp_path, "h1", queue=3)
    taken = [spool.add("services", [service(window=window)]) for window in range(10)]
    go.set()
    spool.close()
    assert not all(taken)
    assert spool.dropped_rows == taken.count(False)
    assert count(tmp_path) == taken.count(True)


def held(go: threading.Event, function: Any) -> Any:
    def wait(*args: Any) -> Any:
        go.wait()
        return function(*args)

    return wait


def test_a_disk_that_fails_loses_only_what_it_does_not_take(tmp_path: Path) -> None:
    (tmp_path / "_open").write_text("in the way")
    spool = Spool(tmp_path, "h1")
    spool.add("services", [service(), service("api")])
    spool.close()
    assert spool.dropped_rows == 2
    assert spool.failure is not None
    assert "_open" in spool.failure


def test_a_damaged_file_keeps_no_other_from_its_object(tmp_path: Path) -> None:
    """As a machine leaves one that lost its power; it is named and removed."""
    broken = tmp_path / "_open" / f"services.{NOON - HOUR_US}.0123456789ab.parquet"
    broken.parent.mkdir()
    broken.write_bytes(b"PAR1")
    spool = Spool(tmp_path, "h1")
    spool.add("services", [service()])
    spool.close()
    assert len(list(tmp_path.rglob("*.parquet"))) == 1
    assert count(tmp_path) == 1
    assert broken.name in (spool.failure or "")


def test_a_mistake_is_not_told_as_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: Any) -> None:
        raise TypeError("mistaken")

    monkeypatch.setattr("udamon.fleet.spool.by_hour", mistaken)
    spool = Spool(tmp_path, "h1")
    spool.add("services", [service()])
    spool.close()
    assert "TypeError" in (spool.failure or "")


@pytest.mark.parametrize("host", ["../../etc/x", "_hidden", "ü b\n", "", "a" * 300])
def test_hosts_have_harmless_names(tmp_path: Path, host: str) -> None:
    spool = Spool(tmp_path, host)
    spool.add("services", [service(host=host)])
    spool.close()
    assert count(tmp_path) == 1
    assert [path for path in tmp_path.rglob("*.parquet") if "date=2026-11-29" not in str(path)] == []


def test_a_part_that_may_not_be_read_keeps_no_other_from_its_object(tmp_path: Path) -> None:
    """It stays, is named, and becomes an object when it can be read."""
    earlier = parquet(SERVICES, SERVICES.batch([service(window=-12)]))
    place = tmp_path / "_open" / f"services.{NOON - HOUR_US}.{digest_of(earlier)}.parquet"
    place.parent.mkdir()
    place.symlink_to(place.name)
    spool = Spool(tmp_path, "h1")
    spool.add("services", [service()])
    spool.close()
    assert count(tmp_path) == 1
    assert place.is_symlink()
    path = str(place.relative_to(tmp_path))
    assert spool.damaged == {path: "cannot be read: Too many levels of symbolic links"}
    place.unlink()
    place.write_bytes(earlier)
    Spool(tmp_path, "h1").close()
    assert count(tmp_path) == 2


def test_an_hour_that_cannot_be_written_keeps_no_other_from_its_object(tmp_path: Path) -> None:
    (tmp_path / "nodes").write_text("in the way")
    spool = Spool(tmp_path, "h1")
    spool.add("nodes", [{"host": "h1", "window_begin": NOON, "seconds": 300.0}])
    spool.add("services", [service()])
    spool.close()
    assert count(tmp_path) == 1
    assert "nodes" in (spool.failure or "")


def test_objects_that_an_earlier_run_left_damaged_are_named(tmp_path: Path) -> None:
    """They stay: who looks after the node may bring them back, and the ring drops them in the end."""
    first = Spool(tmp_path, "h1")
    first.add("services", [service(window=w) for w in (0, 12)])
    first.close()
    oldest, _ = objects(Directory(tmp_path))
    (tmp_path / oldest.path).write_bytes(b"")
    (tmp_path / oldest.path).with_name(".half-written").write_bytes(b"")  # is no object
    spool = Spool(tmp_path, "h1")
    spool.close()
    assert spool.damaged == {oldest.path: "is empty"}
    assert (tmp_path / oldest.path).exists()
