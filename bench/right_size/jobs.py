"""Programs that work by themselves: interpreters that answer on a pipe, and jobs that are started again and again."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.memory_group import MemoryGroup
from bench.right_size.workload import Units, Workload, asking, line, running

PYTHON = """\
import random, sys
random.seed(1)
rows = [{"id": n, "name": "n%d" % (n % 997), "value": random.random()} for n in range(300_000)]
hot = rows[:120_000]
for ask in sys.stdin:
    total = {}
    for row in hot[int(ask) % 100 :: 100]:
        total[row["name"]] = total.get(row["name"], 0.0) + row["value"]
    print(len(total), flush=True)
"""

NODE = """\
const rows = Array.from({ length: 400000 }, (_, n) => ({ id: n, name: "n" + n, value: (n * 7919) % 1000 }));
require("readline").createInterface({ input: process.stdin }).on("line", (ask) => {
  let total = 0;
  for (let n = Number(ask) % 100; n < 160000; n += 100) total += rows[n].value + rows[n].name.length;
  process.stdout.write(total + "\\n");
});
"""

JAVA = """\
import java.io.*;
import java.util.*;
public class Service {
    public static void main(String[] arguments) throws IOException {
        Map<Integer, byte[]> rows = new HashMap<>();
        for (int n = 0; n < 60000; n++) { rows.put(n, new byte[2048]); rows.get(n)[0] = (byte) n; }
        BufferedReader asks = new BufferedReader(new InputStreamReader(System.in));
        for (String ask; (ask = asks.readLine()) != null; ) {
            long total = 0;
            for (int n = Integer.parseInt(ask) % 100; n < 24000; n += 100)
                for (byte one : rows.get(n)) total += one;
            System.out.println(total);
        }
    }
}
"""


def _script(name: str, text: str) -> Callable[[Path], list[Path]]:
    def prepare(place: Path) -> list[Path]:
        (place / name).write_text(text)
        return []

    return prepare


@contextmanager
def _answering(group: MemoryGroup, words: Sequence[str]) -> Iterator[Units]:
    """A program that answers a number by a line; it has made its data when the first answer is there."""
    choice = random.Random(21)
    with running(group, words) as process:
        work = asking(process, lambda: b"%d\n" % choice.randrange(100), line, 10)
        work(0.001)
        yield work


@contextmanager
def _python(place: Path, group: MemoryGroup) -> Iterator[Units]:
    with _answering(group, [sys.executable, str(place / "rows.py")]) as work:
        yield work


@contextmanager
def _node(place: Path, group: MemoryGroup) -> Iterator[Units]:
    with _answering(group, ["node", str(place / "rows.js")]) as work:
        yield work


@contextmanager
def _java(place: Path, group: MemoryGroup) -> Iterator[Units]:
    """From source: the compiler runs within the same process first, as in a service that makes code at run time."""
    with _answering(group, ["java", "-Xmx512m", str(place / "Service.java")]) as work:
        yield work


@contextmanager
def _again(group: MemoryGroup, words: Sequence[str]) -> Iterator[Units]:
    """A job from its begin to its end, again and again; one that is cut short at the end counts as no unit."""

    def work(seconds: float) -> int:
        end, done = time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            with running(group, words) as process:
                assert process.stdout is not None
                try:
                    process.communicate(timeout=max(left, 0.01))
                except subprocess.TimeoutExpired:
                    continue
            if process.returncode < 0:
                raise BrokenPipeError("the job was killed")
            if process.returncode:
                raise RuntimeError(f"{words[0]} ended with {process.returncode}")
            done += 1
        return done

    yield work


FUNCTIONS = 60


def _source(place: Path) -> list[Path]:
    file = place / "many.c"
    body = "int f%d(int *a, int n) { int s = 0; for (int i = 0; i < n; i++) s += a[i] * %d; return s; }\n"
    file.write_text("".join(body % (number, number) for number in range(FUNCTIONS)))
    return [file]


@contextmanager
def _gcc(place: Path, group: MemoryGroup) -> Iterator[Units]:
    with _again(group, ["gcc", "-O2", "-c", str(place / "many.c"), "-o", str(place / "many.o")]) as work:
        yield work


COMMITS, TREE_FILES = 200, 40


def _history(place: Path) -> list[Path]:
    repository, noise = place / "history", random.Random(22)
    subprocess.run(["git", "init", "-q", "--bare", str(repository)], check=True)
    with subprocess.Popen(
        ["git", "-C", str(repository), "fast-import", "--quiet"], stdin=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        texts = [[b"%d\n" % noise.randrange(10**9) for _ in range(400)] for _ in range(TREE_FILES)]
        for number in range(COMMITS):
            process.stdin.write(b"commit refs/heads/main\ncommitter a <a@b> %d +0000\ndata 1\nx\n" % number)
            for file in noise.sample(range(TREE_FILES), 8):
                texts[file][noise.randrange(400)] = b"%d\n" % noise.randrange(10**9)
                text = b"".join(texts[file])
                process.stdin.write(b"M 644 inline f%d\ndata %d\n%s\n" % (file, len(text), text))
    if process.returncode:
        raise subprocess.SubprocessError("git fast-import failed")
    return sorted(repository.rglob("*.pack")) + sorted(repository.rglob("*.idx"))


@contextmanager
def _git_gc(place: Path, group: MemoryGroup) -> Iterator[Units]:
    words = ["git", "-C", str(place / "history"), "-c", "pack.threads=1", "repack", "-adfq", "--window=20"]
    with _again(group, words) as work:
        yield work


@contextmanager
def _ffmpeg(place: Path, group: MemoryGroup) -> Iterator[Units]:
    words = ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=640x360:duration=1"]
    with _again(group, [*words, "-threads", "1", "-c:v", "mpeg4", "-y", str(place / "film.avi")]) as work:
        yield work


JOBS = (
    Workload("Python, rows in memory", "questions", "python3", _script("rows.py", PYTHON), _python),
    Workload("Node, rows in memory", "questions", "node", _script("rows.js", NODE), _node),
    Workload("JVM, rows in memory", "questions", "java", _script("Service.java", JAVA), _java),
    Workload("gcc -O2", "compilations", "gcc", _source, _gcc),
    Workload("git repack", "repacks", "git", _history, _git_gc),
    Workload("ffmpeg", "seconds of film", "ffmpeg", lambda place: [], _ffmpeg),
)
