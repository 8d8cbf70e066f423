"""`udamon workload` as a user runs it: phases, the truth log, signals, and what goes wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.programs import full_device

COMMAND = [sys.executable, "-m", "udamon.cli.main", "workload"]
TURNS = """left, 8M
right, 4M
idle, 2M # udamon: resident=50%

first
300
left, 1, 4096, 1

second
200
right, 0, 4096, 9
left, 0, 4096, 0
"""


@pytest.fixture
def turns(tmp_path: Path) -> Path:
    path = tmp_path / "turns.masim"
    path.write_text(TURNS)
    return path


def workload(*words: object, limit: str = "") -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, words)]
    if limit:
        command = ["sh", "-c", f'{limit}; exec "$@"', "sh", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def read_log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_phases_and_the_truth_log(turns: Path, tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    begin = time.monotonic()
    done = workload(turns, "--truth", log)
    assert (done.returncode, done.stdout) == (0, "")
    assert re.search(r"^first: [0-9.]+ s, [0-9.]+ M accesses/s$", done.stderr, re.MULTILINE)
    lines = read_log(log)
    assert [(line["kind"], line["phase"]) for line in lines] == [
        ("init", "init"), ("phase", "first"), ("phase", "second"), ("end", "end"),
    ]  # fmt: skip
    assert [[region["hot"] for region in line["regions"]] for line in lines] == [
        [False] * 3, [True, False, False], [False, True, False], [False] * 3,
    ]  # fmt: skip
    times = [line["t"] for line in lines]
    assert begin < times[0] < times[1] < time.monotonic()
    # A phase ends when its time is over by the schedule, and later where the machine is busy; never before.
    assert times[2] - times[0] >= 0.3
    assert times[3] - times[0] >= 0.5


def test_layout_one_has_regions_next_to_each_other(turns: Path, tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    assert workload(turns, "--truth", log, "--quiet").stderr == ""
    for line in read_log(log):
        left, right, idle = line["regions"]
        assert (left["name"], left["end"] - left["start"]) == ("left", 8 << 20)
        assert (left["end"], right["end"], idle["end"]) == (
            right["start"],
            idle["start"],
            right["end"] + (2 << 20),
        )


def test_layout_separate_makes_each_region_a_mapping(turns: Path, tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    command = [
        *COMMAND,
        str(turns),
        "--truth",
        str(log),
        "--layout",
        "separate",
        "--duration",
        "60",
        "--quiet",
    ]
    process = subprocess.Popen(command)
    try:
        regions = wait_for(log, "first")["regions"]
        smaps = Path(f"/proc/{process.pid}/smaps").read_text()
    finally:
        process.terminate()
        assert process.wait(10) == 128 + signal.SIGTERM
    resident = {"left": 8192, "right": 4096, "idle": 1024}
    for region in regions:
        start = smaps.index(f"{region['start']:x}-{region['end']:x} rw-p")
        rss = re.search(r"^Rss: +(\d+) kB", smaps[start:], re.MULTILINE)
        assert rss
        assert int(rss[1]) == resident[region["name"]]


def wait_for(log: Path, phase: str) -> dict[str, Any]:
    """The log's first complete line of that phase."""
    for _ in range(500):
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        for line in lines:
            if line.endswith("\n") and json.loads(line)["phase"] == phase:
                return dict(json.loads(line))
        time.sleep(0.02)
    raise AssertionError(f"no phase {phase} in {log}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly(turns: Path, tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "truth.jsonl"
    command = [*COMMAND, str(turns), "--truth", str(log), "--repeat", "1000", "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(log, "second")
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (128 + number, "")
    assert read_log(log)[-1]["kind"] == "end"


def test_repeat_and_duration(turns: Path, tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    workload(turns, "--truth", log, "--repeat", 2)
    assert [line["phase"] for line in read_log(log)[1:-1]] == ["first", "second"] * 2
    workload(turns, "--truth", log, "--force", "--duration", "0.6s")
    lines = read_log(log)
    assert [line["phase"] for line in lines[1:-1]] == ["first", "second", "first"]
    assert lines[-1]["t"] - lines[1]["t"] >= 0.6
    # It ends within a phase, too: this one would last an hour.
    turns.write_text(TURNS.replace("200\n", "3600000\n"))
    done = workload(turns, "--truth", log, "--force", "--duration", "0.6s")
    assert (done.returncode, [line["phase"] for line in read_log(log)[1:-1]]) == (0, ["first", "second"])


def test_a_rate_decides_what_is_hot(turns: Path, tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    done = workload(turns, "--truth", log, "--rate", "10k")  # 50 accesses in 5 ms over 2048 pages
    assert re.search(r"^first: [0-9.]+ s, 0\.0\d\d M accesses/s$", done.stderr, re.MULTILINE)
    assert not any(region["hot"] for line in read_log(log) for region in line["regions"])


def test_regions_filled_from_a_file_and_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"0123456789" * 1000)
    config = tmp_path / "x.masim"
    config.write_text(f"a, 1M, {data}\nb, 1M, none\n\np\n50\na, 1, 64, 1, ro\n")
    assert workload(config).returncode == 0
    config.write_text("a, 1M, /no/such/file\n\np\n50\n")
    done = workload(config)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "udamon: cannot fill the region a from /no/such/file: No such file or directory.",
    )


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["nope"], 2, "no workload 'nope'"),
        (["demo", "--duration", "-1"], 2, "not a time"),
        (["demo", "--duration", "0"], 2, "is no time at all"),
        (["demo", "--repeat", "0"], 2, "at least 1"),
        (["demo", "--rate", "0"], 2, "the rate"),
        (["demo", "--truth", "/no/such/file"], 1, "cannot create /no/such/file: No such file or directory"),
        (["demo", "--truth", "/"], 1, "is a directory"),
        (["demo", "--force"], 2, "give --truth FILE"),
        ([sys.executable], 2, ":1: this is not text in UTF-8, for it has bytes of 0"),
    ],
)
def test_what_goes_wrong_is_one_sentence(words: list[str], status: int, text: str) -> None:
    done = workload(*words, "--quiet")
    assert done.returncode == status
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.needs("root")
def test_a_log_on_a_full_device(turns: Path, tmp_path: Path) -> None:
    done = workload(turns, "--truth", full_device(tmp_path), "--quiet")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No space left on device; the log ends here" in done.stderr


