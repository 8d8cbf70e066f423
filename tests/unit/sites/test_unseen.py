"""ELF files of watched programs that nobody vouches for."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from udamon.sites import unseen
from udamon.sites.unseen import Program, program_of

BEYOND = 1 << 63


def elf(
    path: Path,
    segments: Sequence[tuple[int, int, int]] = (),
    sections: Sequence[tuple[int, ...]] = (),
    sections_at: int | None = None,
) -> str:
    """A file with such program headers (kind, offset, size) and section headers."""
    rows = b"".join(
        struct.pack("=IIQQQQQQ", kind, 0, offset, 0, 0, size, 0, 0) for kind, offset, size in segments
    )
    tables = b"".join(struct.pack("=IIQQQQIIQQ", *section) for section in sections)
    at = 64 + len(rows) if sections_at is None else sections_at
    head = bytearray(b"\x7fELF\x02\x01\x01".ljust(64, b"\0"))
    struct.pack_into("=QQ", head, 32, 64, at)
    struct.pack_into("=HHHH", head, 54, 56, len(segments), 64, len(sections) or 3)
    path.write_bytes(bytes(head) + rows + tables)
    return str(path)


@pytest.mark.parametrize("kind", [3, 4])
def test_offsets_beyond_what_a_file_can_have(tmp_path: Path, kind: int) -> None:
    """Of a note the kernel follows none. Python's integers go on where those of the system call end."""
    file = elf(tmp_path / "a", segments=[(kind, BEYOND, 8)])
    assert program_of(file) == Program(64, "" if kind == 3 else None, go=False)


def test_sections_beyond_what_a_file_can_have(tmp_path: Path) -> None:
    """As packers and what strips section headers may leave them: nothing needs them to run the program."""
    assert not unseen._defines_malloc(elf(tmp_path / "a", sections_at=BEYOND))


def test_no_more_than_one_table_of_symbols_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may have 16 MiB, and there may be 65535 of them: a recording would stand still for hours."""
    read = []
    pread = os.pread

    def noted(fd: int, size: int, offset: int) -> bytes:
        read.append(size)
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", noted)
    file = elf(tmp_path / "a", sections=[(0, 11, 0, 0, 0, 240, 0, 0, 0, 0)] * 100)
    assert not unseen._defines_malloc(file)
    assert len(read) == 4, "the head, the sections, symbols and their names"
