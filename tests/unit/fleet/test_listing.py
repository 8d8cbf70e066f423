"""Which objects are read, so that each row counts once."""

from __future__ import annotations

from pathlib import Path

import pytest

from udamon.errors import CannotError
from udamon.fleet.listing import Manifest, manifest_path, visible
from udamon.fleet.objects import ObjectName, compacted_path
from udamon.fleet.store import Directory
from udamon.fleet.tables import SERVICES

DATE = "2026-11-29"
A, B, A2 = (ObjectName("services", "20261129T12", host, digit * 12) for host, digit in ("a0", "b1", "a2"))


@pytest.fixture
def store(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def put(store: Directory, *names: ObjectName | str) -> None:
    for name in names:
        store.create(name if isinstance(name, str) else name.path, b"x")


def publish(store: Directory, generation: int, objects: list[str], replaces: list[str]) -> None:
    manifest = Manifest(DATE, generation, tuple(objects), frozenset(replaces))
    assert store.create(manifest_path(SERVICES, DATE, generation), manifest.data)


def test_what_nodes_wrote_is_read_once(store: Directory) -> None:
    put(
        store,
        A,
        B,
        "services/v1/date=2026-11-29/notes.txt",
        f"services/v2/date=2026-11-29/c.20261129T12.{12 * '0'}.parquet",
    )
    assert visible(store, SERVICES).once == (A.path, B.path)
    assert visible(store, SERVICES).repeated == ()


def test_two_objects_of_a_host_and_hour_may_repeat_rows(store: Directory) -> None:
    put(store, A, A2, B)
    found = visible(store, SERVICES)
    assert found.once == (B.path,)
    assert found.repeated == (A.path, A2.path)


def test_putting_again_changes_nothing(store: Directory) -> None:
    assert store.create(A.path, b"x")
    assert not store.create(A.path, b"x")
    assert [stored.path for stored in store.list("services")] == [A.path]


def test_a_file_of_another_name_may_repeat_anything(store: Directory) -> None:
    put(store, A, "services/v1/date=2026-11-28/copy.parquet")
    assert visible(store, SERVICES).once == ()
    assert len(visible(store, SERVICES).repeated) == 2


def test_compacted_objects_are_seen_with_their_manifest(store: Directory) -> None:
    compacted = compacted_path(SERVICES, DATE, "0" * 12)
    put(store, A, B, compacted)
    assert visible(store, SERVICES).once == (A.path, B.path)
    publish(store, 1, [compacted], [A.path, B.path])
    assert visible(store, SERVICES).once == (compacted,)
    store.delete(A.path)
    assert visible(store, SERVICES).once == (compacted,)


def test_a_late_object_of_a_compacted_day_may_repeat_rows(store: Directory) -> None:
    compacted, newer = (compacted_path(SERVICES, DATE, digit * 12) for digit in "01")
    put(store, A, B, compacted)
    publish(store, 1, [compacted], [A.path])
    assert visible(store, SERVICES).repeated == (B.path, compacted)
    put(store, newer)
    publish(store, 2, [newer], [A.path, B.path, compacted])
    assert visible(store, SERVICES).all == (newer,)


def test_days_can_be_chosen(store: Directory) -> None:
    put(store, A, ObjectName("services", "20261130T01", "a", "0" * 12))
    assert visible(store, SERVICES, (None, DATE)).all == (A.path,)
    assert visible(store, SERVICES, ("2026-12-01", None)).all == ()


def test_a_compacted_object_that_is_missing_is_named(store: Directory) -> None:
    compacted = compacted_path(SERVICES, DATE, "0" * 12)
    put(store, A, B)
    publish(store, 1, [compacted], [A.path])
    found = visible(store, SERVICES)
    assert found.all == (B.path,)
    (damaged,) = found.damaged
    assert (damaged.object, damaged.left_out) == (compacted, True)
    assert damaged.why.startswith(f"is missing, which services/v1/_manifest/{DATE}.000001.json names; ")


def test_a_damaged_manifest_is_an_error(store: Directory) -> None:
    put(store, A)
    store.create(manifest_path(SERVICES, DATE, 2), b"{}")
    with pytest.raises(CannotError, match="no manifest that can be read"):
        visible(store, SERVICES)
