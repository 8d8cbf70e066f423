"""A fake root with page maps, page flags and an idle bitmap, for the sampler to work on outside any kernel."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE

PAGE = PAGE_SIZE
PRESENT, SWAPPED = 1 << 63, 1 << 62
LRU, HEAD, TAIL, HUGETLB, ZERO_PAGE = 1 << 5, 1 << 15, 1 << 16, 1 << 17, 1 << 24
FRAMES = 1 << 16
START_TIME = 777


class FakeIdle:
    """Frames are written one bitmap word apart by the tests: a regular file, unlike the kernel's, does not

    leave alone the bits of a written word that are 0.
    """

    def __init__(self, root: Path) -> None:
        self.roots = Roots(root / "proc", root / "sys", (root / "locks",))
        (root / "proc").mkdir()
        bitmap = root / "sys/kernel/mm/page_idle"
        bitmap.mkdir(parents=True)
        self.bitmap = bitmap / "bitmap"
        self.bitmap.write_bytes(bytes(FRAMES // 8))
        self.flags = root / "proc/kpageflags"
        self.flags.write_bytes(struct.pack("<Q", LRU) * FRAMES)
        self.process(1, {})  # a /proc without any process counts as not mounted

    def process(self, pid: int, entries: dict[int, int], start_time: int = START_TIME) -> None:
        """A process whose page map has `entries`: page number → raw entry."""
        place = self.roots.proc / str(pid)
        place.mkdir(exist_ok=True)
        fields = ["S", "1"] + ["0"] * 17 + [str(start_time)] + ["0"] * 30
        (place / "stat").write_text(f"{pid} (fake) {' '.join(fields)}\n")
        (place / "status").write_text(f"Name:\tfake\nTgid:\t{pid}\nPid:\t{pid}\nUid:\t0\t0\t0\t0\n")
        (place / "pagemap").write_bytes(b"")
        self.map(pid, entries)

    def map(self, pid: int, entries: dict[int, int]) -> None:
        with (self.roots.proc / str(pid) / "pagemap").open("r+b") as file:
            for page, entry in entries.items():
                file.seek(page * 8)
                file.write(struct.pack("<Q", entry))

    def flag(self, frame: int, *flags: int) -> None:
        """Flags of the frame, and of those that follow it."""
        with self.flags.open("r+b") as file:
            file.seek(frame * 8)
            file.write(struct.pack(f"<{len(flags)}Q", *flags))

    def is_idle(self, frame: int) -> bool:
        with self.bitmap.open("rb") as file:
            file.seek(frame // 64 * 8)
            word = struct.unpack("<Q", file.read(8))[0]
        return bool(word >> frame % 64 & 1)

    def access(self, frames: Iterable[int]) -> None:
        """Access the pages of `frames` once: their idle bits go (with all of their words)."""
        with self.bitmap.open("r+b", buffering=0) as file:
            for frame in frames:
                file.seek(frame // 64 * 8)
                file.write(bytes(8))


class Toucher:
    """Accesses frames again and again until closed. `done_ns`: when an access took the idle bit of the first frame."""

    def __init__(self, fake: FakeIdle, frames: Iterable[int]) -> None:
        self._fake = fake
        self._frames = list(frames)
        self.done_ns: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Toucher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            marked = self._fake.is_idle(self._frames[0])
            self._fake.access(self._frames)
            if marked:
                self.done_ns.append(time.monotonic_ns())

    def in_each(self, begin_ns: int, ticks: int, tick_ns: int) -> bool:
        """Whether the idle bit was taken in each tick, before its end was due: a busy machine may run this too late."""
        return len(self.done_ns) >= ticks and all(
            begin_ns + number * tick_ns <= done < begin_ns + (number + 1) * tick_ns
            for number, done in enumerate(self.done_ns[:ticks])
        )
