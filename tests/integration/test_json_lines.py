"""`--json-lines`: documents of `report access` while a monitor runs, for readers who read, go, or sleep."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.forking import UDAMON
from tests.integration.programs import started
from tests.integration.recorder import finish, report, running_udamon, snapshots_in, udamon, until_recorded
from tests.unit.test_json_schemas import check
from tests.waiting import WAIT_LIMIT_S

SIM = ("--sim", "demo", "--aggr", "50ms")
SLEEPER = "import time; area = bytearray(8 << 20); print(0, flush=True); time.sleep(600)"


def test_the_lines_of_a_recording_are_its_reports(tmp_path: Path) -> None:
    """One for each snapshot, as the schema of the report says; the last one is what the report of the end is, with
    the names of mappings and the coverage that were known by then."""
    file = tmp_path / "a.udamon"
    with started([sys.executable, "-c", SLEEPER]) as process:
        assert process.stdout is not None
        process.stdout.readline()
        how = (
            "-p",
            process.pid,
            "--via",
            "refs",
            "--aggr",
            "100ms",
            "--update",
            "100ms",
            "--windows",
            12,
            "-q",
        )
        done = udamon("record", *how, "-o", file, "--json-lines")
    assert (done.status, done.stderr) == (0, "")
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(documents) == snapshots_in(file) == 12
    for document in documents:
        check("report-access", document)
    assert documents[-1] == report("access", file)
    assert documents[0]["elapsed"] == pytest.approx(report("access", file, "--at", "0.05s")["elapsed"])


@pytest.mark.parametrize(
    "words",
    [("record", "--windows", "3"), ("stat", "--duration", "1s"), ("live", "--duration", "1s"), ("live",)],
    ids=" ".join,
)
def test_lines_come_while_it_runs(words: tuple[str, ...], tmp_path: Path) -> None:
    """Each at once, and nothing else on standard output."""
    more = ("-o", tmp_path / "a.udamon") if words[0] == "record" else ()
    with running_udamon(*words, *SIM, *more, "--json-lines") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        check("report-access", first)
        assert process.poll() is None or words[0] == "record"
        if words == ("live",):
            process.send_signal(signal.SIGINT)
        done = finish(process)
    assert done.status == 0, done.stderr
    seqs = [json.loads(line)["seq"] for line in done.stdout.splitlines()]
    assert seqs == list(range(first["seq"] + 1, first["seq"] + 1 + len(seqs)))


@pytest.mark.parametrize("command", ["record", "stat", "live"])
def test_a_reader_that_goes_ends_it_quietly(command: str, tmp_path: Path) -> None:
    """As it ends other commands that print: status 0, no complaint, and a recording that is whole."""
    quiet = () if command == "live" else ("-q",)
    file = tmp_path / "a.udamon"
    with running_udamon(
        command, *SIM, *quiet, *(("-o", file) if command == "record" else ()), "--json-lines"
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith("}\n")
        process.stdout.close()
        assert process.wait(WAIT_LIMIT_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    if command == "record":
        info = udamon("report", "info", file)
        assert (info.status, "has no end" in info.stdout) == (0, False)


def test_a_reader_that_sleeps_delays_no_recording(tmp_path: Path) -> None:
    """The pipe is full after a few lines: recording goes on, and a signal ends it."""
    file = tmp_path / "a.udamon"
    ours, theirs = os.pipe()
    try:
        words = ["record", *SIM, "-q", "-o", str(file), "--json-lines"]
        process = subprocess.Popen([*UDAMON, *words], stdout=theirs, stderr=subprocess.PIPE, text=True)
        try:
            until_recorded(file, 100)  # of more than 3 KiB each, and a pipe has 64
            process.send_signal(signal.SIGINT)
            assert process.wait(WAIT_LIMIT_S) == 0
        finally:
            process.kill()
            process.communicate()
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("record", "-o", "-", "--json-lines", "--sim", "demo"), "cannot have both"),
        (("record", "--json-lines", "--", "true"), "is the COMMAND's"),
        (("stat", "--json", "--json-lines", "--sim", "demo"), "give one of them"),
        (("live", "--json-lines"), "needs a target"),
    ],
)
def test_what_does_not_go_together(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = udamon(*words, cwd=tmp_path)
    assert (done.status, done.stdout, said in done.stderr) == (2, "", True), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_recording_streams_to_standard_output() -> None:
    """`-o -`, into a report that reads it from a pipe."""
    command = f"{' '.join(UDAMON)} record {' '.join(SIM)} --windows 5 -q -o - | {' '.join(UDAMON)} report wss - --json"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=WAIT_LIMIT_S, check=True
    )
    assert json.loads(done.stdout)["snapshots"] == 5
