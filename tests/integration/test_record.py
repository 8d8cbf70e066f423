"""`udamon record` as a user runs it: what it finds, how it ends, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.integration.forking import UDAMON
from tests.integration.programs import (
    hang_ups_end,  # noqa: F401 (a fixture)
    running,
    started,
)
from tests.integration.recorder import (
    as_nobody_runs,
    finish,
    held_until,
    hot_and_cold,
    nobody_records,
    nobody_runs,
    place_of_nobody,
    record_snapshots,
    report,
    running_udamon,
    scaled,
    snapshots_in,
    udamon,
    until_phase,
    until_recorded,
)
from tests.integration.test_targets import _enter as enter
from tests.integration.test_targets import _remove as remove
from tests.integration.test_targets import group  # noqa: F401 (a fixture)
from tests.integration.truth import Accuracy, accuracy
from tests.waiting import WAIT_LIMIT_S, until
from udamon.model import Event
from udamon.record.metadata import warmup_until
from udamon.record.reader import Recording
from udamon.units import format_length

pytestmark = pytest.mark.needs("clear_refs")

REFS = ("--via", "refs", "--aggr", "100ms")
QUICK = ("--update", "100ms", "--aggr", "50ms", "--via", "refs")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.udamon"


@pytest.fixture(scope="module")
def sleeper() -> Iterator[int]:
    """The pid of a process that does nothing."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process.pid
    process.kill()
    process.wait()


def events(file: Path, name: str) -> list[Event]:
    return [event for event in Recording(file).events() if event.name == name]


def is_whole(file: Path) -> bool:
    """The recording was closed."""
    recording = Recording(file)
    assert sum(1 for _ in recording.batches())
    return not recording.truncated


# What it finds


def check_accuracy(file: Path, found: Accuracy) -> None:
    """The median error of a snapshot is at most 5 %, and so are the errors of the quartiles."""
    assert median(found.errors) <= 0.05
    wss = report("wss", file, *found.own)["bytes"]
    for name, level in (("p25", 25), ("p75", 75)):
        assert wss[name] == pytest.approx(found.percentile(level), rel=0.05)


