"""What a test may ask of the machine: one probe a capability.

`@pytest.mark.needs("root", "idle_bitmap")` skips a test, with the reason, where a probe says no. Every name
in the environment variable UDAMON_REQUIRE (commas between; `make test` sets it under CI=true) turns such a
skip into a failure, so that a CI which has lost a capability does not go on green. Skips for other reasons: skips.py.

Probes look at features, never at versions, and change nothing on the machine.
"""

from __future__ import annotations

import fcntl
import functools
import importlib
import importlib.util
import mmap
import os
import pwd
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from scripts import damo
from scripts.guest import kernels, tools

Probe = Callable[[], str | None]
"""Returns None when the capability is there, else the reason why it is not."""

_PROBES: dict[str, Probe] = {}

_PAGEMAP_SCAN = (3 << 30) | (96 << 16) | (ord("f") << 8) | 16  # _IOWR('f', 16, struct pm_scan_arg)
_SOFT_DIRTY, _FRAME = 1 << 55, (1 << 55) - 1


def capability(probe: Probe) -> Probe:
    _PROBES[probe.__name__] = probe
    return probe


def names() -> list[str]:
    return sorted(_PROBES)


@functools.cache
def missing(name: str) -> str | None:
    """Why `name` is missing here; None when it is there. KeyError for a name nobody probes."""
    return _PROBES[name]()


def required() -> set[str]:
    """Capabilities that this machine must have."""
    return set(filter(None, os.environ.get("UDAMON_REQUIRE", "").split(",")))


def inside_guest() -> bool:
    return "UDAMON_GUEST" in os.environ


@capability
def guest() -> str | None:
    return None if inside_guest() else "not inside the test guest"


@capability
def qemu() -> str | None:
    """The machine can boot a test guest."""
    absent = tools.absent()
    if absent:
        return f"{', '.join(absent)} not installed"
    return None if kernels.ready() else "no test kernel beside the checkout and none built"


@capability
def root() -> str | None:
    return None if os.geteuid() == 0 else "not root"


@capability
def second_user() -> str | None:
    """Tests may start a process as somebody else."""
    if os.geteuid() != 0:
        return "only root can start processes of another user"
    try:
        pwd.getpwnam("nobody")
    except KeyError:
        return "there is no user nobody"
    return None


@capability
def clear_refs() -> str | None:
    if "Referenced:" not in Path("/proc/self/smaps").read_text():
        return "/proc/self/smaps has no Referenced line (CONFIG_PROC_PAGE_MONITOR)"
    return None if os.access("/proc/self/clear_refs", os.W_OK) else "/proc/self/clear_refs is not writable"


