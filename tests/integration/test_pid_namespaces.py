"""A /proc of another pid namespace: nothing is watched or acted on by numbers that mean another process there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.forking import UDAMON
from tests.integration.recorder import held_until
from tests.unit.linux.test_fake import FakeProc
from udamon.acting.paddr import PaddrActor
from udamon.acting.vaddr import VaddrActor
from udamon.availability.findings import examine
from udamon.core.scheme import Action, ActionRequest
from udamon.errors import NotSupported
from udamon.linux.pid_namespace import foreign, require_own
from udamon.linux.process_madvise import open_process
from udamon.linux.procfs import ProcessId
from udamon.linux.roots import Roots
from udamon.live.largest import largest
from udamon.targets.processes import CgroupProcesses, NamedProcesses, ProcessFamilies, named_process

WAYS_OUT = r"another pid namespace.*unshare --mount-proc.*host's pid namespace"


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A /proc in which this process has another number than here; its own is a stranger's."""
    fake = FakeProc(tmp_path / "proc")
    fake.process(os.getpid())
    fake.process(999_999_999)
    _be(fake.root, "999999999", "999999999\t7")
    return fake.root


def _be(root: Path, number: str, numbers: str) -> None:
    shutil.rmtree(root / "self", ignore_errors=True)
    (root / "self").unlink(missing_ok=True)
    if number:
        (root / "self").symlink_to(number)
        text = f"Name:\tx\nTgid:\t{number}\nUid:\t0\t0\t0\t0\nNSpid:\t{numbers}\n"
        (root / number / "status").write_text(text)


def test_the_host_s_own_proc_is_ours() -> None:
    assert foreign() == ""


@pytest.mark.parametrize(
    ("number", "numbers", "ours"),
    [
        ("999999999", "999999999\t7", False),
        ("999999999", "999999999", False),
        pytest.param(f"{os.getpid()}", f"{os.getpid()}\t{os.getpid()}", False, id="equal by chance"),
        ("", "", False),  # this process is in none of its namespaces
        pytest.param(f"{os.getpid()}", f"{os.getpid()}", True, id="own"),
    ],
)
def test_whose_numbers_they_are(strange: Path, number: str, numbers: str, ours: bool) -> None:
    _be(strange, number, numbers)
    assert (foreign(strange) == "") == ours


def test_what_is_not_mounted_is_not_foreign(tmp_path: Path) -> None:
    """That has a sentence of its own."""
    assert foreign(tmp_path) == ""


def test_all_ways_to_a_process_are_refused(strange: Path) -> None:
    pid = os.getpid()
    for way in (
        lambda: require_own(strange),
        lambda: named_process(pid, strange),
        lambda: NamedProcesses([pid], strange),
        lambda: ProcessFamilies([pid], strange),
        lambda: CgroupProcesses("/", strange),
        lambda: largest(root=strange),
    ):
        with pytest.raises(NotSupported, match=WAYS_OUT):
            way()


@pytest.mark.parametrize("kind", [VaddrActor, PaddrActor])
@pytest.mark.parametrize("action", [action for action in Action if action is not Action.STAT])
def test_no_action_is_offered(strange: Path, kind: type[VaddrActor | PaddrActor], action: Action) -> None:
    actor = kind(Roots(strange))
    why = actor.missing(ActionRequest(action))
    assert why is not None
    assert "another pid namespace" in why or "cannot be done from outside" in why
    actor.close()


def test_doctor_says_so(strange: Path, tmp_path: Path) -> None:
    found = examine(Roots(strange, tmp_path / "sys", (), tmp_path / "run"))
    assert any("another pid namespace" in conflict for conflict in found.conflicts)


def test_a_pidfd_is_compared_with_proc(strange: Path) -> None:
    """Even where nothing else noticed: the number of the pidfd's process in that /proc is asked for."""
    fake = strange / "self" / "fdinfo"
    fake.mkdir()
    for text in ("Pid:\t999999999\n", "Pid:\t0\n", "pos:\t0\n"):
        for fd in range(200 + max(map(int, os.listdir("/proc/self/fd")))):  # the pidfd will be one of these
            (fake / str(fd)).write_text(text)
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ProcessLookupError):
            open_process(ProcessId(os.getpid(), 100), strange)
        assert len(os.listdir("/proc/self/fd")) == before


ACT = """
import os, sys
from udamon.linux.process_madvise import open_process
from udamon.linux.procfs import read_stat
for pid in (1, os.getpid()):  # numbers that exist in both, with the stranger's start time
    try:
        os.close(open_process(read_stat(pid).id))
        print("opened", pid)
    except ProcessLookupError:
        print("refused", pid)
    except FileNotFoundError:
        print("none", pid)
"""


@pytest.mark.needs("root")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="there is no unshare(1)")
@pytest.mark.parametrize("words", [["record", "-q"], ["stat"], ["reclaim"], ["lru-sort", "--cold-only"]])
def test_a_command_in_a_namespace_without_its_proc_is_not_started(words: list[str], tmp_path: Path) -> None:
    command = ["--", "touch", str(tmp_path / "started")]
    out = ["-o", str(tmp_path / "r")] if words[0] == "record" else []
    done = _unshared([*UDAMON, *words, *out, *command])
    assert done.returncode == 125
    assert "another pid namespace" in done.stderr
    assert "unshare --mount-proc" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("root")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="there is no unshare(1)")
def test_in_a_namespace_of_its_own(tmp_path: Path) -> None:
    """A pid is refused without a /proc of its own, no pidfd is of a stranger, and with one all goes as ever."""
    named = _unshared([*UDAMON, "record", "-p", "1", "-o", str(tmp_path / "r")])
    assert named.returncode == 1
    assert "another pid namespace" in named.stderr
    acted = _unshared([sys.executable, "-c", ACT])
    assert acted.returncode == 0, acted.stderr
    assert "opened" not in acted.stdout
    assert "refused 1" in acted.stdout
    simulated = _unshared(
        [*UDAMON, "record", "--sim", "demo", "--aggr", "100ms", "--duration", "2s", "-o", str(tmp_path / "s")]
    )
    assert simulated.returncode == 0, simulated.stderr
    with held_until(tmp_path / "o", 1) as (pipe,):
        command = ["--", "sh", "-c", f"read x < {pipe}; exit 5"]
        words = [*UDAMON, "record", "--via", "refs", "-o", str(tmp_path / "o"), *command]
        own = _unshared(words, "--mount-proc")
    assert own.returncode == 5, own.stderr
    assert (tmp_path / "o").exists()


def _unshared(words: list[str], *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["unshare", "-pf", *more, *words], capture_output=True, text=True, check=False)
