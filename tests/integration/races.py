"""Another user against the files that root writes, in directories where both may make names.

Each race is one thing that root does again and again while processes of the user nobody, which know the names, put
things there as fast as they can: links to a file of root's, directories, files, pipes. `python -m bench.races` runs
them for long. They need root and another user.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.integration.programs import become_nobody
from udamon.errors import OutputError, TargetBusy
from udamon.files.output import OutputFile, whole_file
from udamon.files.rotation import RotatedFile
from udamon.linux.roots import Roots
from udamon.lock import FILE, take_lock

PRECIOUS, HEAD = b"precious", b"head"


class Ground:
    """Where a race is run: `shared`, a file of root's that must not change, and a directory in which none may appear.

    `tries` and `refused` count.
    """

    def __init__(self, place: Path) -> None:
        """`place` must be reachable for nobody."""
        self.shared = place / "shared"
        self.shared.mkdir()
        self.shared.chmod(0o1777)
        self._precious = place / "precious"
        self._precious.write_bytes(PRECIOUS)
        self._precious.chmod(0o600)
        self._before = self._precious.stat()
        self._trap = place / "trap"
        self._trap.mkdir(mode=0o700)
        self.tries = self.refused = 0

    def give_away(self) -> None:
        """Make the directory nobody's: fs.protected_symlinks does not protect there, and all can be taken away."""
        os.chown(self.shared, pwd.getpwnam("nobody").pw_uid, -1)

    def check(self) -> None:
        """The file of root's is as it was: content, owner, mode, and number of names; none was made by a link."""
        assert list(self._trap.iterdir()) == []
        now = self._precious.stat()
        assert self._precious.read_bytes() == PRECIOUS
        for name in ("st_ino", "st_uid", "st_mode", "st_nlink", "st_mtime_ns"):
            assert getattr(now, name) == getattr(self._before, name), name

    @contextlib.contextmanager
    def attacked(self, *names: str, attackers: int = 2) -> Iterator[None]:
        """Meanwhile processes of nobody's plant at `names`, and take away whatever they may."""
        pids = [
            _start(lambda: _plant(self.shared, names, self._precious, self._trap / "new"))
            for _ in range(attackers)
        ]
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self.check()


def _start(attack: Callable[[], None]) -> int:
    if (pid := os.fork()) == 0:
        try:
            become_nobody()
            ctypes.CDLL(None).prctl(
                1, signal.SIGKILL, 0, 0, 0
            )  # PR_SET_PDEATHSIG: never longer than its parent
            attack()
        finally:
            os._exit(1)
    return pid


def _plant(shared: Path, names: Sequence[str], precious: Path, new: Path) -> None:
    os.chdir(shared)
    plants: list[Callable[[str], object]] = [
        lambda name: os.symlink(precious, name),
        os.mkdir,
        lambda name: os.link(precious, name),  # where fs.protected_hardlinks is off
        lambda name: os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)),
        lambda name: os.mkfifo(name, 0o666),
        lambda name: os.symlink(new, name),
    ]
    while True:
        for plant in plants:
            for name in names:
                for act in (plant, os.unlink, os.rmdir):
                    with contextlib.suppress(OSError):
                        act(name)


def _is_private(fd: int) -> bool:
    found = os.fstat(fd)
    return stat.S_ISREG(found.st_mode) and found.st_uid == 0 and stat.S_IMODE(found.st_mode) == 0o600


def opening(ground: Ground, seconds: float) -> None:
    """A recording or a report, with --force and without: it is a file of root's own, or refused in a sentence."""
    ground.give_away()
    out, end = ground.shared / "out", time.monotonic() + seconds
    with ground.attacked("out"):
        while time.monotonic() < end:
            ground.tries += 1
            try:
                if ground.tries % 3:
                    file = OutputFile(out, HEAD, force=ground.tries % 2 == 0)
                    assert _is_private(file._fd)
                    file.close()
                else:
                    with whole_file(out, force=ground.tries % 2 == 0) as whole:
                        whole.write(HEAD)
            except OutputError:
                ground.refused += 1


def rotating(ground: Ground, seconds: float) -> None:
    """A recording that is rotated all the time never ends, and no part of it is lost or somebody else's."""
    out, old, end = ground.shared / "out", ground.shared / "out.1", time.monotonic() + seconds
    with ground.attacked("out", "out.1"):
        file = None
        while file is None:  # until the first name could be had
            with contextlib.suppress(OutputError):
                file = RotatedFile(out, HEAD)
        while time.monotonic() < end:
            ground.tries += 1
            file.append(b"more")
            assert file.rotate(HEAD)
            assert old.read_bytes() == HEAD + b"more"
            assert out.read_bytes() == HEAD
            if ground.tries % 7 == 0:
                file.drop_older()
        file.close()


def locking(ground: Ground, seconds: float) -> None:
    """Locks are taken in spite of what is planted, and nothing that was planted is written to."""
    ground.give_away()
    end = time.monotonic() + seconds
    roots = Roots(locks=(ground.shared,))
    with ground.attacked(FILE):
        while time.monotonic() < end:
            ground.tries += 1
            try:
                lock = take_lock("5-9", "it", roots)
            except TargetBusy:
                ground.refused += 1
                continue
            ground.refused += not lock.real
            lock.release()


RACES: dict[str, Callable[[Ground, float], None]] = {
    "opening": opening,
    "rotating": rotating,
    "locking": locking,
}


def naive(ground: Ground, seconds: float) -> int:
    """The control: how often looking first and opening then writes to the file of root's, or makes one by a link.

    Both are put back.
    """
    ground.give_away()
    out, end, lost = ground.shared / "out", time.monotonic() + seconds, 0
    precious = ground._precious
    with ground.attacked("out"):
        while time.monotonic() < end:
            ground.tries += 1
            with contextlib.suppress(OSError):
                if not out.exists():
                    fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o600)
                    os.write(fd, HEAD)
                    os.close(fd)
                if precious.read_bytes() != PRECIOUS:
                    lost += 1
                    precious.write_bytes(PRECIOUS)
                for made in ground._trap.iterdir():
                    lost += 1
                    made.unlink()
        os.utime(precious, ns=(ground._before.st_atime_ns, ground._before.st_mtime_ns))
    return lost
