"""Whatever is wrong with a request, it is said in one sentence with the right status, and nothing is left."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.forking import Done
from tests.integration.programs import full_device, running
from tests.integration.recorder import nobody_runs, place_of_nobody, started_udamon, udamon
from udamon import workload
from udamon.cli.main import main

SHAPES = Path(workload.__file__).with_name("shapes")

REPORTS = ("wss", "heatmap", "access", "info")


class Place(NamedTuple):
    """What the tables below speak of: {dir}, {pid} of a sleeping process, {dead} of one that has ended."""

    dir: Path
    pid: int
    dead: int

    def fill(self, words: str) -> list[str]:
        # An empty argument is written as {}.
        names = {"dir": self.dir, "pid": self.pid, "dead": self.dead}
        return ["" if word == "{}" else word.format(**names) for word in words.split()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("bad")
    (directory / "empty").touch()
    (directory / "text").write_text("hello\n")
    (directory / "link").symlink_to("empty")
    (directory / "astray").symlink_to("nowhere")
    (directory / "empty2.1").touch()
    os.mkfifo(directory / "pipe")
    (directory / "bytes").write_bytes(os.urandom(4096))
    (directory / "noregion.masim").write_text("a, 10M\n\nphase\n100\nb, 1, 64, 1\n")
    (directory / "notime.masim").write_text("a, 10M\n\nphase\nsoon\na, 1, 64, 1\n")
    (directory / "nosize.masim").write_text("a, lots\n\nphase\n100\na, 1, 64, 1\n")
    done = udamon("record", "--sim", "wss", "--windows", "5", "-o", directory / "whole")
    assert done.status == 0, done.stderr
    whole = (directory / "whole").read_bytes()
    for size in (1, 4, 7, 8, 12, 100, 1000):
        (directory / f"cut{size}").write_bytes(whole[:size])
    ended = subprocess.Popen(["true"])
    ended.wait()
    sleeper = subprocess.Popen(["sleep", "1000"])
    yield Place(directory, sleeper.pid, ended.pid)
    sleeper.kill()
    sleeper.wait()


@pytest.fixture
def run(place: Place, capfd: pytest.CaptureFixture[str]) -> Callable[[str], Done]:
    """Runs `udamon` with filled words in this process: starting hundreds of interpreters takes minutes, and
    an exception that comes out of it is the traceback that a user would see."""

    def call(words: str) -> Done:
        capfd.readouterr()
        return Done(main(place.fill(words)), *capfd.readouterr())

    return call


def check(done: Done, status: int, why: str) -> None:
    """One sentence that begins with udamon: and says `why`; nothing on standard output."""
    assert done.status == status, done
    assert done.stdout == ""
    assert re.fullmatch(r"udamon: [^\n]+\.\n|udamon: [^\n]+ (--help|ps -e|proc)\.?\n", done.stderr), (
        done.stderr
    )
    assert "Traceback" not in done.stderr
    assert why in done.stderr


# Status, command line, part of the sentence.
RECORD = [
    # target
    (1, "-p {dead}", "there is no process"),
    (1, "-p 99999999999999999999", "there is no process"),
    (2, "-p 0", "0 is not a pid"),
    (2, "-p -5", "'-5' is not a pid"),
    (2, "-p abc", "'abc' is not a pid"),
    (2, "-p 1.5", "'1.5' is not a pid"),
    (2, "-p {}", "its value is empty"),
    (2, "-p ,", "there is no process"),
    (1, "-p {pid},{dead}", "there is no process"),
    (2, "", "there is nothing to watch"),
    (2, "--", "no command behind --"),
    (2, "-p {pid} -- true", "-p and -- COMMAND exclude each other"),
    (2, "-p {pid} --cgroup /", "-p and --cgroup exclude each other"),
    (2, "-p {pid} --paddr", "-p and --paddr exclude each other"),
    (2, "--sim one --paddr", "--paddr and --sim exclude each other"),
    (1, "--cgroup /no/such/group", "there is no cgroup"),
    (1, "--cgroup {dir}", "there is no cgroup"),
    (2, "--user nobody -p {pid}", "there is none; add -- COMMAND"),
    (2, "--user nosuchuser -- true", "there is no user 'nosuchuser'"),
    (2, "--children --sim one", "--children goes with -p"),
    (2, "--sim nosuchworkload", "there is no workload 'nosuchworkload'"),
    (2, "--sim {dir}/empty", "there are no regions"),
    # how to look
    (2, "-p {pid} --via nothing", "invalid choice: 'nothing'"),
    (2, "-p {pid} --ops nothing", "invalid choice: 'nothing'"),
    (2, "-p {pid} --policy nothing", "invalid choice: 'nothing'"),
    (2, "-p {pid} --via refs --policy damon", "no use for --policy"),
    (2, "--paddr --via refs", "refs sees the memory of processes"),
    (2, "-p {pid} --ops paddr", "goes with --paddr"),
    (2, "--sim one --via refs", "leave --ops, --via and --range out"),
    (2, "--sim one --ops vaddr", "leave --ops, --via and --range out"),
    # attributes
    (2, "-p {pid} --sample 0ms", "--sample 0ms is no interval"),
    (2, "-p {pid} --aggr 0s", "--aggr 0s is no interval"),
    (2, "-p {pid} --update 0s", "--update 0s is no interval"),
    (2, "-p {pid} --aggr 0", "--aggr 0 is no interval"),
    (2, "-p {pid} --aggr=-5ms", "'-5ms' is not a time"),
    (2, "-p {pid} --aggr -5ms", "--aggr: expected one argument"),
    (2, "-p {pid} --aggr 5parsecs", "unknown unit 'parsecs'"),
    (2, "-p {pid} --aggr {}", "its value is empty"),
    (2, "-p {pid} --aggr 99999999999999d", "longer than 30 days"),
    (2, "-p {pid} --sample 10ms --aggr 5ms", "longer than the aggregation interval"),
    (2, "-p {pid} --min-regions 20 --max-regions 10", "is above the maximum"),
    (2, "-p {pid} --min-regions 2", "it must be at least 3"),
    (2, "-p {pid} --min-regions=-1", "a number of regions is negative"),
    (2, "-p {pid} --max-regions many", "'many' is not a whole number"),
    (2, "-p {pid} --overhead 0", "leaves nothing to watch with"),
    (2, "-p {pid} --overhead 200%", "not a share between 0 and 1"),
    (2, "-p {pid} --overhead=-1%", "is not a share"),
    (2, "-p {pid} --overhead 1% --aggr 1s", "leave it or --sample and --aggr out"),
    (2, "--sim one --overhead 1% --intervals-goal 4%,3,5ms,10s", "leave one of them out"),
    (2, "--sim one --intervals-goal 4%", "has not four parts"),
    (2, "--sim one --intervals-goal 4%,0,5ms,10s", "is no number of aggregations"),
    (2, "--sim one --intervals-goal 0%,3,5ms,10s", "aims at no accesses"),
    (2, "--sim one --intervals-goal 4%,3,5ms,10parsecs", "unknown unit 'parsecs'"),
    (2, "--sim one --intervals-goal 4%,3,10s,5ms", "swap them"),
    (2, "--sim one --sample 1ms --intervals-goal 4%,3,5ms,10s", "start inside"),
    (2, "-p {pid} --via refs --intervals-goal 4%,3,5ms,10s", "of use with idle and kernel"),
    # ranges
    (2, "-p {pid} --ops fvaddr", "no address range is given"),
    (2, "-p {pid} --ops fvaddr --range 0x1000-0x5000 --range 0x4000-0x6000", "overlaps the one before"),
    (2, "-p {pid} --ops fvaddr --range 0x5000-0x6000 --range 0x1000-0x2000", "out of order"),
    (2, "-p {pid} --ops fvaddr --range 0x5000-0x1000", "is empty or no user memory"),
    (2, "-p {pid} --ops fvaddr --range 0x1000-0x1000", "is empty or no user memory"),
    (2, "-p {pid} --ops fvaddr --range 0x0-0xffffffffffffffff", "no user memory"),
    (2, "-p {pid} --ops fvaddr --range 7f00deadb000-7f00deadf000", "'7f00deadb000' is no address; write it like 0x7f"),
    (2, "-p {pid} --ops fvaddr --range 0x1000-", "'' is no address"),
    (2, "-p {pid} --ops fvaddr --range here", "'here' is not a range"),
    (2, "-p {pid} --range 0x1000-0x5000", "give ranges with fvaddr"),
    # output and length
    (2, "-p {pid} --duration 0", "no time at all"),
    (2, "-p {pid} --duration 0ms", "no time at all"),
    (2, "-p {pid} --duration=-1", "'-1' is not a time"),
    (2, "-p {pid} --duration soon", "'soon' is not a time"),
    (2, "-p {pid} --duration 1e400", "is not a time"),
    (2, "-p {pid} --max-size 5", "too small"),
    (2, "-p {pid} --max-size 0", "too small"),
    (2, "-p {pid} --max-size big", "'big' is not a size"),
    (2, "-p {pid} --max-size 1XB", "unknown unit 'XB'"),
    (2, "-p {pid} --max-size=-1MiB", "'-1MiB' is not a size"),
    (1, "-p {pid} -o {dir}", "is a directory"),
    (1, "-p {pid} -o {dir} --force", "is a directory"),
    (2, "-p {pid} -o {}", "its value is empty"),
    (1, "-p {pid} -o {dir}/empty", "exists already"),
    (1, "-p {pid} -o {dir}/none/a", "No such file or directory"),
    (1, "-p {pid} -o {dir}/empty/a", "cannot create"),
    (1, "-p {pid} -o /proc/udamon", "cannot create"),
    (1, "-p {pid} -o {dir}/link --force", "is a symbolic link"),
    (1, "-p {pid} -o {dir}/astray", "is a symbolic link"),
    (1, "-p {pid} -o {dir}/link/", "is a directory"),
    (1, "-p {pid} -o /dev/fd/999", "cannot write to /dev/fd/999: Bad file descriptor"),
    (2, "-p {pid} -o - --max-size 1MiB", "standard output is no regular file"),
    (2, "-p {pid} -o {dir}/pipe --max-size 1MiB", "pipe is no regular file"),
    (1, "-p {pid} -o {dir}/empty2 --max-size 1MiB", "empty2.1 exists already"),
    (2, "-o - -- true", "standard output is the COMMAND's"),
    (2, "--sim {dir}/notime.masim -o {dir}/notime.masim --force", "is the file that is read"),
    (2, "--nonsense", "unrecognized arguments: --nonsense"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "words", "why"), RECORD)
def test_record(place: Place, run: Callable[[str], Done], status: int, words: str, why: str) -> None:
    """Nothing is recorded, nothing is left."""
    file = place.dir / "new.udamon"
    output = "" if "-o" in words.split() else f"-o {file} "
    check(run(f"record {output}{words}"), status, why)
    assert not file.exists()


@pytest.mark.needs("root")
@pytest.mark.parametrize("words", ["record --sim one --duration 1s -o", "workload one --quiet --truth"])
def test_a_full_device(place: Place, tmp_path: Path, run: Callable[[str], Done], words: str) -> None:
    """It is opened as it is, and refuses the first byte."""
    check(run(f"{words} {full_device(tmp_path)}"), 1, "No space left on device")


def test_record_as_a_process_of_its_own(place: Place) -> None:
    """The same by way of the shell, for one of each status."""
    words = ("-o", place.dir / "new.udamon")
    check(udamon("record", "-p", place.dead, *words), 1, "there is no process")
    check(udamon("record", "-p", place.pid, "--aggr", "0s", *words), 2, "--aggr 0s is no interval")
    check(udamon("record", "-o", place.dir, "--", "true"), 125, "is a directory")


OTHERS = [
    (2, "", "arguments are required: COMMAND"),
    (2, "nonsense", "invalid choice: 'nonsense'"),
    (2, "report", "give FILE, a recording, for an overview"),
    (2, "report wss", "arguments are required: FILE"),
    (2, "report nonsense {dir}/whole", "invalid choice: 'nonsense'"),
    (2, "report heatmap {dir}/whole --resol 0x0", "is not a size of a picture"),
    (2, "report heatmap {dir}/whole --resol big", "is not a size of a picture"),
    (2, "report access {dir}/whole --top 0", "shows nothing"),
    (2, "report access {dir}/whole --at soon", "is not a time"),
    (2, "report wss {dir}/whole --size 5-1", "ends before it begins"),
    (2, "report wss {dir}/whole --rate 200%-", "not a share between 0 and 1"),
    (2, "report wss {dir}/whole --time 5s", "is not a range"),
    (2, "report wss {dir}/whole --address here-", "'here' is not an address"),
    (2, "report wss {dir}/whole --address 7ff0-", "'7ff0' is not an address"),
    (2, "report heatmap {dir}/whole --resol 99999x99999", "are more than 1,000,000 cells"),
    (2, "report heatmap {dir}/whole --resol 1x10001", "or 10,000 of them in a row"),
    (2, "check {dir}/whole --min-snapshots 0", "--min-snapshots 0 asks for nothing"),
    (2, "check {dir}/whole --min-snapshots=-1", "--min-snapshots -1 asks for nothing"),
    (2, "record --intervals-goal 1%,0,5ms,10s -- true", "'0' is no number of aggregations"),
    (1, "report wss {dir}/whole --target 99", "no snapshot is left by the filters"),
    (2, "report wss {dir}/whole --target x", "is not a whole number"),
    (2, "eval nosuchworkload", "there is no workload"),
    (2, "eval {dir}/empty", "there are no regions"),
    (2, "eval {dir}/text", "text:1: 'hello' is not a region"),
    (2, "eval {dir}/bytes", "bytes:"),
    (2, "eval {dir}/noregion.masim", "noregion.masim:5:"),
    (2, "eval {dir}/notime.masim", "notime.masim:4:"),
    (2, "eval {dir}/nosize.masim", "nosize.masim:1:"),
    (2, "eval one demo", "or --together"),
    (2, "eval one --policy damon --find 1M", "is for adaptive"),
    (2, "eval one demo --together --bound", "one at a time"),
    (2, "eval one demo --together --truth-only", "one at a time"),
    *((2, f"eval one --truth-only {flag}", "--truth-only runs none") for flag in (
        "--bound", "--policy damon", "--seed 2", "--seeds 1-3", "--checks 9", "--find 1M", "--duration 3",
    )),
    (2, "eval one --policy nothing", "there is no region policy 'nothing'"),
    (2, "eval one --policy ,", "names no policy"),
    (2, "eval one --seeds 5-1", "is empty"),
    (2, "eval one --seeds x", "is no range of seeds"),
    (2, "eval one --seed 1 --seeds 1-2", "exclude each other"),
    (2, "eval one --duration 0", "shorter than one aggregation"),
    (2, "eval one --sample 0ms", "is no interval"),
    (2, "eval one --min-regions 50 --max-regions 10", "is above the maximum"),
    (2, "eval one --policy damon --checks 5", "has no budget"),
    (2, "workload {dir}/text", "text:1: 'hello' is not a region"),
    (2, "doctor nonsense", "unrecognized arguments: nonsense"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "words", "why"), OTHERS)
def test_other_commands(run: Callable[[str], Done], status: int, words: str, why: str) -> None:
    """Reports, evaluations, workloads and the command line itself."""
    check(run(words), status, why)


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("none", "No such file or directory"),
        ("", "Is a directory"),
        ("empty", "is empty"),
        ("text", "is not a udamon recording"),
        ("bytes", "is not a udamon recording"),
    ],
)
def test_reports_of_what_is_no_recording(run: Callable[[str], Done], name: str, file: str, why: str) -> None:
    """Each report says of each kind of file what it is not."""
    check(run(f"report {name} {{dir}}/{file}"), 1, why)


@pytest.mark.parametrize("size", [1, 4, 7, 8, 12, 100, 1000])
def test_a_recording_cut_inside_its_head(run: Callable[[str], Done], size: int) -> None:
    """Too short to know even what it is a recording of."""
    check(run(f"report info {{dir}}/cut{size}"), 1, "ends inside its head")


@pytest.mark.needs("root")
def test_proc_is_not_mounted(tmp_path: Path) -> None:
    """Said as such, with the command that mounts it; not "no such process"."""
    hidden = ["unshare", "-m", "sh", "-c", f'mount --bind {tmp_path} /proc && exec "$@"', "sh"]
    if subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounts cannot be made here")
    why = "/proc is not mounted; mount it with: mount -t proc proc /proc"
    check(started_udamon("record", "-p", os.getpid(), prefix=hidden, cwd=tmp_path), 1, why)
    check(started_udamon("record", "--", "sleep", "1", prefix=hidden, cwd=tmp_path), 125, why)
    assert not list(tmp_path.iterdir())
    assert started_udamon("doctor", prefix=hidden).status == 0


@pytest.mark.needs("second_user", "clear_refs")
def test_a_directory_that_may_not_be_written() -> None:
    """Read-only for this user: one sentence before anything is watched."""
    with place_of_nobody() as place:
        (place / "closed").mkdir()
        (place / "closed").chmod(0o555)
        # A copy, as the user nobody cannot read the shapes of a checkout that was made with umask 077.
        (place / "one.masim").write_bytes((SHAPES / "one.masim").read_bytes())
        (place / "one.masim").chmod(0o444)
        words = ("record", "--sim", "one.masim", "-o", "closed/a.udamon")
        check(nobody_runs(place, *words), 1, "Permission denied")
        check(
            nobody_runs(place, "record", "-o", "closed/a.udamon", "--", "sleep", "9"),
            125,
            "Permission denied",
        )


@pytest.mark.needs("root")
def test_a_read_only_file_system(tmp_path: Path) -> None:
    """Even for root, who may write everywhere else."""
    mounted = f"mount --bind {tmp_path} {tmp_path} && mount -o remount,ro,bind {tmp_path}"
    closed = ["unshare", "-m", "sh", "-c", mounted + ' && exec "$@"', "sh"]
    if subprocess.run([*closed, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounts cannot be made here")
    done = started_udamon("record", "--sim", "one", "-o", tmp_path / "a.udamon", prefix=closed)
    check(done, 1, "cannot create")


@pytest.mark.needs("second_user", "clear_refs")
def test_somebody_elses_process() -> None:
    """Also as one of several."""
    with place_of_nobody() as place, running(size=1 << 20, mode="rest") as watched:
        why = f"process {watched.pid} (python"
        check(nobody_runs(place, "record", "-p", watched.pid), 1, why)
        check(nobody_runs(place, "record", "-p", f"{watched.pid},1"), 1, "belongs to root and you are nobody")
        assert not list(place.iterdir())