def test_the_working_set_of_a_real_process(tmp_path: Path, file: Path) -> None:
    """Two working sets in turns beside memory that is never touched: both sizes are found."""
    config = scaled("wss", 0.2, {"small": 1.0, "large": 1.0}, tmp_path / "wss.masim")
    with hot_and_cold(config, tmp_path / "truth") as target:
        done = record_snapshots(file, 50, "-p", target.pid, *REFS)
    assert done.status == 0, done.stderr
    found = accuracy(file, tmp_path / "truth")
    check_accuracy(file, found)
    for size in (157286400 // 5, (157286400 + 104857600) // 5):
        assert (
            median(error for error, true in zip(found.errors, found.truth, strict=True) if true == size)
            <= 0.05
        )


def test_stairs(tmp_path: Path, file: Path) -> None:
    """All regions are hot, then one after the other: each step is found where it is."""
    config = scaled("stairs", 1, {"all": 0.5, "stair": 1.0}, tmp_path / "stairs.masim")
    with hot_and_cold(config, tmp_path / "truth") as target:
        done = record_snapshots(file, 50, "-p", target.pid, *REFS)
    assert done.status == 0, done.stderr
    check_accuracy(file, accuracy(file, tmp_path / "truth"))


@pytest.mark.needs("second_user")
def test_an_ordinary_user_records_its_own_process() -> None:
    """No privilege: the same figures."""
    with place_of_nobody() as place:
        config = scaled("wss", 0.2, {"small": 1.0, "large": 1.0}, place / "wss.masim")
        config.chmod(0o644)
        words = ("workload", config, "--layout", "separate", "--truth", "truth", "--duration", "60s")
        with as_nobody_runs(place, *words) as process:
            until_phase(place / "truth")
            assert nobody_records(place, 30, "-p", process.pid, *REFS, "-o", place / "a.udamon") == 0
        check_accuracy(place / "a.udamon", accuracy(place / "a.udamon", place / "truth"))
        assert Recording(place / "a.udamon").metadata["via"] == "refs"


@pytest.mark.needs("second_user")
def test_an_ordinary_user_and_somebody_elses_process(sleeper: int) -> None:
    """One sentence that says whose it is and who may; no file is left."""
    with place_of_nobody() as place:
        done = nobody_runs(place, "record", "-p", sleeper, "-o", place / "a.udamon")
        assert done.status == 1
        assert done.stderr.startswith(
            f"udamon: process {sleeper} (sleep) belongs to root and you are nobody;"
        )
        assert done.stderr.count("\n") == 1
        assert not (place / "a.udamon").exists()


def test_the_default_interval_follows_the_cost(file: Path) -> None:
    """Without --aggr it chooses one that keeps its cost within --overhead, and says which, twice."""
    with running(mode="rest") as watched:
        done = udamon("record", "-p", watched.pid, "--via", "refs", "--duration", "1s", "-o", file)
    assert done.status == 0
    info = report("info", file)
    assert info["attrs"]["aggr_us"] >= 100_000
    assert events(file, "attrs")[0].data["why"] == "overhead 1.00%"
    assert re.search("each of [0-9]|of [0-9.]+ m?s on average", done.stderr)


def test_a_simulated_workload_in_real_time(file: Path) -> None:
    """--sim needs no process: the region policy watches a model of one."""
    done = record_snapshots(file, 2, "--sim", "zigzag")
    assert done.status == 0, done.stderr
    info = report("info", file)
    assert (info["via"], info["ops"], info["policy"]) == ("sim", "sim", "adaptive")
    assert info["snapshots"] >= 2
    assert info["monitor"]["checks"] > 0
    assert is_whole(file)


# The command


def test_the_output_of_a_command_is_untouched(file: Path) -> None:
    """Both streams, byte for byte."""
    with held_until(file, 1) as (pipe,):
        command = ("sh", "-c", f"printf 'out\\0\\n'; printf err >&2; read x < {pipe}; true")
        done = udamon("record", "-q", *QUICK, "-o", file, "--", *command)
    assert done == (0, "out\0\n", "err")


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143)],
)
def test_the_status_of_a_command_is_passed_on(file: Path, script: str, status: int) -> None:
    with held_until(file, 1) as (pipe,):
        done = udamon("record", *QUICK, "-o", file, "--", "sh", "-c", f"read x < {pipe}; {script}")
    assert done.status == status
    assert is_whole(file)


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143)],
)
def test_the_status_of_a_command_that_is_over_before_it_could_be_watched(
    file: Path, script: str, status: int
) -> None:
    assert udamon("record", *QUICK, "-o", file, "--", "sh", "-c", script).status == status


@pytest.mark.parametrize(
    ("command", "status", "why"),
    [
        ("nosuchcommand", 127, "command not found"),
        ("/etc/passwd", 126, "Permission"),
        ("/", 126, "cannot be"),
    ],
)
def test_a_command_that_does_not_start(file: Path, command: str, status: int, why: str) -> None:
    """The statuses of shells; no recording is left."""
    done = udamon("record", "--via", "refs", "-o", file, "--", command)
    assert (done.status, done.stderr.count("\n")) == (status, 1)
    assert why in done.stderr
    assert not file.exists()


def test_own_failure_is_125_and_starts_nothing(tmp_path: Path, file: Path) -> None:
    """A status of 1 would be taken for the command's; and it must not run for nothing."""
    file.write_text("precious")
    for place in (file, tmp_path, tmp_path / "none" / "a.udamon"):
        done = udamon("record", "-o", place, "--", "touch", tmp_path / "ran")
        assert (done.status, done.stderr.count("\n")) == (125, 1)
    assert not (tmp_path / "ran").exists()
    assert file.read_text() == "precious"


