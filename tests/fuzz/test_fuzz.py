"""The fuzzers with few cases and a fresh seed, and in full; bombs; rotation while it is read."""

from __future__ import annotations

import lzma
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random, SystemRandom

import pytest

from tests.fuzz import bases, worker
from udamon.errors import ConfigError, RecordingError, UsageError
from udamon.record.arrow_file import copy
from udamon.record.buffer import PendingRows
from udamon.record.limits import ReadLimits
from udamon.record.opening import open_recording
from udamon.record.reader import Recording
from udamon.record.stream import Stream
from udamon.record.writer import Writer
from udamon.schemes.config.reading import load_schemes
from udamon.workload.config import load


def _fuzz(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.timeout(1200)  # beside whatever else runs
def test_some_of_each_kind() -> None:
    """500 cases of each kind (250 of hostile fields), others in each run; the seed is printed, and the words that run
    a case again."""
    _fuzz("--cases", "500", "--share", "0.02")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_all() -> None:
    """The full numbers."""
    _fuzz()


def test_a_case_that_takes_too_much_is_seen(tmp_path: Path) -> None:
    """The harness tells memory, exceptions, aborts and statuses that are none: it can fail."""
    worker.warm()

    def much() -> int:
        return len(bytearray(1 << 30)) and 0

    def killed() -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def raises() -> int:
        raise RuntimeError("x")

    cases: list[tuple[Callable[[], int], str]] = [
        (much, "traceback"), (raises, "traceback"), (lambda: 77, "status 77"), (killed, "signal SIGKILL"),
    ]  # fmt: skip
    for case, wrong in cases:
        assert worker.run(case, tmp_path / "said").wrong == wrong
    assert worker.run(lambda: 3, tmp_path / "said").wrong is None


def test_cases_that_share_a_process_are_told_apart(tmp_path: Path) -> None:
    """Each has the status and the words that are its own, also behind one that ends the process."""

    def says(word: str, status: int = 1) -> Callable[[], int]:
        return lambda: print(word) or status

    def killed() -> int:
        print("killed", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    cases = [says("a"), says("panicked at b"), says("c", 2), killed, says("d"), says("e", 77)]
    assert list(worker.run_all(cases, tmp_path / "said")) == [
        (1, None, "a\n"), (1, "status 1", "panicked at b\n"), (2, None, "c\n"), (-9, "signal SIGKILL", "killed\n"),
        (1, None, "d\n"), (77, "status 77", "e\n"),
    ]  # fmt: skip


def test_time_is_counted_for_each_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases that take half of the limit do not add up to a hang; the one that hangs is named. Half, since a virtual
    machine may count what others took from it as CPU time of the case."""
    monkeypatch.setattr(worker, "CPU_S", 1)

    def computes() -> int:
        begin = time.process_time()
        while time.process_time() < begin + 0.5:
            pass
        return 0

    def hangs() -> int:
        while True:
            pass

    cases = [computes, computes, computes, hangs, lambda: 3]
    assert [one.wrong for one in worker.run_all(cases, tmp_path / "said")] == [None, None, None, "hang", None]


@pytest.mark.parametrize("computes", [True, False])
def test_a_hang_is_seen_whether_it_computes_or_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computes: bool
) -> None:
    """By CPU time: on a busy machine a case may take long that does little."""
    monkeypatch.setattr(worker, "CPU_S" if computes else "ALARM_S", 1)

    def hangs() -> int:
        while True:
            if not computes:
                signal.pause()

    assert worker.run(hangs, tmp_path / "said").wrong == "hang"


def test_every_bit_of_a_small_recording_is_guarded(tmp_path: Path) -> None:
    """Also in heads, seals and the end: a flush is lost and named, nothing else changes."""
    from tests.fuzz.flips import judge

    whole = bases.recording(tmp_path / "a", flushes=3)
    good, flushes = list(Recording(tmp_path / "a").snapshots()), bases.flushes(tmp_path / "a")
    seed = SystemRandom().randrange(1 << 32)
    print("seed", seed)
    random, step = Random(seed), 7 if "UDAMON_TEST_LONG" in os.environ else 53
    for at in range(8 + random.randrange(step), len(whole), step):
        data = bytearray(whole)
        data[at] ^= 1 << random.randrange(8)
        (tmp_path / "b").unlink(
            missing_ok=True
        )  # ext4 waits for the disk when a file that was emptied is closed
        (tmp_path / "b").write_bytes(data)
        assert judge(tmp_path / "b", at, good, flushes) is None, at


def test_what_is_between_damage_is_read(tmp_path: Path) -> None:
    """Bytes overwritten, put in and taken out: what is whole is read, and numbers say what is not."""
    path = tmp_path / "a"
    spoiled = bytearray(bases.recording(path))
    first, second, third = (bases.flushes(path)[number] for number in (3, 6, 9))
    spoiled[third[0] : third[1]] = b""
    spoiled[second[0] + 100 : second[0] + 100] = b"more"
    spoiled[first[0] + 8 : first[0] + 24] = bytes(16)
    path.write_bytes(spoiled)
    recording = Recording(path)
    assert [shot.seq for shot in recording.snapshots()] == [0, 1, 2, 4, 5, 7, 8, 10, 11]
    assert [(one.first, one.last) for one in recording.damaged] == [(3, 3), (6, 6), (9, 9)]
    assert recording.damaged[0].sentence == f"{path} is damaged at byte {first[0]:,}: snapshot 3 is missing."
    # A copy says what is missing, too.
    with (tmp_path / "copy").open("wb") as file:
        copy(recording, file)
    again = Recording(tmp_path / "copy")
    assert [(one.first, one.last) for one in again.damaged] == [(3, 3), (6, 6), (9, 9)]


def test_damage_without_checksums(tmp_path: Path) -> None:
    """A recording of before there were checksums reads as ever, and on behind a head that is broken."""
    path = tmp_path / "a"
    old = bytearray(bases.unsealed(bases.recording(path)))
    path.write_bytes(old)
    recording = Recording(path)
    assert (recording.checksums, recording.damaged, recording.truncated) == (False, [], False)
    assert [shot.seq for shot in recording.snapshots()] == list(range(12))
    place = [message for _, message in recording.messages() if not message.events][3]
    old[place.offset + 8 : place.offset + 24] = bytes(16)
    path.write_bytes(old)
    recording = Recording(path)
    assert [shot.seq for shot in recording.snapshots()] == [0, 1, 2, *range(4, 12)]
    assert [one[1:4] for one in recording.damaged] == [(place.offset, None, None)]


def test_what_is_lost_between_two_parts(tmp_path: Path) -> None:
    """Numbers go on across a rotation, so damage at the end of FILE.1 is counted by FILE."""
    path = tmp_path / "a"
    with Writer(path, {}, max_size=1 << 16) as writer:
        for seq in range(30):
            writer.snapshot(bases.shot(seq, regions=200))
            writer.flush()
            if path.with_name("a.1").exists():
                break
    assert not Recording(path).damaged
    old = path.with_name("a.1")
    last = bases.flushes(old)[-1]
    old.write_bytes(old.read_bytes()[: last[0]] + bytes(1000))
    recording = Recording(path)
    assert [(one.first, one.last) for one in recording.damaged] == [(last[2], last[2])]
    assert [shot.seq for shot in recording.snapshots()] == [n for n in range(seq + 1) if n != last[2]]


def test_reading_while_it_rotates(tmp_path: Path) -> None:
    """Files are opened once: every reading of a recording that rotates all the time is a stretch without a hole."""
    path, stop = tmp_path / "a", threading.Event()
    writer = Writer(path, {}, max_size=1 << 16)  # from here on FILE is there at every moment

    def record() -> None:
        with writer:
            seq = 0
            while not stop.is_set():
                writer.snapshot(bases.shot(seq, regions=100))
                writer.flush()
                seq += 1

    recorder = threading.Thread(target=record)
    recorder.start()
    try:
        read = 0
        while read < 60:
            recording = Recording(path)
            seqs = [shot.seq for shot in recording.snapshots()]
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs))) if seqs else True
            assert not recording.damaged
            read += bool(seqs)
    finally:
        stop.set()
        recorder.join()


def test_memory_and_rows_are_limited(tmp_path: Path) -> None:
    """What a file asks for is refused with the flag that allows it; a file of usual size never comes near."""
    path = tmp_path / "a"
    bases.recording(path)
    with pytest.raises(RecordingError, match="more than 100 rows .*--max-rows"):
        Recording(path, limits=ReadLimits(rows=100))
    assert Recording(path, limits=ReadLimits(rows=1000)).checksums
    for wrong in ({"memory": 1}, {"depth": 1}, {"rows": 0}):
        with pytest.raises(UsageError, match="--max-"):
            ReadLimits(**wrong)


DEEP = "[" * 100 + "]" * 100
REGION = '{"start":4096,"end":8192,"nr_accesses":0}'


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (f'[{{"scheme_filters": {DEEP}, "snapshots": []}}]'.encode(), "nested deeper than 32 .--max-depth"),
        (f'[{{"x": {"[" * 100000}'.encode(), "nested too deeply"),
        (f'[{{"x": {"9" * 10000}}}]'.encode(), "more than 39 digits"),
        (b'[{"x": NaN}]', "no value where one should be"),
        (b'[{"x": "' + b"x" * (2 << 20) + b'"}]', "does not end"),
        (zlib.compress(b" " * (1 << 20) + b"[", 9) + b"", "not .* recording|as damo writes"),
        (b"[" + b'{"kdamond_idx":0,"snapshots":[]},' * 20_001 + b"{}]", "more than 20,000 records"),
    ],
)  # fmt: skip
def test_bombs_of_damos_json(tmp_path: Path, content: bytes, sentence: str) -> None:
    """Depth, digits, sizes and numbers are bounded."""
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=sentence):
        open_recording(path)


def test_bombs_of_text(tmp_path: Path) -> None:
    """JSON that does not end in a recording's event, blanks in a trace line: no time by the square of the length."""
    damaged, trace = tmp_path / "a", tmp_path / "b"
    with damaged.open("wb") as file:
        stream, rows = Stream(), PendingRows()
        file.write(stream.head({"version": 1}))
        rows.add_event(1, None, "note", '{"text": "' + r"\"" * 1_000_000)
        file.write(stream.flush(rows) + stream.end())
    trace.write_text("x" + " " * 60_000 + "damon_aggregated: target_id=0\n")
    for path, said in (
        (damaged, "does not parse"),
        (trace, "the head of a trace line|does not have the form"),
    ):

        def case(path: Path = path) -> int:
            try:
                recording = open_recording(path)
                list(recording.events())
                print(recording.damaged[0].sentence)
            except RecordingError as error:
                print(error)
            return 1

        outcome = worker.run(case, tmp_path / "said")
        assert (outcome.wrong, outcome.status) == (None, 1), outcome.said[-500:]
        assert re.search(said, outcome.said)


def test_a_snapshot_with_too_many_regions(tmp_path: Path) -> None:
    """Regions wait in memory until their snapshot is whole."""
    path = tmp_path / "a"
    path.write_bytes(b'[{"snapshots":[{"regions":[' + b",".join([REGION.encode()] * 200_000) + b"]}]}]")
    with pytest.raises(RecordingError, match="more than .* regions .--max-memory"):
        open_recording(path, limits=ReadLimits(memory=64 << 20))


ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{one}'] * 9)}]\n" for one, name in pairwise("abcdefg")
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", ALIASES),
        ("a.yaml", "&a [*a]"), ("a.yaml", "[" * 10_000), ("a.yaml", "a: " * 5_000), ("a.yaml", "[x," * 60_000),
        ("a.yaml", "- x\n" * 60_000), ("a.toml", "a." * 60_000 + "a = 1"), ("a.toml", "a = " + "[" * 60_000),
        ("a.toml", "a = " + "9" * 10_000), ("a.toml", "a = 0x" + "f" * 10_000), ("a.toml", "x = 1\n" * 20_000),
        ("a.toml", "".join(f"x{i} = 1\n" for i in range(9_000)) + "[[schemes]]\naction = 1\n"),
        ("a.toml", "x = [" + "\n" * 100_000 + "]\n[[schemes]]\naction = 1\n"),
    ],
)  # fmt: skip
def test_bombs_of_schemes(tmp_path: Path, name: str, text: str) -> None:
    """Aliases, depth, keys of many parts, and errors far behind the beginning."""
    path = tmp_path / name
    path.write_text(text)

    def case() -> int:
        try:
            load_schemes(path)
        except ConfigError as error:
            print(error)
            return 2
        return 0

    outcome = worker.run(case, tmp_path / "said")
    assert (outcome.wrong, outcome.status) == (None, 2), outcome.said[-500:]


