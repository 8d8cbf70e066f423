"""The preload library in real programs: what it says is alive, and that a program does not notice it."""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from udamon.cli.main import main
from udamon.model import Event
from udamon.sites.collector import Collector
from udamon.sites.estimate import bytes_of
from udamon.sites.state import Image, Images

pytestmark = [pytest.mark.needs("compiler"), pytest.mark.native]

MIB = 1 << 20
SOURCE = Path(__file__).parent / "sites_program.c"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("sites"), SOURCE)


def built(place: Path, source: Path, *flags: str, compiler: str = "gcc") -> Path:
    path = place / f"{source.stem}{'-'.join(flags).replace('/', '_')}"
    subprocess.run(
        [compiler, "-g", "-O1", "-fno-builtin", "-pthread", *flags, "-o", path, source], check=True
    )
    return path


class Seen:
    """What a command's processes told."""

    def __init__(
        self, command: Sequence[str | Path], mean: int = 4096, env: Mapping[str, str] | None = None
    ) -> None:
        self.images = Images()
        self.unseen: dict[int, str] = {}
        self.stacks: dict[int, list[int]] = {}
        environment = dict(os.environ if env is None else env)
        with Collector(mean) as collector:
            environment |= collector.environment(environment.get("LD_PRELOAD"))
            process = subprocess.Popen(list(map(str, command)), env=environment, stdout=subprocess.PIPE)
            collector.unseen.found(process.pid, "program")
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
            out = b""
            while process.poll() is None:
                out += process.stdout.read() or b""
                collector.poll(self.publish)
                time.sleep(0.01)
            out += process.stdout.read() or b""
            collector.finish(self.publish)
            self.notes = collector.notes
            self.modules = collector.modules
        self.pid, self.status, self.out = process.pid, process.returncode, out

    def publish(self, event: Event) -> None:
        data: Any = event.data
        if event.name == "allocations":
            self.images.add(data)
        elif event.name == "allocations_unseen":
            self.unseen[data["pid"]] = data["why"]
        elif event.name == "allocation_stacks":
            self.stacks |= dict(data["stacks"])

    @property
    def all(self) -> list[Image]:
        return list(self.images.images.values())

    def said(self) -> dict[int, dict[int, int]]:
        """By process, what it says is alive: size by address."""
        found: dict[int, dict[int, int]] = {}
        for line in self.out.decode().splitlines():
            _, pid, address, size = line.split()
            found.setdefault(int(pid), {})[int(address)] = int(size)
        return found

    def told(self) -> dict[int, dict[int, int]]:
        """By process, what the library says is alive, of 64 KiB or more: those are sampled for sure."""
        return {
            image.pid: {at: one.size for at, one in image.live.items() if one.size >= 65536}
            for image in self.all
        }


@pytest.mark.parametrize("mode", ["kinds", "threads", "fork", "clone", "vfork"])
def test_what_is_alive(program: Path, mode: str) -> None:
    seen = Seen([program, mode])
    assert (seen.status, seen.notes) == (0, [])
    assert seen.told() == seen.said()
    assert all(image.lost == (0, 0, 0) for image in seen.all)


def test_what_moves(program: Path) -> None:
    """realloc in place and failing, mappings cut, replaced, moved, and not moved."""
    seen = Seen([program, "moves"])
    said = seen.said()[seen.pid]
    *_, before = (at for at, size in said.items() if size == 4 * MIB)
    said[before] = 2 * MIB  # a MiB of it, two behind its begin, was replaced by what may not be accessed
    said[before + 3 * MIB] = MIB
    assert (seen.status, seen.told()[seen.pid]) == (0, said)


def test_the_stack_of_each_way(program: Path) -> None:
    """Two functions call each other in 64 ways, of which many have the same places on the stack, three times over in
    two threads: every way has one stack, and no two have the same."""
    seen = Seen([program, "ways"])
    (image,) = seen.all
    ways: dict[int, set[tuple[int, ...]]] = {}
    for address, size in seen.said()[seen.pid].items():
        ways.setdefault(size, set()).add(tuple(seen.stacks[image.live[address].stack]))
    assert len(ways) == 128
    assert {len(stacks) for stacks in ways.values()} == {1}
    assert len(set.union(*ways.values())) == 128


RELOADED = """
void call(void (*back)(unsigned long), unsigned long size, void *elsewhere)
{
    void *volatile room[ROOM];
    for (int i = 0; i < ROOM; i++)
        room[i] = elsewhere;
    back(size);
    room[0] = 0;
}
"""


