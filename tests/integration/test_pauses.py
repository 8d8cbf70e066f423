"""What watching costs the target: told before, limited, and kept in the recording."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.programs import become_nobody, in_child
from tests.integration.recorder import report, udamon
from udamon import Monitor, MonitorSpec
from udamon.cli.main import main
from udamon.core.target import Target
from udamon.errors import PauseTooLong
from udamon.linux.held import Held
from udamon.linux.urgent import urgent
from udamon.model import Snapshot
from udamon.ops.pauses import Pauses
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


@pytest.fixture
def grows(hot: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After three looks at it a forecast says that the target has grown beyond any limit."""
    looks = []
    looked, forecast = Pauses.looked, Pauses.forecast_ns

    def count(self: Pauses, target: Target, held: Held, resident: int, touched_pages: int) -> None:
        if target.pid == hot:
            looks.append(target.index)
        looked(self, target, held, resident, touched_pages)

    def grown(self: Pauses, target: Target) -> int:
        return forecast(self, target) if len(looks) < 3 else 1 << 60

    monkeypatch.setattr(Pauses, "looked", count)
    monkeypatch.setattr(Pauses, "forecast_ns", grown)


SHORT = ("--max-pause", "30s", "--aggr", "20ms", "--sample", "10ms")


@pytest.mark.parametrize("via", ["refs", pytest.param("softdirty", marks=pytest.mark.needs("soft_dirty"))])
@pytest.mark.parametrize(
    "words",
    [
        ("record", "-q", "--windows", "100", "-o", "a.udamon"),
        ("record", "-o", "a.udamon"),
        ("stat",),
        ("live", "--json-lines"),
        ("size", "-q", "--duration", "1h"),
        ("reclaim", "--dry-run"),
        ("schemes", "--action", "stat"),
    ],
    ids=" ".join,
)
def test_when_no_target_may_be_looked_at_any_more_a_command_ends_and_says_why(
    hot: int,
    words: tuple[str, ...],
    via: str,
    grows: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*words, "-p", str(hot), "--via", via, *SHORT]) == 1
    said = capfd.readouterr().err
    assert "udamon: a look at the target was not allowed for 10 windows in a row: " in said
    assert f"a look would stop process {hot} for about " in said
    assert "longer than --max-pause 30 s" in said
    assert "allow more, or look via idle" in said
    if "a.udamon" in words:
        assert report("info", tmp_path / "a.udamon")["snapshots"] == 3
    if words[0] == "record" and "-q" not in words:
        assert "a.udamon: 3 of 13 windows in " in said


def test_stat_tells_what_was_seen_until_then(
    hot: int, grows: None, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["stat", "--json", "-p", str(hot), "--via", "refs", *SHORT]) == 1
    found = json.loads(capfd.readouterr().out)
    assert (found["snapshots"], found["stopped_by"]) == (3, "pause")


def test_the_library_raises_it(hot: int, grows: None) -> None:
    seen: list[Snapshot] = []
    spec = MonitorSpec(pids=(hot,), via="refs", max_pause=30.0, aggr=0.02, sample=0.01)
    with (
        pytest.raises(PauseTooLong, match="was not allowed for 10 windows in a row"),
        Monitor(spec) as monitor,
    ):
        seen.extend(monitor)
    assert len(seen) == 3


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
