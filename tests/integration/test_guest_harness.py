"""A guest that died, hung, failed or ran nothing is never taken for a success."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import parallel
from scripts.guest import kernels
from scripts.guest.boot import DIED, HUNG, Ended, boot
from scripts.guest.machine import Machine
from scripts.guest.suite import Job, judge, problems
from scripts.stages import Counts, Result

JUNIT = '<testsuites><testsuite tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}"/></testsuites>'
SMALL = Machine(smp=1, mem=512)


def junit(place: Path, tests: int = 3, failures: int = 0, skipped: int = 0) -> Path:
    file = place / "junit.xml"
    file.write_text(JUNIT.format(tests=tests, failures=failures, skipped=skipped))
    return file


def test_all_planned_tests_ran(tmp_path: Path) -> None:
    counts, problem = judge(Ended(0, 1.0), junit(tmp_path, skipped=1))
    assert (counts, problem) == (Counts(passed=2, skipped=1), "")


@pytest.mark.parametrize(
    ("ended", "ran", "failures", "problem"),
    [
        (Ended(1, 1.0), 3, 1, "status 1"),
        (Ended(0, 1.0), 3, 1, "1 failed"),  # a status that lies
        (Ended(1, 1.0), 3, 0, "status 1"),
        (Ended(DIED, 1.0, "ended without a status"), 3, 0, "ended without a status"),
        (Ended(HUNG, 1.0, "killed after its limit of 9 s"), 3, 0, "killed after its limit"),
    ],
)
def test_anything_else_is_a_failure(
    tmp_path: Path, ended: Ended, ran: int, failures: int, problem: str
) -> None:
    counts, said = judge(ended, junit(tmp_path, ran, failures))
    assert problem in said
    assert counts.failed > 0


def test_a_guest_that_counted_nothing_failed(tmp_path: Path) -> None:
    counts, said = judge(Ended(0, 1.0), tmp_path / "absent.xml")
    assert "no count" in said
    assert counts.failed == 1


def job(copy: int, tests: int = 3) -> Job:
    kernel = kernels.Kernel("7.2.13", Path("bzImage"), True, kernels.FULL)
    return Job(kernel, SMALL, "default", "7.2.13-small", tests, copy, ("tests/guest",))


def ended(copy: int, counts: Counts) -> parallel.Ended:
    return parallel.Ended(job(copy).stage, Result(counts=counts), 1.0, 1.0, 1)


@pytest.mark.parametrize(
    ("counts", "wrong"),
    [
        ([Counts(passed=3), Counts()], []),
        ([Counts(passed=1), Counts(passed=1, skipped=1)], []),
        ([Counts(passed=1), Counts(passed=1)], ["7.2.13-small: 2 tests ran instead of 3"]),
        ([Counts(), Counts()], ["7.2.13-small: 0 tests ran instead of 3"]),
        ([Counts(passed=3), Counts(passed=1)], ["7.2.13-small: 4 tests ran instead of 3"]),
        ([Counts(passed=2)], ["7.2.13-small: 2 tests ran instead of 3"]),  # one boot left no result
    ],
)
def test_guests_that_share_tests_run_each_once(counts: list[Counts], wrong: list[str]) -> None:
    results = [ended(copy, each) for copy, each in enumerate(counts)]
    assert problems([job(0), job(1)], results) == wrong


def test_a_guest_that_found_all_tests_taken_is_no_failure(tmp_path: Path) -> None:
    assert judge(Ended(5, 1.0), junit(tmp_path, tests=0)) == (Counts(), "")


@pytest.mark.slow
@pytest.mark.needs("qemu")
class TestRealGuests:
    """Each boots a guest, which takes some ten seconds."""

    def test_the_status_of_the_script_comes_out(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With its output, its writes to the checkout kept inside, and root outside untouched."""
        here = Path(__file__).with_suffix(".mark")
        script = f"echo heard; touch '{here}' || exit 9; exit 3\n"
        ended = boot(kernels.find()[0], SMALL, script, tmp_path / "guest", limit=120)
        assert (ended.status, ended.why, ended.began) == (3, "", True)
        assert "heard" in capsys.readouterr().out
        assert not here.exists()

    def test_a_guest_that_crashes(self, tmp_path: Path) -> None:
        """The script runs, the kernel panics, nothing is left that could report a success."""
        ended = boot(kernels.find()[0], SMALL, "echo c >/proc/sysrq-trigger\n", tmp_path / "guest", limit=120)
        assert ended.status == DIED
        assert ended.why

    def test_a_guest_that_hangs(self, tmp_path: Path) -> None:
        """Killed at its limit, although it had begun to talk."""
        ended = boot(
            kernels.find()[0], SMALL, "echo begun; sleep 1000\n", tmp_path / "guest", limit=20, silence=0
        )
        assert ended.status == HUNG
        assert "limit" in ended.why
        assert ended.seconds < 1000  # which the script would take
