"""What watching costs the target: told before, limited, and kept in the recording."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.programs import become_nobody, in_child
from tests.integration.recorder import report, udamon
from udamon.linux.urgent import urgent
from udamon.ops.tlb import hot_set

pytestmark = pytest.mark.needs("clear_refs")

MIB = 1 << 20
REFS = ("--via", "refs", "--aggr", "50ms", "--windows", "5")


@pytest.fixture(scope="module")
def hot() -> Iterator[int]:
    """The pid of a process that touches 64 MiB for ever."""
    with hot_set(64 * MIB) as child:
        assert child.access(64 * MIB)
        assert child.target.pid is not None
        yield child.target.pid


def test_a_limit_that_cannot_be_kept_is_refused(hot: int, tmp_path: Path) -> None:
    """16384 small pages take longer than 100 us on any machine: nothing is looked at, and nothing is left."""
    file = tmp_path / "a.udamon"
    done = udamon("record", "-p", hot, *REFS, "-o", file, "--max-pause", "100us")
    assert done.status == 1
    assert f"a look would stop process {hot} for about " in done.stderr
    assert "longer than --max-pause 100 us, and refs cannot look at it by pieces" in done.stderr
    assert not file.exists()
    done = udamon("schemes", "-p", hot, "--action", "stat", "--via", "refs", "--max-pause", "100us")
    assert (done.status, "cannot look at it by pieces" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--sim", "one"), "sim does not stop a target"),
        (("--max-pause", "0ms"), "leaves no time to look"),
        (("--max-pause", "long"), "is not a time"),
    ],
)
def test_what_is_no_limit(hot: int, tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    target = () if words[0] == "--sim" else ("-p", str(hot))
    done = udamon("record", "--max-pause", "1s", *target, *words, "-o", tmp_path / "a.udamon")
    assert done.status == 2
    assert why in done.stderr


def test_how_to_clear_is_asked_of_pte_alone(hot: int, tmp_path: Path) -> None:
    for words in (("--sim", "one"), ("-p", str(hot), "--via", "refs")):
        done = udamon("record", *words, "--clear", "cold", "-o", tmp_path / "a.udamon")
        assert (done.status, "--clear is of use with pte alone" in done.stderr) == (2, True)


def test_a_recording_holds_what_it_cost_the_target(hot: int, tmp_path: Path) -> None:
    """64 MiB touched in each window cost 5 ms each by the estimate, and no pause is without length."""
    file = tmp_path / "a.udamon"
    done = udamon("record", "-p", hot, *REFS, "-o", file, "--max-pause", "30s")
    assert done.status == 0, done.stderr
    found = report("info", file)
    windows = found["snapshots"]
    assert found["grain"] == "mapping"
    assert found["tlb"] in ("flushed", "displaced", "stale")
    assert found["target_cost_seconds"] >= 0.9 * windows * 16384 * 300e-9
    assert 0 < found["longest_pause_seconds"] < 30
    assert "by an estimate, stopped for" in udamon("report", "info", file).stdout


@pytest.mark.needs("second_user")
def test_privilege_may_be_given_up_meanwhile() -> None:
    """Who was root may hurry no more, and goes on without."""

    def work() -> None:
        with urgent():
            pass
        become_nobody()
        with urgent():
            assert os.sched_getscheduler(0) == os.SCHED_OTHER

    in_child(work)
