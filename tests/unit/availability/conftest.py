"""A machine that tests of this room start from: refs works, for an ordinary process, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.linux.test_fake import FakeProc
from udamon.linux.roots import Roots


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    (tmp_path / "proc").mkdir()
    fake = FakeProc(tmp_path / "proc")
    (fake.root / "self/clear_refs").write_text("")
    (fake.root / "self/smaps").write_text("1000-2000 rw-p\nRss: 4 kB\nReferenced: 4 kB\n")
    (fake.root / "self/status").write_text("Tgid:\t1\nUid:\t0\t0\t0\t0\nCapEff:\t00000000\n")
    return Roots(fake.root, tmp_path / "sys", ())
