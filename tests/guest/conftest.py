"""What guest tests share: things that only a machine of one's own may be asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.capabilities import inside_guest
from tests.guest.stat import STAT


@pytest.fixture(scope="session", autouse=True)
def nobody_else_clears_accessed_bits() -> None:
    """Debian's 7.2 starts with DAMON_STAT on: its kdamond takes accesses away that tests have just
    made, and clears without a flush, while samples of pte do not advise (and flush) what is clear already."""
    if inside_guest() and STAT.exists() and STAT.read_text().strip() == "Y":
        STAT.write_text("N")


@pytest.fixture(scope="session")
def swap() -> None:
    """Swap on compressed memory, for the rest of this boot."""
    if len(Path("/proc/swaps").read_text().splitlines()) > 1:
        return
    size = Path("/sys/block/zram0/disksize")
    if not size.exists():
        pytest.skip("this kernel has no zram built in")
    size.write_text("128M")
    subprocess.run(["mkswap", "/dev/zram0"], check=True, capture_output=True)
    subprocess.run(["swapon", "/dev/zram0"], check=True)
