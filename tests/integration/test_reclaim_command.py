"""`udamon reclaim`, `schemes`, `lru-sort` and `stat` as a user runs them, on a program of the test's own.

Only file-backed memory moves, so no swap is needed; looked at by refs, one mapping at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.forking import Done
from tests.integration.programs import hang_ups_end, started  # noqa: F401 (a fixture)
from tests.integration.recorder import finish, running_udamon, udamon
from tests.waiting import until
from udamon.linux.procfs import ProcessId, read_stat
from udamon.linux.residency import resident
from udamon.model import Range

MIB = 1 << 20
SIZE = 8 * MIB
pytestmark = pytest.mark.needs("process_madvise", "clear_refs")

# Two private mappings of one file, apart: all of both is read, then only the first, for ever.
PROGRAM = """
import ctypes, mmap, os, sys, time
path, size = sys.argv[1], int(sys.argv[2])
with open(path, "wb") as file:
    file.write(b"x" * 2 * size)
    file.flush()
    os.fsync(file.fileno())
file = open(path, "rb")
areas = [
    mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)
    for offset in (0, size)
]
for area in areas:
    sum(area[at] for at in range(0, size, 4096))
addresses = [ctypes.addressof(ctypes.c_char.from_buffer(area)) for area in areas]
print(*addresses, flush=True)
while True:
    sum(areas[0][at] for at in range(0, size, 4096))
    time.sleep(0.02)
"""
HOW = ("--via", "refs", "--aggr", "400ms", "--min-age", "1s")
MORE = ("--quota-ms", "0")
"""Time is no measure on a machine that other tests use, too."""


class Reader(NamedTuple):
    """The running PROGRAM: `hot` is read all the time, `cold` is not."""

    pid: int
    hot: Range
    cold: Range

    def resident(self, area: Range) -> int:
        process = ProcessId(self.pid, read_stat(self.pid).start_time)
        return sum(found.size for found in resident(process, [area]))

    @property
    def alive(self) -> bool:
        return read_stat(self.pid).state not in "ZX"


def on_a_disk(directory: Path) -> bool:
    """Pages of tmpfs go to swap, if anywhere."""
    kind = os.popen(f"stat -f -c %T '{directory}'").read().strip()
    return kind not in ("tmpfs", "ramfs")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where a file's pages can be dropped."""
    for directory in (tmp_path, Path("/var/tmp")):
        if on_a_disk(directory):
            file = directory / f"udamon-test-{os.getpid()}"
            yield file
            file.unlink(missing_ok=True)
            return
    pytest.skip("all directories for temporary files are in memory")


@contextlib.contextmanager
def reading(place: Path) -> Iterator[Reader]:
    with started([sys.executable, "-c", PROGRAM, str(place), str(SIZE)]) as process:
        assert process.stdout is not None
        hot, cold = (Range(start, start + SIZE) for start in map(int, process.stdout.readline().split()))
        reader = Reader(process.pid, hot, cold)
        assert reader.resident(cold) == SIZE
        yield reader


def ended(process: Any, number: int = signal.SIGTERM) -> Done:
    process.send_signal(number)
    return finish(process)


def told(command: Any, wanted: Callable[[str], bool]) -> str:
    """The first line of progress that is wanted: what it is about takes longer on a busy machine."""
    return str(next(line for line in command.stderr if wanted(line)))


def moved(line: str) -> float:
    """MiB that a line of progress says were moved."""
    found = re.search(r"moved ([\d.]+) MiB", line)
    return float(found[1]) if found else 0.0


