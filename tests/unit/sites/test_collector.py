"""What processes send to whoever collects their allocations: each may be anything."""

from __future__ import annotations

import os
import resource
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import udamon.sites.collector as module
from tests.unit.sites.rings import FakeRing
from udamon.errors import NotSupported
from udamon.linux.open_files import room
from udamon.model import Event
from udamon.sites.collector import MOST_NOTES, Collector


@pytest.fixture
def collector() -> Iterator[Collector]:
    try:
        made = Collector()
    except NotSupported as error:
        pytest.skip(str(error))
    with made:
        yield made


def connected(collector: Collector) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(collector.environment()["UDAMON_SITES"].split(":", 1)[1])
    return connection


def send(collector: Collector, fd: int) -> None:
    with connected(collector) as connection:
        socket.send_fds(connection, [b"r"], [fd])


def polled(collector: Collector) -> list[Event]:
    published: list[Event] = []
    collector.poll(published.append)
    return published


def in_ended_child(work: Callable[[], None]) -> None:
    if (pid := os.fork()) == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def test_a_library_that_cannot_be_preloaded_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loader takes a colon for the end of a name."""
    (tmp_path / "lib:x.so").write_bytes(b"")
    (tmp_path / "temporary a").mkdir()
    monkeypatch.setattr(module, "library", lambda: tmp_path / "lib:x.so")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary a"))
    opened = os.listdir("/proc/self/fd")
    with pytest.raises(NotSupported, match="it has a colon or a blank; set TMPDIR"):
        Collector()
    assert os.listdir(tmp_path / "temporary a") == []
    assert len(os.listdir("/proc/self/fd")) == len(opened)


@pytest.mark.parametrize("name", ["a b", "a:b", "a;b"])
def test_a_library_whose_name_the_loader_does_not_take_is_copied(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As in an environment below a directory with a blank, which every user may enter."""
    with tempfile.TemporaryDirectory() as installed, tempfile.TemporaryDirectory() as temporary:
        place = Path(installed, name)
        place.mkdir()
        (place / "_sites.so").write_bytes(b"code")
        for path in (place, place / "_sites.so", place.parent):
            path.chmod(0o755)
        monkeypatch.setattr(module, "library", lambda: place / "_sites.so")
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        with Collector() as collector:
            preload = Path(collector.environment()["LD_PRELOAD"])
            assert preload.is_relative_to(temporary)
            assert preload.read_bytes() == b"code"
        assert os.listdir(temporary) == []


def test_a_process_that_sent_something_broken_and_ended(collector: Collector) -> None:
    """It is read no further, once."""
    fake = FakeRing().sealed()
    fake.count(3)
    in_ended_child(lambda: send(collector, fake.fd))
    polled(collector)
    assert len(collector.notes) == 1
    assert "are read no further" in collector.notes[0]
    polled(collector)
    assert len(collector.notes) == 1


def test_as_many_as_a_process_likes(collector: Collector) -> None:
    """Not more is said than somebody reads."""
    with open("/proc/self/exe", "rb") as file:
        for _ in range(2 * MOST_NOTES):
            send(collector, file.fileno())
            polled(collector)
    assert len(collector.notes) == MOST_NOTES


def test_as_many_old_pythons_as_a_process_likes(collector: Collector) -> None:
    """A ring that is read no further leaves room for the next one."""
    for _ in range(2 * MOST_NOTES):
        fake = FakeRing().sealed()
        fake.put(80, struct.pack("=2Q", 0x030A0000, 0))
        fake.count(3)
        send(collector, fake.fd)
        os.close(fake.fd)
        polled(collector)
    assert len(collector.notes) == MOST_NOTES


def test_rings_leave_descriptors_for_looking(collector: Collector) -> None:
    """A process that sends as many as it can ends no recording: nobody runs out of files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 60, hard))
    try:
        for _ in range(100):
            ring = FakeRing().sealed()
            send(collector, ring.fd)
            os.close(ring.fd)
            polled(collector)
        assert room() < 10
        with open("/proc/self/stat", "rb"):
            assert "processes are, already" in collector.notes[-1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_who_sends_nothing_holds_nobody_up(collector: Collector) -> None:
    """The others come in sooner or later, one at least with each turn."""
    silent = [connected(collector) for _ in range(3)]
    send(collector, FakeRing().sealed().fd)
    turns = 0
    while not any(event.data["image"] == 0 for event in polled(collector) if event.name == "allocations"):
        turns += 1
        assert turns <= len(silent)
    for one in silent:
        one.close()