@capability
def cgroup() -> str | None:
    """A cgroup hierarchy is mounted in which a child can be made."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, rest = after.partition(" ")
        if kind not in ("cgroup", "cgroup2"):
            continue
        fields = before.split()
        if "ro" not in fields[5].split(",") and os.access(fields[4], os.W_OK) and rest:
            return None
    return "no cgroup hierarchy that this user may write to is mounted"


@capability
def idle_bitmap() -> str | None:
    try:
        with open("/sys/kernel/mm/page_idle/bitmap", "rb") as bitmap:
            bitmap.read(8)
    except OSError as error:
        return f"/sys/kernel/mm/page_idle/bitmap: {error.strerror}"
    return None


def _own_entry() -> int:
    """The page-map entry of a page of this process that was just written."""
    with mmap.mmap(-1, mmap.PAGESIZE) as page, open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        page[0] = 1
        address = _address_of(page)
        data = os.pread(pagemap.fileno(), 8, address // mmap.PAGESIZE * 8)
    return int(struct.unpack("Q", data)[0])


def _address_of(page: mmap.mmap) -> int:
    import ctypes

    anchor = ctypes.c_char.from_buffer(page)
    try:
        return ctypes.addressof(anchor)
    finally:
        del anchor  # or the mapping cannot be closed


@capability
def soft_dirty() -> str | None:
    # A page that was never cleared and was just written is soft-dirty on every kernel that keeps the bit.
    return None if _own_entry() & _SOFT_DIRTY else "the page map has no soft-dirty bit"


@capability
def frame_numbers() -> str | None:
    return None if _own_entry() & _FRAME else "the page map withholds frame numbers (CAP_SYS_ADMIN)"


@capability
def pagemap_scan() -> str | None:
    # An empty range with no vector: the kernel has nothing to walk and nothing to return.
    argument = struct.pack("12Q", 96, *[0] * 11)
    try:
        with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
            fcntl.ioctl(pagemap, _PAGEMAP_SCAN, argument)
    except OSError as error:
        return f"the page map does not answer PAGEMAP_SCAN ({error.strerror})"
    return None


@capability
def pages_of_4k() -> str | None:
    return None if mmap.PAGESIZE == 4 << 10 else f"small pages have {mmap.PAGESIZE >> 10} KiB here"


@capability
def pages_of_16k() -> str | None:
    return None if mmap.PAGESIZE == 16 << 10 else f"small pages have {mmap.PAGESIZE >> 10} KiB here"


@capability
def swap() -> str | None:
    return None if len(Path("/proc/swaps").read_text().splitlines()) > 1 else "no swap is on"


@capability
def zram() -> str | None:
    return None if Path("/sys/block/zram0").is_dir() else "no zram device"


@capability
def thp() -> str | None:
    there = Path("/sys/kernel/mm/transparent_hugepage/enabled").exists()
    return None if there else "no transparent huge pages"


@capability
def damon_free() -> str | None:
    """In-kernel DAMON is there and unused. It is one resource of a whole machine: only guests offer it."""
    if not inside_guest():
        return "tests drive in-kernel DAMON only inside the test guest"
    count = Path("/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds")
    if not count.exists():
        return "the kernel has no DAMON sysfs interface"
    return None if int(count.read_text()) == 0 else "in-kernel DAMON is in use"


@capability
def fuse() -> str | None:
    """This user can mount file systems of their own."""
    from udamon.control.mounting import mfusepy
    from udamon.errors import CannotError

    try:
        mfusepy()
    except CannotError as error:
        return str(error)
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse may not be opened"
    mounts = os.geteuid() == 0 or shutil.which("fusermount3")
    return None if mounts else "mounting as a user needs fusermount3"


@capability
def fusermount() -> str | None:
    """Users who are not root can mount."""
    return None if shutil.which("fusermount3") else "fusermount3 is not installed (package fuse3)"


@capability
def redis() -> str | None:
    both = shutil.which("redis-server") and shutil.which("redis-benchmark")
    return None if both else "redis-server is not installed"


@capability
def postgres() -> str | None:
    # Debian keeps the server's programs out of PATH, one directory a major version.
    server = shutil.which("postgres") or list(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return None if server else "postgresql is not installed"


@capability
def chromium() -> str | None:
    from tests.integration import browser

    return None if browser.program() else "no Chromium is installed"


@capability
def damo_reads() -> str | None:
    """The real damo can be run on files, as somebody who is not root."""
    command = damo.command()
    return command if isinstance(command, str) else None


@capability
def compiler() -> str | None:
    return None if shutil.which("gcc") else "gcc is not installed"


@capability
def process_madvise() -> str | None:
    from udamon.linux import features  # the system call has no other name in Python

    if features.process_madvise() is not features.SystemCall.THERE:
        return "the kernel has no process_madvise"
    nice = features.has_capability(features.CAP_SYS_NICE)
    return None if nice else "acting on another process needs CAP_SYS_NICE"


def _imported(*modules: str) -> str | None:
    """None where all can be imported, else what cannot, and the extra of a checkout that brings it."""
    for each in modules:
        try:
            importlib.import_module(each)
        except ImportError as error:
            return f"{each} cannot be imported ({error}); pip install '.[test,readers]'"
    return None


@capability
def spark() -> str | None:
    """PySpark with a Java that it can start."""
    if shutil.which("java") is None:
        return "Spark needs Java, which is not installed"
    return _imported("pyspark.sql", "pyarrow")


@capability
def iceberg() -> str | None:
    return _imported("pyiceberg.catalog", "pyarrow")


@capability
def pandas() -> str | None:
    return _imported("pandas")


@capability
def polars() -> str | None:
    return _imported("polars")


@capability
def pyarrow() -> str | None:
    return _imported("pyarrow")


@capability
def sqlglot() -> str | None:
    return (
        None if importlib.util.find_spec("sqlglot") else "SQLGlot is missing; pip install 'udamon[engines]'"
    )
