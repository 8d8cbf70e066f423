"""In-kernel DAMON is somebody's: refused and left untouched; given back as found; cleaned up after a SIGKILL."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.guest.damon import (
    DAMON,
    KDAMONDS,
    RUN,
    engine,
    files,
    forked,
    found_free,  # noqa: F401
    free,
    put,
    read,
    record,
    record_until,
    run,
)  # fmt: skip
from tests.guest.memory import MIB, Memory, memory
from tests.guest.stat import STAT
from tests.waiting import until
from udamon.availability.choice import choose
from udamon.availability.primitives import probe
from udamon.cli.main import main
from udamon.core.attrs import Attrs
from udamon.errors import CannotError, TargetBusy
from udamon.linux.sysfs_damon import kernel_damon
from udamon.record.reader import Recording

pytestmark = [
    pytest.mark.guest_612,
    pytest.mark.guest_boot(smp=1),
    pytest.mark.needs("root", "damon_free"),
]

QUICK = Attrs(20_000, 400_000, 500_000, 10, 100)
DEBUGFS = Path("/sys/kernel/debug/damon")


@pytest.fixture(scope="module")
def program() -> Iterator[Memory]:
    with memory() as started:
        started.map("a", 8 * MIB)
        yield started


@contextmanager
def by_hand(program: Memory) -> Iterator[None]:
    put(KDAMONDS / "nr_kdamonds", "1")
    put(KDAMONDS / "0/contexts/nr_contexts", "1")
    context = KDAMONDS / "0/contexts/0"
    put(context / "monitoring_attrs/intervals/aggr_us", "700000")
    put(context / "targets/nr_targets", "1")
    put(context / "targets/0/pid_target", str(program.pid))
    put(KDAMONDS / "0/state", "on")
    try:
        yield
        assert (KDAMONDS / "0/state").read_text().strip() == "on"
    finally:
        put(KDAMONDS / "0/state", "off")
        put(KDAMONDS / "nr_kdamonds", "0")


@contextmanager
def set_up_and_off(program: Memory) -> Iterator[None]:
    put(KDAMONDS / "nr_kdamonds", "2")
    try:
        yield
    finally:
        put(KDAMONDS / "nr_kdamonds", "0")


@contextmanager
def by_damon_stat(program: Memory) -> Iterator[None]:
    if not STAT.exists():
        pytest.skip("this kernel has no DAMON_STAT")
    put(STAT, "Y")
    try:
        yield
        assert STAT.read_text().strip() == "Y"
    finally:
        put(STAT, "N")


@contextmanager
def by_debugfs(program: Memory) -> Iterator[None]:
    on = next((f for name in ("monitor_on_DEPRECATED", "monitor_on") if (f := DEBUGFS / name).exists()), None)
    if on is None:
        pytest.skip("this kernel's DAMON has no debugfs files")
    put(DEBUGFS / "target_ids", str(program.pid))
    put(on, "on")
    try:
        yield
        assert on.read_text().strip() == "on"
    finally:
        put(on, "off")
        put(DEBUGFS / "target_ids", "\n")


@pytest.mark.guest_version
@pytest.mark.parametrize("user", [by_hand, set_up_and_off, by_damon_stat, by_debugfs])
def test_a_damon_in_use_is_refused_and_untouched(
    program: Memory,
    user: Callable[[Memory], AbstractContextManager[None]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with user(program):
        threads = kernel_damon().users
        before = files(DAMON, DEBUGFS)
        assert record("-p", program.pid, "-o", tmp_path / "r", "--duration", "1s") == 1
        with pytest.raises(TargetBusy, match="in use"):
            engine([program.pid]).open()
        assert files(DAMON, DEBUGFS) == before
        assert kernel_damon().users == threads
    error = capsys.readouterr().err
    print(error)
    assert error.count("\n") == 1
    assert "in use" in error
    assert not (tmp_path / "r").exists()


def test_two_of_ours(program: Memory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second says which process has it."""
    with memory() as other:

        def second() -> None:
            before = files(DAMON)
            assert record("-p", other.pid, "-o", tmp_path / "r", "--duration", "1s") == 1
            assert files(DAMON) == before

        assert run(engine([program.pid], QUICK), 4, second).snapshots
    assert f"process {os.getpid()}" in capsys.readouterr().err


def test_idle_beside_a_busy_damon_says_so(program: Memory, tmp_path: Path) -> None:
    if not probe("idle").usable:
        pytest.skip("this kernel does not track idle pages")
    file = tmp_path / "r"
    words = ["-p", str(program.pid), "-o", str(file), "--duration", "100s"]
    with by_hand(program):
        command = ["record", "-q", "--via", "idle", "--sample", "50ms", "--aggr", "1s", *words]
        assert record_until(lambda: main(command), file, 1) == 0
    notes = [str(e.data["text"]) for e in Recording(file).events() if e.name == "note"]
    assert any("in-kernel DAMON" in note and "idle may see less" in note for note in notes), notes


def test_turned_off_by_another(program: Memory) -> None:
    """One sentence, and what the other does next is its own."""
    with pytest.raises(CannotError, match="another program has turned in-kernel DAMON off"):
        run(engine([program.pid], QUICK), 10, lambda: put(KDAMONDS / "0/state", "off"))


