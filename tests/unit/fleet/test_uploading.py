"""The objects of a spool reach the store once, whatever fails on the way."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.unit.fleet.rows import service
from udamon.errors import CannotError, UsageError
from udamon.fleet.spool import Spool
from udamon.fleet.store import Directory
from udamon.fleet.uploading import upload


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Three objects."""
    with_rows = Spool(tmp_path / "spool", "h1")
    with_rows.add("services", [service(window=window) for window in (0, 12, 24)])
    with_rows.close()
    return tmp_path / "spool"


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.rglob("*.parquet"))


class Failing(Directory):
    """Answers as `answers` say, one each: True works, False fails before, None after it has created the object."""

    def __init__(self, place: Path, answers: list[bool | None]) -> None:
        super().__init__(place)
        self._answers = answers

    def create(self, path: str, data: bytes) -> bool:
        answer = self._answers.pop(0) if self._answers else True
        found = super().create(path, data) if answer is not False else False
        if not answer:
            raise CannotError("no answer")
        return found


def test_all_is_uploaded_and_gone_from_the_spool(spool: Path, tmp_path: Path) -> None:
    before = names(spool)
    done = upload(spool, Directory(tmp_path / "fleet"))
    assert (done.objects, done.left, done.failure) == (3, 0, None)
    assert names(tmp_path / "fleet") == before
    assert names(spool) == []
    assert upload(spool, Directory(tmp_path / "fleet")).objects == 0


def test_what_fails_is_tried_again_after_waits_that_double(spool: Path, tmp_path: Path) -> None:
    before, waits = names(spool), []  # type: tuple[list[str], list[float]]
    store = Failing(tmp_path / "fleet", [True, False, None, False, False])
    done = upload(spool, store, 3600, wait=waits.append, random=Random(1))
    assert (done.objects, done.left, done.tries) == (3, 0, 7)
    assert names(tmp_path / "fleet") == before
    assert [0.5 <= wait / full <= 1 for wait, full in zip(waits, (0.5, 1, 2, 4), strict=True)] == [True] * 4


def test_what_cannot_be_uploaded_stays(spool: Path, tmp_path: Path) -> None:
    before = names(spool)
    done = upload(spool, Failing(tmp_path / "fleet", [True, False]), 0)
    assert (done.objects, done.left, done.failure) == (1, 2, "no answer")
    assert names(spool) == before[1:]


def test_an_object_that_the_ring_dropped_is_left_out(spool: Path, tmp_path: Path) -> None:
    class Dropping(Directory):
        def create(self, path: str, data: bytes) -> bool:
            for file in sorted(spool.rglob("*.parquet"))[-1:]:
                file.unlink()
            return super().create(path, data)

    done = upload(spool, Dropping(tmp_path / "fleet"))
    assert (done.objects, done.left, done.failure) == (2, 0, None)


@pytest.mark.parametrize("location", ["spool", "spool/../spool", "link", "spool/services", "spool/new/place"])
def test_a_spool_is_no_place_for_its_own_objects(location: str, spool: Path, tmp_path: Path) -> None:
    """They would be there already, and be removed."""
    (tmp_path / "link").symlink_to(spool)
    before = names(spool)
    with pytest.raises(UsageError, match="the spool itself, or lies in it"):
        upload(spool, Directory(tmp_path / location))
    assert names(spool) == before
    assert len(before) == 3


def test_what_only_has_the_name_of_an_object_is_not_taken_for_it(spool: Path, tmp_path: Path) -> None:
    fleet = Directory(tmp_path / "fleet")
    before = names(spool)
    (file,) = (path for path in spool.rglob("*.parquet") if path.name == before[0])
    broken = tmp_path / "fleet" / file.relative_to(spool)
    broken.parent.mkdir(parents=True)
    broken.write_bytes(file.read_bytes()[:-1])
    done = upload(spool, fleet, 3600)  # which does not wait: to try again would not help
    assert (done.objects, done.left) == (2, 1)
    (damaged,) = done.damaged
    assert damaged.why.startswith("is something else in ")
    assert "damaged objects stay in the spool (1)" in (done.failure or "")
    assert names(spool) == before[:1]
    broken.write_bytes(file.read_bytes())
    assert (upload(spool, fleet).objects, names(spool)) == (1, [])


def test_what_is_damaged_in_the_spool_keeps_no_other_from_its_place(spool: Path, tmp_path: Path) -> None:
    files = sorted(spool.rglob("*.parquet"))
    files[0].write_bytes(files[0].read_bytes()[:-1])  # as after a loss of power
    files[1].unlink()
    files[1].symlink_to(files[1].name)  # as one that may not be read
    done = upload(spool, Directory(tmp_path / "fleet"), 3600)
    assert (done.objects, done.left) == (1, 2)
    assert [each.why for each in done.damaged] == [
        "has other bytes than its name says; remove it from the spool",
        "cannot be read: Too many levels of symbolic links",
    ]
    assert names(tmp_path / "fleet") == [files[2].name]
    assert names(spool) == [file.name for file in files[:2]]


def test_a_spool_that_may_not_be_written_to_loses_nothing(
    spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects are in the location, and said to be left in the spool."""
    before = names(spool)
    with monkeypatch.context() as patched:
        patched.setattr(Directory, "delete", refused)
        done = upload(spool, Directory(tmp_path / "fleet"))
    assert (done.objects, done.left, done.failure) == (0, 3, "read-only")
    assert names(spool) == before
    assert upload(spool, Directory(tmp_path / "fleet")).objects == 3
    assert names(tmp_path / "fleet") == before


def refused(*_: object) -> None:
    raise CannotError("read-only")
