"""A fake /proc for tests of readers and operations sets, and a test that the real readers take it for one."""

from __future__ import annotations

from pathlib import Path

from udamon.linux.procfs import ProcessId, list_pids, read_stat, read_status

SMAPS_FIELDS = (
    "Size:               {size} kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n"
    "Rss:                {rss} kB\nPss:                   4 kB\nPss_Dirty:             0 kB\n"
    "Shared_Clean:          0 kB\nShared_Dirty:          0 kB\nPrivate_Clean:         0 kB\n"
    "Private_Dirty:         0 kB\nReferenced:         {referenced} kB\nAnonymous:             0 kB\n"
    "KSM:                   0 kB\nLazyFree:              0 kB\nAnonHugePages:         0 kB\n"
    "ShmemPmdMapped:        0 kB\nFilePmdMapped:         0 kB\nShared_Hugetlb:        0 kB\n"
    "Private_Hugetlb:       {hugetlb} kB\nSwap:                  0 kB\nSwapPss:               0 kB\n"
    "Locked:                0 kB\nTHPeligible:           0\nVmFlags: rd wr mr mw me {flags}\n"
)


def smaps_entry(header: str, rss: int = 0, referenced: int = 0, hugetlb: int = 0) -> str:
    """One mapping of a smaps file; sizes in kB."""
    flags = "ht sd" if hugetlb else "sd"
    return (
        header
        + "\n"
        + SMAPS_FIELDS.format(size=4, rss=rss, referenced=referenced, hugetlb=hugetlb, flags=flags)
    )


MAPS = """\
55d000000000-55d000002000 r-xp 00000000 08:01 131 /usr/bin/sleep
55d000010000-55d000031000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0000010000 rw-p 00000000 00:00 0 
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0 [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
"""  # noqa: W291 (as the kernel prints it)


class FakeProc:
    """Processes as directories below `root`, each file written as given."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "self" / "task").mkdir(parents=True)
        self.process(1, comm="init", start_time=1)

    def process(
        self,
        pid: int,
        *,
        comm: str = "sleep",
        state: str = "S",
        ppid: int = 1,
        flags: int = 0,
        threads: int = 1,
        start_time: int = 100,
        code: int = 0x55D000000000,
        maps: str = MAPS,
        smaps: str = "",
        uid: int = 0,
    ) -> ProcessId:
        """Write, or write anew, the files of a process."""
        directory = self.root / str(pid)
        (directory / "task" / str(pid)).mkdir(parents=True, exist_ok=True)
        stat = (
            f"{pid} ({comm}) {state} {ppid} 1 1 0 -1 {flags} 0 0 0 0 7 3 0 0 20 0 {threads} 0 "
            f"{start_time} 1000 10 184467 {code} {code + 100} {code + 200} 0 0 0 0 0 0 0 0 0 17 0 0 0\n"
        )
        status = f"Name:\t{comm}\nTgid:\t{pid}\nPid:\t{pid}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nCapEff:\t0\n"
        files = {"stat": stat, "status": status, "maps": maps, "smaps": smaps, "comm": comm + "\n"}
        files |= {"cmdline": comm + "\0-x\0", "clear_refs": "", f"task/{pid}/children": ""}
        for name, text in files.items():
            (directory / name).write_text(text)
        return ProcessId(pid, start_time)

    def children(self, pid: int, *children: int) -> None:
        (self.root / str(pid) / "task" / str(pid) / "children").write_text(" ".join(map(str, children)) + " ")

    def remove(self, pid: int) -> None:
        """The process ended and was collected."""
        (self.root / str(pid)).rename(self.root / f"gone-{pid}-{len(list(self.root.iterdir()))}")


def test_the_fake_reads_like_the_real_thing(tmp_path: Path) -> None:
    """The readers see in the fake what was put in."""
    fake = FakeProc(tmp_path)
    fake.process(42, comm="a b", start_time=77, uid=5)
    assert list_pids(tmp_path) == [1, 42]
    assert (read_stat(42, tmp_path).start_time, read_stat(42, tmp_path).comm) == (77, "a b")
    assert (read_status(42, tmp_path).uid, read_status(42, tmp_path).tgid) == (5, 42)