def test_too_little_memory_is_one_sentence(tmp_path: Path) -> None:
    config = tmp_path / "x.masim"
    config.write_text("a, 60T\n\np\n50\n")
    done = workload(config, "--quiet")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "needs 60.0 TiB of memory" in done.stderr
    config.write_text("a, 60T # udamon: resident=0\n\np\n50\n")
    done = workload(config, "--quiet", limit="ulimit -v 1000000")
    assert (done.returncode, done.stderr) == (
        1,
        "udamon: cannot map 60.0 TiB of memory: Cannot allocate memory.\n",
    )


def test_the_working_set_is_the_regions_alone(turns: Path, tmp_path: Path) -> None:
    """Beside its regions the process touches little while a phase runs."""
    log = tmp_path / "truth.jsonl"
    turns.write_text(TURNS.replace("300", "30000"))
    process = subprocess.Popen([*COMMAND, str(turns), "--truth", str(log), "--quiet"])
    try:
        regions = wait_for(log, "first")["regions"]
        time.sleep(0.1)
        clear_refs(process.pid)
        time.sleep(0.3)
        inside, outside = referenced(process.pid, regions[0]["start"], regions[-1]["end"])
    finally:
        process.kill()
        process.wait()
    assert inside == pytest.approx(8 << 20, abs=1 << 20)
    assert outside < 1 << 20


def clear_refs(pid: int) -> None:
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("1")
    except OSError as error:
        pytest.skip(f"clear_refs: {os.strerror(error.errno or 0)}")


def referenced(pid: int, low: int, high: int) -> tuple[int, int]:
    """Bytes of the process's own writable memory accessed since clear_refs: in [low, high), and elsewhere."""
    inside = outside = 0
    own = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if head := re.match(r"([0-9a-f]+)-[0-9a-f]+ rw", line):
            own = low <= int(head[1], 16) < high
            other = not own
        elif re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            own = other = False
        elif line.startswith("Referenced:"):
            size = int(line.split()[1]) * 1024
            inside += size * own
            outside += size * other
    return inside, outside