def test_a_library_at_the_place_of_another(program: Path, tmp_path: Path) -> None:
    """What was known of the first one's code does not hold for the second one's."""
    libraries = []
    for room in (200, 400):  # code of the same length
        place = tmp_path / f"{room}"
        place.mkdir()
        (place / "reloaded.c").write_text(RELOADED)
        libraries.append(built(place, place / "reloaded.c", f"-DROOM={room}", "-shared", "-fPIC"))
    seen = Seen([program, "reload", *libraries])
    (image,) = seen.all
    assert seen.status == 0
    stacks = {tuple(seen.stacks[image.live[at].stack][4:]) for at in seen.said()[seen.pid]}
    assert len(stacks) == 1, "outside of the libraries all of them are the same"


def test_exec_begins_anew(program: Path) -> None:
    seen = Seen([program, "exec"])
    first, second = seen.all
    assert first.pid == second.pid
    assert [one.size for one in first.live.values() if one.size >= MIB] == [9 * MIB]
    assert {at: one.size for at, one in second.live.items() if one.size >= 65536} == seen.said()[seen.pid]


def test_forks_in_the_midst_of_anything(program: Path) -> None:
    """None of 300 children of a program with three busy threads hangs or dies."""
    assert Seen([program, "forks"]).status == 0


def test_a_program_does_not_notice(program: Path) -> None:
    assert Seen([program, "manners"]).status == 0
    closed = ["sh", "-c", f"exec {program} manners <&- >&- 2>&-"]
    assert Seen(closed).status in (0, 6)  # with standard streams closed, other numbers are free


def test_without_a_recorder(program: Path, tmp_path: Path) -> None:
    """A socket that is not there, settings that make no sense, or none: the program runs as ever."""
    with Collector() as collector:
        environment = collector.environment()
    for settings in (environment["UDAMON_SITES"], "x", "12", "12:relative", "0:/x", "12:" + "/x" * 100, None):
        env = os.environ | environment
        env.pop("UDAMON_SITES")
        if settings is not None:
            env["UDAMON_SITES"] = settings
        assert subprocess.run([program, "kinds"], env=env, stdout=subprocess.DEVNULL).returncode == 0


def test_another_allocator_is_called(program: Path) -> None:
    """jemalloc, preloaded behind: its own mappings are not counted beside what it hands out."""
    library = ctypes.util.find_library("jemalloc")
    if library is None:
        pytest.skip("jemalloc is not installed")
    seen = Seen([program, "kinds"], env=os.environ | {"LD_PRELOAD": library})
    assert (seen.status, seen.told()) == (0, seen.said())


CXX = """
#include <new>
#include <cstdio>
#include <cstdint>
#include <unistd.h>
struct alignas(256) Wide { char c[1 << 20]; };
struct Plain { char c[1 << 20]; ~Plain() { c[0] = 0; } };
template <class T> __attribute__((noinline)) T *made(int n) { return new T[n]; }
int main() {
    Plain *a = made<Plain>(2), *gone = new Plain;
    Wide *b = made<Wide>(1), *too = new Wide;
    char *c = new (std::nothrow) char[1 << 20], *d = static_cast<char *>(::operator new(1 << 20));
    delete gone, delete too;
    ::operator delete(static_cast<void *>(d), std::size_t(1 << 20));
    printf("live %d %lu %d\\n", getpid(), (unsigned long)a - 8, (2 << 20) + 8);
    printf("live %d %lu %d\\n", getpid(), (unsigned long)b, 1 << 20);
    printf("live %d %lu %d\\n", getpid(), (unsigned long)c, 1 << 20);
}
"""


def test_new_and_delete(tmp_path: Path) -> None:
    (tmp_path / "a.cpp").write_text(CXX)
    try:
        seen = Seen([built(tmp_path, tmp_path / "a.cpp", "-std=c++17", compiler="g++")])
    except FileNotFoundError:
        pytest.skip("g++ is not installed")
    assert (seen.status, seen.told()) == (0, seen.said())


def test_static_programs_are_named(tmp_path: Path) -> None:
    assert "statically" in Seen([built(tmp_path, SOURCE, "-static"), "sleep"]).unseen.popitem()[1]


def unread(mean: int, *command: str | Path) -> Image:
    """What a program told whose ring nobody reads until it has ended."""
    images = Images()

    def publish(event: Event) -> None:
        if event.name == "allocations":
            images.add(event.data)

    with Collector(mean) as collector:
        subprocess.run(command, env=os.environ | collector.environment(), stdout=subprocess.DEVNULL)
        collector.finish(publish)
    (image,) = images.images.values()
    return image


def test_what_finds_no_room_is_counted(program: Path) -> None:
    """More than a ring has room for."""
    allocated, size, _ = unread(4096, program, "threads", "8000").lost
    assert allocated > 0
    assert size == allocated * 65536


def test_what_is_left_of_a_mapping_and_finds_no_room_is_counted(program: Path) -> None:
    image = unread(32, program, "cut")
    allocated, size, freed = image.lost
    assert (size, freed) == ((allocated - 1) * 1000 + (1 << 15), 0)
    assert all(one.size == 1000 for one in image.live.values()), "the mapping is known to be cut"


