"""One flipped bit never changes a figure silently, and takes no snapshot with it beyond its own flush."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from tests.fuzz import bases
from udamon.errors import RecordingError
from udamon.model import Snapshot
from udamon.record.reader import Recording


def run(place: Path, cases: int, seed: str) -> int:
    """Flip a bit in each of `cases` copies of a recording; how many are not as they should be."""
    begin, random, path = time.monotonic(), Random(f"{seed}/flips"), place / "flipped"
    whole = bases.recording(path)
    good = list(Recording(path).snapshots())
    flushes = bases.flushes(path)
    failures = 0
    for number in range(cases):
        bit = random.randrange(8 * len(whole))
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.unlink()  # ext4 waits for the disk when a file that was emptied is closed
        path.write_bytes(data)
        why = judge(path, bit // 8, good, flushes)
        if why is not None:
            failures += 1
            print(f"flips {number}: bit {bit} of {8 * len(whole)}: {why}", flush=True)
    print(
        f"flips: {cases} cases, seed {seed}, {time.monotonic() - begin:.0f} s; {failures} failed", flush=True
    )
    return failures


def judge(path: Path, at: int, good: list[Snapshot], flushes: list[tuple[int, int, int, int]]) -> str | None:
    """What is wrong with how a recording reads, of which byte `at` was changed; None for nothing."""
    try:
        recording = Recording(path)
    except RecordingError as error:
        return None if at < 8 else f"nothing is read: {error}"  # not even the marker is left
    found = list(recording.snapshots())
    lost = {
        number
        for offset, end, first, count in flushes
        if offset <= at < end
        for number in range(first, first + count)
    }
    if found != [one for number, one in enumerate(good) if number not in lost]:
        return f"{len(found)} of {len(good)} snapshots are read, or others"
    if not recording.damaged and not recording.truncated:
        return "nothing is said of it"
    missing = {
        number
        for damage in recording.damaged
        if damage.first is not None and damage.last is not None
        for number in range(damage.first, damage.last + 1)
    }
    return None if missing == lost else f"it says that {sorted(missing)} are missing, not {sorted(lost)}"