def document(done: Done) -> dict[str, Any]:
    assert done.status == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_reclaim_takes_the_cold_and_leaves_the_hot(place: Path) -> None:
    with (
        reading(place) as reader,
        running_udamon("reclaim", "-p", reader.pid, *HOW, *MORE, "--json", "-q") as command,
    ):
        until(lambda: reader.resident(reader.cold) < SIZE // 10, "the cold half out")
        done = ended(command)
        assert reader.resident(reader.hot) == SIZE
        assert reader.alive
    found = document(done)
    assert found["stopped_by"] == "signal"
    assert found["moved_bytes"] >= 0.9 * SIZE
    assert found["advised_bytes"] >= found["moved_bytes"]
    assert found["refault_bytes"] == 0
    assert found["bytes_reclaimed_regions"] == found["advised_bytes"]
    assert (found["schema"], found["via"], found["dry_run"]) == (1, "refs", False)
    assert (found["grain"], found["coverage"]["processes_missed"]) == ("mapping", 0)
    assert done.stderr == ""


def test_a_dry_run_moves_nothing_and_says_what_it_would(place: Path) -> None:
    with reading(place) as reader:
        done = udamon("reclaim", "-p", reader.pid, *HOW, *MORE, "--dry-run", "--duration", "4s", "--json")
        assert reader.resident(reader.cold) == SIZE
    found = document(done)
    assert (found["advised_bytes"], found["moved_bytes"], found["refault_bytes"]) == (0, None, None)
    assert (found["dry_run"], found["stopped_by"]) == (True, "duration")
    assert found["tried_bytes"] >= SIZE
    assert found["resident_bytes"] >= SIZE


def test_schemes_are_a_dry_run_until_apply(place: Path, tmp_path: Path) -> None:
    config = tmp_path / "schemes.toml"
    config.write_text(
        '[[schemes]]\naction = "pageout"\n'
        'access_pattern = { sz = { min = "4 MiB" }, nr_accesses = { max = "0%" }, age = { min = "1s" } }\n'
    )
    how = ("--via", "refs", "--aggr", "400ms", "--json", "--config", config)
    with reading(place) as reader:
        dry = document(udamon("schemes", "-p", reader.pid, *how, "--duration", "3s"))
        assert reader.resident(reader.cold) == SIZE
        with running_udamon("schemes", "-p", reader.pid, *how, "--apply") as command:
            until(lambda: reader.resident(reader.cold) < SIZE // 10, "the cold half out")
            applied = document(ended(command))
        assert reader.resident(reader.hot) == SIZE
    assert dry["schemes"][0]["tried_bytes_largest_pass"] >= SIZE
    assert dry["schemes"][0]["stats"]["sz_applied"] == 0
    assert applied["schemes"][0]["stats"]["sz_moved"] == applied["moved_bytes"] >= 0.9 * SIZE


EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_example_of_the_readme_moves_the_unused_half(place: Path) -> None:
    """As docs/tutorial.md has it, with the file of reader.py where pages can go back to it."""
    how = ("--config", EXAMPLES / "schemes.yaml", "--via", "refs", "--json", "--apply")
    with running_udamon("schemes", *how, "--", EXAMPLES / "reader.py", place.parent) as command:
        told(command, lambda line: moved(line) >= 64)
        found = document(ended(command))
    pageout, stat = found["schemes"]
    assert 64 * MIB <= pageout["stats"]["sz_moved"] < 80 * MIB
    assert stat["stats"]["sz_tried"] >= 64 * MIB
    assert found["refault_bytes"] == 0


HALF_USED = """
import mmap, os, sys, time
with open(sys.argv[1], "w+b") as file:
    file.write(bytes(32 << 20))
    file.flush()
    os.fsync(file.fileno())
    area = mmap.mmap(file.fileno(), 32 << 20, prot=mmap.PROT_READ)
while True:
    for at in range(0, 32 << 20, 4096):
        if at < 16 << 20 or sys.argv[2:] != ["resident"]:
            area[at]
    sys.argv[2:] = ["resident"]
    time.sleep(0.02)
"""


def test_it_says_that_refs_cannot_tell_the_pages_of_a_mapping_apart(place: Path) -> None:
    how = (
        "--via",
        "refs",
        "--aggr",
        "400ms",
        "--action",
        "pageout",
        "--max-accesses",
        "0%",
        "--min-size",
        "1MiB",
    )
    words = ("schemes", *how, "--apply", "--", sys.executable, "-c", HALF_USED, place)
    sentence = "untouched lie in mappings that are used in part"
    with running_udamon(*words) as command:
        told(command, lambda line: sentence in line)
        done = ended(command)
    assert done.status == 0
    assert any(sentence in one for one in done.stderr.splitlines()[-3:]), done.stderr


def test_a_dry_run_says_what_could_not_be_done() -> None:
    words = ("schemes", "-p", os.getpid(), "--via", "refs", "--duration", "1s", "--action", "lru_prio")
    done = udamon(*words)
    assert done.status == 0
    assert "scheme 0 could not be applied here: lru_prio cannot be done from outside" in done.stderr
    assert udamon(*words, "--apply", "--all").status == 1


def test_it_says_when_a_watermark_keeps_it_at_rest() -> None:
    """All memory that is free is more than nothing."""
    marks = ("--wmarks-high", "0", "--wmarks-mid", "0", "--wmarks-low", "0", "--wmarks-interval", "1h")
    words = ("reclaim", "--sim", "wss", "--wmarks-metric", "free_mem_rate", *marks)
    with running_udamon(*words) as command:
        assert command.stderr is not None
        line = command.stderr.readline()
        done = ended(command)
    assert "of memory is free, above the high watermark of 0.0 %)" in line
    assert "inactive:" in line
    assert (done.status, "tried 0 B" in done.stderr) == (0, True)


def test_progress_says_what_it_waits_for(place: Path) -> None:
    """A quota of 1 MiB for ten minutes is used up at once."""
    quota = ("--quota-ms", "0", "--quota-sz", "1 MiB", "--quota-reset-interval-ms", "10m")
    with reading(place) as reader, running_udamon("reclaim", "-p", reader.pid, *HOW, *quota) as command:
        assert command.stderr is not None
        lines = iter(command.stderr.readline, "")
        line = next(line for line in lines if "waiting:" in line)
        done = ended(command)
    assert "the quota of this window is used up" in line
    assert "tried 1.0 MiB" in done.stderr


@pytest.mark.parametrize("by_signal", [True, False], ids=["SIGHUP", "changed"])
def test_parameters_change_while_it_runs(place: Path, tmp_path: Path, by_signal: bool) -> None:
    parameters = tmp_path / "parameters.toml"
    parameters.write_text('min_age = "1h"\nquota_ms = 0\n')
    how = ("--via", "refs", "--aggr", "400ms", "--parameters", parameters)
    with reading(place) as reader, running_udamon("reclaim", "-p", reader.pid, *how) as command:
        assert command.stderr is not None
        while command.stderr.readline().startswith("udamon: "):
            pass  # until there is progress: it runs
        before = parameters.stat()
        parameters.write_text('min_age = "nonsense"\n')
        said = next(line for line in command.stderr if line.startswith("udamon: "))
        assert "parameters.toml:1: min_age: 'nonsense' is not a time" in said
        assert "All stays as it was." in said
        assert reader.resident(reader.cold) == SIZE
        parameters.write_text('min_age = "1s"\nquota_ms = 0\n')
        if by_signal:
            os.utime(parameters, ns=(before.st_atime_ns, before.st_mtime_ns))
            command.send_signal(signal.SIGHUP)
        until(lambda: reader.resident(reader.cold) < SIZE // 10, "the cold half out")
        done = ended(command)
    assert done.status == 0
    assert "was read again" in done.stderr


@pytest.mark.usefixtures("hang_ups_end")
def test_without_a_file_to_read_again_a_hang_up_ends_it(place: Path) -> None:
    how = ("--via", "refs", "--aggr", "400ms", "--dry-run")
    with reading(place) as reader, running_udamon("reclaim", "-p", reader.pid, *how) as command:
        assert command.stderr is not None
        while command.stderr.readline().startswith("udamon: "):
            pass  # until there is progress: it runs
        done = ended(command, signal.SIGHUP)
    assert done.status == 0
    assert "dry run: nothing was done" in done.stderr


def test_a_command_has_its_status_passed_on() -> None:
    words = ("reclaim", "--via", "refs", "--aggr", "200ms", "-q")
    assert udamon(*words, "--", "sh", "-c", "sleep 1; exit 7").status == 7
    assert udamon(*words, "--", "/no/such/command").status == 127
    assert udamon(*words, "--duration", "1s", "--", "sleep", "100").status == 0


def test_the_target_may_die_at_any_time(place: Path) -> None:
    for wait_s in (0.0, 0.5, 1.6):
        with (
            reading(place) as reader,
            running_udamon("reclaim", "-p", reader.pid, *HOW, *MORE, "--json", "-q") as command,
        ):
            time.sleep(wait_s)
            os.kill(reader.pid, signal.SIGKILL)
            done = finish(command)
        if done.status == 1:
            gone = ("has ended", "no process", "nothing was watched")
            assert any(words in done.stderr for words in gone), "it was gone before the beginning"
        else:
            assert document(done)["stopped_by"] == "target"


def test_stat_tells_idle_times() -> None:
    found = document(udamon("stat", "--sim", "wss", "--duration", "3s", "--json"))
    assert (found["via"], found["grain"]) == ("sim", "page")
    idle = found["memory_idle_ms_percentiles"]
    assert len(idle) == 101
    assert idle == sorted(idle)
    assert idle[0] < 0 < idle[100]
    assert found["estimated_memory_bandwidth"] > 0
    assert found["aggr_interval_us"] == 20 * found["sample_interval_us"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("schemes -p {pid}", "there is no scheme; give --config FILE"),
        ("schemes -p {pid} --config x --action stat", "leave one of them out"),
        ("schemes -p {pid} --config x --all", "leave one of them out"),
        ("schemes -p {pid} --config x --no-quota", "leave one of them out"),
        ("schemes -p {pid} --action pageout --apply", "say which memory with --min-size, --max-size, "),
        ("schemes -p {pid} --action pageout --apply --quota-bytes 1M", "or --max-age, or give --all."),
        ("schemes -p {pid} --action cold --all --min-age 1s", "--all and --min-age exclude each other"),
        ("schemes -p {pid} --action cold --no-quota --quota-ms 1", "--no-quota and --quota-ms exclude each"),
        ("schemes -p {pid} --action sleep", "invalid choice"),
        ("schemes -p {pid} --action cold --min-age old", "--min-age: 'old' is not a time"),
        ("schemes -p {pid} --action migrate_hot", "needs a node to migrate to"),
        ("schemes --sim wss --action cold --include everything", "--include knows locked, shared, text"),
        ("reclaim", "there is nothing to watch"),
        ("reclaim -p {pid} --min-age soon", "--min-age: 'soon' is not a time"),
        ("reclaim -p {pid} --wmarks-high 10", "--wmarks-high is of use with --wmarks-metric free_mem_rate"),
        ("reclaim -p {pid} --max-psi much", "not a share"),
        ("reclaim -p {pid} --max-major-faults few", "no number of faults a second"),
        ("reclaim -p {pid} --by cgroup", "say which with --cgroup"),
        ("reclaim -p {pid} --monitor-region-start 0", "go together, and with --paddr"),
        ("reclaim -p {pid} --addr-unit 0", "give at least 1"),
        ("reclaim -p {pid} --autotune-monitoring-intervals --aggr 1s", "leave the other flags out"),
        ("reclaim -p {pid} --duration 0", "no time at all"),
        ("lru-sort -p {pid} --via refs", "use --via kernel, where DAMON does it, or --cold-only"),
        ("lru-sort -p {pid} --cold-only --active-mem-bp 101%", "101% is more than all"),
    ],
)  # fmt: skip
def test_wrong_usage(words: str, sentence: str) -> None:
    done = udamon(*words.format(pid=os.getpid()).split())
    assert done.status == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_file_that_is_wrong_starts_nothing(tmp_path: Path) -> None:
    config = tmp_path / "schemes.yaml"
    config.write_text("schemes:\n  - action: pageout\n    access_pattern: {age: {min: old}}\n")
    done = udamon("schemes", "--config", config, "--apply", "--", "touch", tmp_path / "was-started")
    assert done.status == 2
    where = f"udamon: {config}:3: schemes[0].access_pattern.age.min: "
    assert done.stderr == where + "'old' is not a time; write it like 5ms, 100us or 1.5s.\n"
    assert not (tmp_path / "was-started").exists()


def test_a_simulated_workload_can_be_acted_on() -> None:
    """Three quarters of the workload are cold; nothing of this machine is touched, so nothing is needed for it."""
    words = ("--sim", "wss", "--sample", "5ms", "--aggr", "100ms", "--min-age", "1s", "--quota-ms", "0")
    with running_udamon("reclaim", *words, "--quota-sz", "0", "--json") as command:
        told(command, lambda line: moved(line) > 0)
        found = document(ended(command))
    assert found["moved_bytes"] == found["advised_bytes"] > 0
    assert found["ops"] == found["via"] == "sim"
    dry = document(udamon("reclaim", *words, "--duration", "2s", "--json", "-q", "--dry-run"))
    assert (dry["moved_bytes"], dry["advised_bytes"]) == (None, 0)


def test_a_run_that_watermarks_kept_from_acting_says_so_and_is_no_failure() -> None:
    """Nothing is looked at then; it was told to watch longer."""
    words = (
        "--sim",
        "wss",
        "--sample",
        "5ms",
        "--aggr",
        "100ms",
        "--duration",
        "1s",
        "--wmarks-metric",
        "free_mem_rate",
    )
    marks = ("--wmarks-high", "0", "--wmarks-mid", "0", "--wmarks-low", "0")
    done = udamon("reclaim", *words, *marks)
    assert done.status == 0, done.stderr
    assert re.search(r"scheme 0 is inactive at the end: .* above the high watermark of 0\.0 %", done.stderr)
    assert "nothing was watched" not in done.stderr


@pytest.mark.usefixtures("hang_ups_end")
def test_what_a_scheme_did_is_told_though_the_file_has_it_no_more(tmp_path: Path) -> None:
    file = tmp_path / "schemes.toml"
    stat = '[[schemes]]\naction = "stat"\naccess_pattern = {}\n'
    cold = '[[schemes]]\naction = "pageout"\naccess_pattern = { nr_accesses = { max = "0%" } }\n'
    file.write_text(stat + cold)
    how = ("--sim", "wss", "--sample", "5ms", "--aggr", "100ms", "--apply", "--json", "--config", file)
    with running_udamon("schemes", *how) as command:
        assert command.stderr is not None
        next(line for line in command.stderr if re.search(r"moved [1-9]", line))
        file.write_text(stat)
        next(line for line in command.stderr if "was read again" in line)
        found = document(ended(command))
    assert found["moved_bytes"] == found["removed_schemes"][0]["stats"]["sz_moved"] > 0
    assert [scheme["action"] for scheme in found["schemes"]] == ["stat"]
