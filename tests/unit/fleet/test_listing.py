"""Which objects are read, so that each row counts once."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from udamon.fleet.listing import Manifest, days, manifest_path, visible
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
    assert (found.once, found.repeated) == ((), (A.path, B.path))  # what it replaced is still there
    (damaged,) = found.damaged
    assert (damaged.object, damaged.left_out) == (compacted, True)
    assert damaged.why.startswith(f"is missing, which services/v1/_manifest/{DATE}.000001.json names; ")


COMPACTED = compacted_path(SERVICES, DATE, "0" * 12)


def manifest(**changed: Any) -> bytes:
    """Of generation 2: COMPACTED takes the place of A."""
    good = {"schema": 1, "date": DATE, "generation": 2, "objects": [COMPACTED], "replaces": [A.path]}
    return json.dumps(good | changed).encode()


LAYOUT = f"services/v1/date={DATE}"
WRONG: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "cannot be believed: it does not parse"),
    "cut off": (manifest()[:-9], "cannot be believed: it does not parse"),
    "no JSON": (b"\xff\x00" * 50, "cannot be believed: it is not UTF-8"),
    "deep": (b"[" * 100_000, "cannot be believed: it is nested too deeply"),
    "a list": (b"[]", "cannot be believed: it is no object"),
    "nothing": (b"{}", "is of another version"),
    "schema 2": (manifest(schema=2), "is of another version"),
    "schema true": (manifest(schema=True), "is of another version"),
    "other date": (manifest(date="2026-11-28"), "is of another date or generation than its name says"),
    "other generation": (manifest(generation=1), "is of another date or generation"),
    "a text": (manifest(objects=COMPACTED), "lacks a list of objects"),
    "numbers": (manifest(replaces=[1]), "lacks a list of objects"),
    "null": (manifest(replaces=None), "lacks a list of objects"),
    "other day": (manifest(objects=[COMPACTED.replace("-29", "-28")]), "names something else than compacted"),
    "raw": (manifest(objects=[B.path]), "names something else than compacted objects of its day"),
    "out of it": (manifest(replaces=["../../etc/passwd"]), "replaces something else than objects of its day"),
    "other table": (manifest(replaces=[A.path.replace("services", "nodes")]), "replaces something else"),
    "twice": (manifest(objects=[COMPACTED, COMPACTED]), "names an object twice"),
    "itself": (manifest(replaces=[COMPACTED]), "names an object twice"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_day_whose_manifest_cannot_be_read(kind: str, store: Directory) -> None:
    """All its objects are read as such whose rows may be in several; those of other days as ever."""
    other = ObjectName("services", "20261130T01", "a", "0" * 12)
    put(store, A, B, COMPACTED, other)
    publish(store, 1, [COMPACTED], [A.path])
    data, why = WRONG[kind]
    path = manifest_path(SERVICES, DATE, 2)
    store.create(path, data)
    found = visible(store, SERVICES)
    assert found.once == (other.path,)
    assert found.repeated == (A.path, B.path, COMPACTED)
    (damaged,) = found.damaged
    assert (damaged.object, damaged.left_out) == (path, False)
    assert why in damaged.why
    assert damaged.why.endswith("; bring it back from a copy")
    assert visible(store, SERVICES, ("2026-11-30", None)).damaged == ()


def test_manifests_that_cannot_be_opened(store: Directory) -> None:
    """Links that lead to themselves or nowhere, pipes, and a directory that is a link."""
    put(store, A, COMPACTED)
    path = manifest_path(SERVICES, DATE, 2)
    file = store.root / path
    file.parent.mkdir()
    kinds: list[tuple[Callable[[], Any], str]] = [
        (lambda: file.symlink_to(file.name), "cannot be read: Too many levels of symbolic links; which objects"),
        (lambda: file.symlink_to("missing"), "is not there: it is a link that leads nowhere"),
        (lambda: file.symlink_to("."), "cannot be read (a link to a directory is not followed); which objects"),
        (lambda: os.mkfifo(file), "is no regular file; which objects"),
        (lambda: os.truncate(os.open(file, os.O_CREAT | os.O_RDWR), 1 << 40), "is larger than any that compaction"),
    ]  # fmt: skip
    for make, why in kinds:
        make()
        store.passed_over.clear()
        found = visible(store, SERVICES)
        assert (found.once, found.repeated) == ((), (A.path, COMPACTED)), why
        assert [each.object for each in found.damaged] == [path]
        assert why in found.damaged[0].why
        file.unlink()
    file.parent.rmdir()
    file.parent.symlink_to(store.root)
    found = visible(store, SERVICES)
    assert found.repeated == (A.path, COMPACTED)
    assert [each.object for each in found.damaged] == ["services/v1/_manifest"]


def test_manifests_of_numbers_and_places_that_compaction_does_not_give(store: Directory) -> None:
    """The last number has no successor. Below another directory there are none."""
    put(store, A, COMPACTED, f"{LAYOUT}/_manifest/{DATE}.000009.json")
    assert visible(store, SERVICES).once == (A.path,)
    publish(store, 999_999, [COMPACTED], [A.path])
    found = visible(store, SERVICES)
    assert found.repeated == (A.path, COMPACTED)
    assert "it has the last number there is" in found.damaged[0].why


def test_what_cannot_be_looked_into_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that may not be read, and a link to one; what is gone is not. Links that lead nowhere are objects."""
    day = tmp_path / "services/v1/date=2026-11-29"
    for name in (day, day.with_name("date=2026-11-30"), day.with_name("date=2026-11-28")):
        name.mkdir(parents=True)
    (day / "web-1.20261129T14.0a1b2c3d4e5f.parquet").write_bytes(b"x")
    (day / "web-2.20261129T14.0a1b2c3d4e5f.parquet").symlink_to("web-2.20261129T14.0a1b2c3d4e5f.parquet")
    (day / "web-3.20261129T14.0a1b2c3d4e5f.parquet").symlink_to("missing")
    (day.parent / "date=2026-11-27").symlink_to(day)
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("30"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        if str(path).endswith("28"):
            Path(path).rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    store = Directory(tmp_path)
    assert [one.path for one in store.list("services/v1")] == [
        f"services/v1/date=2026-11-29/web-{number}.20261129T14.0a1b2c3d4e5f.parquet" for number in (1, 2, 3)
    ]
    assert store.passed_over == {
        "services/v1/date=2026-11-30": "Permission denied",
        "services/v1/date=2026-11-27": "a link to a directory is not followed",
    }


@pytest.mark.parametrize("date", ["2026-13-01", "2026-02-30", "0000-00-00", "1969-12-31", "\u0662026-11-29"])
def test_dates_that_are_none(date: str, tmp_path: Path) -> None:
    """Objects below such a date are read as any others whose names say nothing: no row is lost or counted twice."""
    digits = date.replace("-", "")
    paths = [f"services/v1/date={date}/{name}.0a1b2c3d4e5f.parquet" for name in ("compact", f"h.{digits}T14")]
    for path in (*paths, f"services/v1/_manifest/{date}.000001.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    by_date, others = days(Directory(tmp_path), SERVICES)
    assert by_date == {}
    assert sorted(each.path for each in others) == sorted(paths)
    assert ObjectName.parse("services/v1/date=2026-11-29/h.20261129T25.0a1b2c3d4e5f.parquet") is None


def test_a_report_says_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Links that lead to themselves cost their own rows, and links to directories theirs, not the report."""
    from tests.unit.fleet.rows import service
    from tests.unit.report.fleet.made import put as put_rows
    from udamon.cli.main import main

    put_rows(tmp_path, "services", [service(host="a")])
    (found,) = tmp_path.rglob("*.parquet")
    for number in range(7):
        name = f"\x1b[2J{number}.parquet"
        found.with_name(name).symlink_to(name)
        found.parent.with_name(f"\x1b[2J{number}").symlink_to(tmp_path)
    assert main(["fleet", "report", "cold", "--json", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["objects"] == {"read": 1, "repeated": 0, "bytes": found.stat().st_size, "passed_over": 7}
    assert sorted(each["object"].rpartition("/")[2] for each in document["damaged"]) == [
        f"\x1b[2J{number}.parquet" for number in range(7)
    ]
    assert err.count("is left out: a link to a directory is not followed.") == 5
    assert "2 more files and directories" in err
    assert "\x1b" not in err
    assert main(["fleet", "report", "cold", "--html", str(tmp_path / "page"), str(tmp_path)]) == 0
    assert "; left out: 7 directories and files" in (tmp_path / "page").read_text()
    capsys.readouterr()
    assert main(["fleet", "compact", "--closed", "1s", "--json", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["passed_over"] == 7


@pytest.mark.parametrize("name", ["f*", "f?", "[fg]", "f[1]", "f[", "f'x", "{f,g}", "f\\x"])
def test_a_location_is_no_pattern(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside it lie others that its name would choose as a pattern: their rows are not in its report."""
    from tests.unit.fleet.rows import service
    from tests.unit.report.fleet.made import put as put_rows
    from udamon.cli.main import main

    for place in (name, "f1", "f", "g", "fx"):
        put_rows(tmp_path / place, "services", [service(place if place == name else "other", host="a")])
    (found,) = (tmp_path / name).rglob("*.parquet")
    for place in {"f1", "f", "g", "fx"} - {name}:  # objects of the same name, of other rows
        (other,) = (tmp_path / place).rglob("*.parquet")
        other.rename(other.with_name(found.name))
    if "\\" not in name:  # which DuckDB takes for a divider, in a path that it must look for as a pattern
        found.with_name("h?.parquet").write_bytes(found.read_bytes())
    assert main(["fleet", "report", "cold", "--json", str(tmp_path / name)]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["service"], row["hosts"], row["windows"]) == (name, 1, 1)


def test_names_that_are_not_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of them costs its own rows; a location of such a name is one sentence."""
    from tests.unit.fleet.rows import service
    from tests.unit.report.fleet.made import put as put_rows
    from udamon.cli.main import main

    put_rows(tmp_path / "f", "services", [service(host="a")])
    (found,) = (tmp_path / "f").rglob("*.parquet")
    found.with_name("a\udcffb.parquet").write_bytes(found.read_bytes())
    found.parent.with_name("date=\udcff").mkdir()
    assert main(["fleet", "report", "cold", "--json", str(tmp_path / "f")]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["objects"]["passed_over"] == 2
    assert err.count("is left out: its name is not UTF-8.") == 2
    assert r"a\xffb.parquet" in err
    (tmp_path / "f").rename(tmp_path / "a\udcffb")
    assert main(["fleet", "report", "cold", str(tmp_path / "a\udcffb")]) == 2
    assert r"a\xffb is not UTF-8, which DuckDB needs" in capsys.readouterr().err


def test_a_place_that_is_not_there_is_not_compacted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing to do would hide a wrong name in a unit for years."""
    from udamon.cli.main import main

    assert main(["fleet", "compact", str(tmp_path / "none")]) == 1
    assert "is no directory; give the location" in capfd.readouterr().err
    assert not (tmp_path / "none").exists()
