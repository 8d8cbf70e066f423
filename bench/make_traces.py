"""Records which pages real programs touch when, and writes that as shapes.

    python -m bench.make_traces record [NAME…]    run the programs under valgrind (some minutes each)
    python -m bench.make_traces write [NAME…]     make the shapes from what was recorded

Recording needs valgrind with its headers, gcc and the programs; what it finds is kept in .work/traces. Whoever
replays the shapes needs none of that.

A tool of our own for valgrind (trace_pages.c) sees every access of a program, instruction fetches too. Time is the
program's own: TICK instructions are one sampling interval of 5 ms, as on a processor that does a thousand million a
second. In each second a page's chance is the share of the intervals in which it was touched at least once, rounded
to one of LEVELS. What the kernel accesses for the program is not seen.
"""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
import tempfile
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from math import sqrt
from pathlib import Path
from random import Random
from typing import NamedTuple

from udamon.evaluation.score import HOT
from udamon.model import PAGE_SIZE
from udamon.units import MIB, format_size
from udamon.workload.spec import Pattern, Workload, WorkloadPhase, WorkRegion, format_workload

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / ".work" / "traces"
TRACES = ROOT / "src/udamon/workload/shapes"

TICK = 5_000_000
TICKS = 200
SLICES = 30
SLICE_NS = 1_000_000_000

LEVELS = (0.0, 0.01, 0.03, 0.06, 0.12, 0.25, 0.4, 0.6, 0.8, 0.95, 1.0)
"""Chances that a page may have. What was hot, or was not, stays so."""

FARTHEST = 4 * MIB
"""Memory that is never touched is left out of the shape where more than this lies in one piece."""


# The programs


class Program(NamedTuple):
    """`what` it does, for the head of the shape; `prepare` writes its input into a folder and says how to run it.

    `seconds` are in the shape, at most; later ones would be like the last of these.
    """

    what: str
    prepare: Callable[[Path], Sequence[str]]
    seconds: int = SLICES


def sqlite(folder: Path) -> Sequence[str]:
    script = """
PRAGMA journal_mode=OFF;
CREATE TABLE item(id INTEGER PRIMARY KEY, code INTEGER, name TEXT, body BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000)
    INSERT INTO item SELECT i, (i * 7919) % 150000, 'item ' || i, zeroblob(300) FROM n;
CREATE INDEX by_code ON item(code);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700000)
    SELECT sum(length(body)) FROM n CROSS JOIN item ON item.id = 20000 + abs(random() % 15000);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000)
    SELECT sum(length(body)) FROM n CROSS JOIN item ON item.code = abs(random() % 150000);
UPDATE item SET name = upper(name) WHERE id % 3 = 0;
SELECT count(*), avg(length(body)) FROM item WHERE name LIKE '%77%';
SELECT code / 1000, count(*), max(name) FROM item GROUP BY 1 ORDER BY 2 DESC;
DELETE FROM item WHERE id > 100000;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000)
    SELECT sum(length(body)) FROM n CROSS JOIN item ON item.id = abs(random() % (1 + abs(random() % 100000)));
"""
    (folder / "script.sql").write_text(script)
    return ["sqlite3", "-init", str(folder / "script.sql"), ":memory:", ".quit"]


def sort(folder: Path) -> Sequence[str]:
    random = Random(1)
    lines = (f"{random.getrandbits(48):015x} {random.getrandbits(64):016x}\n" for _ in range(6_000_000))
    (folder / "lines").write_text("".join(lines))
    return ["sort", "--parallel=1", "-S", "48M", "-T", str(folder), "-k", "2", str(folder / "lines")]


def cc1(folder: Path) -> Sequence[str]:
    """A C file of many functions of different lengths."""
    random = Random(2)
    text = ["static int table[4096];"]
    for i in range(150):
        lines = [
            f"    x = table[(x * {random.randrange(1, 99)} + y) & 4095] + {j};"
            for j in range(random.randrange(4, 40))
        ]
        loop = (
            f"    for (int i = 0; i < {random.randrange(2, 90)}; i++) {{ y ^= x >> (i & 7); table[i] += x; }}"
        )
        text += [
            f"int f{i}(int x, int y)",
            "{",
            *lines,
            loop,
            f"    return x + y{f' + f{i - 1}(y, x)' if i else ''};",
            "}",
        ]
    (folder / "many.c").write_text("\n".join(text) + "\n")
    compiler = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True, check=True)
    return [compiler.stdout.strip(), "-quiet", "-O2", str(folder / "many.c"), "-o", os.devnull]