def test_bombs_of_workloads(tmp_path: Path) -> None:
    """A file of xz may unpack to any size, ask for any memory to do so, and hold any number of lines."""
    path = tmp_path / "a.masim.xz"
    path.write_bytes(lzma.compress(b"\n" * (64 << 20)))
    with pytest.raises(ConfigError, match="bytes of 0|longer than udamon reads"):
        load(path)
    path.write_bytes(
        lzma.compress(b"a, 1M\n\np\n1\n", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}])
    )
    with pytest.raises(ConfigError, match="not a whole file of xz"):
        load(path)


def test_a_batch_that_unpacks_to_much(tmp_path: Path) -> None:
    """1.2 million rows take a few KiB when they are the same; the limit is told before anything is unpacked."""
    from tests.fuzz import wrong

    path = tmp_path / "a"
    path.write_bytes(wrong.many_rows(1_200_000))
    assert path.stat().st_size < 200_000
    with pytest.raises(RecordingError, match="1,200,000 rows in one flush.*--max-memory"):
        Recording(path)


def test_no_pipe_is_waited_for(tmp_path: Path) -> None:
    """A FIFO that nobody writes to is no file of a recording, also where it is called FILE.1; what comes through one
    is copied (tests/integration/test_streams.py)."""
    path = tmp_path / "a"
    os.mkfifo(path)
    with pytest.raises(RecordingError, match="no regular file"):
        Recording(path)


def test_everything_that_can_be_in_a_recording_and_everything_that_reads_one_is_fuzzed() -> None:
    from tests.fuzz.commands import REPORTS as FUZZED
    from tests.unit.test_hostile_names import REPORTS

    read = {words.split()[1] for words in FUZZED if words.startswith("report ")}
    assert read == {kind for kind, flags in REPORTS.items() if flags}
    assert {"size", "check"} <= {words.split()[0] for words in FUZZED}
    for flag in ("--html", "--svg", "--png", "--flame", "--pprof"):
        assert any(flag in words for words in FUZZED)