def test_a_duration_ends_command_and_recording(tmp_path: Path, file: Path) -> None:
    """With status 0, although the command was ended by a signal."""
    script = f"echo $$ > {tmp_path}/pid; exec sleep 1000"
    done = udamon("record", *QUICK, "--windows", "5", "-o", file, "--", "sh", "-c", script)
    assert done.status == 0, done.stderr
    assert is_whole(file)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


# How it ends


@pytest.mark.parametrize("windows", [1, 4])
def test_so_many_windows(file: Path, sleeper: int, windows: int) -> None:
    """Exactly, of two targets as of one; and each of them is whole."""
    with running(mode="rest", size=1 << 20) as other:
        words = ("-p", f"{sleeper},{other.pid}", *QUICK, "--windows", windows, "-o", file)
        assert udamon("record", *words).status == 0
    seen = [(shot.seq, shot.pid) for shot in Recording(file).snapshots()]
    assert sorted(seen) == sorted((seq, pid) for seq in range(windows) for pid in (sleeper, other.pid))


def test_windows_of_the_warm_up_are_not_counted(file: Path, sleeper: int) -> None:
    """With 20 of 50 ms that a second holds, two would be of the warm-up, and no report had any. On a busy machine the
    first window may come after a short warm-up; a longer one has some."""
    for seconds in (1, 4, 16):
        words = ("-p", sleeper, *QUICK, "--warmup", f"{seconds}s", "--windows", "2", "--force", "-o", file)
        assert udamon("record", *words).status == 0
        until = warmup_until(Recording(file).metadata, file)
        assert until is not None
        begins = sorted(shot.begin_ns for shot in Recording(file).snapshots())
        assert sum(begin >= until for begin in begins) == 2
        if begins[0] < until:
            return
    pytest.fail(f"the first window began after a warm-up of {seconds} s")


def test_size_of_a_warm_up_alone_says_what_to_do() -> None:
    """Not which temporary file had nothing, nor a flag that this command has not. Its only whole window begins within
    the warm-up, also where a busy machine lets it begin 2.5 s late."""
    words = ("--aggr", "3s", "--warmup", "5s", "--duration", "5.5s")
    done = udamon("size", "--sim", "demo", *words)
    assert done.status == 1
    said = done.stderr.splitlines()[-1]
    assert said == (
        "udamon: its size is not known: no window began after the warm-up of 5s; watch longer, or give a shorter "
        "--warmup."
    )


def test_a_stopped_command_can_still_end_as_it_should(tmp_path: Path, file: Path) -> None:
    """It goes on with SIGTERM and does what it does at its end; it would be killed otherwise."""
    script = f"trap 'echo saved > {tmp_path}/state; exit 0' TERM; kill -STOP $$; while :; do sleep 0.1; done"
    done = udamon("record", *QUICK, "--windows", "3", "-o", file, "--", "sh", "-c", script)
    assert done.status == 0, done.stderr
    assert (tmp_path / "state").read_text() == "saved\n"


def test_so_many_windows_end_a_command(file: Path) -> None:
    done = udamon("record", *QUICK, "--windows", "2", "-o", file, "--", "sleep", "1000")
    assert done.status == 0, done.stderr
    assert snapshots_in(file) == 2


@pytest.mark.usefixtures("hang_ups_end")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(file: Path, sleeper: int, number: signal.Signals) -> None:
    """The recording is closed, and the status is 0."""
    with running_udamon("record", "-p", sleeper, *QUICK, "-o", file) as recorder:
        until_recorded(file)
        recorder.send_signal(number)
        done = finish(recorder)
    assert done.status == 0, done.stderr
    assert is_whole(file)


