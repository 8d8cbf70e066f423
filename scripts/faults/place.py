"""A copy of the checkout for each suite, in which faults are planted one at a time.

It has a virtual environment of its own that borrows all packages from this checkout's, so that every process that
a test starts imports the copy's udamon, whatever environment it is given.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from scripts.faults.catalogue import Fault, FaultsError
from scripts.faults.suites import Suite
from scripts.stages import ROOT, WORK, environment

FAULTS = WORK / "faults"
SOURCE = ("src", "setup.py")
"""What is always this checkout's."""
KEPT = (".venv", ".work", "build")
EXTENSION = "src/udamon/native/_native.abi3.so"
STARTUP = "import os; 'COVERAGE_PROCESS_START' in os.environ and __import__('coverage').process_startup()\n"
"""Has processes that a test starts recorded, too, while coverage is recorded."""


class Place:
    """The copy for a suite. Use `held` around everything that is done in it."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.root = FAULTS / suite.name / "tree"
        self.python = self.root / ".venv/bin/python"
        self._sound = FAULTS / suite.name / "sound.so"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Bring the copy up to date and keep other runs out. Raises FaultsError when one is in it."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root.parent / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FaultsError(f"another run works in {self.root}; wait for its end.") from None
            self._copy()
            self._make_environment()
            self._build_sound()
            yield

    @contextmanager
    def planted(self, fault: Fault) -> Iterator[None]:
        """The fault is in the copy, compiled where it is in C. Raises FaultsError where that fails."""
        path = self.root / fault.file
        sound = path.read_bytes()
        try:
            self._write(path, fault.patched(self.root).encode())
            if fault.is_c:
                self._build()
            yield
        finally:
            self._write(path, sound)
            if fault.is_c:
                shutil.copy2(self._sound, self.root / EXTENSION)

    def digest(self) -> str:
        """Of everything that the outcome depends on: source, tests, scripts and settings of the copy."""
        total = hashlib.sha256()
        for name, data in sorted(self._wanted.items()):
            if name.startswith(("src/", "tests/", "scripts/guest/")) or name in (
                "setup.py",
                "pyproject.toml",
            ):
                total.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\0".encode())
        return total.hexdigest()[:16]

    @cached_property
    def _wanted(self) -> dict[str, bytes]:
        found = _checkout()
        if self.suite.commit is None:
            return found
        kept = {name: data for name, data in found.items() if name.startswith(SOURCE)}
        return {
            name: data for name, data in _commit(self.suite.commit).items() if not name.startswith(SOURCE)
        } | kept

    def _copy(self) -> None:
        wanted = self._wanted
        for path in sorted(self.root.rglob("*"), reverse=True):
            inside = path.relative_to(self.root)
            if inside.parts[0] in KEPT or inside.suffix in (".so", ".pyc") or str(inside) in wanted:
                continue
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif not path.is_dir():
                path.unlink()
        for name, data in wanted.items():
            path = self.root / name
            if not path.is_file() or path.read_bytes() != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._write(path, data)
                path.chmod(0o755 if data.startswith(b"#!") else 0o644)
        shared = self.root.parent / "shared"  # where the harness of the guest looks for kernels
        if not shared.is_symlink() and (ROOT.parent / "shared").is_dir():
            shared.symlink_to((ROOT.parent / "shared").resolve())

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        path.write_bytes(data)
        # Compiled files are told by size and second of the change, in which a fault may come and go.
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()

    def _make_environment(self) -> None:
        own = self.root / ".venv"
        if self.python.exists():
            return
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", own], check=True)
        lent = Path(sysconfig.get_path("purelib"))
        packages = own / lent.relative_to(sys.prefix)
        (packages / "borrowed.pth").write_text(f"{self.root / 'src'}\n{lent}\n{STARTUP}")
        for script in Path(sys.prefix, "bin").iterdir():
            text = script.read_bytes()
            mine = own / "bin" / script.name
            if script.is_file() and text.startswith(f"#!{sys.prefix}/".encode()) and not mine.exists():
                mine.write_bytes(text.replace(str(sys.prefix).encode(), str(own).encode(), 1))
                mine.chmod(0o755)

    def _build_sound(self) -> None:
        mark = self.root.parent / "built"
        total = hashlib.sha256((self.root / "setup.py").read_bytes())
        for path in sorted((self.root / "src/udamon/native").glob("*.[ch]")):
            total.update(path.read_bytes())
        if not self._sound.exists() or not mark.exists() or mark.read_text() != total.hexdigest():
            self._build()
            shutil.copy2(self.root / EXTENSION, self._sound)
            mark.write_text(total.hexdigest())
        shutil.copy2(self._sound, self.root / EXTENSION)

    def _build(self) -> None:
        command = [str(self.python), "setup.py", "-q", "build_ext", "--inplace", "--force"]
        done = subprocess.run(
            command, cwd=self.root, env=environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise FaultsError(f"the extension cannot be built:\n{done.stdout}{done.stderr}")


def _checkout() -> dict[str, bytes]:
    """The files of this checkout that git has or would take."""
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode()
    names = [name for name in listed.split("\0") if name]
    return {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}


def _commit(commit: str) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", commit))) as archive:
        found = {}
        for member in archive:
            if member.isfile() and (file := archive.extractfile(member)) is not None:
                found[member.name] = file.read()
        return found


def _git(*words: str) -> bytes:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise FaultsError(f"git {words[0]} failed: {done.stderr.decode().strip()}")
    return done.stdout
