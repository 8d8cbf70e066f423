"""udamon doctor on the real machine and on made-up ones."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.programs import as_nobody
from tests.unit.linux.test_fake import FakeProc
from udamon import console
from udamon.availability.findings import examine
from udamon.cli import doctor
from udamon.linux import sysfs_damon
from udamon.linux.roots import Roots
from udamon.lock import take_lock
from udamon.model import PRIMITIVES


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    doctor.configure(parser)
    assert doctor.run(parser.parse_args(["--json"])) == 0
    loaded: dict[str, Any] = json.loads(capsys.readouterr().out)
    return loaded


def test_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON document with the keys scripts rely on; nothing unusable without a reason."""
    found = _json(capsys)
    assert found["schema"] == 1
    assert list(found["primitives"]) == [one.name for one in PRIMITIVES]
    for entry in (*found["primitives"].values(), *found["actions"].values()):
        assert isinstance(entry["usable"], bool)
        assert entry["why"]
        assert entry["usable"] or entry["offered"] or entry["fix"]
    grains = {name: entry["grain"] for name, entry in found["primitives"].items()}
    assert grains == {one.name: one.grain for one in PRIMITIVES}
    assert found["grain"] == grains.get(found["auto"])
    assert {"present", "busy", "why"} <= set(found["kernel_damon"])


@pytest.mark.needs("clear_refs")
def test_refs_is_usable_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert _json(capsys)["primitives"]["refs"]["usable"] is True


def test_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each primitive and action, none with colour when it is no terminal."""
    assert doctor.run(argparse.Namespace(json=False, verbose=False)) == 0
    text = capsys.readouterr().out
    assert "\033" not in text
    names = [line.split()[0] for line in text.splitlines() if line.startswith("  ") and line[2] != " "]
    assert {"idle", "kernel", "refs", "softdirty", "sim", "pageout", "stat"} <= set(names)


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert console.wants_colour(Terminal())
    assert not console.wants_colour(io.StringIO())
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert console.wants_colour(io.StringIO())
    console.set_plain(True)
    assert not console.wants_colour(Terminal())
    console.set_plain(False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not console.wants_colour(Terminal())


def test_a_machine_with_nothing(tmp_path: Path) -> None:
    """Neither /proc nor /sys: everything is said to be missing, nothing breaks."""
    found = examine(Roots(tmp_path / "proc", tmp_path / "sys", (tmp_path / "locks",)))
    assert found.auto is None
    assert [name for name, usable in found.primitives.items() if usable.usable] == ["sim"]
    assert "auto finds nothing to use here" in "\n".join(doctor.lines(found, colour=False))


def test_conflicts_are_named(tmp_path: Path) -> None:
    """A lock another monitor holds, a busy in-kernel DAMON, and hidden processes."""
    fake = FakeProc(tmp_path / "proc")
    fake.process(71, comm="kdamond.0", flags=0x00208040)
    (fake.root / "self/mounts").write_text(f"proc {fake.root} proc rw,hidepid=2 0 0\n")
    roots = Roots(fake.root, tmp_path / "sys", (tmp_path / "locks",))
    lock = take_lock("5-9", "process 5", roots)
    found = examine(roots)
    lock.release()
    text = "\n".join(doctor.lines(found, colour=True))
    assert "Target 5-9 is already watched by another monitor" in text
    assert "hidepid" in text
    assert "kdamond.0 runs (pid 71)" in text
    assert doctor.document(found)["locks"] == [{"target": "5-9", "holder": found.locks.holders["5-9"]}]


def test_the_state_of_damon_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes, actions and conflicts go by the same look: what changes meanwhile cannot make them disagree."""
    fake = FakeProc(tmp_path / "proc")
    fake.process(71, comm="kdamond.0", flags=0x00208040)
    looks: list[Path] = []
    threads = sysfs_damon._threads

    def counted(proc: Path) -> list[str]:
        looks.append(proc)
        return threads(proc) if len(looks) == 1 else []

    monkeypatch.setattr(sysfs_damon, "_threads", counted)
    found = examine(Roots(fake.root, tmp_path / "sys", (tmp_path / "locks",), tmp_path / "run"))
    assert len(looks) == 1
    assert found.kernel.busy
    assert "kdamond.0 runs (pid 71)" in found.primitives["kernel"].why
    assert not found.actions["hugepage"].usable
    assert any("DAMON may watch physical memory" in conflict for conflict in found.conflicts)


@pytest.mark.needs("second_user")
def test_as_an_ordinary_user() -> None:
    """It works, says what root would add, and refs is usable on one's own processes."""

    def check() -> None:
        found = examine(Roots())
        assert "your own processes" in found.primitives["refs"].why or not found.primitives["refs"].usable
        assert "CAP_SYS_NICE" in found.actions["cold"].why or not found.actions["cold"].offered

    as_nobody(check)
