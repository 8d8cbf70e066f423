"""The writer: what a file has in it, who may read it, and what happens when it cannot be written."""

from __future__ import annotations

import os
import resource
import signal
import stat
from array import array
from dataclasses import replace
from math import isnan
from pathlib import Path

import pytest

from tests.integration.programs import full_device
from udamon.api.recording import Recording as LibraryRecording
from udamon.cli.main import main
from udamon.errors import RecordingError, UsageError
from udamon.model import Event, Rates, Snapshot
from udamon.record.reader import Recording
from udamon.record.writer import Writer
from udamon.report.catalog import Catalog

MIB = 1 << 20


def snapshot(seq: int, regions: int = 3, target: int = 0, resident: bool = False) -> Snapshot:
    """Regions of 4 KiB, one after another from 1 MiB; region i was accessed in i % 21 ticks."""
    return Snapshot(
        target=target, pid=100 + target, seq=seq, begin_ns=seq * 10**8, end_ns=(seq + 1) * 10**8,
        sample_ns=5_000_000, ticks=20,
        starts=array("Q", (MIB + 4096 * i for i in range(regions))),
        ends=array("Q", (MIB + 4096 * (i + 1) for i in range(regions))),
        nr_accesses=array("I", (i % 21 for i in range(regions))),
        ages=array("I", range(regions)),
        touched=array("Q", ((seq * 37 + i * 101) % 4097 for i in range(regions))),
        resident=array("Q", (4096 for _ in range(regions))) if resident else None,
    )  # fmt: skip


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    """Snapshots (with, without resident bytes, and empty) and events come back as they were."""
    path = tmp_path / "a.udamon"
    shots = [snapshot(0), snapshot(1, resident=True), snapshot(2, regions=0), snapshot(3)]
    start = Event(5, "target_start", {"target": 0, "pid": 100, "cmdline": ["x", "\udcff"]})
    with Writer(path, {"via": "sim", "attrs": {"sample_us": 5000}}) as writer:
        for shot in shots[:2]:
            writer.snapshot(shot)
        writer.event(start)
        writer.flush()
        for shot in shots[2:]:
            writer.snapshot(shot)
    recording = Recording(path)
    assert list(recording.snapshots()) == shots
    assert list(recording.events()) == [start]
    assert recording.metadata["via"] == "sim"
    assert recording.metadata["attrs"] == {"sample_us": 5000}
    assert not recording.truncated


def test_rates_are_read_back(tmp_path: Path) -> None:
    """Unrounded; None of a region is null, also in the library's regions; None of a snapshot likewise."""
    rates = Rates.of([[1 / 3, None, 1.0], [0.1, None, 0.975], [0.4, None, 1.0]])
    shots = [replace(snapshot(0), rates=rates), snapshot(1), replace(snapshot(2, regions=0), rates=rates)]
    with Writer(tmp_path / "a.udamon", {}) as writer:
        for shot in shots:
            writer.snapshot(shot)
    first, second, third = Recording(tmp_path / "a.udamon").snapshots()
    assert first.rates is not None
    assert list(first.rates.rate)[::2] == [1 / 3, 1.0]
    assert list(first.rates.low)[::2] == [0.1, 0.975]
    assert list(first.rates.high)[::2] == [0.4, 1.0]
    assert all(isnan(column[1]) for column in (first.rates.rate, first.rates.low, first.rates.high))
    assert (second.rates, third.rates) == (None, None)
    found = [region[-3:] for region in LibraryRecording(tmp_path / "a.udamon").regions()]
    assert found == [(1 / 3, 0.1, 0.4), (None,) * 3, (1.0, 0.975, 1.0), *[(None,) * 3] * 3]


def test_flushed_rows_are_visible_before_close(tmp_path: Path) -> None:
    """A file that is still written reads up to the last flush and says that it has no end."""
    writer = Writer(tmp_path / "a.udamon", {})
    writer.snapshot(snapshot(0))
    assert list(Recording(writer.path).snapshots()) == []
    writer.flush()
    writer.snapshot(snapshot(1))
    recording = Recording(writer.path)
    assert [shot.seq for shot in recording.snapshots()] == [0]
    assert recording.truncated
    writer.close()


def test_rows_are_not_kept_for_ever_without_flush(tmp_path: Path) -> None:
    """A caller that forgets to flush does not make the writer grow."""
    writer = Writer(tmp_path / "a.udamon", {})
    before = writer.path.stat().st_size
    for seq in range(66):
        writer.snapshot(snapshot(seq, regions=1000))
    assert writer.path.stat().st_size > before
    writer.close()