@pytest.mark.usefixtures("hang_ups_end")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_terminal_signals_command_and_udamon(file: Path, number: signal.Signals) -> None:
    """Ctrl-C and the end of a terminal go to the whole group. The recording has its end whichever gets it first."""
    words = ("record", *QUICK, "-o", file, "--", "sleep", "1000")
    with running_udamon(*words, session=True) as recorder:
        until_recorded(file)
        os.killpg(recorder.pid, number)
        done = finish(recorder)
    assert done.status == 0, done.stderr
    assert is_whole(file)


@pytest.mark.usefixtures("hang_ups_end")
def test_a_hang_up_ends_the_command_too(file: Path) -> None:
    with running_udamon("record", *QUICK, "-o", file, "--", "sleep", "1000") as recorder:
        until_recorded(file)
        (target,) = events(file, "target_start")
        pid = target.data["pid"]
        assert isinstance(pid, int)
        recorder.send_signal(signal.SIGHUP)
        done = finish(recorder)
    assert done.status == 0, done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_below_nohup_a_hang_up_changes_nothing(file: Path, sleeper: int) -> None:
    words = [*UDAMON, "record", "-p", str(sleeper), *QUICK, "-o", str(file)]
    with started(["nohup", *words]) as recorder:
        until_recorded(file)
        recorder.send_signal(signal.SIGHUP)
        before = snapshots_in(file)
        until(lambda: snapshots_in(file) > before + 1, "more snapshots")
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(WAIT_LIMIT_S) == 0
    assert is_whole(file)


def test_a_long_interval_does_not_delay_the_end(file: Path, sleeper: int) -> None:
    """A Ctrl-C in the middle of an aggregation of ten minutes ends it; what was seen so far is no snapshot."""
    with running_udamon("record", "-p", sleeper, "--via", "refs", "--aggr", "10min", "-o", file) as recorder:
        until(lambda: file.exists() and bool(events(file, "target_start")), "the target in the recording")
        recorder.send_signal(signal.SIGINT)
        assert finish(recorder).status == 0
    assert is_whole(file)


def test_a_target_that_dies(file: Path) -> None:
    """Its end is in the recording, which is closed; nobody asked for more, so the status is 0."""
    with (
        running(mode="rest") as watched,
        running_udamon("record", "-p", watched.pid, *QUICK, "-o", file) as recorder,
    ):
        until_recorded(file)
        watched.process.kill()
        done = finish(recorder)
    assert done.status == 0, done.stderr
    (end,) = events(file, "target_end")
    assert (end.data["pid"], end.data["why"]) == (watched.pid, "exited")
    assert is_whole(file)


def test_one_of_several_dies(file: Path, sleeper: int) -> None:
    """The other one is watched on."""
    with running(mode="rest") as watched:
        pids = f"{watched.pid},{sleeper}"
        with running_udamon("record", "-p", pids, *QUICK, "-o", file) as recorder:
            until_recorded(file, 2)
            watched.process.kill()
            until(lambda: bool(events(file, "target_end")), "the end of one target")
            until_recorded(file, snapshots_in(file) + 3)
            recorder.send_signal(signal.SIGINT)
            assert finish(recorder).status == 0
    targets = {target["pid"]: target for target in report("info", file)["targets"]}
    assert targets[watched.pid]["ended"] == "exited"
    assert targets[sleeper]["ended"] is None
    assert targets[sleeper]["snapshots"] > targets[watched.pid]["snapshots"]


def test_children_are_followed_as_they_fork(file: Path) -> None:
    """--children: the shell and what it starts later; without it only the shell."""

    def command(first: Path, second: Path, third: Path) -> tuple[str, ...]:
        return ("sh", "-c", f"read x < {first}; cat {second} & cat {third}; wait")

    with held_until(file, 1, 10, 11) as pipes:
        assert udamon("record", *QUICK, "--children", "-o", file, "--", *command(*pipes)).status == 0
    names = [event.data["comm"] for event in events(file, "target_start")]
    assert names[0] == "sh"
    assert len(names) >= 3, "two that wait, though they may be seen before they are more than a shell"
    assert "cat" in [*names, *(event.data["comm"] for event in events(file, "target_exec"))]
    alone = file.with_name("b.udamon")
    with held_until(alone, 1, 10, 11) as pipes:
        assert udamon("record", *QUICK, "-o", alone, "--", *command(*pipes)).status == 0
    assert [event.data["comm"] for event in events(alone, "target_start")] == ["sh"]


