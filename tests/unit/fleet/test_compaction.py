"""Compaction changes no answer, at whatever moment it ends."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest

from tests.fuzz import mutate
from tests.unit.fleet.damages import DAMAGES, name
from tests.unit.fleet.rows import NOON, service
from tests.unit.report.fleet.made import put
from udamon.errors import CannotError
from udamon.fleet.compaction import Compacted, compact
from udamon.fleet.damage import checked
from udamon.fleet.listing import ListedObjects, visible
from udamon.fleet.store import Directory
from udamon.fleet.tables import SERVICES
from udamon.report.fleet.engines import DuckEngine

LATER = NOON / 1e6 + 7 * 86400


def rows_of(store: Directory) -> list[tuple[Any, ...]]:
    """All that a reader sees, each row as it is."""
    with DuckEngine(store) as engine:
        engine.table(SERVICES, visible(store, SERVICES))
        found = engine.rows("SELECT host, service, epoch, resident_bytes FROM services ORDER BY ALL")
    return [tuple(row.values()) for row in found]


def run(store: Any, place: Path, *, object_bytes: int = 1 << 30, **how: Any) -> Compacted:
    place.mkdir(exist_ok=True)
    with DuckEngine(Directory(store.location)) as engine:

        def merge(objects: ListedObjects, directory: Path) -> list[Path]:
            return engine.merge(SERVICES, objects, directory, object_bytes)

        return compact(store, SERVICES, merge, place, **({"now": LATER, "grace_s": 0.0} | how))


@pytest.fixture
def store(tmp_path: Path) -> Directory:
    """Two days of three hosts, one hour of which came twice."""
    rows = [service(f"s{n}", host, window) for n in range(3) for host in "abc" for window in (0, 1, 12, 200)]
    put(tmp_path / "fleet", "services", rows)
    put(tmp_path / "fleet", "services", [service("s0", "a", window) for window in range(3)])
    return Directory(tmp_path / "fleet")


def files(store: Directory) -> list[str]:
    return [stored.path for stored in store.list("services") if stored.path.endswith(".parquet")]


def test_a_day_becomes_one_object(store: Directory, tmp_path: Path) -> None:
    before = rows_of(store)
    assert len(before) == 3 * 3 * 4 + 1
    done = run(store, tmp_path / "work")
    assert (done.days, done.merged_objects, done.made_objects, done.removed) == (2, 10, 2, 10)
    assert len(files(store)) == 2
    assert rows_of(store) == before


def test_again_changes_nothing(store: Directory, tmp_path: Path) -> None:
    run(store, tmp_path / "one")
    before = files(store)
    assert run(store, tmp_path / "two") == Compacted()
    assert files(store) == before


def test_days_that_are_not_over_stay(store: Directory, tmp_path: Path) -> None:
    before = files(store)
    done = run(store, tmp_path / "work", now=NOON / 1e6 + 86400)
    assert done.days == 1
    assert [path for path in before if "date=2026-11-30" in path] == [
        path for path in files(store) if "30/" in path
    ]


def test_what_comes_late_is_merged_by_the_next_run(store: Directory, tmp_path: Path) -> None:
    run(store, tmp_path / "one")
    put(tmp_path / "fleet", "services", [service("s0", "a", 0), service("late", "z", 5)])
    before = rows_of(store)
    assert len(before) == 3 * 3 * 4 + 2
    assert run(store, tmp_path / "two").days == 1
    assert rows_of(store) == before
    assert len(files(store)) == 2


def test_what_comes_late_with_a_name_of_before_is_seen(tmp_path: Path) -> None:
    """A part of an hour is merged and removed before the rest of it comes."""
    put(tmp_path / "fleet", "services", [service(window=0), service(host="h2")])
    store = Directory(tmp_path / "fleet")
    run(store, tmp_path / "one")
    put(tmp_path / "fleet", "services", [service(window=n) for n in range(3)])
    assert len(rows_of(store)) == 4


def test_replaced_objects_stay_for_the_time_of_grace(store: Directory, tmp_path: Path) -> None:
    before, paths = rows_of(store), files(store)
    assert run(store, tmp_path / "one", grace_s=3600.0).removed == 0
    assert set(paths) < set(files(store))
    assert rows_of(store) == before
    assert run(store, tmp_path / "two").removed == 10
    assert rows_of(store) == before


def test_large_days_become_several_objects(store: Directory, tmp_path: Path) -> None:
    before = rows_of(store)
    assert run(store, tmp_path / "work", object_bytes=1).made_objects >= 2
    assert rows_of(store) == before


class Ended(BaseException):
    """The process was killed."""


class Killed(Directory):
    """A store whose user is killed before its `last`-th change, or after it."""

    def __init__(self, store: Directory, last: int, *, after: bool) -> None:
        super().__init__(store.location)
        self._left, self._after = last, after

    def _changes(self, change: Any) -> Any:
        self._left -= 1
        if self._left < 0 and not self._after:
            raise Ended
        found = change()
        if self._left < 0:
            raise Ended
        return found

    def create(self, path: str, data: bytes) -> bool:
        return bool(self._changes(lambda: super(Killed, self).create(path, data)))

    def upload(self, path: str, file: Path) -> None:
        self._changes(lambda: super(Killed, self).upload(path, file))

    def delete(self, path: str) -> None:
        self._changes(lambda: super(Killed, self).delete(path))


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_change(store: Directory, tmp_path: Path, *, after: bool) -> None:
    """Of one run after the other each is killed one change later; readers see the same all the time."""
    before = rows_of(store)
    for last in range(40):
        try:
            run(Killed(store, last, after=after), tmp_path / f"work{last}")
        except Ended:
            assert rows_of(store) == before
        else:
            break
    else:
        pytest.fail("it never came to its end")
    assert rows_of(store) == before
    assert len(files(store)) == 2


def test_two_at_once(store: Directory, tmp_path: Path) -> None:
    """The one that comes second to publish says so, and leaves what readers see."""
    before = rows_of(store)

    class Slow(Directory):
        def create(self, path: str, data: bytes) -> bool:
            run(Directory(self.location), tmp_path / "first")
            return super().create(path, data)

    with pytest.raises(CannotError, match="by somebody else"):
        run(Slow(store.location), tmp_path / "second")
    assert rows_of(store) == before


def test_rows_are_sorted_and_described(store: Directory, tmp_path: Path) -> None:
    import duckdb

    def asked(sql: str) -> list[tuple[Any, ...]]:
        return duckdb.connect().execute(sql).fetchall()

    run(store, tmp_path / "work")
    for path in files(store):
        file = f"'{store.location}/{path}'"
        found = asked(f"SELECT {', '.join(SERVICES.order)} FROM read_parquet({file})")
        assert found == sorted(found)
        (metadata,) = asked(f"SELECT key, value FROM parquet_kv_metadata({file})")
        assert metadata == tuple(text.encode() for pair in SERVICES.metadata().items() for text in pair)
        assert asked(f"SELECT DISTINCT compression FROM parquet_metadata({file})") == [("ZSTD",)]
        kinds = {row[0]: row[1] for row in asked(f"DESCRIBE SELECT * FROM read_parquet({file})")}
        assert kinds["window_begin"] == "TIMESTAMP WITH TIME ZONE"
        assert kinds["cold_bytes"] == "BIGINT[]"


def broken(store: Directory, path: str) -> bytes:
    """Cut an object off; its bytes of before."""
    file = store.root / path
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    return whole


def test_damaged_objects_stay_and_are_merged_when_they_are_whole(store: Directory, tmp_path: Path) -> None:
    before = rows_of(store)
    path = files(store)[0]
    whole = broken(store, path)
    done = run(store, tmp_path / "one")
    assert set(done.damaged) == {path}
    assert (done.days, done.merged_objects) == (2, 9)
    assert run(store, tmp_path / "two").days == 0  # a late object that cannot be read is nothing to merge
    assert path in files(store)
    (store.root / path).write_bytes(whole)
    assert rows_of(store) == before
    assert run(store, tmp_path / "three").days == 1
    assert rows_of(store) == before
    assert len(files(store)) == 2


def test_objects_that_are_damaged_inside_stay(store: Directory, tmp_path: Path) -> None:
    """The merge itself finds them."""
    assert store.create(name(0), DAMAGES["torn"][0]())
    done = run(store, tmp_path / "work")
    assert [(each.object, each.why[:18]) for each in done.damaged.values()] == [
        (name(0), "is damaged inside:")
    ]
    assert (done.days, done.merged_objects) == (2, 10)
    assert name(0) in files(store)


def test_nothing_is_removed_while_what_replaces_it_is_damaged(store: Directory, tmp_path: Path) -> None:
    """And late rows are not merged: they may be among those that cannot be read."""
    before = rows_of(store)
    run(store, tmp_path / "one", grace_s=3600.0)
    paths = files(store)
    for damage in ("broken", "gone"):
        compacted = next(path for path in paths if "/compact." in path and "-29/" in path)
        whole = broken(store, compacted)
        if damage == "gone":
            store.delete(compacted)
        put(tmp_path / "fleet", "services", [service("late", "z", 5)])
        late = files(store)
        done = run(store, tmp_path / damage)
        assert (done.days, set(done.damaged)) == (0, {compacted})
        assert [path for path in files(store) if "-29/" in path] == [path for path in late if "-29/" in path]
        assert set(checked(store, SERVICES).damaged) == set(done.damaged.values())
        (store.root / compacted).write_bytes(whole)
        assert len(rows_of(store)) == len(before) + 1
    assert run(store, tmp_path / "last").days == 1
    assert len(rows_of(store)) == len(before) + 1
    assert len(files(store)) == 2


def test_a_manifest_forgets_what_is_gone(store: Directory, tmp_path: Path) -> None:
    """Of a day that gets late objects again and again, it has no more than the last run replaced."""
    counts = []
    for n in range(6):
        put(tmp_path / "fleet", "services", [service(f"late-{n}", "z", n)])
        before = rows_of(store)
        run(store, tmp_path / f"work-{n}")
        assert rows_of(store) == before
        (newest,) = (store.root / "services/v1/_manifest").glob("2026-11-29.*.json")
        counts.append(len(json.loads(newest.read_text())["replaces"]))
    assert counts[0] == 3 * 2 + 1 + 1  # hosts and hours, one of which came twice, and the late one
    assert counts[1:] == [2] * 5  # the compacted one, and the late one


def test_what_a_manifest_has_forgotten_and_comes_again_counts_once(store: Directory, tmp_path: Path) -> None:
    """An upload of long ago that is repeated, since its node never heard that it had been done."""
    path = files(store)[0]
    again = (store.root / path).read_bytes()
    for n in range(2):
        put(tmp_path / "fleet", "services", [service("late", "z", n)])
        run(store, tmp_path / f"work-{n}")
    before = rows_of(store)
    assert store.create(path, again)
    assert rows_of(store) == before
    run(store, tmp_path / "last")
    assert rows_of(store) == before
    assert path not in files(store)


def test_days_whose_manifest_is_damaged_stay(store: Directory, tmp_path: Path) -> None:
    """Whatever its bytes are: readers see every row once, or the manifest is as it was; nothing is merged or removed
    until it is back."""
    before = rows_of(store)
    run(store, tmp_path / "one", grace_s=3600.0)
    put(tmp_path / "fleet", "services", [service("late", "z", 5)])
    (manifest,) = (store.root / "services/v1/_manifest").glob("2026-11-29.*.json")
    good, paths, seed = manifest.read_bytes(), files(store), SystemRandom().randrange(1 << 32)
    of_other_day = {path for path in paths if "date=2026-11-30" in path}
    print("seed", seed)
    random = Random(seed)
    spoiled = [b"", good[: len(good) // 2], *(mutate.data(good, random) for _ in range(12))]
    for number, data in enumerate(spoiled):
        manifest.write_bytes(data)
        found = visible(store, SERVICES)
        if found.damaged:
            done = run(store, tmp_path / f"bad-{number}")
            assert (done.days, set(done.damaged.values())) == (0, set(found.damaged)), data
            assert set(paths) - set(files(store)) <= of_other_day
        assert len(rows_of(store)) == len(before) + 1, data
    manifest.write_bytes(good)
    assert run(store, tmp_path / "last").days == 1
    assert len(rows_of(store)) == len(before) + 1
    assert len(files(store)) == 2
