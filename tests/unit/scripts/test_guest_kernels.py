"""Which kernels guests are booted with, and what becomes of those that cannot be had."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts import content
from scripts.guest import kernels, stock, suite, tools
from scripts.guest.debian import NotOffered
from scripts.guest.kernels import Kernel
from scripts.guest.machine import Machine
from scripts.stages import current

ONE = Machine(smp=1)
NEWEST = Kernel("7.2.13", Path("a"), True, kernels.FULL)
OLDER = Kernel("6.12.117", Path("b"), False, kernels.FULL)
TESTS = {"all": 9, "default": 5, "612": 4, "version": 2, "stock-612": 3, "stock-version": 1, "stock-pte": 7}
TESTS |= {"stock-arm64": 8, "stock-arm64-units": 20, "stock-16k": 15, "stock-arm64-smoke": 3}
FILES = ("tests/guest/test_smoke.py",)


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two kernels of ours, plans that are known, and nothing that is fetched or left behind."""
    monkeypatch.setattr(tools, "absent", list)
    monkeypatch.setattr(kernels, "find", lambda: [NEWEST, OLDER])
    monkeypatch.setattr(suite, "_compile", lambda: None)
    monkeypatch.setattr(suite, "PLACE", tmp_path)
    monkeypatch.setattr(suite.Plans, "of", planned)
    monkeypatch.setattr(current, "left_out", 0)
    monkeypatch.setattr(stock, "guests", had)


def planned(self: suite.Plans, name: str) -> dict[Machine, suite.Tests]:
    return {ONE: suite.Tests(TESTS[name], FILES)} if name else {}


def had(wanted: stock.Wanted) -> list[Kernel]:
    version = ".".join(map(str, wanted.series))
    return stock.machines(wanted, Path(f"debian-{version}.0-{wanted.machine}{wanted.flavour}"))


def not_had(wanted: stock.Wanted) -> list[Kernel]:
    raise NotOffered("it is too old")


def booted(planned: suite.Planned) -> list[tuple[str, str]]:
    return sorted((job.kernel.release, job.suite) for job in planned.jobs)


def test_in_short_of_two_kernels_of_a_series_debians() -> None:
    """And of arm64 the processor that is emulated in less time, with few tests."""
    arm = ("6.1.0-arm64", "stock-arm64-smoke")
    assert booted(suite.jobs()) == [arm, ("6.12.0-amd64", "stock-version"), ("7.2.13", "default")]
    assert current.left_out == (9 - 5) + 4 + (3 - 1) + 20 + (8 - 3)


def test_in_short_ours_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "guests", not_had)
    planned = suite.jobs()
    assert booted(planned) == [("6.12.117", "version"), ("7.2.13", "default")]
    absent, arm = planned.absent
    assert absent.result.verdict == "not run"
    assert absent.result.detail == "Debian trixie's 6.12 for amd64: it is too old"
    assert absent.result.counts.skipped == TESTS["stock-version"]
    assert arm.result.counts.skipped == TESTS["stock-arm64-smoke"]


def test_in_long_all_of_them() -> None:
    assert booted(suite.jobs(long=True)) == [
        ("5.10.0-amd64", "stock-pte"), ("6.1.0-amd64", "stock-pte"), ("6.1.0-arm64", "stock-arm64"),
        ("6.1.0-arm64", "stock-arm64-units"), ("6.12.0-amd64", "stock-612"), ("6.12.0-arm64", "stock-arm64"),
        ("6.12.0-arm64", "stock-arm64"), ("6.12.0-arm64-16k", "stock-16k"), ("6.12.117", "612"),
        ("7.0-amd64", "stock-pte"), ("7.2.13", "all"),
    ]  # fmt: skip


def test_unit_tests_run_once_for_each_size_of_pages() -> None:
    """Of a kernel for Arm with the processor that sets accessed bits, in one guest; a Cortex-A72 has no 16 KiB."""
    arms = [wanted for wanted in stock.WANTED if wanted.machine == "arm64"]
    made = [(kernel.processor, kernel.suite_of(True)) for wanted in arms for kernel in had(wanted)]
    assert made == [
        ("max", "stock-arm64-units"), ("cortex-a72", "stock-arm64"),
        ("max", "stock-arm64"), ("cortex-a72", "stock-arm64"), ("max", "stock-16k"),
    ]  # fmt: skip


