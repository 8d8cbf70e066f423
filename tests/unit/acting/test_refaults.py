"""Refaults: what was moved out and is present again, in page maps made up here."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.unit.linux.test_fake import FakeProc
from udamon.acting import refaults as module
from udamon.acting.refaults import WINDOW_NS, Refaults
from udamon.linux.procfs import ProcessId, read_stat
from udamon.model import Range

PAGE, PRESENT = 4096, 1 << 63
S = 1_000_000_000
PAGES = 64


class Process:
    """Number 7 of a made-up /proc, whose pages of the addresses below 256 KiB are `there` or not."""

    def __init__(self, tmp_path: Path) -> None:
        fake = FakeProc(tmp_path)
        fake.process(7)
        self.root = fake.root
        self.id = read_stat(7, fake.root).id
        self.now = 0
        self.there()

    def there(self, *pages: int) -> None:
        words = [PRESENT if page in pages else 0 for page in range(PAGES)]
        (self.root / "7/pagemap").write_bytes(struct.pack(f"={PAGES}Q", *words))

    def watch(self) -> Refaults:
        return Refaults(self.root, lambda: self.now)


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


def pages(first: int, last: int) -> Range:
    return Range(first * PAGE, last * PAGE)


def test_what_is_present_again_counts_once(process: Process) -> None:
    refaults = process.watch()
    refaults.moved(process.id, [pages(0, 8), pages(20, 24)])
    assert (refaults.look(), refaults.watched) == (0, 12 * PAGE)
    process.there(3, 21, 22, 40)
    assert refaults.look() == 3 * PAGE
    assert refaults.look() == 0
    assert (refaults.bytes, refaults.watched) == (3 * PAGE, 9 * PAGE)


def test_after_a_minute_it_is_no_refault_any_more(process: Process) -> None:
    refaults = process.watch()
    refaults.moved(process.id, [pages(0, 8)])
    process.now = WINDOW_NS
    assert refaults.look() == 0
    process.there(*range(8))
    assert refaults.look() == 0
    assert refaults.watched == 0


def test_what_is_moved_again_must_have_come_back(process: Process) -> None:
    refaults = process.watch()
    refaults.moved(process.id, [pages(0, 8)])
    process.now = 10 * S
    refaults.moved(process.id, [pages(4, 12)])
    assert refaults.bytes == 4 * PAGE
    assert refaults.watched == 12 * PAGE
    process.now = WINDOW_NS + 5 * S
    process.there(0, 5)
    assert refaults.look() == 2 * PAGE, "page 0 at the last look of its batch"
    process.there(1, 6)
    assert refaults.look() == PAGE, "page 1 is watched no longer, page 6 is"


def test_moves_close_in_time_share_a_batch(process: Process) -> None:
    refaults = process.watch()
    for page in range(0, 60, 2):
        refaults.moved(process.id, [pages(page, page + 1)])
        process.now += S // 10
    assert len(refaults._batches) == 1
    process.there(0, 1, 2)
    assert refaults.look() == 2 * PAGE


def test_a_process_that_ended_is_forgotten(process: Process) -> None:
    refaults = process.watch()
    refaults.moved(process.id, [pages(0, 8)])
    refaults.moved(ProcessId(99, 1), [pages(0, 8)])
    assert refaults.look() == 0
    assert refaults.watched == 8 * PAGE


def test_too_many_pieces_are_said_to_be_unwatched(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RANGES", 4)
    refaults = process.watch()
    refaults.moved(process.id, [pages(n, n + 1) for n in (0, 2, 4)])
    refaults.moved(process.id, [pages(n, n + 1) for n in (6, 8)])
    assert (refaults.watched, refaults.unwatched) == (3 * PAGE, 2 * PAGE)
