"""Page cache of a control group from made-up files of both versions, and from lru_gen."""

from __future__ import annotations

from pathlib import Path

import pytest

from udamon.linux.cgroup.page_cache import PageCache, page_cache, youngest_file_bytes
from udamon.model import PAGE_SIZE

LRU_GEN = b"""memcg     1 /
 node     0
          0      90000          7          9
          1         50          1          2
memcg    12 /a
 node     0
        670     245000     300        400
        671      18000      10         20
        672        100       3          5
 node     1
          1        100       0          1
memcg    13 /a/b
 node     0
          4      18000      10         30
          5        100       3         -6
memcg    14 /ab
 node     0
          4      18000      10       1000
"""


def test_version_2(tmp_path: Path) -> None:
    """Shared memory is part of `file` there, and no page cache."""
    (tmp_path / "memory.stat").write_text(
        "anon 5\nfile 1000\nkernel 70\nshmem 100\nfile_mapped 300\nactive_file 800\ninactive_file 100\n"
    )
    found = page_cache(tmp_path, tmp_path / "none", "/a")
    assert found == PageCache(900, 200, 800, 70, "memory.stat")
    assert found.only_read == 700
    assert found._replace(hot=400).only_read == 400


def test_version_1(tmp_path: Path) -> None:
    """The totals are those of the group and below."""
    (tmp_path / "memory.stat").write_text(
        "cache 1\nmapped_file 1\nactive_file 1\ntotal_cache 1000\ntotal_shmem 0\ntotal_mapped_file 300\n"
        "total_active_file 250\n"
    )
    (tmp_path / "memory.kmem.usage_in_bytes").write_text("70\n")
    assert page_cache(tmp_path) == PageCache(1000, 300, 250, 70, "memory.stat")


def test_lru_gen(tmp_path: Path) -> None:
    """The two youngest generations of each node, of the group and below; a negative count is none (the kernel's
    counters may be, for a moment)."""
    (tmp_path / "memory.stat").write_text("file 900000\nactive_file 1\n")
    (tmp_path / "lru_gen").write_bytes(LRU_GEN)
    found = page_cache(tmp_path, tmp_path / "lru_gen", "/a")
    assert found == PageCache(900000, 0, (20 + 5 + 1 + 30) * PAGE_SIZE, 0, "lru_gen")
    assert youngest_file_bytes(LRU_GEN, "/a/b") == 30 * PAGE_SIZE
    assert youngest_file_bytes(LRU_GEN, "/") == (9 + 2 + 26 + 30 + 1000) * PAGE_SIZE
    assert youngest_file_bytes(LRU_GEN, "/c") is None
    assert page_cache(tmp_path, tmp_path / "lru_gen", "/c").source == "memory.stat"


@pytest.mark.parametrize("text", [b"", b"memcg", b"\xff\x00 1 2 3 4\n", b"memcg 1 /\n node 0\n x y z\n"])
def test_what_makes_no_sense(text: bytes) -> None:
    assert not youngest_file_bytes(text, "/")
