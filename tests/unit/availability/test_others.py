"""Who else clears or sets the same bits: what is found on fake roots, and what of it recordings and reports say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.linux.test_fake import FakeProc
from udamon.availability.others import NOBODY, RECLAIM, OtherMonitors, find
from udamon.linux.roots import Roots
from udamon.linux.vmstat import scanned_pages
from udamon.lock import take_lock
from udamon.record.monitored import ReclaimProbe

VMSTAT = "nr_free_pages 9\npgscan_kswapd 1\npgscan_direct 2\npgscan_anon {}\npgscan_file 5\npgscan_skip 7\n"


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    (tmp_path / "proc").mkdir()
    FakeProc(tmp_path / "proc")
    (tmp_path / "sys").mkdir()
    return Roots(tmp_path / "proc", tmp_path / "sys", (tmp_path / "locks",))


def stat_module(roots: Roots) -> None:
    parameters = roots.sys / "module/damon_stat/parameters"
    parameters.mkdir(parents=True)
    (parameters / "enabled").write_text("Y\n")


def test_nobody(roots: Roots) -> None:
    for via in ("idle", "kernel", "refs", "softdirty", "pte", "sim"):
        assert find(via, roots) == NOBODY
    assert NOBODY.notes("pte") == ()


def test_damon_stat_takes_from_some_and_marks_for_others(roots: Roots) -> None:
    stat_module(roots)
    for via in ("idle", "pte"):
        found = find(via, roots)
        assert found.taking == ("in-kernel DAMON (the module damon_stat is enabled)",)
        assert found.marking == "no"
        (note,) = found.notes(via)
        assert f"so {via} may see less" in note
    assert find("refs", roots) == OtherMonitors(marking="yes")
    assert "upper bound" in find("refs", roots).notes("refs")[0]
    assert find("softdirty", roots) == NOBODY


def test_another_udamon_on_the_physical_memory(roots: Roots) -> None:
    """One's own lock is no other's: it is asked for in a child."""
    lock = take_lock("paddr", "the physical memory", roots)
    assert find("pte", roots) == NOBODY
    if (pid := os.fork()) == 0:
        os._exit(0 if "another udamon" in "".join(find("pte", roots).taking) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    lock.release()


def test_reclaim_is_seen_while_it_happens(roots: Roots) -> None:
    """What is read by a control group's own reclaim counts in these two alone."""
    vmstat = roots.proc / "vmstat"
    vmstat.write_text(VMSTAT.format(10))
    assert scanned_pages(roots.proc) == 15
    beside, unmoved = ReclaimProbe("refs", roots.proc), ReclaimProbe("softdirty", roots.proc)
    assert beside.pages == 0
    vmstat.write_text(VMSTAT.format(14))
    assert (beside.pages, unmoved.pages) == (4, None)
    vmstat.write_text("pgscan_kswapd 1\n")
    assert scanned_pages(roots.proc) is None
    assert ReclaimProbe("refs", roots.proc).pages is None
    vmstat.unlink()
    assert beside.pages is None
    assert "memory is short" in RECLAIM
