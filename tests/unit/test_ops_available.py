"""What `--via auto` means, and what is said of each primitive, on fake roots."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_linux_fake import FakeProc
from udamon.errors import NotSupported, UsageError
from udamon.linux.roots import Roots
from udamon.ops.actions import ACTIONS, probe_action
from udamon.ops.available import PROBES, choose, probe


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    (tmp_path / "proc").mkdir()
    fake = FakeProc(tmp_path / "proc")
    (fake.root / "self/clear_refs").write_text("")
    (fake.root / "self/smaps").write_text("1000-2000 rw-p\nRss: 4 kB\nReferenced: 4 kB\n")
    (fake.root / "self/status").write_text("Tgid:\t1\nUid:\t0\t0\t0\t0\nCapEff:\t00000000\n")
    return Roots(fake.root, tmp_path / "sys", ())


def test_auto_takes_the_first_usable(roots: Roots) -> None:
    assert choose("auto", roots) == "refs"
    assert choose("refs", roots) == "refs"
    (roots.proc / "self/clear_refs").unlink()
    with pytest.raises(NotSupported, match="udamon doctor"):
        choose("auto", roots)


def test_an_explicit_wish_is_refused_with_the_reason(roots: Roots) -> None:
    with pytest.raises(
        NotSupported, match=r"idle cannot be used: this kernel does not track idle pages; boot .*\.$"
    ):
        choose("idle", roots)
    with pytest.raises(UsageError, match="no primitive 'magic'"):
        choose("magic", roots)


def test_busy_kernel_damon_is_named(roots: Roots) -> None:
    admin = roots.sys / "kernel/mm/damon/admin/kdamonds"
    admin.mkdir(parents=True)
    (admin / "nr_kdamonds").write_text("1\n")
    found = probe("kernel", roots)
    assert not found.usable
    assert "nr_kdamonds is 1" in found.why
    (admin / "nr_kdamonds").write_text("0\n")
    assert probe("kernel", roots).offered


@pytest.mark.parametrize("name", list(PROBES))
def test_every_answer_is_whole(roots: Roots, name: str) -> None:
    """What is not usable and not offered says how to get it; all say why."""
    found = probe(name, roots)
    assert found.why.endswith(".")
    assert found.usable or found.offered or found.fix


@pytest.mark.parametrize("name", ACTIONS)
def test_actions_are_not_promised_where_nothing_is_there(roots: Roots, name: str) -> None:
    """Neither /proc nor /sys: no capability is known, there is no node and no DAMON; counting needs nothing."""
    found = probe_action(name, roots)
    assert found.usable is (name == "stat")
    assert found.why.endswith(".")
    assert found.usable or found.fix
