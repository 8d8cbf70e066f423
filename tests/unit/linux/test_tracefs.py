"""A tracing instance on a fake tracefs: what is written, what is read, and that it goes again."""

from __future__ import annotations

import os
import shutil
import struct
import time
from pathlib import Path

import pytest

from tests.unit.linux.test_ring_buffer import HEADER_PAGE, data, page
from udamon.linux import tracefs
from udamon.linux.ring_buffer import fields_of
from udamon.linux.roots import Roots
from udamon.linux.tracefs import TraceInstance, tracefs_root, unpacker

FORMAT = """\
name: damon_aggregated
ID: 663
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:unsigned long target_id;\toffset:8;\tsize:8;\tsigned:0;
\tfield:unsigned int nr_regions;\toffset:16;\tsize:4;\tsigned:0;
\tfield:unsigned long start;\toffset:24;\tsize:8;\tsigned:0;
"""
NAMES = ("target_id", "nr_regions", "start")


def event(target: int, start: int, number: int = 663) -> bytes:
    return struct.pack("<HHiQI4xQ", number, 0, 1, target, 9, start)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Making a directory in `instances` fills it, and removing it empties it, as in tracefs."""
    root = tmp_path / "kernel/tracing"
    (root / "instances").mkdir(parents=True)
    (root / "events").mkdir()
    (root / "events/header_page").write_text(HEADER_PAGE)
    make = os.mkdir

    def fill(path: str | Path, mode: int = 0o777) -> None:
        make(path, mode)
        instance = Path(path)
        if instance.parent.name != "instances":
            return
        for name in ("trace_clock", "buffer_size_kb", "buffer_percent"):
            (instance / name).write_text("local [mono] boot")
        (instance / "trace_clock").chmod(0o600)
        (instance / "events/damon/damon_aggregated").mkdir(parents=True)
        (instance / "events/damon/damon_aggregated/format").write_text(FORMAT)
        (instance / "events/damon/damon_aggregated/enable").write_text("0")
        for cpu in (0, 1):
            (instance / f"per_cpu/cpu{cpu}").mkdir(parents=True)
            (instance / f"per_cpu/cpu{cpu}/trace_pipe_raw").write_bytes(b"")

    monkeypatch.setattr(os, "mkdir", fill)
    monkeypatch.setattr(tracefs, "remove_instance", lambda path: shutil.rmtree(path, ignore_errors=True))
    monkeypatch.setattr(TraceInstance, "_write", write)
    return root


def write(self: TraceInstance, name: str, value: str) -> None:
    """The clocks file shows the chosen one in brackets."""
    (self.path / name).write_text(f"[{value}]" if name == "trace_clock" else value)


def test_events_of_all_processors_come_in_the_order_of_time(root: Path) -> None:
    trace = TraceInstance(root, "udamon-1", 128)
    assert (trace.path / "buffer_size_kb").read_text() == "128"
    assert trace.enable("damon", "damon_aggregated", NAMES)
    assert (trace.path / "events/damon/damon_aggregated/enable").read_text() == "1"
    now = time.monotonic_ns()
    for cpu, times in ((0, (0, 20)), (1, (10, 30))):
        pages = [page(data(event(cpu, t), 0), time=now + t) for t in times]
        (trace.path / f"per_cpu/cpu{cpu}/trace_pipe_raw").write_bytes(b"".join(pages))
    time.sleep(0.001)
    found = trace.drain()
    assert [(e.time_ns - now, e.name, e.values) for e in found] == [
        (t, "damon_aggregated", (cpu, 9, t)) for t, cpu in ((0, 0), (10, 1), (20, 0), (30, 1))
    ]
    assert trace.drain() == []
    trace.close()
    trace.close()
    assert not trace.path.exists()


def test_what_happens_while_reading_waits(root: Path) -> None:
    trace = TraceInstance(root, "udamon-1", 128)
    trace.enable("damon", "damon_aggregated", NAMES)
    later = time.monotonic_ns() + 10**9
    (trace.path / "per_cpu/cpu0/trace_pipe_raw").write_bytes(page(data(event(0, 1), 0), time=later))
    assert trace.drain() == []
    assert [e.time_ns for e in trace._held] == [later]
    trace.close()


def test_other_events_are_passed_over_and_lost_ones_counted(root: Path) -> None:
    trace = TraceInstance(root, "udamon-1", 128)
    trace.enable("damon", "damon_aggregated", NAMES)
    assert not trace.enable("damon", "damon_monitor_intervals_tune", ("sample_us",))
    whole = page(data(event(0, 1, number=5), 0), data(event(1, 2), 1), data(b"tiny", 1), flags=1 << 31)
    (trace.path / "per_cpu/cpu1/trace_pipe_raw").write_bytes(whole)
    assert [e.values for e in trace.drain()] == [(1, 9, 2)]
    assert trace.lost == 1
    trace.close()


def test_nothing_is_left_when_it_cannot_be_opened(root: Path) -> None:
    (root / "events/header_page").write_text("what is this")
    with pytest.raises(ValueError, match="header_page"):
        TraceInstance(root, "udamon-1", 128)
    assert list((root / "instances").iterdir()) == []


def test_fields_that_are_not_there() -> None:
    assert unpacker(fields_of(FORMAT), NAMES).unpack_from(event(3, 4)) == (3, 9, 4)
    for names in (("age",), ("start", "target_id")):
        with pytest.raises(ValueError, match="no usable field"):
            unpacker(fields_of(FORMAT), names)


def test_where_tracefs_is(root: Path, tmp_path: Path) -> None:
    assert tracefs_root(Roots(sys=tmp_path)) == root
    assert tracefs_root(Roots(sys=tmp_path / "nowhere")) is None
