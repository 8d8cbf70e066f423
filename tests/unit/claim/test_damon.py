"""What a killed run left is removed only where its note proves it: every part of the proof, taken away in turn."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.linux.test_fake import FakeProc
from udamon.availability.primitives import probe
from udamon.claim.damon import DamonClaim, free_or_left, recover
from udamon.claim.note import ClaimNote
from udamon.errors import CannotError, NotSupported, TargetBusy
from udamon.linux.damon_tree import DamonTree, untouched
from udamon.linux.procfs import ProcessId
from udamon.linux.roots import Roots

PF_KTHREAD = 0x0020_0000
KDAMOND, OWNER = 50, 40
SETTINGS = {
    "contexts/nr_contexts": "1",
    "contexts/0/operations": "vaddr",
    "contexts/0/monitoring_attrs/intervals/sample_us": "7000",
    "contexts/0/monitoring_attrs/intervals/aggr_us": "100000",
    "contexts/0/monitoring_attrs/nr_regions/min": "10",
    "contexts/0/targets/nr_targets": "1",
    "contexts/0/targets/0/pid_target": "77",
}


class Left:
    """A machine on which a run of udamon was killed while DAMON ran for it."""

    def __init__(self, tmp_path: Path) -> None:
        (tmp_path / "proc").mkdir()
        self.proc = FakeProc(tmp_path / "proc")
        self.roots = Roots(self.proc.root, tmp_path / "sys", (tmp_path / "locks",), tmp_path / "run")
        (self.proc.root / "sys/kernel/random").mkdir(parents=True)
        self.boot = self.proc.root / "sys/kernel/random/boot_id"
        self.boot.write_text("this-boot\n")
        self.proc.process(os.getpid(), comm="udamon", start_time=900)
        self.proc.process(KDAMOND, comm="kdamond.0", flags=PF_KTHREAD, start_time=500)
        self.tree = DamonTree(self.roots)
        self.write_all({**SETTINGS, "state": "on", "pid": str(KDAMOND)})
        (self.tree.admin / "nr_kdamonds").write_text("1\n")
        node = self.tree.node()
        assert node is not None
        self.note: dict[str, object] = {
            "boot_id": "this-boot",
            "owner": [OWNER, 300],
            "node": node,
            "kdamond": [KDAMOND, 500],
            "starting": 490,
            "instance": "udamon-40",
            "allowed": {path: [value] for path, value in SETTINGS.items() if value == "7000" or "target" in path},
        }  # fmt: skip
        self.note["allowed"] |= {"contexts/nr_contexts": ["1"]}  # type: ignore[operator]
        self.instance = tmp_path / "sys/kernel/tracing/instances/udamon-40"
        self.instance.mkdir(parents=True)
        self.save()

    def save(self, **changed: object) -> None:
        self.note |= changed
        self.roots.run.mkdir(exist_ok=True)
        path = self.roots.run / "kernel-damon.json"
        path.write_text(json.dumps(self.note))
        path.chmod(0o600)

    def count(self) -> str:
        return (self.tree.admin / "nr_kdamonds").read_text().strip()

    def write(self, path: str, value: str) -> None:
        (self.tree.root / path).write_text(value)

    def write_all(self, files: dict[str, str]) -> None:
        for path, value in files.items():
            (self.tree.root / path).parent.mkdir(parents=True, exist_ok=True)
            self.write(path, value + "\n")


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return Left(tmp_path)


def test_what_is_proved_is_cleaned_up(left: Left) -> None:
    assert not free_or_left(left.roots).busy
    assert probe("kernel", left.roots).usable
    assert recover(left.roots)
    assert left.count() == "0"
    assert left.tree.read("state") == "off"
    assert not left.instance.exists()
    assert ClaimNote.read(left.roots) is None
    assert not recover(left.roots), "there is nothing more to do"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda left: left.boot.write_text("another-boot"),
        lambda left: left.boot.unlink(),
        lambda left: left.save(node=1),
        lambda left: left.save(node=None),
        lambda left: left.save(kdamond=[KDAMOND, 501]),
        lambda left: left.save(kdamond=[KDAMOND + 1, 500]),
        lambda left: left.save(kdamond=None, starting=None),
        lambda left: left.save(kdamond=None, starting=501),
        lambda left: left.save(kdamond=None, starting=500 - 501),
        lambda left: left.proc.process(OWNER, start_time=300),
        lambda left: left.write("contexts/0/monitoring_attrs/intervals/aggr_us", "100001"),
        lambda left: left.write("contexts/0/monitoring_attrs/nr_regions/min", "11"),
        lambda left: left.write("contexts/0/operations", "paddr"),
        lambda left: left.write("contexts/0/targets/0/pid_target", "78"),
        lambda left: (left.tree.admin / "nr_kdamonds").write_text("2"),
        lambda left: (left.roots.run / "kernel-damon.json").write_text("{"),
        lambda left: (left.roots.run / "kernel-damon.json").chmod(0o666),
        lambda left: (left.roots.run / "kernel-damon.json").unlink(),
    ],
)
def test_what_is_not_proved_is_left_alone(left: Left, spoil: Callable[[Left], object]) -> None:
    spoil(left)
    count = left.count()
    assert free_or_left(left.roots).busy
    assert not probe("kernel", left.roots).usable
    with pytest.raises(TargetBusy, match="in-kernel DAMON is in use"):
        DamonClaim(left.roots).take()
    assert (left.count(), left.tree.read("state")) == (count, "on")


@pytest.mark.parametrize(
    "same",
    [
        lambda left: left.save(kdamond=None, starting=490),  # killed between turning on and noting the pid
        lambda left: left.proc.process(OWNER, start_time=301),  # the pid of the dead run is another's now
        lambda left: left.proc.process(OWNER, start_time=300, state="Z"),
        lambda left: left.write("contexts/0/targets/0/pid_target", "0"),  # not yet written
        lambda left: (left.write("state", "off"), left.write("pid", "-1"), left.proc.remove(KDAMOND)),
    ],
)
def test_what_a_kill_can_leave_is_proved(left: Left, same: Callable[[Left], object]) -> None:
    same(left)
    assert not free_or_left(left.roots).busy
    assert recover(left.roots)
    assert left.count() == "0"


def test_another_user_beside_what_was_left(left: Left) -> None:
    """Ours is taken away all the same, and theirs refuses us."""
    module = left.roots.sys / "module/damon_stat/parameters"
    module.mkdir(parents=True)
    (module / "enabled").write_text("Y\n")
    assert free_or_left(left.roots).busy
    with pytest.raises(TargetBusy, match="damon_stat is enabled"):
        DamonClaim(left.roots).take()
    assert (module / "enabled").read_text() == "Y\n"


def test_an_instance_of_another_boot_is_not_touched(left: Left) -> None:
    left.boot.write_text("another-boot")
    recover(left.roots)
    assert left.instance.exists()


@pytest.mark.parametrize("name", ["../udamon-x", "perf"])
def test_a_note_cannot_name_just_any_instance(left: Left, name: str) -> None:
    left.save(instance=name)
    assert ClaimNote.read(left.roots) is None


def test_without_a_tree(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    roots = Roots(FakeProc(tmp_path / "proc").root, tmp_path / "sys", (tmp_path / "locks",), tmp_path / "run")
    with pytest.raises(NotSupported, match="no DAMON that can be driven"):
        DamonClaim(roots).take()


def claimed(left: Left) -> DamonClaim:
    """The files here do not come and go by themselves, but what is written is what the kernel would get."""
    left.proc.remove(KDAMOND)
    (left.tree.admin / "nr_kdamonds").write_text("0\n")
    left.write("state", "off\n")
    left.write("pid", "-1\n")
    (left.roots.run / "kernel-damon.json").unlink()
    claim = DamonClaim(left.roots)
    claim.take()
    return claim


def test_a_claim_makes_one_kdamond_and_gives_it_back(left: Left) -> None:
    claim = claimed(left)
    assert left.count() == "1"
    with pytest.raises(TargetBusy, match="already watched by another monitor"):
        DamonClaim(left.roots).take()
    claim.set_up([("contexts/0/targets/0/pid_target", "12")])
    note = ClaimNote.read(left.roots)
    assert note is not None
    assert (note.node, note.allowed["contexts/0/targets/0/pid_target"]) == (left.tree.node(), ["12"])
    with pytest.raises(CannotError, match="could not be set up: .*aggr_us"):
        claim.set_up([("contexts/0/none/aggr_us", "1")])
    claim.release()
    claim.release()
    assert left.count() == "0"
    assert ClaimNote.read(left.roots) is None


@pytest.mark.parametrize("command", [False, True])
def test_what_is_written_was_noted_before(left: Left, monkeypatch: pytest.MonkeyPatch, command: bool) -> None:
    """At each write the note on the disk allows the new value, and still the one from before."""
    claim = claimed(left)
    path = "contexts/0/monitoring_attrs/intervals/aggr_us"
    claim.set_up([(path, "200000")])
    noted: list[list[str]] = []

    def write(self: DamonTree, written: str, value: str) -> None:
        note = ClaimNote.read(left.roots)
        assert note is not None
        noted.append(note.allowed.get(written, []))
        left.write(written, value)

    monkeypatch.setattr(DamonTree, "write", write)
    if command:
        claim.command("commit", [(path, "300000")])
    else:
        claim.set_up([(path, "300000")])
    claim.release()
    assert noted[0] == ["200000", "300000"]


def test_without_room_for_the_note_nothing_is_written(left: Left) -> None:
    claim = claimed(left)
    left.roots.run.rename(left.roots.run.with_name("elsewhere"))
    left.roots.run.write_text("")
    before = claim.tree.settings()
    for act in (
        lambda: claim.set_up([("contexts/0/monitoring_attrs/nr_regions/min", "12")]),
        claim.start,
        lambda: claim.use_instance("udamon-1"),
    ):
        with pytest.raises(CannotError, match="cannot be noted in .*; make it a directory"):
            act()
    assert claim.tree.settings() == before
    left.roots.run.unlink()
    claim.release()


def test_what_somebody_else_made_anew_is_not_given_back(left: Left) -> None:
    claim = claimed(left)
    left.tree.root.rename(left.tree.root.with_name("before"))
    left.write_all({**SETTINGS, "state": "on", "pid": str(KDAMOND)})
    assert not claim.owns_kdamond()
    claim.release()
    assert (left.count(), left.tree.read("state")) == ("1", "on")
    assert ClaimNote.read(left.roots) is None


def test_untouched_values() -> None:
    assert untouched("contexts/0/monitoring_attrs/intervals/sample_us") == {"5000"}
    assert untouched("contexts/0/monitoring_attrs/nr_regions/max") == {"1000"}
    assert "0" in untouched("contexts/0/schemes/0/access_pattern/sz/max")
    assert "0" in untouched("contexts/0/targets/nr_targets")


def test_what_a_killed_save_left_goes_with_the_note(tmp_path: Path) -> None:
    """The temporary name of a note that was never given its own; other files stay."""
    (tmp_path / ".udamon-0011223344556677.part").write_text("{")
    (tmp_path / "other").touch()
    note = ClaimNote(tmp_path / "kernel-damon.json", "boot", ProcessId(1, 2))
    note.save()
    note.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
