"""`udamon size` as a command: a file or a target, what it asks for, and the command that it names as the next one."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.recorder import held_until
from tests.unit.report.test_size import MIB, S, census, named
from tests.unit.snapshots import recorded, snap
from udamon.assembly.child import OWN_FAILURE, Child
from udamon.cli import next_step, record, size
from udamon.cli.main import main
from udamon.cli.parsers import parser
from udamon.errors import TargetGone
from udamon.linux.procfs import read_stat
from udamon.model import Event, Snapshot
from udamon.record.reader import Recording
from udamon.report import size as report_size
from udamon.report.source import RecordingSource


def file_of(path: Path, windows: int = 2, pid: int | None = None) -> Recording:
    """A mapping that was touched in part; of the process `pid`."""
    shots: list[Snapshot | Event] = [named(0, (100, "[heap]"))]
    if pid is not None:
        about = {"target": 0, "pid": pid, "start_time": read_stat(pid).start_time, "comm": "$(reboot)"}
        shots.append(Event(0, "target_start", about | {"cmdline": ["; reboot"]}))
    shots += [census(seq, [(100, 60, 20)]) for seq in range(windows)]
    return recorded(
        path, shots, via="refs", command=["reboot"], command_line=["udamon", "record", "; reboot"]
    )


def step_of(recording: Recording) -> report_size.NextStep:
    with RecordingSource(recording) as source:
        return next_step.of_file("the file", source, report_size.measure(source))


def test_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same document by `size`, `report size` and `report` alone."""
    file = str(file_of(tmp_path / "a").path)
    found = []
    for words in (["size", file], ["report", "size", file], ["report", file]):
        assert main([*words, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
        assert main(words) == 0
        assert capsys.readouterr().out.startswith(
            "needs 20.0 to 40.0 MiB (grain: mapping), resident 60.0 MiB\n"
        )
    assert found[0] == found[1] == found[2]
    assert {"schema", "grain", "resident_bytes", "needed_bytes", "windows", "coverage", "damaged"} <= set(
        found[0]
    )
    assert found[0]["needed_bytes"] == {"low": 20 * MIB, "high": 40 * MIB}


def test_a_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is watched, the recording is kept where that was asked for, and nothing else is left."""
    kept = tmp_path / "kept"
    words = ["size", "--sim", "demo", "--aggr", "50ms", "--duration", "1200ms", "-o", str(kept)]
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out.startswith("needs ")
    assert said.err.startswith("udamon: watching for 1.2 s; ")
    assert main(["size", str(kept), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resident_bytes"] > 0
    assert os.listdir(tmp_path) == ["kept"]


def test_a_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its status is passed on; standard output is its own, but for a document."""
    flags = ["--via", "refs", "--aggr", "100ms"]
    with held_until(tmp_path / "a", 3) as (pipe,):
        command = ["sh", "-c", f"echo its own; cat {pipe}; exit 7"]
        assert main(["size", *flags, "-o", str(tmp_path / "a"), "--", *command]) == 7
    said = capfd.readouterr()
    assert said.out == "its own\n"
    assert "\nneeds " in said.err
    # A command that ended cannot be watched longer: more windows are shorter ones.
    assert "\n  udamon size --aggr " in said.err
    with held_until(tmp_path / "b", 3) as (pipe,):
        assert main(["size", *flags, "-o", str(tmp_path / "b"), "--json", "-q", "--", "cat", str(pipe)]) == 0
    assert json.loads(capfd.readouterr().out)["windows"] > 0


@pytest.mark.parametrize(
    "words",
    [
        ["a", "-p", "1"],
        ["a", "--aggr", "1s"],
        ["a", "-o", "b"],
        ["a", "--", "true"],
        ["-p", "1", "--force"],
        [],
    ],
)
def test_wrong_usage(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file and a target, or neither; nothing is written."""
    assert main(["size", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def intervals(duration: float | None, *words: str) -> tuple[str | None, str | None]:
    args = parser(["size"]).parse_args(["size", *words])
    size.settle_intervals(args, duration)
    return args.aggr, args.sample


def test_an_older_recording_is_not_taken_for_that_of_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command ends before it can be watched, so that the file of -o stays as it is, and is not reported."""

    def watch(args: argparse.Namespace, child: Child, *rest: object, **more: object) -> str:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        raise TargetGone("process 7 has ended.")

    monkeypatch.setattr(record, "watch", watch)
    path = file_of(tmp_path / "a").path
    before = path.read_bytes()
    assert main(["size", "--via", "refs", "-o", str(path), "--force", "--", "true"]) == OWN_FAILURE
    said = capsys.readouterr()
    assert said.out == ""
    assert "its size is not known; run something that lives for a second or longer." in said.err
    assert path.read_bytes() == before


def test_windows_of_a_census_of_mappings() -> None:
    """Two windows at least, of 10 s at most; not of a command, which may end, and not where intervals were chosen."""
    assert intervals(20, "-p", "1", "--via", "refs") == ("10000000us", "500000us")
    assert intervals(600, "-p", "1", "--via", "refs") == ("10000000us", "500000us")
    assert intervals(5, "-p", "1", "--via", "refs") == ("2500000us", "125000us")
    assert intervals(None, "--via", "refs") == (None, None)
    assert intervals(20, "-p", "1", "--via", "refs", "--overhead", "2%") == (None, None)
    assert intervals(20, "--sim", "demo") == (None, None)


def usable(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def probe(name: str) -> object:
        return argparse.Namespace(usable=name in names)

    monkeypatch.setattr(next_step, "probe", probe)


def test_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finer where that is possible, else longer, else what finer takes; nothing that the file says is in it but a
    process that still runs."""
    here = os.getpid()
    living, gone = file_of(tmp_path / "a", pid=here), file_of(tmp_path / "b")
    usable(monkeypatch, "refs", "idle")
    assert step_of(living).command == f"udamon size -p {here} --via idle"
    assert step_of(gone).command == "udamon report right-size 'the file'"
    usable(monkeypatch, "refs")
    assert step_of(living).command == f"udamon size -p {here} --duration 240s"
    assert step_of(file_of(tmp_path / "c", 20, here)).command == "udamon doctor"
    assert step_of(gone).command == "udamon doctor"
    pages = recorded(tmp_path / "d", [snap(0, [(0, MIB, 20, 0)], window=S)], via="idle")
    assert step_of(pages).command == "udamon report right-size 'the file'"


@pytest.mark.parametrize(("grain", "seconds"), [("mapping", 240), ("page", 48)])
def test_the_next_step_is_long_enough(grain: str, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By mapping `size` takes windows of 10 s, also after a recording whose windows had 2 s."""
    usable(monkeypatch, "refs")
    report = report_size.Size(grain, (1, 1), 1, 1, None, None, 4, 2 * S, 8 * S, False, (), [], [])
    args = parser(["size"]).parse_args(["size", "-p", "1"])
    args.command = None
    assert next_step.of_target(args, report).command == f"udamon size -p 1 --duration {seconds}s"


@pytest.mark.parametrize(
    ("words", "command", "expected"),
    [
        ("-p 1 --warmup 2s", None, "-p 1 --warmup 2s --duration 242s"),
        ("-p 1 --warmup 500ms --duration 8s", None, "-p 1 --warmup 500ms --duration 241s"),
        ("-p 1 --ops fvaddr --range 0x1000-0x5000", None, "-p 1 --ops fvaddr --range 0x1000-0x5000 --duration 240s"),
        ("--duration 8s --warmup 1s", ["a"], "--warmup 1s --duration 8s --aggr 333ms -- a"),
    ],
)  # fmt: skip
def test_the_next_step_keeps_what_was_asked_for(
    words: str, command: list[str] | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server is not watched for ever, a warm-up stays left out, and a range is not all of the process."""
    usable(monkeypatch, "refs")
    report = report_size.Size("mapping", (1, 1), 1, 1, None, None, 4, 2 * S, 8 * S, False, (), [], [])
    args = parser(["size"]).parse_args(["size", *words.split()])
    args.command = command
    assert next_step.of_target(args, report).command == f"udamon size {expected}"
    usable(monkeypatch, "refs", "idle")
    wide = replace(report, needed=(1, 10))
    assert wide.wide
    found = next_step.of_target(args, wide).command
    assert ("--duration 8s" in found) == ("--duration 8s" in words)
    assert found.endswith("--via idle" + (" -- a" if command else ""))


def test_the_next_step_of_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that was given to another process is none of the recording's."""
    usable(monkeypatch, "refs", "idle")
    recording = file_of(tmp_path / "a", pid=os.getpid())
    shots = [census(0, [(100, 60, 20)])]
    other = Event(0, "target_start", {"target": 0, "pid": os.getpid(), "start_time": 1})
    found = step_of(recorded(tmp_path / "b", [other, *shots], via="refs")).command
    assert str(os.getpid()) not in found.split()
    assert str(os.getpid()) in step_of(recording).command.split()


@pytest.mark.parametrize(
    ("windows", "words"),
    [(4, "--aggr 1667ms -- COMMAND"), (19, "--aggr 7917ms -- COMMAND"), (20, None)],
)
def test_the_next_step_of_a_command_that_ended(
    windows: int, words: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shorter windows, since it will not live longer: 24 of them in the time it ran. Its words are not repeated."""
    usable(monkeypatch, "refs")
    ended = Event(0, "target_start", {"target": 0, "pid": os.getpid(), "start_time": 1, "comm": "; reboot"})
    shots: list[Snapshot | Event] = [ended, named(0, (100, "[heap]"))]
    shots += [census(seq, [(100, 60, 20)]) for seq in range(windows)]
    step = step_of(recorded(tmp_path / "a", shots, via="refs", command=["; reboot"]))
    assert step.command == (f"udamon size {words}" if words else "udamon doctor")
    other = step_of(recorded(tmp_path / "b", shots, via="refs"))
    assert other.command == (f"udamon size -p PID {words.split(' -- ')[0]}" if words else "udamon doctor")


def test_the_next_step_of_what_lived_too_shortly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of a millisecond are no advice."""
    usable(monkeypatch, "refs")
    ended = Event(0, "target_start", {"target": 0, "pid": os.getpid(), "start_time": 1})
    shot = replace(census(0, [(100, 60, 20)]), end_ns=20_000_000)
    recording = recorded(tmp_path / "a", [ended, shot], via="refs", command=["true"])
    assert step_of(recording).command == "udamon report right-size 'the file'"


def test_the_next_step_of_a_command_is_quoted() -> None:
    args = parser(["size"]).parse_args(["size", "--children"])
    args.command = ["sh", "-c", "a; b"]
    report = report_size.Size("page", (1, 1), 1, 1, None, None, 2, S, 24 * S, False, (), [], [])
    words = next_step.of_target(args, report).command
    assert shlex.split(words) == [
        "udamon",
        "size",
        "--children",
        "--aggr",
        "1000ms",
        "--",
        "sh",
        "-c",
        "a; b",
    ]
