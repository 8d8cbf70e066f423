"""The files that udamon writes: how they come about, are rotated, and what is left of them."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.integration.programs import as_nobody
from tests.unit.agent.test_no_descriptors import no_descriptors
from udamon.errors import OutputError, RecordingError, UsageError
from udamon.files import fresh
from udamon.files.fresh import NewFile, remove_left
from udamon.files.inputs import copied_stream
from udamon.files.names import descriptor_of, identities
from udamon.files.output import OutputFile, whole_file
from udamon.files.rotation import RotatedFile
from udamon.files.temporary import TemporaryDirectory, unnamed_file
from udamon.linux import renaming


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("-", 1),
        ("/dev/stdout", 1),
        ("/dev//stdout", 1),
        ("/dev/./stdout", 1),
        ("/dev/stderr", 2),
        ("/dev/stdin", 0),
        ("/dev/fd/7", 7),
        ("/proc/self/fd/12", 12),
        pytest.param(f"/proc/{os.getpid()}/fd/3", 3, id="own-pid"),
        ("/proc/1/fd/1", None),
        ("./-", None),
        ("dev/stdout", None),
        ("/dev/fd/x", None),
        ("/dev/fd/1/x", None),
    ],
)
def test_names_of_descriptors(path: str, number: int | None) -> None:
    assert descriptor_of(path) == number


def _no_unnamed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def without(path: Any, flags: int, *rest: Any, **names: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, *rest, **names)

    monkeypatch.setattr(os, "open", without)


def _no_renameat2(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(renaming, "_renameat2", refuse)


@pytest.fixture(params=["everything", "no unnamed files", "no renameat2", "neither"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the file system lacks, if anything."""
    if request.param in ("no unnamed files", "neither"):
        _no_unnamed_files(monkeypatch)
    if request.param in ("no renameat2", "neither"):
        _no_renameat2(monkeypatch)
    return str(request.param)


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def test_a_whole_file(system: str, tmp_path: Path) -> None:
    """It is there when it is whole, private, and replaces nothing without force."""
    out = tmp_path / "out"
    with whole_file(out) as file:
        file.write(b"whole")
        assert not out.exists()
    assert out.read_bytes() == b"whole"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with pytest.raises(OutputError, match="exists already"), whole_file(out) as file:
        raise AssertionError
    with whole_file(out, force=True) as file:
        file.write(b"other")
        assert out.read_bytes() == b"whole"
    assert out.read_bytes() == b"other"
    with pytest.raises(ZeroDivisionError), whole_file(out, force=True):
        raise ZeroDivisionError
    assert out.read_bytes() == b"other"
    assert names(tmp_path) == ["out"]


def _write_while(plant: Callable[[], object], out: Path, *, force: bool = False) -> None:
    with whole_file(out, force=force) as file:
        file.write(b"whole")
        plant()


def test_somebody_is_faster(system: str, tmp_path: Path) -> None:
    """What takes the name while the file is being made stays, and so does where a link leads."""
    out, other = tmp_path / "out", tmp_path / "other"
    other.write_text("precious")
    for plant in (lambda: out.write_text("mine"), lambda: out.symlink_to(other), out.mkdir):
        with pytest.raises(OutputError, match="exists already"):
            _write_while(plant, out)
        assert names(tmp_path) == ["other", "out"]
        assert other.read_text() == "precious"
        out.rmdir() if out.is_dir() else out.unlink()
    _write_while(lambda: out.symlink_to(other), out, force=True)  # the link is replaced, not what it leads to
    assert (out.read_bytes(), other.read_text()) == (b"whole", "precious")
    assert not out.is_symlink()


def test_the_directory_is_swapped(tmp_path: Path) -> None:
    """The file comes to be in the directory that was looked at, whatever is called so by then."""
    place, trap = tmp_path / "place", tmp_path / "trap"
    place.mkdir()
    trap.mkdir()
    with whole_file(place / "out") as file:
        file.write(b"whole")
        place.rename(tmp_path / "moved")
        place.symlink_to(trap)
    assert names(trap) == []
    assert names(tmp_path / "moved") == ["out"]


def test_a_growing_file(system: str, tmp_path: Path) -> None:
    """It is there with its head, at once; a removed one ends."""
    out = tmp_path / "out"
    file = OutputFile(out, b"head ")
    assert out.read_bytes() == b"head "
    file.append(b"more")
    assert out.read_bytes() == b"head more"
    assert (file.size, file.appended) == (9, 2)
    out.unlink()
    with pytest.raises(OutputError, match="was removed while it was written"):
        file.append(b"lost")
    file.close()
    assert names(tmp_path) == []


