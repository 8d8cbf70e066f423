"""The guest is the machine that the other guest tests take it for."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.guest.machine import Machine
from scripts.stages import ROOT
from tests import capabilities

pytestmark = pytest.mark.guest_boot(smp=1)  # a machine that every kernel is booted on anyway
HAS = ("soft_dirty", "frame_numbers", "pagemap_scan", "clear_refs", "thp", "damon_free", "pages_of_16k")
everywhere = pytest.mark.guest_version
"""On the older kernels too."""


@everywhere
@pytest.mark.guest_pte
@pytest.mark.guest_arm64
@pytest.mark.guest_smoke
def test_the_kernel_is_the_one_asked_for() -> None:
    assert os.uname().release.startswith(os.environ["UDAMON_GUEST_KERNEL"])


@everywhere
@pytest.mark.guest_arm64
def test_root() -> None:
    assert os.geteuid() == 0


@everywhere
@pytest.mark.needs("damon_free")
def test_kernel_damon_can_be_driven() -> None:
    """Writing here is for guests only: in-kernel DAMON is one resource of a whole machine."""
    count = Path("/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds")
    count.write_text("1")
    assert Path("/sys/kernel/mm/damon/admin/kdamonds/0/state").read_text().strip() == "off"
    count.write_text("0")


@everywhere
@pytest.mark.needs("idle_bitmap")
def test_the_idle_bitmap_takes_writes() -> None:
    with open("/sys/kernel/mm/page_idle/bitmap", "r+b", buffering=0) as bitmap:
        assert len(bitmap.read(8)) == 8
        bitmap.seek(0)
        assert bitmap.write(bytes(8)) == 8


@everywhere
@pytest.mark.guest_pte
@pytest.mark.guest_arm64
@pytest.mark.parametrize("name", [*HAS])
def test_the_kernel_has(name: str) -> None:
    """Through the same probes that decide whether a test is skipped: a probe that is wrong shows here."""
    required = os.environ["UDAMON_REQUIRE"].split(",")
    reason = capabilities.missing(name)
    assert (reason is None) or name not in required, reason


@everywhere
def test_the_checkout_is_writable_and_the_outside_is_not() -> None:
    """Writes go to memory: the file is here, and gone when the guest is."""
    mark = Path(__file__).with_name("written-in-the-guest")
    mark.write_text("x")
    assert mark.read_text() == "x"


def test_one_processor() -> None:
    assert os.cpu_count() == 1
    assert os.environ["UDAMON_GUEST"] == Machine(smp=1).name


@pytest.mark.guest_boot(smp=2, mem=1024, append="numa=fake=2")
def test_two_processors() -> None:
    assert os.cpu_count() == 2


@everywhere
@pytest.mark.guest_arm64
@pytest.mark.needs("second_user")
def test_another_user_can_run_udamon() -> None:
    """Wherever the checkout lies outside: the guest opens the way to it."""
    nobody = pwd.getpwnam("nobody")
    command = [sys.executable, "-c", "import udamon.native._native"]
    where = {
        "PYTHONPATH": str(ROOT / "src")
    }  # on arm64 nothing is installed, and PYTHONPATH is no absolute one
    subprocess.run(
        command,
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        cwd="/",
        check=True,
        env=os.environ | where,
    )