def test_private_and_not_overwritten(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask; an existing file stays unless forced, and is then private too."""
    path = tmp_path / "a.udamon"
    old = os.umask(0)
    try:
        Writer(path, {}).close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(RecordingError, match=r"a\.udamon exists already; .* --force"):
            Writer(path, {})
        path.chmod(0o644)
        Writer(path, {"via": "again"}, force=True).close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old)
    assert Recording(path).metadata["via"] == "again"


def test_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    """No directory, a directory, and no permission are each said."""
    with pytest.raises(RecordingError, match="No such file or directory"):
        Writer(tmp_path / "none" / "a.udamon", {})
    with pytest.raises(RecordingError, match="is a directory"):
        Writer(tmp_path, {}, force=True)


def test_full_disk_keeps_what_was_flushed(tmp_path: Path) -> None:
    """A write that stops in the middle is cut off; the error is raised now and at every later flush."""
    path = tmp_path / "a.udamon"
    writer = Writer(path, {})
    writer.snapshot(snapshot(0, regions=1000))
    writer.flush()
    flushed = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 500, limits[1]))
    try:
        writer.snapshot(snapshot(1, regions=1000))
        with pytest.raises(
            RecordingError, match="cannot write to .* File too large; the recording ends here"
        ):
            writer.flush()
        with pytest.raises(RecordingError):
            writer.flush()
        with pytest.raises(RecordingError):
            writer.close()
        writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == flushed, "nothing of the torn batch is left"
    assert list(Recording(path).snapshots()) == [snapshot(0, regions=1000)]


@pytest.mark.needs("root")
def test_full_device(tmp_path: Path) -> None:
    """It refuses the head already: one sentence."""
    with pytest.raises(RecordingError, match="No space left on device"):
        Writer(full_device(tmp_path), {})


def test_max_size_rotates_and_each_part_stands_alone(tmp_path: Path) -> None:
    """FILE and FILE.1 stay below the limit, and FILE begins with the events that still hold."""
    path, old, limit = tmp_path / "a.udamon", tmp_path / "a.udamon.1", 200_000
    writer = Writer(path, {"via": "sim"}, max_size=limit)
    row = [MIB, 2 * MIB, "rw-p", 0, 0, "[heap]"]
    for target in (0, 1):
        writer.event(Event(1, "target_start", {"target": target, "pid": 100 + target, "comm": "x"}))
        writer.event(Event(1, "mappings", {"target": target, "add": [row], "remove": []}))
    writer.event(Event(2, "mappings", {"target": 0, "add": [[0, 4096, "r--p", 0, 0, ""]], "remove": [MIB]}))
    writer.event(Event(3, "target_end", {"target": 1, "pid": 101, "why": "exited"}))
    seen = 0
    for seq in range(400):
        writer.snapshot(snapshot(seq, regions=500))
        writer.flush()
        seen = max(seen, path.stat().st_size + (old.stat().st_size if old.exists() else 0))
    writer.close()
    assert seen <= limit
    assert path.stat().st_size + old.stat().st_size <= limit
    parts = [Recording(old), Recording(path, whole=False)]
    seqs = [shot.seq for part in parts for shot in part.snapshots()]
    assert seqs == list(range(seqs[0], 400))
    assert [shot.seq for shot in Recording(path).snapshots()] == seqs
    assert [part.truncated for part in parts] == [False, False]
    assert parts[1].metadata["via"] == "sim"
    assert [(event.name, event.data) for event in parts[1].events()] == [
        ("target_start", {"target": 0, "pid": 100, "comm": "x"}),
        ("mappings", {"target": 0, "add": [[0, 4096, "r--p", 0, 0, ""]], "remove": []}),
    ]


def test_a_writer_tells_what_rotations_have_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The length of the snapshots that are there; None before one is gone. `info` says that some are."""
    path = tmp_path / "a.udamon"
    with Writer(path, {"via": "sim"}, max_size=200_000) as writer:
        for seq in range(400):
            writer.snapshot(snapshot(seq, regions=500))
            writer.flush()
            if seq % 25:
                continue
            shots = list(Recording(path).snapshots())
            length = (shots[-1].end_ns - shots[0].begin_ns) / 1e9
            assert writer.kept_seconds == (None if shots[0].seq == 0 else pytest.approx(length))
            assert main(["report", "info", str(path)]) == 0
            assert ("to stay below --max-size" in capsys.readouterr().out) == (shots[0].seq > 0)
    assert shots[0].seq > 0


def test_max_size_too_small(tmp_path: Path) -> None:
    """A limit that cannot hold anything is a usage error; one flush above the limit ends the recording."""
    with pytest.raises(UsageError, match="at least 64KiB"):
        Writer(tmp_path / "a.udamon", {}, max_size=1000)
    writer = Writer(tmp_path / "b.udamon", {}, max_size=1 << 16)
    with pytest.raises(RecordingError, match="does not fit into the maximum size"):
        writer.snapshot(snapshot(0, regions=60_000))
    assert list(Recording(writer.path).snapshots()) == []


def test_anonymize_leaves_no_name(tmp_path: Path) -> None:
    """Nothing that names a program, a file, a user or the host is in the events or the metadata."""
    writer = Writer(tmp_path / "a.udamon", {"command_line": ["secret"], "via": "refs"}, anonymize=True)
    writer.event(
        Event(
            1,
            "target_start",
            {"target": 0, "pid": 7, "comm": "secret", "cmdline": ["secret"], "user": "secret"},
        )
    )
    names = [
        "/opt/secret",
        "/opt/secret.so.1",
        "[heap]",
        "[stack]",
        "",
        "[anon:secret]",
        "/memfd:secret (deleted)",
    ]
    rows = [[i << 12, (i + 1) << 12, "rw-p", 0, 99, name] for i, name in enumerate(names)]
    writer.event(Event(1, "mappings", {"target": 0, "add": rows, "remove": []}))
    writer.event(Event(2, "target_exec", {"target": 0, "pid": 7, "comm": "secret", "cmdline": ["secret"]}))
    writer.event(Event(3, "note", {"text": "secret"}))
    writer.event(Event(4, "target_end", {"target": 0, "pid": 7, "why": "exited"}))
    writer.close()
    recording = Recording(writer.path)
    events = list(recording.events())
    assert "secret" not in repr(events) + repr(recording.metadata)
    assert "host" not in recording.metadata
    assert [row[5] for row in events[1].data["add"]] == [  # type: ignore[attr-defined]
        "file", "library.so", "[heap]", "[stack]", "", "", "/memfd:"
    ]  # fmt: skip
    assert events[0].data == {"target": 0, "pid": 7}
    assert Catalog(recording).notes == ["its text is left out (--anonymize)"]
    assert events[4].data["why"] == "exited"
