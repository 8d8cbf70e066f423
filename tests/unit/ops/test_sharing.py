"""Who shares what: address spaces, families of forked processes, and page frames."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest

from tests.integration.programs import forked
from udamon.core.target import Target
from udamon.linux.procfs import ProcessId, read_stat
from udamon.linux.roots import Roots
from udamon.linux.smaps import MappingPages, Referenced, parse_mapped, parse_referenced, read_smaps
from udamon.native._native import add_frames, address_of, new_frames
from udamon.ops.sharing import SharingProbe, _of
from udamon.targets.spaces import AddressSpaces

PAGE = mmap.PAGESIZE


def target(index: int, pid: int) -> Target:
    return Target(index, pid, read_stat(pid).start_time)


def test_one_address_space_and_one_family() -> None:
    """A target that is there twice is one address space; a forked child is another one of the same family."""
    with forked(lambda: None) as child:
        me, again, other = target(0, os.getpid()), target(1, os.getpid()), target(2, child)
        spaces = AddressSpaces()
        spaces.update([me, again, other])
        assert [spaces.leader(one) for one in (me, again, other)] == [0, 0, 2]
        assert spaces.family(me) == spaces.family(other) is not None
        assert not spaces.maybe_same_space(other)
        spaces.update([again, other])  # the first has left
        assert [spaces.leader(one) for one in (again, other)] == [1, 2]


def test_where_the_kernel_cannot_tell() -> None:
    """Without kcmp any two of a family may be one: nothing of theirs is called private."""

    def compare(one: int, other: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    with forked(lambda: None) as child:
        spaces = AddressSpaces(compare=compare)
        both = [target(0, os.getpid()), target(1, child)]
        spaces.update(both)
        assert all(spaces.maybe_same_space(one) for one in both)
    seen = Referenced(0, 4 * PAGE, 4 * PAGE, 2 * PAGE)
    mapped = MappingPages(3 * PAGE, 4 * PAGE, 0, "00:00", 0, 0)
    assert [_of(seen, mapped, 5, alone=alone).private for alone in (True, False)] == [3 * PAGE, 0]


def test_flags_are_read_again_once_files_can_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    (tmp_path / "kpageflags").write_bytes(b"")
    probe = SharingProbe(Roots(tmp_path, tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        probe.begin(many=True)
    probe.begin(many=True)
    assert probe._flags is not None
    assert probe._flags._fd is not None
    probe.close()


@pytest.mark.parametrize(
    ("anonymous", "merged", "sure"), [(8, 0, 4), (6, 0, 2), (0, 0, 0), (8, 3, 1)]
)  # fmt: skip
def test_what_was_surely_accessed(anonymous: int, merged: int, sure: int) -> None:
    """Of 8 pages 4 are referenced: page cache and pages that KSM merged may be so because of others."""
    seen = Referenced(0, 8 * PAGE, 8 * PAGE, 4 * PAGE)
    mapped = MappingPages(0, anonymous * PAGE, merged * PAGE, "fe:00", 7, 4 * PAGE)
    found = _of(seen, mapped, 5, alone=True)
    assert found.touched_min == sure * PAGE
    assert found.file_offset == (4 * PAGE if not anonymous else None)


def test_smaps_tells_whose_pages_are() -> None:
    """Of this process: memory of its own is private and anonymous; each mapping with something resident is told of."""
    area = mmap.mmap(-1, 64 * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.write(b"x" * (64 * PAGE))
    me = target(0, os.getpid())
    data = read_smaps(ProcessId(me.pid or 0, me.start_time or 0))
    mapped = parse_mapped(data)
    assert [seen for seen, _ in mapped] == parse_referenced(data)
    seen, found = next(both for both in mapped if both[0].start <= address_of(area) < both[0].end)
    assert found is not None
    assert found.private == found.anonymous == seen.rss >= 64 * PAGE
    assert found.inode == 0
    assert all(one is not None and one.private <= seen.rss for seen, one in mapped)


def test_frames_count_once_for_each_object() -> None:
    """The same pages read again are not new, those of another object are; the set grows as it must."""
    area = mmap.mmap(-1, 4096 * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.write(b"x" * (4096 * PAGE))
    first = address_of(area) // PAGE
    fd = os.open("/proc/self/pagemap", os.O_RDONLY)
    try:
        frames = new_frames()
        fresh, hidden = add_frames(frames, fd, 0, first, first + 4096)
        assert fresh + hidden == 4096
        if not hidden:  # page frame numbers may be seen
            assert add_frames(frames, fd, 0, first, first + 4096) == (0, 0)
            assert add_frames(frames, fd, 1, first, first + 7) == (7, 0)
        for object, page, last in ((1 << 24, 0, 1), (0, 2, 1), (0, 0, 1 << 60)):
            with pytest.raises(ValueError, match="pages are in order"):
                add_frames(frames, fd, object, page, last)
    finally:
        os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        add_frames(frames, fd, 0, first, first + 1)


def _frames_hidden(page: int) -> bool:
    fd = os.open("/proc/self/pagemap", os.O_RDONLY)
    try:
        return add_frames(new_frames(), fd, 0, page, page + 1)[1] > 0
    finally:
        os.close(fd)


@pytest.mark.parametrize(("times", "counted"), [(1, False), (3, True)])
def test_one_process_that_maps_a_file_again(tmp_path: Path, times: int, counted: bool) -> None:
    """Its pages are distinct once, by their frames; where nothing is mapped again, no frames are read."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * (64 * PAGE))
    with path.open("rb") as file:
        areas = [mmap.mmap(file.fileno(), 64 * PAGE, mmap.MAP_SHARED, mmap.PROT_READ) for _ in range(times)]
    assert all(sum(area[::PAGE]) for area in areas)
    me = target(0, os.getpid())
    process = ProcessId(me.pid or 0, me.start_time or 0)
    spaces = AddressSpaces()
    spaces.update([me])
    data = read_smaps(process)
    found = parse_mapped(data)
    inode = path.stat().st_ino
    found = [one for one in found if one[1] is not None and one[1].inode == inode]
    probe = SharingProbe()
    probe.begin(many=False)
    shared = probe.of(process, spaces.family(me), found, alone=True)
    distinct = [one.distinct for one in shared if one is not None]
    if not counted:
        assert distinct == [None] * len(found)
    elif _frames_hidden(address_of(areas[0]) // PAGE):
        pytest.skip("page frame numbers may not be seen")
    else:
        assert None not in distinct
        assert len(found) > 1 or found[0][0].end - found[0][0].start == 64 * times * PAGE
        assert sum(one or 0 for one in distinct) == 64 * PAGE