def _watched(monkeypatch: pytest.MonkeyPatch, check: Callable[[], None]) -> None:
    """Have `check` called before and after everything that changes names."""

    def around(what: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            check()
            try:
                return what(*words, **named)
            finally:
                check()

        return call

    for name in ("rename", "link", "unlink", "rmdir", "open"):
        monkeypatch.setattr(os, name, around(getattr(os, name)))
    monkeypatch.setattr(renaming, "_renameat2", around(renaming._renameat2))


def test_a_file_is_rotated_without_a_gap(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FILE is there at every moment, with a whole head; FILE.1 from the first rotation on."""
    out, old = tmp_path / "out", tmp_path / "out.1"
    file = RotatedFile(out, b"head 1")
    assert names(tmp_path) == ["out"]

    def check() -> None:
        with open(out, "rb") as seen:
            assert seen.read(5) == b"head "

    _watched(monkeypatch, check)
    for part in range(2, 6):
        file.append(b" more")
        assert file.rotate(f"head {part}".encode())
        assert old.read_bytes() == f"head {part - 1} more".encode()
        assert out.read_bytes() == f"head {part}".encode()
        assert (file.size, file.older_size) == (6, 11)
        assert names(tmp_path) == ["out", "out.1"]
    file.drop_older()
    assert names(tmp_path) == ["out"]
    file.close()


def test_the_older_part_has_its_name_from_the_start_where_others_write(system: str, tmp_path: Path) -> None:
    """In a directory of mode 1777 FILE.1 is empty and ours before anybody can plant it, and never missing."""
    tmp_path.chmod(0o1777)
    file = RotatedFile(tmp_path / "out", b"head")
    assert (tmp_path / "out.1").read_bytes() == b""
    file.close()
    assert names(tmp_path) == ["out"]  # nothing was rotated
    file = RotatedFile(tmp_path / "out", b"head", force=True)
    file.rotate(b"head")
    file.drop_older()
    assert (tmp_path / "out.1").read_bytes() == b""
    file.rotate(b"head")
    file.close()
    assert (tmp_path / "out.1").read_bytes() == b"head"


@pytest.mark.parametrize("what", ["file", "link", "directory", "full directory"])
def test_a_planted_older_part(what: str, system: str, tmp_path: Path) -> None:
    """Whatever somebody puts there, the recording goes on, and a link leads nowhere."""
    old, victim = tmp_path / "out.1", tmp_path / "victim"
    victim.write_text("precious")
    file = RotatedFile(tmp_path / "out", b"head 1")
    match what:
        case "file":
            old.write_text("planted")
        case "link":
            old.symlink_to(victim)
        case _:
            old.mkdir()
            if what == "full directory":
                (old / "x").touch()
    kept = file.rotate(b"head 2")
    assert kept or system in ("no renameat2", "neither")
    assert (tmp_path / "out").read_bytes() == b"head 2"
    assert not kept or old.read_bytes() == b"head 1"
    assert victim.read_text() == "precious"
    file.append(b" more")
    file.close()


def test_a_replaced_file_is_not_rotated(system: str, tmp_path: Path) -> None:
    """What somebody has put in the place of FILE stays there."""
    out = tmp_path / "out"
    file = RotatedFile(out, b"head 1")
    out.rename(tmp_path / "moved")
    out.write_text("other")
    with pytest.raises(OutputError, match="was replaced while it was written"):
        file.rotate(b"head 2")
    file.close()
    assert out.read_text() == "other"
    assert (tmp_path / "moved").read_bytes() == b"head 1"
    assert names(tmp_path) == ["moved", "out"]


def test_a_moved_file_begins_anew(tmp_path: Path) -> None:
    """logrotate's way: who moves FILE away keeps what was in it."""
    out = tmp_path / "out"
    file = RotatedFile(out, b"head 1")
    out.rename(tmp_path / "moved")
    assert file.rotate(b"head 2")
    file.close()
    assert out.read_bytes() == b"head 2"
    assert (tmp_path / "moved").read_bytes() == b"head 1"


def test_what_cannot_be_rotated(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is no regular file"):
        RotatedFile(tmp_path / "pipe", b"head")
    os.mkfifo(tmp_path / "out.1")
    with pytest.raises(OutputError, match="the older part, is no regular file"):
        RotatedFile(tmp_path / "out", b"head", force=True)
    assert names(tmp_path) == ["out.1", "pipe"]


def test_identities(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").hardlink_to(tmp_path / "a")
    assert len(identities([tmp_path / "a", tmp_path / "b", tmp_path / "c", tmp_path / "none"])) == 1


def test_a_copy_of_a_stream(tmp_path: Path) -> None:
    """A pipe is read once and can be read again; a file needs no copy; a device has no end."""
    read, write = os.pipe()
    os.write(write, b"content")
    os.close(write)
    copy = copied_stream(f"/dev/fd/{read}", 7)
    os.close(read)
    assert copy is not None
    assert [Path(f"/proc/self/fd/{copy}").read_bytes() for _ in range(2)] == [b"content"] * 2
    os.close(copy)
    (tmp_path / "file").touch()
    assert copied_stream(str(tmp_path / "file"), 0) is None
    assert copied_stream(str(tmp_path / "none"), 0) is None


def test_a_stream_that_is_too_long(tmp_path: Path) -> None:
    """It is not copied to the end of the disk."""
    read, write = os.pipe()
    os.write(write, b"content")
    os.close(write)
    with pytest.raises(RecordingError, match=r"is longer than 6 B, and .* copy more with --max-copy\."):
        copied_stream(f"/dev/fd/{read}", 6)
    os.close(read)


KILLED = """
import errno, os, signal, sys
from udamon.files.fresh import NewFile
from udamon.files import fresh
fresh.os.rename = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
NewFile(os.open(sys.argv[1], os.O_PATH)).give("out", replace=True)
"""


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """And nothing else that looks like it: a file that is being written, one with other names, other kinds of file."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    (left,) = names(tmp_path)
    other = tmp_path / "other"
    other.write_text("precious")
    spare = [f".udamon-{digit * 16}.part" for digit in "0123"]
    (tmp_path / spare[0]).hardlink_to(other)
    (tmp_path / spare[1]).symlink_to("other")
    os.mkfifo(tmp_path / spare[2])
    (tmp_path / spare[3]).mkdir()
    near = [".udamon-0.part", f".udamon-{'g' * 16}.part", f".udamon-{'4' * 16}.part.1"]
    for name in near:
        (tmp_path / name).touch()
    place = os.open(tmp_path, os.O_PATH)
    living = NewFile(place)
    kept = {*spare, *near, "other", living.named()}
    assert set(names(tmp_path)) == {*kept, left}
    OutputFile(tmp_path / "out", b"head").close()
    assert set(names(tmp_path)) == {*kept, "out"}
    with whole_file(tmp_path / "out", force=True) as file:
        file.write(b"x")
    assert set(names(tmp_path)) == {*kept, "out"}
    living.discard()
    os.close(place)


def test_a_directory_is_looked_at_once_for_many_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again after a while; another directory at once, and the first one not again because of it."""
    looks: list[int] = []
    times = [100.0]
    monkeypatch.setattr(fresh, "_looked_at", {})
    monkeypatch.setattr(fresh, "_DIRECTORIES", 2)
    monkeypatch.setattr(fresh, "remove_left", lambda directory: looks.append(os.fstat(directory).st_ino))
    monkeypatch.setattr(fresh, "monotonic", lambda: times[-1])
    places = [tmp_path / name for name in "abc"]
    for place in places:
        place.mkdir()
    a, b, c = (place.stat().st_ino for place in places)

    def write(place: Path, at: float) -> list[int]:
        times.append(at)
        looks.clear()
        for number in range(3):
            with whole_file(place / f"{number}", force=True) as file:
                file.write(b"x")
        OutputFile(place / "out", b"head", force=True).close()
        return list(looks)

    assert [write(places[0], at) for at in (100.0, 109.9, 110.0, 111.0)] == [[a], [], [a], []]
    assert [write(places[1], 112.0), write(places[0], 119.9), write(places[0], 120.0)] == [[b], [], [a]]
    assert [write(places[2], 121.0), write(places[0], 121.0), write(places[1], 121.0)] == [[c], [], [b]]


def test_a_file_is_never_without_lock_under_its_temporary_name(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks at each rename finds nothing left behind."""
    real = os.rename

    def look_first(*arguments: Any, **names_: Any) -> None:
        before = names(tmp_path)
        place = os.open(tmp_path, os.O_PATH)
        remove_left(place)
        os.close(place)
        assert names(tmp_path) == before
        real(*arguments, **names_)

    monkeypatch.setattr(os, "rename", look_first)
    file = RotatedFile(tmp_path / "out", b"head 1", force=True)
    for number in range(3):
        file.rotate(f"head {number}".encode())
    file.close()
    assert names(tmp_path) == ["out", "out.1"]


@pytest.mark.needs("second_user")
def test_what_another_user_left_stays(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    here = os.open(tmp_path, os.O_PATH)
    name = f".udamon-{'0' * 16}.part"
    as_nobody(lambda: os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=here)))
    remove_left(here)
    os.close(here)
    assert names(tmp_path) == [name]


@pytest.fixture
def tmpdir_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_nothing_is_left_where_no_descriptor_is(tmpdir_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that was made and cannot be opened is removed; a file that cannot be written is a sentence."""
    with no_descriptors(), pytest.raises(OutputError, match="Too many open files"):
        TemporaryDirectory("report")
    assert os.listdir(tmpdir_) == []

    def refuse(fd: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "dup", refuse)
    with pytest.raises(OutputError, match="Too many open files"), whole_file(tmpdir_ / "file"):
        pass
    assert os.listdir(tmpdir_) == []


def test_nothing_is_left_of_what_is_temporary(tmpdir_: Path) -> None:
    with TemporaryDirectory("report") as directory:
        assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
        (directory.path / "x").touch()
        os.close(unnamed_file("copy"))
        TemporaryDirectory("report").close()
        assert names(tmpdir_) == [directory.path.name]  # one that somebody uses is left alone
    assert names(tmpdir_) == []


ENDED = """
import hashlib, sys
from udamon.files.ending import removing
from udamon.files.output import OutputFile
from udamon.files.temporary import TemporaryDirectory
with removing():
    directory = TemporaryDirectory("report")
    (directory.path / "x").touch()
    print(directory.path, flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1 << 30)  # no handler of Python's runs in here
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_process_that_is_ended_leaves_nothing(number: signal.Signals, tmpdir_: Path) -> None:
    """SIGTERM at once, also while nothing of Python runs; SIGKILL by the next one of the same user."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENDED],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmpdir_)},
        # Whoever started the tests under nohup has it ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    assert process.stdout is not None
    left = Path(process.stdout.readline().decode().strip())
    assert (left / "x").exists()
    TemporaryDirectory("report").close()
    assert left.exists()
    process.send_signal(number)
    process.wait()
    process.stdout.close()
    assert process.returncode == -number
    if number == signal.SIGKILL:
        assert left.exists()
        TemporaryDirectory("report").close()
    assert names(tmpdir_) == []


@pytest.mark.needs("second_user")
def test_another_users_is_not_removed(tmpdir_: Path) -> None:
    """A directory that looks as if it were left behind, and a link to one, of somebody else."""
    tmpdir_.chmod(0o1777)
    (tmpdir_ / "precious").mkdir()
    (tmpdir_ / "precious" / "x").touch()
    here = os.open(tmpdir_, os.O_PATH)

    def plant() -> None:
        os.mkdir("udamon-locked-report-theirs", dir_fd=here)
        os.symlink("precious", "udamon-locked-report-link", dir_fd=here)

    as_nobody(plant)
    os.close(here)
    TemporaryDirectory("report").close()
    assert names(tmpdir_) == ["precious", "udamon-locked-report-link", "udamon-locked-report-theirs"]
    assert names(tmpdir_ / "precious") == ["x"]


class _Interrupt(BaseException):
    pass


def _interrupted_at(number: int, file: OutputFile, data: bytes) -> bool:
    """Append, interrupted before instruction `number` of it. Returns whether it has so many."""
    left = number

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        frame.f_trace_opcodes = frame.f_code.co_name in ("append", "write_all")
        if event == "opcode" and left >= 0:
            left -= 1
            if left < 0:
                raise _Interrupt
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 has no such events unless a frame wants them by now
    sys.settrace(trace)
    try:
        file.append(data)
    except _Interrupt:
        pass
    finally:
        sys.settrace(before)
    return left < 0


def test_an_interrupt_at_any_instruction_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a later line cannot be written, and what was written of it is cut off."""
    real, number = os.write, 0
    while True:
        path = tmp_path / str(number)
        file = OutputFile(str(path), b"", what="the log", again="again")
        more = _interrupted_at(number, file, b"one\n")
        file.append(b"two\n")
        assert path.read_bytes() in (b"one\ntwo\n", b"two\n")

        def full(fd: int, data: bytes) -> int:
            monkeypatch.setattr(os, "write", fails)
            return real(fd, data[:2])

        def fails(fd: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OutputError):
            file.append(b"three\n")
        monkeypatch.setattr(os, "write", real)
        file.close()
        assert path.read_bytes() in (b"one\ntwo\n", b"two\n")
        if not more:
            break
        number += 1
    assert number > 20