@pytest.mark.needs("cgroup")
def test_a_cgroup_from_empty_to_gone(group: Path, file: Path) -> None:  # noqa: F811
    """Processes are watched as they enter; the recording ends when the group is removed."""
    with running_udamon("record", "--cgroup", group, *QUICK, "-o", file) as recorder:
        until(file.exists, "the recording of an empty group")
        with running(mode="rest", size=1 << 20) as watched:
            enter(group, watched.pid)
            until_recorded(file, 2)
        until(lambda: bool(events(file, "target_end")), "the end of the target")
        remove(group)
        done = finish(recorder)
    assert done.status == 0, done.stderr
    (begun,) = events(file, "target_start")
    assert begun.data["pid"] == watched.pid
    assert is_whole(file)


@pytest.mark.needs("cgroup")
@pytest.mark.parametrize("flag", ["--service", "--container"])
def test_a_control_group_by_its_name(group: Path, file: Path, flag: str) -> None:  # noqa: F811
    container = f"{os.getpid():064x}"
    name, asked = (
        (f"docker-{container}.scope", container)
        if flag == "--container"
        else (f"{group.name}.service", group.name)
    )
    own = group / name
    own.mkdir()
    with running(mode="rest", size=1 << 20) as watched:
        enter(own, watched.pid)
        with running_udamon("record", flag, asked, *QUICK, "-o", file) as recorder:
            until_recorded(file)
            recorder.send_signal(signal.SIGINT)
            assert finish(recorder).status == 0
    remove(own)
    assert [event.data["pid"] for event in events(file, "target_start")] == [watched.pid]


def test_exec_is_followed(file: Path) -> None:
    """The process goes on as another program, and the recording says so."""
    with held_until(file, 1, 10) as (first, second):
        command = ("sh", "-c", f"read x < {first}; exec cat {second}")
        assert udamon("record", *QUICK, "-o", file, "--", *command).status == 0
    (executed,) = events(file, "target_exec")
    assert (executed.data["comm"], executed.data["cmdline"]) == ("cat", ["cat", str(second)])
    assert any(s.end_ns > executed.time_ns for s in Recording(file).snapshots())


def test_two_recorders_of_one_process(file: Path, sleeper: int) -> None:
    """The second one refuses and names the first, and even with --force takes no recording away."""
    other = file.with_name("b.udamon")
    other.write_text("precious")
    with running_udamon("record", "-p", sleeper, *QUICK, "-o", file) as recorder:
        until_recorded(file)
        second = udamon("record", "--via", "refs", "-p", sleeper, "-o", other, "--force")
        assert second.status == 1
        assert f"is already watched by another monitor (process {recorder.pid})" in second.stderr
        recorder.send_signal(signal.SIGINT)
        assert finish(recorder).status == 0
    assert other.read_text() == "precious"
    assert udamon("record", "-p", sleeper, *QUICK, "--windows", "3", "-o", other, "--force").status == 0


# What it leaves behind


def test_the_file_is_private_and_not_overwritten(file: Path, sleeper: int) -> None:
    """Mode 0600 whatever the umask; --force is needed to replace it."""
    words = ("record", "-p", sleeper, *QUICK, "--windows", "3", "-o", file)
    before = os.umask(0)
    try:
        assert udamon(*words).status == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content = file.read_bytes()
    refused = udamon(*words)
    assert (refused.status, "exists already" in refused.stderr) == (1, True)
    assert file.read_bytes() == content
    assert udamon(*words, "--force").status == 0
    assert file.read_bytes() != content