def test_taken_over_by_another(program: Memory) -> None:
    def take_over() -> None:
        put(KDAMONDS / "0/state", "off")
        put(KDAMONDS / "nr_kdamonds", "1")

    with pytest.raises(CannotError, match="another program"):
        run(engine([program.pid], QUICK), 10, take_over)
    assert (KDAMONDS / "nr_kdamonds").read_text().strip() == "1", "it is theirs now"
    put(KDAMONDS / "nr_kdamonds", "0")


def test_given_back_when_the_target_cannot_be_watched(program: Memory) -> None:
    made = engine([program.pid], Attrs(20_000, 400_000, 500_000, 10, 100))
    made._kernel._claim.start = lambda: 1 / 0  # type: ignore[assignment,method-assign,return-value]
    with pytest.raises(ZeroDivisionError):
        made.open()


def test_given_back_when_reading_raises(program: Memory) -> None:
    made = engine([program.pid], QUICK)
    made.open()
    made._kernel.source.read = lambda: 1 / 0  # type: ignore[assignment,method-assign,return-value]
    made.start()
    with pytest.raises(ZeroDivisionError):
        made.join(30)


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGTERM, marks=pytest.mark.guest_version), signal.SIGINT]
)
def test_given_back_after_a_signal(program: Memory, number: int, tmp_path: Path) -> None:
    file = tmp_path / "r"
    assert record_until(lambda: record("-p", program.pid, "-o", file), file, 1, number) == 0
    assert len(list(Recording(file).snapshots())) >= 1


def test_a_killed_recorder_is_cleaned_up_by_the_next(program: Memory, tmp_path: Path) -> None:
    """Through the commands: doctor says it is usable, record cleans up and records."""
    killed = tmp_path / "a"
    ended = record_until(lambda: record("-p", program.pid, "-o", killed), killed, 1, signal.SIGKILL)
    assert ended == -signal.SIGKILL
    assert kernel_damon().busy, "nothing was left: nothing is proved"
    assert probe("kernel").usable
    assert choose("kernel") == "kernel"
    assert record("-p", program.pid, "-o", tmp_path / "b", "--duration", "3s") == 0
    assert len(list(Recording(tmp_path / "b").snapshots())) >= 1


def test_what_was_changed_after_a_kill_is_not_ours(program: Memory) -> None:
    """One number in the tree that the dead run did not write, and it is left alone."""
    kill_while_it_runs(program)
    put(KDAMONDS / "0/contexts/0/monitoring_attrs/intervals/aggr_us", "123456")
    before = files(DAMON)
    assert not probe("kernel").usable
    with pytest.raises(TargetBusy):
        engine([program.pid]).open()
    assert files(DAMON) == before
    put(KDAMONDS / "0/state", "off")
    put(KDAMONDS / "nr_kdamonds", "0")
    for instance in Path("/sys/kernel/tracing/instances").iterdir():
        instance.rmdir()


def test_somebody_elses_tree_after_a_kill_is_not_ours(program: Memory) -> None:
    """Alike to the last value, but made anew: the directory is another one."""
    kill_while_it_runs(program)
    put(KDAMONDS / "0/state", "off")
    put(KDAMONDS / "nr_kdamonds", "1")
    with pytest.raises(TargetBusy, match="nr_kdamonds is 1"):
        engine([program.pid]).open()
    assert (KDAMONDS / "nr_kdamonds").read_text().strip() == "1"
    put(KDAMONDS / "nr_kdamonds", "0")


@pytest.mark.parametrize("moments", [5, pytest.param(20, marks=pytest.mark.guest_long)])
def test_killed_at_random_moments(program: Memory, moments: int) -> None:
    """While it sets up, runs, or gives back: the next run always finds a way, and leaves nothing.

    The moments are spread over the time that an undisturbed run takes on this machine.
    """
    began = time.monotonic()
    pid = forked(lambda: short_run(program))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    whole = time.monotonic() - began
    chance, left = random.Random(moments), 0
    for moment in range(moments):
        seconds = whole * (moment + chance.random()) / moments
        kill_after(program, seconds, lasting=1)
        left += kernel_damon().busy
        print(f"killed after {seconds:.2f} of {whole:.2f} s: {kernel_damon().users}")
        note = RUN / "kernel-damon.json"
        if kernel_damon().busy and '"node": null' in note.read_text():
            put(KDAMONDS / "nr_kdamonds", "0")  # the one moment that cannot be proved: see claim.damon
        made = engine([program.pid], QUICK)
        made.open()
        made.close()
        assert free() == []
    assert left >= moments // 3, "hardly anything was left behind: nothing is proved"


def short_run(program: Memory, lasting: float = 1) -> int:
    run(engine([program.pid], QUICK), lasting)
    return 0


def kill_after(program: Memory, seconds: float, lasting: float = 30) -> None:
    pid = forked(lambda: short_run(program, lasting))
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def kill_while_it_runs(program: Memory) -> None:
    """Killed when kdamond runs, so that everything is left behind."""
    pid = forked(lambda: short_run(program, 60))
    until(lambda: kernel_damon().busy and read(KDAMONDS / "0/state") == "on")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