def xz(folder: Path) -> Sequence[str]:
    random = Random(3)
    words = ["".join(random.choices("etaoinshrdlu", k=random.randrange(2, 9))) for _ in range(5000)]
    weights = [1 / rank for rank in range(1, 5001)]
    (folder / "text").write_text(" ".join(random.choices(words, weights, k=12_000_000)))
    return ["xz", "-T1", "-4", "-k", "-c", str(folder / "text")]


def python(folder: Path) -> Sequence[str]:
    script = """
import gc, json, random
draw = random.Random(1)
people = {i: {"name": f"name {i}", "friends": [draw.randrange(60000) for _ in range(6)]} for i in range(60000)}
text = json.dumps(people)
again = json.loads(text)
for turn in range(12):
    seen, todo = set(), [draw.randrange(60000)]
    while todo and len(seen) < 40000:
        who = todo.pop()
        if who not in seen:
            seen.add(who)
            todo.extend(people[who]["friends"])
ranked = sorted(people, key=lambda who: people[who]["name"])
for i in range(0, 60000, 2):
    del people[i]
gc.collect()
del again
words = {}
for i in range(2000000):
    word = draw.choice(ranked[:50])
    words[word] = words.get(word, 0) + 1
numbers = [draw.random() for _ in range(500000)]
numbers.sort()
table = {str(n)[:6]: n for n in numbers}
for turn in range(40):
    total = sum(len(person["friends"]) for person in people.values())
"""
    (folder / "script.py").write_text(script)
    return ["/usr/bin/python3", "-S", "-E", str(folder / "script.py")]


def perl(folder: Path) -> Sequence[str]:
    script = """
use strict; use warnings;
srand(4);
my (@lines, %count, %index);
for my $i (0 .. 149999) {
    push @lines, join ' ', map { 'w' . int(rand() * rand() * 20000) } 1 .. 6;
}
for my $turn (1 .. 2) {
    for my $line (@lines) { $count{$_}++ for split ' ', $line; }
}
for my $i (0 .. $#lines) { push @{ $index{$_} }, $i for split ' ', $lines[$i]; }
my @ranked = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
for my $word (@ranked[0 .. 199]) { $lines[$_] =~ s/\\b$word\\b/W/g for @{ $index{$word} }; }
undef %index;
my $found = 0;
for my $turn (1 .. 6) { $found += grep { /w1\\d+ .*w2/ } @lines; }
my @sorted = sort @lines;
splice @lines, 0, 100000;
my %left = map { $_ => length } @lines;
for my $turn (1 .. 400) { $found += $left{$lines[int(rand() * @lines)]} for 1 .. 20000; }
"""
    (folder / "script.pl").write_text(script)
    return ["perl", str(folder / "script.pl")]


def zstd(folder: Path) -> Sequence[str]:
    """Records that are alike, with stretches that are not."""
    random = Random(5)
    fields = [f"field{i}" for i in range(40)]
    with (folder / "records").open("w") as file:
        for i in range(400_000):
            if i % 5000 < 400:
                file.write(f"{random.getrandbits(400):0100x}\n")
            else:
                rows = random.sample(fields, 5)
                file.write(f"{i:08} " + " ".join(f"{name}={random.randrange(1000)}" for name in rows) + "\n")
    return ["zstd", "-15", "--single-thread", "-q", "-c", str(folder / "records")]


def lua(folder: Path) -> Sequence[str]:
    """Trees are made and dropped beside tables that stay, so that the collector of garbage walks through all."""
    script = """
math.randomseed(6)
local function tree(depth)
    if depth == 0 then return {} end
    return {tree(depth - 1), tree(depth - 1), depth}
end
local function count(node) return node[1] and 1 + count(node[1]) + count(node[2]) or 1 end
local stays, cache = tree(16), {}
for i = 1, 100000 do cache[i] = {name = "entry " .. i, hits = 0} end
local nodes = 0
for round = 1, 60 do
    nodes = nodes + count(tree(12 + round % 4))
    for i = 1, 20000 do
        local entry = cache[math.random(math.random(#cache))]
        entry.hits = entry.hits + 1
    end
    if round == 30 then
        for i = 50001, 100000 do cache[i] = nil end
        collectgarbage()
    end
end
local words = {}
for i = 1, 300000 do words[#words + 1] = tostring(math.random(1000000)) end
table.sort(words)
local text = table.concat(words, " ")
for i = 1, 20 do for word in text:gmatch("%d+") do nodes = nodes + #word end end
print(nodes + count(stays))
"""
    (folder / "script.lua").write_text(script)
    return ["lua5.4", str(folder / "script.lua")]