def test_a_boot_is_given_the_files_of_its_tests_or_what_was_asked_for() -> None:
    assert {job.arguments for job in suite.jobs().jobs} == {FILES}
    assert {job.arguments for job in suite.jobs(only=["-k", "a"]).jobs} == {("-k", "a")}


def test_a_job_is_read_as_it_was_written() -> None:
    for job in suite.jobs(long=True).jobs:
        assert suite.Job.read(job.name) == job


@pytest.mark.parametrize(
    ("release", "wanted", "is_of"),
    [
        ("5.10.0-32-amd64", (5, 10), True),
        ("5.1.0-3-amd64", (5, 10), False),
        ("6.12.117+deb13-amd64", (6, 12), True),
        ("6.12.117+deb13-amd64", (6, 1), False),
        ("7.2.13+deb14-amd64", (7,), True),
    ],
)
def test_the_series_of_a_release(release: str, wanted: tuple[int, ...], is_of: bool) -> None:
    assert stock._is_of(release, stock.Wanted("any", wanted)) is is_of


def test_the_newest_that_was_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stock, "CACHE", tmp_path)
    releases = (
        "5.10.0-9-amd64",
        "5.10.0-32-amd64",
        "5.10.0-99-arm64",
        "5.10.0-7-arm64-16k",
        "6.1.0-50-amd64",
    )
    for release in releases:
        (tmp_path / f"debian-{release}").mkdir()
        (tmp_path / f"debian-{release}" / "vmlinuz").touch()
    assert stock.ensure(stock.Wanted("bullseye", (5, 10))).name == "debian-5.10.0-32-amd64"
    assert stock.ensure(stock.Wanted("bullseye", (5, 10), machine="arm64")).name == "debian-5.10.0-99-arm64"
    sixteen = stock.Wanted("bullseye", (5, 10), machine="arm64", flavour="-16k")
    assert stock.ensure(sixteen).name == "debian-5.10.0-7-arm64-16k"


class Archive:
    """Of Debian, with one kernel."""

    def __init__(self) -> None:
        self.asked = 0

    @contextmanager
    def packages(self, release: str, machine: str) -> Iterator[Archive]:
        self.asked += 1
        yield self

    def names(self, pattern: str) -> list[str]:
        return ["linux-image-5.10.0-9-amd64"]

    def depends(self, name: str) -> list[str]:
        return []

    def unpack(self, names: list[str], target: Path) -> None:
        target.mkdir()
        (target / "vmlinuz-5.10.0-9-amd64").write_text("kernel")


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Archive:
    archive = Archive()
    monkeypatch.setattr(stock, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(stock, "packages", archive.packages)
    return archive


@pytest.mark.parametrize("damage", ["", "kern", None])
def test_a_kernel_that_is_damaged_is_fetched_again(archive: Archive, damage: str | None) -> None:
    wanted = stock.Wanted("bullseye", (5, 10))
    image = stock.ensure(wanted) / "vmlinuz"
    assert stock.ensure(wanted) == image.parent
    assert archive.asked == 1
    if damage is None:
        image.unlink()
    else:
        image.write_text(damage)
    assert stock.ensure(wanted) == image.parent
    assert image.read_text() == "kernel"
    assert archive.asked == 2


def test_nothing_is_left_of_a_kernel_for_which_there_is_no_room(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try left as much as had found room."""

    def full(source: Path, target: Path) -> None:
        target.mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(OSError, match="No space left"):
        stock.ensure(stock.Wanted("bullseye", (5, 10)))
    assert not list((tmp_path / "cache").iterdir())


def test_two_may_fetch_at_once(tmp_path: Path) -> None:
    """Two checkouts have one cache: the second finds what the first has made meanwhile."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    content.settle(tmp_path / "first", tmp_path / "target")
    content.settle(tmp_path / "second", tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "first"
    with pytest.raises(FileNotFoundError):
        content.settle(tmp_path / "second", tmp_path / "absent" / "target")
