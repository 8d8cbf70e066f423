"""What regions are filled with."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any, cast

from udamon.workload.config import parse
from udamon.workload.layout import place
from udamon.workload.memory import Memory, initialise


class _Counting(bytearray):
    copies = 0

    def __setitem__(self, key: Any, value: Any) -> None:
        self.copies += 1
        super().__setitem__(key, value)


def test_a_short_file_fills_a_large_region_in_few_copies(tmp_path: Path) -> None:
    """Over and over, from the beginning of each region; a copy for each repetition of a byte would take minutes."""
    (tmp_path / "abc").write_bytes(b"abc")
    workload = parse(f"a, 8K, none\nb, 3M, {tmp_path / 'abc'}\n\np\n1\n")
    buffer = _Counting(workload.resident_bytes)
    initialise(Memory(cast(mmap.mmap, buffer), place(workload, "one", base=0)), workload)
    assert bytes(buffer[:8192]) == bytes(8192)
    assert bytes(buffer[8192:]) == b"abc" * (1 << 20)
    assert buffer.copies <= 4
