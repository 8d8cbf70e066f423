"""Every command that writes, on everything that can be in its way: nothing that was there is destroyed.

All combinations are tried, in this process: an exception that comes out of `main` is the traceback of a user.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.report.test_heatmap import two_bands
from udamon.cli.main import main
from udamon.record.reader import Recording
from udamon.record.writer import Writer

CONFIG = "a, 1M\n\nphase\n50\na, 1, 4096, 1\n"
RECORD = "record --sim {config} --aggr 10ms --sample 5ms --windows 3 -q -o {out}"
COMMANDS = {
    "record": RECORD,
    "record rotated": f"{RECORD} --max-size 1MiB",
    "workload": "workload {config} --quiet --truth {out}",
    "html": "report info {input} --html {out}",
    "svg": "report heatmap {input} --svg {out}",
    "png": "report wss {input} --png {out}",
    "arrow": "convert {input} --to arrow -o {out}",
    "parquet": "convert {input} --to parquet -o {out}",
    "csv": "convert {input} --to csv -o {out}",
    "damo": "convert {input} --to damo-json -o {out}",
    "perf": "convert {input} --to perf-script -o {out}",
}


class Kind(NamedTuple):
    """What lies at `out`: made by `make`, refused with `status` unless `forced` and --force; None: written."""

    make: Callable[[Path], object]
    status: int | None
    forced: bool = False
    root: bool = False
    streams: bool = False
    """Whether it is written as it is."""


def node(kind: int, major: int, minor: int) -> Callable[[Path], None]:
    return lambda out: os.mknod(out, 0o600 | kind, os.makedev(major, minor))


def listen(out: Path) -> None:
    with contextlib.chdir(out.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(out.name)


def pipe_of_nobody(out: Path) -> None:
    os.mkfifo(out, 0o666)
    os.chown(out, pwd.getpwnam("nobody").pw_uid, -1)


KINDS = {
    "nothing": Kind(lambda out: None, None),
    "file": Kind(lambda out: out.write_text("precious"), 1, forced=True),
    "link": Kind(lambda out: out.symlink_to("other"), 1),
    "dangling link": Kind(lambda out: out.symlink_to("nowhere"), 1),
    "link to the input": Kind(lambda out: out.symlink_to("input"), 1),
    "directory": Kind(lambda out: out.mkdir(), 1),
    "socket": Kind(listen, 1),
    "pipe": Kind(os.mkfifo, None, streams=True),
    "pipe of another user": Kind(pipe_of_nobody, 1, root=True),
    "device": Kind(node(stat.S_IFCHR, 1, 3), None, root=True, streams=True),
    "full device": Kind(node(stat.S_IFCHR, 1, 7), 1, root=True, streams=True),
    "disk": Kind(
        node(stat.S_IFBLK, 60, 0), 1, root=True, streams=True
    ),  # a number for experiments: no driver has it
}


class There(NamedTuple):
    """What was found at a path."""

    inode: int
    mode: int
    content: bytes | str | None


def everything(place: Path) -> dict[str, There]:
    found = {}
    for path in sorted(place.rglob("*")):
        status = path.lstat()
        content: bytes | str | None = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        found[str(path.relative_to(place))] = There(status.st_ino, status.st_mode, content)
    return found


@contextlib.contextmanager
def read_by_somebody(out: Path) -> Iterator[Callable[[], bytes]]:
    """Meanwhile a pipe has a reader, and room for all that is written; what is yielded reads it."""
    fd = os.open(out, os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 1 << 20)
    yield lambda: os.read(fd, 1 << 20)
    os.close(fd)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("recorded") / "input"
    two_bands(path)
    return path.read_bytes()


@pytest.fixture
def place(tmp_path: Path, recorded: bytes) -> Path:
    place = tmp_path / "place"
    place.mkdir()
    (place / "input").write_bytes(recorded)
    (place / "other").write_text("precious")
    (place / "config").write_text(CONFIG)
    return place


def run(words: str, place: Path, out: str, *, force: bool) -> int:
    filled = words.format(config=place / "config", input=place / "input", out=out)
    return main([*filled.split(), *(["--force"] if force else [])])


@pytest.mark.parametrize("force", [False, True], ids=["", "force"])
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_destroyed(
    kind: str, command: str, force: bool, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What was there is there afterwards, the same file with the same content, unless --force was for it."""
    what, out = KINDS[kind], place / "out"
    if what.root and os.geteuid():
        pytest.skip("only root makes such a thing")
    what.make(out)
    before = everything(place)
    with read_by_somebody(out) if kind == "pipe" else contextlib.nullcontext() as read:
        status = run(COMMANDS[command], place, str(out), force=force)
        assert status or read is None or read()
    after = everything(place)
    said = capfd.readouterr()
    assert said.out == ""

    expected = 0 if what.status is None or (what.forced and force) else what.status
    if what.streams and command == "record rotated":
        expected = 1 if kind == "disk" and not force else 2
    assert status == expected, said.err
    if status:
        assert said.err.startswith("udamon: ")
        assert said.err.count("\n") == 1
        assert after == before
        return
    if what.streams:
        assert after == before
        return
    new = after.pop("out")
    assert after == {name: found for name, found in before.items() if name != "out"}
    assert stat.S_ISREG(new.mode)
    assert stat.S_IMODE(new.mode) == 0o600
    assert new.content