def git(folder: Path) -> Sequence[str]:
    """A repository of 60 files in 300 versions, to be packed anew."""
    random = Random(7)
    files = [[f"{random.getrandbits(64):x} line {i}" for i in range(900)] for _ in range(60)]
    commands = []
    for number in range(300):
        for file in random.sample(range(60), 12):
            for _ in range(6):
                files[file][random.randrange(900)] = f"{random.getrandbits(64):x} in version {number}"
        body = "".join(
            f"M 100644 inline file{i}\ndata {len(text)}\n{text}\n"
            for i, text in enumerate("\n".join(lines) for lines in files)
        )
        commands.append(f"commit refs/heads/main\ncommitter a <a@b> {number} +0000\ndata 1\nv\n{body}")
    repository = folder / "repository"
    subprocess.run(["git", "init", "-q", "--bare", str(repository)], check=True)
    subprocess.run(
        ["git", "-C", str(repository), "fast-import", "--quiet", "--depth=0"],
        input="\n".join(commands).encode(), check=True,
    )  # fmt: skip
    words = ["--threads=1", "--no-reuse-delta", "--no-reuse-object", "--window=100", "--all"]
    return ["git", "-C", str(repository), "pack-objects", *words, "--stdout"]


PROGRAMS = {
    "sqlite": Program("SQLite: rows are inserted, indexed, looked up, changed and deleted", sqlite, 16),
    "sort": Program("GNU sort of 6 million lines in 48 MiB, the rest in files", sort, 22),
    "cc1": Program("GCC's compiler proper at -O2, on a C file of 150 functions", cc1, 16),
    "xz": Program("xz -4 of text", xz, 12),
    "python": Program("CPython: dictionaries, JSON, a walk over a graph, sorting, counting", python, 20),
    "perl": Program(
        "Perl: words are counted, indexed, ranked and replaced; lines are searched and sorted", perl, 14
    ),
    "zstd": Program("zstd -15 of records that are alike", zstd, 9),
    "lua": Program("Lua: trees become garbage beside tables that stay; sorting, matching", lua, 20),
    "git": Program("git pack-objects of a repository of 300 versions, with deltas", git, 20),
}

VALGRIND = Path("/usr/libexec/valgrind")
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu/valgrind")