def test_max_size_rotates(file: Path) -> None:
    """FILE and FILE.1 together stay below it, and each reads by itself."""
    words = ("--sample", "1ms", "--aggr", "5ms", "--max-size", "128KiB")
    old = file.with_name("a.udamon.1")
    with running_udamon("record", "--sim", "wss", *words, "-o", file) as recorder:
        until(old.exists, "a second file")
        first = old.stat().st_ino
        until(lambda: old.stat().st_ino != first, "a third file")
        recorder.send_signal(signal.SIGINT)
        done = finish(recorder)
    assert done.status == 0
    shots = list(Recording(file).snapshots())
    length = format_length((shots[-1].end_ns - shots[0].begin_ns) / 1e9)
    assert f"of which the latest {length} are kept (--max-size)" in done.stderr
    assert file.stat().st_size + old.stat().st_size <= 128 << 10
    assert is_whole(old)
    assert is_whole(file)
    assert snapshots_in(old)


def test_anonymize_leaves_out_names(tmp_path: Path, file: Path) -> None:
    """No path, program name, command line, user or host; kinds of mappings stay."""
    with held_until(file, 10) as (pipe,):
        command = (sys.executable, "-c", f"open({str(pipe)!r}).read()", "secret")
        assert udamon("record", "--anonymize", *QUICK, "-o", file, "--", *command).status == 0
    recording = Recording(file)
    text = json.dumps([recording.metadata, *(dict(event.data) for event in recording.events())])
    for secret in ("secret", "python", str(tmp_path), os.uname().nodename + '"', "/usr", "/lib", "/home"):
        assert secret not in text
    assert "[heap]" in text
    assert "library.so" in text
    report("access", file)


@pytest.mark.parametrize("blocks", [32, 96])
def test_a_file_that_may_not_grow(file: Path, blocks: int) -> None:
    """Like a full disk: one sentence, status 1, and what was flushed before reads."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (blocks * 512, blocks * 512))

    words = ["record", "-q", "--sim", "many", "--sample", "1ms", "--aggr", "5ms", "-o", str(file)]
    done = subprocess.run(
        [*UDAMON, *words], capture_output=True, text=True, timeout=60, preexec_fn=limit, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"udamon: cannot write to {file}: File too large; the recording ends here and what was flushed before "
        "is readable.\n"
    )
    assert 0 < file.stat().st_size <= blocks * 512
    assert Recording(file).truncated is True
    udamon("report", "info", file)


@pytest.mark.needs("root")
def test_a_full_disk(tmp_path: Path) -> None:
    """A file system of 64 KiB: one sentence, and the recording on it reads up to the last flush."""
    script = (
        f"mount -t tmpfs -o size=64k none {tmp_path} || exit 77; "
        f'"$@" -o {tmp_path}/a.udamon; status=$?; cp {tmp_path}/a.udamon /proc/self/fd/1; exit $status'
    )
    words = [*UDAMON, "record", "-q", "--sim", "many", "--sample", "1ms", "--aggr", "5ms"]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *words], capture_output=True, timeout=60, check=False
    )
    if done.returncode == 77 or b"unshare" in done.stderr:
        pytest.skip("no file system can be mounted here")
    assert done.returncode == 1, done.stderr
    assert b": No space left on device; the recording ends here" in done.stderr
    assert done.stderr.count(b"\n") == 1
    copy = tmp_path / "copy.udamon"
    copy.write_bytes(done.stdout)
    assert snapshots_in(copy)


def test_a_file_that_is_removed_meanwhile(file: Path, sleeper: int) -> None:
    """There will be no recording, so it does not go on."""
    with running_udamon("record", "-p", sleeper, *QUICK, "-o", file) as recorder:
        until_recorded(file)
        file.unlink()
        done = finish(recorder)
    assert done[:2] == (1, "")
    assert done.stderr.endswith(f"udamon: {file} was removed while it was written; record again.\n")
