"""How small large pages of anonymous memory may be, and how many were given, by made-up files of the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from udamon.linux.large_pages import large_pages_given, smallest_large_page
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE

WORDS = ("always", "inherit", "madvise", "never")


def size(root: Path, kib: int, chosen: str, there: int | None = None) -> None:
    place = root / f"kernel/mm/transparent_hugepage/hugepages-{kib}kB"
    (place / "stats").mkdir(parents=True)
    (place / "enabled").write_text(" ".join(f"[{word}]" if word == chosen else word for word in WORDS))
    if there is not None:
        (place / "stats/nr_anon").write_text(f"{there}\n")


@pytest.mark.parametrize(
    ("general", "chosen", "smallest"),
    [
        ("always", "never", HUGE_PAGE_SIZE),
        ("always", "inherit", 4 * PAGE_SIZE),
        ("never", "inherit", HUGE_PAGE_SIZE),
        ("never", "madvise", 4 * PAGE_SIZE),
    ],
)
def test_sizes_that_the_kernel_may_give(tmp_path: Path, general: str, chosen: str, smallest: int) -> None:
    size(tmp_path, HUGE_PAGE_SIZE >> 10, "always")
    size(tmp_path, PAGE_SIZE >> 8, chosen)
    size(tmp_path, PAGE_SIZE >> 6, "never")
    (tmp_path / "kernel/mm/transparent_hugepage/enabled").write_text(f"madvise [{general}]")
    assert smallest_large_page(tmp_path) == smallest


def test_a_size_of_shared_memory_alone(tmp_path: Path) -> None:
    """Linux has 8 KiB for shmem, and none of that size for anonymous memory."""
    place = tmp_path / "kernel/mm/transparent_hugepage/hugepages-8kB"
    (place / "stats").mkdir(parents=True)
    (place / "shmem_enabled").write_text("[always] inherit within_size advise never\n")
    assert smallest_large_page(tmp_path) == HUGE_PAGE_SIZE


def test_sizes_that_memory_has_from_earlier(tmp_path: Path) -> None:
    assert smallest_large_page(tmp_path) == HUGE_PAGE_SIZE
    size(tmp_path, PAGE_SIZE >> 6, "never", there=3)
    size(tmp_path, PAGE_SIZE >> 7, "never", there=0)
    assert smallest_large_page(tmp_path) == 16 * PAGE_SIZE


def test_large_pages_that_were_given(tmp_path: Path) -> None:
    """By size where the kernel tells it; huge ones alone before that; none where there is nothing."""
    assert large_pages_given(tmp_path, tmp_path) == 0
    (tmp_path / "vmstat").write_text("pgfault 99\nthp_fault_alloc 3\nthp_file_alloc 1\nthp_file_mapped 70\n")
    assert large_pages_given(tmp_path, tmp_path) == 4 * HUGE_PAGE_SIZE
    for kib, anonymous, shared in ((HUGE_PAGE_SIZE >> 10, 3, 1), (64, 10, 2)):
        size(tmp_path, kib, "always")
        stats = tmp_path / f"kernel/mm/transparent_hugepage/hugepages-{kib}kB/stats"
        (stats / "anon_fault_alloc").write_text(f"{anonymous}\n")
        (stats / "shmem_alloc").write_text(f"{shared}\n")
    assert large_pages_given(tmp_path, tmp_path) == 4 * HUGE_PAGE_SIZE + 12 * (64 << 10)