@pytest.mark.parametrize("command", [name for name in COMMANDS if "{input}" in COMMANDS[name]])
@pytest.mark.parametrize("out", ["input", "hard", "input.1", "/dev/fd", "input/../input"])
def test_an_input_is_never_an_output(
    out: str, command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also by another name, as the older part of a rotated recording, and as a descriptor; also with --force."""
    place = tmp_path / "place"
    place.mkdir()
    source = tmp_path / "source"
    two_bands(source)
    shots = list(Recording(source).snapshots())
    with Writer(place / "input", {}, max_size=1 << 16) as writer:
        number = 0
        while not (place / "input.1").exists():
            for shot in shots:
                later = number * (shots[-1].end_ns - shots[0].begin_ns)
                begin_ns, end_ns = shot.begin_ns + later, shot.end_ns + later
                seq = number * len(shots) + shot.seq
                writer.snapshot(replace(shot, seq=seq, begin_ns=begin_ns, end_ns=end_ns))
            number += 1
            if number % 20 == 0:
                writer.flush()
    (place / "hard").hardlink_to(place / "input")
    before = everything(place)
    if out == "/dev/fd":
        fd = os.open(place / "input", os.O_WRONLY | os.O_APPEND)
        os.set_inheritable(fd, True)
        status = run(COMMANDS[command], place, f"/dev/fd/{fd}", force=True)
        os.close(fd)
    elif out == "input/../input":
        (place / "below").mkdir()
        before = everything(place)
        status = run(COMMANDS[command], place, str(place / "below" / ".." / "input"), force=True)
    else:
        status = run(COMMANDS[command], place, str(place / out), force=True)
    said = capfd.readouterr().err
    assert status == 2, said
    assert "is the file that is read, or a part of it" in said
    assert everything(place) == before


@pytest.mark.parametrize("force", [False, True], ids=["", "force"])
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("where", ["none/out", "other/out", "out/"])
def test_no_such_place(
    where: str, command: str, force: bool, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = everything(place)
    assert run(COMMANDS[command], place, f"{place}/{where}", force=force) == 1
    assert capfd.readouterr().err.count("\n") == 1
    assert everything(place) == before


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "record rotated"])
def test_a_redirected_descriptor(command: str, place: Path) -> None:
    """It is written where it stands, and the file behind it is neither cut nor replaced."""
    behind = place / "behind"
    with behind.open("wb", buffering=0) as file:
        file.write(b"first ")
        os.set_inheritable(file.fileno(), True)
        inode = behind.stat().st_ino
        assert run(COMMANDS[command], place, f"/dev/fd/{file.fileno()}", force=False) == 0
    assert behind.stat().st_ino == inode
    assert behind.read_bytes().startswith(b"first ")
    assert behind.stat().st_size > 100


def test_a_descriptor_of_udamons_own_is_none(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its number means nothing to whoever started udamon: the file behind it could be anything."""
    with (place / "other").open("ab") as file:
        assert run(COMMANDS["record"], place, f"/dev/fd/{file.fileno()}", force=True) == 1
    assert "Bad file descriptor" in capfd.readouterr().err
    assert (place / "other").read_text() == "precious"