def test_a_path_that_is_cut_off_is_no_path(program: Path, tmp_path: Path) -> None:
    """Of a program in directories with long names: its build id tells."""
    place = tmp_path.joinpath(*("d" * 200 for _ in range(3)))
    place.mkdir(parents=True)
    long = place / "program"
    long.write_bytes(program.read_bytes())
    long.chmod(0o755)
    paths = [path for path, _ in Seen([long, "kinds"]).modules.values()]
    assert not [path for path in paths if path.startswith(f"{tmp_path}/d")]
    assert paths


def test_an_environment_that_was_cleaned_is_named(program: Path) -> None:
    seen = Seen(["env", "-i", program, "sleep"])
    assert seen.unseen == {seen.pid: "it was executed with an environment without LD_PRELOAD"}


OWN = """
#include <stddef.h>
#include <unistd.h>
static char memory[1 << 24]; static size_t used;
void *malloc(size_t size) { used += 64; void *p = memory + used; used += size; return p; }
void free(void *p) { (void)p; }
int main() { malloc(1 << 20); sleep(1); return 0; }
"""


def test_an_allocator_that_is_linked_in_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.c").write_text(OWN)
    seen = Seen([built(tmp_path, tmp_path / "own.c", "-rdynamic")])
    assert seen.unseen == {seen.pid: "its own allocator is linked into the program"}


@pytest.mark.needs("root")
def test_set_uid_programs_are_named(program: Path, tmp_path: Path) -> None:
    copy = tmp_path / "set-uid"
    copy.write_bytes(program.read_bytes())
    os.chown(copy, 65534, 65534)
    os.chmod(copy, 0o4755)
    for place in tmp_path.parents:
        if place.stat().st_mode & 0o1 == 0:
            os.chmod(place, place.stat().st_mode | 0o111)
    seen = Seen([copy, "sleep"])
    assert "set-uid" in seen.unseen[seen.pid]


def test_intervals_of_small_objects(program: Path) -> None:
    """Twelve runs: the interval covers the truth, and the mean of the estimates is near it."""
    truth, covered, estimates = 64 * 250_000, 0, []
    for _ in range(12):
        (image,) = Seen([program, "small", "250000"], mean=65536).all
        found = bytes_of(
            (one.size, one.requested, image.mean) for one in image.live.values() if one.size == 64
        )
        covered += found.low <= truth <= found.high
        estimates.append(found.estimate)
    # 12 × 244 samples: a standard deviation of 1.8 %.
    assert abs(sum(estimates) / 12 / truth - 1) < 0.09
    assert covered >= 8


@pytest.mark.needs("clear_refs")
def test_ten_sites_of_known_heat(program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Recorded and reported: bytes of each, what is hot and what is cold, functions and lines."""
    import json

    pytest.importorskip("symbolic", reason="the extra `sites` is not installed")
    file = tmp_path / "ten.udamon"
    command = [
        "record",
        "--sites",
        "--via",
        "refs",
        "--aggr",
        "300ms",
        "--warmup",
        "1s",
        "-q",
        "-o",
        str(file),
    ]
    assert main([*command, "--", str(program), "ten", "4"]) == 0
    capsys.readouterr()
    assert main(["report", "sites", str(file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = {site["function"]: site for site in document["sites"]}
    line = next(number for number, text in enumerate(SOURCE.read_text().splitlines(), 1) if "BIG(0)" in text)
    for number in range(10):
        site, size = found[f"site_{number}"], (4 + number) * MIB + 4080
        assert site["bytes"] == pytest.approx(size, rel=0.01)
        assert site["bytes_low"] <= size <= site["bytes_high"] < 1.1 * size
        assert (site["file"], site["line"]) == (str(SOURCE), line)
        assert [call["function"] for call in site["stack"][:3]] == [f"site_{number}", "ten", "main"]
        hot = number % 2 == 0
        assert site["touched_bytes"] >= 0.95 * size if hot else site["touched_bytes_low"] <= 0.05 * size
        assert site["cold_bytes"] <= 0.05 * size if hot else site["cold_bytes"] >= 0.95 * size
        assert site["age_seconds"] < 1 if hot else site["age_seconds"] > 1
    order = [site["bytes"] for site in document["sites"]]
    assert order == sorted(order, reverse=True)


def test_hygiene_of_the_environment(tmp_path: Path) -> None:
    """A command gets two variables more, and an LD_PRELOAD that it had comes behind."""
    with Collector() as collector:
        more = collector.environment("/lib/mine.so")
        assert set(more) == {"LD_PRELOAD", "UDAMON_SITES"}
        assert more["LD_PRELOAD"].endswith("_sites.abi3.so:/lib/mine.so")
        assert set(collector.environment()["LD_PRELOAD"]) & set(" :") == set()
