"""What of a right configuration cannot be done on a machine, on made-up ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.programs import as_nobody
from udamon.agent.config import parse_settings
from udamon.agent.here import LACKING, impossible
from udamon.agent.state import check_spool
from udamon.cli.main import main
from udamon.errors import CannotError
from udamon.linux.consent import VARIABLE
from udamon.linux.roots import Roots


def _roots(root: Path, *, version: int = 2, reclaim: bool = True) -> Roots:
    (root / "proc/self").mkdir(parents=True)
    (root / "cg").mkdir()
    (root / "cg/cgroup.procs").write_text("")
    kind = "cgroup2 cgroup2 rw" if version == 2 else "cgroup cgroup rw,memory"
    (root / "proc/self/mountinfo").write_text(f"30 1 0:26 / {root}/cg rw - {kind}\n")
    if reclaim:
        (root / "cg/memory.reclaim").write_text("")
    return Roots(root / "proc", root / "sys", (root / "locks",))


def _found(text: str, roots: Roots) -> list[tuple[str, bool]]:
    return [(str(one), isinstance(one, LACKING)) for one in impossible(parse_settings(text, "a.toml"), roots)]


ACTS = '[[class]]\nname = "batch"\nmatch = { service = "b*" }\nreclaim = {}\n'


def test_nothing_is_said_of_what_can_be_had(tmp_path: Path) -> None:
    roots = _roots(tmp_path)
    assert _found(f'state = "{tmp_path}/agent.json"\ncgroup = "/"\n{ACTS}', roots) == []
    assert _found('[default]\nvia = "auto"\n', roots) == []


@pytest.mark.parametrize(("version", "reclaim"), [(1, True), (2, False)])
def test_reclaim_that_no_group_has(tmp_path: Path, version: int, reclaim: bool) -> None:
    ((said, lacking),) = _found(ACTS, _roots(tmp_path, version=version, reclaim=reclaim))
    assert said.startswith("class batch, reclaim: no control group here has memory.reclaim")
    assert lacking


def test_every_way_that_is_named_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Consent is the administrator's to give, so it is told and nothing is lacking; idle bits are the kernel's."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("udamon.agent.ways.choice.standing", lambda: False)
    monkeypatch.setattr("udamon.linux.lru_gen.lacks", lambda: ("it is switched off", "switch it on"))
    text = "".join(
        f'[[class]]\nname = "{via}s"\nmatch = {{ service = "{via}" }}\nvia = "{via}"\n'
        for via in ("pte", "idle", "lru_gen", "refs", "off")
    )
    found = {said.partition(":")[0]: lacking for said, lacking in _found(text, _roots(tmp_path))}
    assert found == {
        "class ptes, via pte": False,
        "class idles, via idle": True,
        "class lru_gens, via lru_gen": True,
    }


def test_what_may_come_yet_is_told(tmp_path: Path) -> None:
    text = f'state = "{tmp_path}/no/a.json"\ncgroup = "/gone"\ncertificate = "{tmp_path}/c"\nkey = "{tmp_path}/k"\n'
    found = _found(text, _roots(tmp_path))
    assert [lacking for _, lacking in found] == [False] * 3
    for (said, _), about in zip(found, ("'/gone'", "certificate", "no directory"), strict=True):
        assert about in said


def test_places_of_rows(tmp_path: Path) -> None:
    """What is not there yet is made with the first rows."""
    roots = _roots(tmp_path)
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert _found(f'spool = "{tmp_path}/new/spool"\ncgroup = "/"\n', roots) == []
    assert not (tmp_path / "new").exists()
    for name in ("file", "file/below", "pipe", "link"):
        ((said, lacking),) = _found(f'spool = "{tmp_path}/{name}"\ncgroup = "/"\n', roots)
        assert said.startswith(f"{tmp_path}/{name.partition('/')[0]} is no directory")
        assert not lacking


@pytest.mark.needs("root")
def test_a_place_of_rows_that_only_others_may_write() -> None:
    def refused() -> None:
        with pytest.raises(CannotError, match="may not write to /"):
            check_spool("/spool-below-the-root")

    as_nobody(refused)


def test_the_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "a.toml"
    config.write_text("")
    for errors, status, said in (
        ([], 0, "is right\n"),
        ([CannotError("not yet.")], 0, "is right\n"),
        ([CannotError("not yet."), LACKING[0]("never.")], 1, "is right, but this machine lacks"),
    ):
        monkeypatch.setattr("udamon.agent.here.impossible", lambda settings, errors=errors: iter(errors))
        assert main(["agent", "--config", str(config), "--check"]) == status
        out, err = capfd.readouterr()
        assert said in out
        assert err.splitlines() == [f"udamon: {error}" for error in errors]
