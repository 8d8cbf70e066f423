"""The reader: files that are not what they should be, and how much memory reading takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from arro3.core import Array, RecordBatch, RecordBatchReader, Schema
from arro3.io import write_ipc_stream

from tests.unit.record.test_writer import snapshot
from tests.unit.snapshots import recorded, snap
from udamon.errors import RecordingError
from udamon.model import Event
from udamon.record import buffer, tables
from udamon.record.reader import Recording
from udamon.record.schema import COLUMNS, SCHEMA, WIDTHS, schema_with
from udamon.record.writer import Writer
from udamon.report import wss
from udamon.report.source import RecordingSource


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty: the recorder was stopped"),
        (b"\xff\xff", "ends inside its head"),
        (b"\xff\xff\xff\xff\x00\x10\x00\x00abc", "ends inside its head"),
        (b"hello, this is text", "is not a udamon recording"),
        (b"\x7fELF" + bytes(100), "is not a udamon recording"),
        (bytes(4096), "is not a udamon recording"),
        (b"\xff" * 4096, "is not a udamon recording|ends inside its head"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, sentence: str) -> None:
    """Each kind of wrong file is one sentence."""
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=sentence):
        Recording(path)


def test_no_file_and_directory(tmp_path: Path) -> None:
    """Missing and unreadable files say the kernel's reason."""
    with pytest.raises(RecordingError, match="No such file"):
        Recording(tmp_path / "none")
    with pytest.raises(RecordingError, match="Is a directory"):
        Recording(tmp_path)


def test_newer_version(tmp_path: Path) -> None:
    """A recording in a later format is refused, not misread."""
    Writer(tmp_path / "a", {"version": 99}).close()
    with pytest.raises(RecordingError, match="version 99 .* reads version 1"):
        Recording(tmp_path / "a")


def test_chosen_messages(tmp_path: Path) -> None:
    """Heads tell which batches hold events, and chosen batches hold the same rows as all of them."""
    with Writer(tmp_path / "a", {}) as writer:
        for seq in range(4):
            writer.snapshot(snapshot(seq, regions=10))
            if seq % 2:
                writer.event(Event(seq, "note", {"text": str(seq)}))
            writer.flush()
    recording = Recording(tmp_path / "a")
    messages = [message for _, message in recording.messages()]
    assert [(message.rows, message.events) for message in messages] == [
        (10, 0), (1, 1), (10, 0), (10, 0), (1, 1), (10, 0)
    ]  # fmt: skip
    every = list(recording.batches())
    assert [batch["seq"].to_pylist() for batch in recording.chosen(recording.messages()[2:4])] == [
        batch["seq"].to_pylist() for batch in every[2:4]
    ]
    assert [event.data["text"] for event in recording.events()] == ["1", "3"]
    assert sum(batch.num_rows for batch in recording.some(1000)) == 40
    first_and_last = [batch["seq"].to_pylist()[0] for batch in recording.some(10)]
    assert (first_and_last[0], first_and_last[-1]) == (0, 3)
    # A torn last message is not there.
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "b").write_bytes(whole[: messages[5].end - 1])
    assert [message for _, message in Recording(tmp_path / "b").messages()] == messages[:5]


def test_only_the_part_before_is_read(tmp_path: Path) -> None:
    """FILE.1 belongs to FILE when it is the part before it of the same recording, and not otherwise."""
    file = tmp_path / "a"
    with Writer(file, {}, max_size=1 << 16) as writer:
        for seq in range(60):
            writer.snapshot(snapshot(seq, regions=200))
            writer.flush()
    old = file.with_name("a.1")
    assert Recording(file).paths == [old, file]
    assert Recording(file, whole=False).paths == [file]
    old.unlink()
    Writer(old, {}).close()
    assert Recording(file).paths == [file]
    old.write_bytes(b"text")
    assert Recording(file).paths == [file]


_READ = """
import resource, sys
from udamon.record.reader import Recording
recording = Recording(sys.argv[1])
rows = sum(batch.num_rows for batch in recording.batches())
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _peak(path: Path) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", _READ, path], capture_output=True, text=True, check=True)
    rows, peak = done.stdout.split()
    return int(rows), int(peak)


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """Ten times the rows (here 0.2 and 2 million) take the same memory to read, within 10 MiB."""
    rows = {}
    for times in (1, 10):
        path = tmp_path / f"{times}"
        with Writer(path, {}) as writer:
            for seq in range(200 * times):
                writer.snapshot(snapshot(seq, regions=1000))
                if seq % 10 == 9:
                    writer.flush()
        rows[times] = _peak(path)
    assert rows[10][0] == 10 * rows[1][0] == 2_000_000
    assert rows[10][1] - rows[1][1] < 10 * 1024


def test_columns_that_are_not_known_share_what_says_so() -> None:
    """A flush of an earlier version may have 700,000 rows, for each of which a column has 8 bytes."""
    old = RecordBatch.from_arrays(
        [
            Array([0] * 1000, SCHEMA.field(name).type)
            for name in COLUMNS[: WIDTHS[0]]
            if name not in ("event", "data")
        ]
        + [Array([""] * 1000, SCHEMA.field(name).type) for name in ("event", "data")],
        schema=Schema([SCHEMA.field(name) for name in COLUMNS[: WIDTHS[0]]]),
    )
    buffer._null_block.cache_clear()
    full = buffer.with_all_columns(old)
    assert all(full[name].null_count == 1000 for name in COLUMNS[WIDTHS[0] :])
    assert buffer._null_block.cache_info().currsize == 4, "of bytes, of targets, of rates, of checks"


@pytest.mark.parametrize("columns", WIDTHS[:-1])
def test_recordings_of_earlier_versions(tmp_path: Path, columns: int) -> None:
    """They lack the columns that tell what is shared: those are null, everything else is as it was, and Parquet and
    CSV are written of them, too."""
    shots = [snap(seq, [(0, 4096, 1, 0), (8192, 16384, 0, seq)], target=seq % 2) for seq in range(4)]
    new = recorded(tmp_path / "new", shots, via="refs")
    names = COLUMNS[:columns]
    batches = [batch.select(list(names)) for batch in new.batches()]
    fields = [SCHEMA.field(name) for name in names]
    schema = Schema(fields).with_metadata(schema_with(new.metadata).metadata)
    old = tmp_path / "old"
    write_ipc_stream(RecordBatchReader.from_batches(schema, batches), old, compression=None)
    recording = Recording(old)
    assert (recording.knows_sharing, new.knows_sharing) == (columns > WIDTHS[0], True)
    assert list(recording.snapshots()) == list(new.snapshots()) == shots
    for write in (tables.parquet, tables.csv):
        with (tmp_path / "out").open("wb") as file:
            write(recording, file)
        assert (tmp_path / "out").stat().st_size > 0
    with RecordingSource(recording) as source:
        report = wss.measure(source)
    assert report.group is not None
    assert not report.group.shared_known
    # refs cannot tell what a process accessed itself, and nothing is known to be its own.
    assert report.group.low["max"] == 0
    assert report.group.high["max"] == 4096