def build() -> Path:
    """A folder with the tool, and what valgrind wants beside it."""
    folder = RECORDED / "tool"
    folder.mkdir(parents=True, exist_ok=True)
    platform = ["-DVGA_amd64=1", "-DVGO_linux=1", "-DVGP_amd64_linux=1", "-DVGPV_amd64_linux_vanilla=1"]
    alone = ["-static", "-nodefaultlibs", "-nostartfiles", "-u", "_start", "-no-pie", "-Wl,--build-id=none"]
    archives = ["libcoregrind-amd64-linux.a", "libvex-amd64-linux.a", "libgcc-sup-amd64-linux.a"]
    command: list[str | Path] = [
        "gcc", "-O2", "-fno-strict-aliasing", "-fno-stack-protector", "-fno-pie", *platform, *alone,
        "-Wl,-Ttext-segment=0x58000000", "-I/usr/include/valgrind", "-o", folder / "pages-amd64-linux",
        Path(__file__).with_name("trace_pages.c"), *(LIBRARIES / archive for archive in archives), "-lgcc",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    for name in ("vgpreload_core-amd64-linux.so", "default.supp"):
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(VALGRIND / name)
    return folder


def record(name: str) -> None:
    """Run a program under the tool and keep what its pages did: lines of "slice page ticks"."""
    tool = build()
    with tempfile.TemporaryDirectory() as folder, (RECORDED / f"{name}.pages").open("w") as out:
        command = PROGRAMS[name].prepare(Path(folder))
        time = [f"--instructions={TICK}", f"--ticks={TICKS}", f"--slices={SLICES}"]
        environment = {"LC_ALL": "C", "HOME": folder, "PYTHONHASHSEED": "0", "VALGRIND_LIB": str(tool)}
        environment["PATH"] = os.environ["PATH"]
        subprocess.run(
            ["valgrind", "--tool=pages", *time, f"--log-fd={out.fileno()}", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[out.fileno()], check=True,
            env=environment,
        )  # fmt: skip


# What was recorded, as a workload


Shares = dict[int, list[float]]
"""Page number → in each slice, the share of the intervals in which it was touched."""


def read(lines: Iterable[str], slices: int = SLICES) -> Shares:
    """What the tool printed of the first `slices`. Those that are missing at the end are not there."""
    seen: dict[int, dict[int, int]] = defaultdict(dict)
    last = -1
    for line in lines:
        words = line.split()
        if len(words) == 3 and words[0].isdigit() and int(words[0]) < slices:
            seen[int(words[1], 16)][int(words[0])] = int(words[2])
            last = max(last, int(words[0]))
    return {page: [seen[page].get(i, 0) / TICKS for i in range(last + 1)] for page in sorted(seen)}


def rounded(shares: Shares) -> dict[int, tuple[int, ...]]:
    """Each share as the index of a level.

    That of the page before, or of the slice before, where the share may as well be a draw of it: so neighbours that
    differ by chance alone are one region, and one that does not change stays as it is.
    """
    levels: dict[int, tuple[int, ...]] = {}
    for page, row in shares.items():
        own: list[int] = []
        left = levels.get(page - 1)
        for i, share in enumerate(row):
            near = [left[i]] if left else []
            near += own[-1:]
            own.append(next((level for level in near if _may_be(share, level)), nearest(share)))
        levels[page] = tuple(own)
    return levels


def nearest(share: float) -> int:
    """The level closest to a share on its side of one half; never touched is the first and nothing else is."""
    if share == 0:
        return 0
    same_side = [i for i, level in enumerate(LEVELS) if i and (level >= HOT) == (share >= HOT)]
    return min(same_side, key=lambda level: abs(LEVELS[level] - share))


def _may_be(share: float, level: int) -> bool:
    chance = LEVELS[level]
    if (share == 0) != (level == 0) or (share >= HOT) != (chance >= HOT):
        return False
    return abs(share - chance) <= 3 * sqrt(chance * (1 - chance) / TICKS)


def pieces(pages: Iterable[int]) -> list[tuple[int, int]]:
    """[first, end) page numbers of memory that belongs together: what lies between is FARTHEST at most."""
    found: list[tuple[int, int]] = []
    for page in pages:
        if found and (page - found[-1][1]) * PAGE_SIZE <= FARTHEST:
            found[-1] = (found[-1][0], page + 1)
        else:
            found.append((page, page + 1))
    return found


def workload(shares: Shares) -> Workload:
    """A region for each run of pages that always have the same chance, a phase for each slice."""
    levels = rounded(shares)
    slices = len(next(iter(levels.values())))
    never = (0,) * slices
    runs: list[tuple[int, tuple[int, ...]]] = []
    for first, end in pieces(levels):
        rows = (levels.get(page, never) for page in range(first, end))
        runs += [(len(list(run)), row) for row, run in groupby(rows)]
    # What was never touched has no pages.
    regions = tuple(
        WorkRegion(f"r{i}", pages * PAGE_SIZE, resident=0.0 if row == never else 1.0)
        for i, (pages, row) in enumerate(runs)
    )
    phases = []
    for i in range(slices):
        chances = [(region.name, LEVELS[row[i]]) for region, (_, row) in zip(regions, runs, strict=True)]
        patterns = [
            Pattern(name, True, PAGE_SIZE, 1, "rw", chance=chance) for name, chance in chances if chance
        ]
        phases.append(WorkloadPhase(f"second {i}", SLICE_NS, tuple(patterns)))
    return Workload(regions, tuple(phases))


def text_of(name: str, shares: Shares) -> str:
    made = workload(shares)
    touched = format_size(len(shares) * PAGE_SIZE)
    head = (
        f"{name}: {PROGRAMS[name].what}. {len(made.phases)} s, {touched} touched; {TICK // 1_000_000} million "
        "instructions are one interval of 5 ms. Written by bench/make_traces.py."
    )
    return "\n".join(f"# {line}" for line in textwrap.wrap(head, 100)) + "\n\n" + format_workload(made)


def write(name: str) -> None:
    text = text_of(name, read((RECORDED / f"{name}.pages").read_text().splitlines(), PROGRAMS[name].seconds))
    packed = lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
    (TRACES / f"{name}.masim.xz").write_bytes(packed)
    print(f"{name}: {len(text.splitlines())} lines, {len(text)} bytes, {len(packed)} packed")


def main(argv: Sequence[str]) -> int:
    steps = {"record": record, "write": write}
    if not argv or argv[0] not in steps or set(argv[1:]) - PROGRAMS.keys():
        print(f"usage: python -m bench.make_traces {'|'.join(steps)} [{'|'.join(PROGRAMS)}]…")
        return 2
    for name in argv[1:] or PROGRAMS:
        steps[argv[0]](name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
