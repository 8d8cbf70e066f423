"""The generations of MGLRU from made-up files, and the command that begins a new one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udamon.linux.lru_gen import Generation, NodeLru, age, lacks, parse, read, within
from udamon.model import PAGE_SIZE

TEXT = b"""memcg     1 /
 node     0
          0      90000          7          9
          1         50          1          2
memcg 18446744073709551615 /a
 node     0
        670     245000         -3        400
 node     1
          1        100       0          1
memcg    13 /a/b
 node     0
          4      18000      10         30
memcg    14 /ab
 node     0
          4      18000      10       1000
memcg    15 /empty
 node     0
"""


def test_all_of_it() -> None:
    found = parse(TEXT)
    assert [(one.memcg, one.path, one.node) for one in found] == [
        (1, "/", 0), ((1 << 64) - 1, "/a", 0), ((1 << 64) - 1, "/a", 1), (13, "/a/b", 0), (14, "/ab", 0),
    ]  # fmt: skip
    assert found[0].generations == (
        Generation(0, 90000, 7 * PAGE_SIZE, 9 * PAGE_SIZE), Generation(1, 50, PAGE_SIZE, 2 * PAGE_SIZE)
    )  # fmt: skip
    assert found[1].generations[0].anon == 0, "a counter may be negative for a moment"
    paths = [one.path for one in found]
    assert list(filter(within("/a"), paths)) == ["/a", "/a", "/a/b"]
    assert list(filter(within("/"), paths)) == paths
    assert not any(map(within("/b"), paths))


def test_without_control_groups() -> None:
    (only,) = parse(b"memcg     0 \n node     0\n  1 5 2 3\n")
    assert only[:3] == (0, "", 0)
    assert within("/")(only.path)


def test_a_name_cannot_pass_for_another_group() -> None:
    """All but the end of a line may be in the name of a group."""
    (only,) = parse(b"memcg 5 /a\rmemcg 6 /b\x0b\xff\n node 0\n 1 5 2 3\n")
    assert (only.memcg, only.path) == (5, "/a\rmemcg 6 /b\x0b\udcff")


@given(st.binary(max_size=200))
def test_whatever_is_in_it(data: bytes) -> None:
    for one in parse(b"memcg 5 /a\n node 0\n 1 5 2 3\n" + data):
        assert one.generations


def test_aging(tmp_path: Path) -> None:
    file = tmp_path / "lru_gen"
    file.write_bytes(TEXT)
    one = next(one for one in read(file) if one.path == "/a/b")
    file.write_bytes(b"")
    assert age(one, file)
    assert file.read_bytes() == b"+ 13 0 4 1 1"


@pytest.mark.parametrize("number", [17, 22, 34])
def test_somebody_was_faster_or_the_group_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(fd: int, data: bytes) -> int:
        raise OSError(number, "refused")

    (tmp_path / "lru_gen").write_bytes(TEXT)
    monkeypatch.setattr(os, "write", refuse)
    assert not age(NodeLru(1, "/", 0, (Generation(0, 0, 0, 0),)), tmp_path / "lru_gen")


def test_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enabled, file = tmp_path / "kernel/mm/lru_gen/enabled", tmp_path / "kernel/debug/lru_gen"
    assert "no multi-generational LRU" in str(lacks(tmp_path))
    enabled.parent.mkdir(parents=True)
    enabled.write_text("0x0006\n")
    assert "switched off" in str(lacks(tmp_path))
    enabled.write_text("0x0005\n")
    assert "all memory would seem idle" in str(lacks(tmp_path)), "no accessed bit is set by the processor"
    enabled.write_text("0x0003\n")
    assert "seem idle" not in str(lacks(tmp_path)), "entries of upper tables may be without accessed bits"
    for user, fix in ((1000, "run udamon as root"), (0, "mount -t debugfs none")):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert fix in str(lacks(tmp_path))
    file.parent.mkdir()
    file.write_bytes(TEXT)
    assert lacks(tmp_path) is None
