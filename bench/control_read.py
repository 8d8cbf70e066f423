"""How long it takes to read all of a control tree: python -m bench.control_read [KDAMONDS_DIRECTORY].

Without a directory: a tree of 100 schemes with 1000 tried regions in all is served here, through FUSE. With one, what
is there is read as it is: the kernel's, or one that `udamon control exec` shows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCHEMES, REGIONS = 100, 1000


def read_all(directory: Path) -> tuple[int, float]:
    """Every file below `directory`, read once: how many, and seconds."""
    began, count = time.perf_counter(), 0
    for place, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(place, name), "rb", buffering=0) as file:
                file.read()
            count += 1
    return count, time.perf_counter() - began


def serve(directory: str) -> None:
    """A tree of the size in question, with nothing behind it."""
    from udamon.control.files import AdminFiles
    from udamon.control.mounting import Mount, serve
    from udamon.control.tree import Tree

    tree = Tree()
    for path, count in (
        ("nr_kdamonds", 1),
        ("0/contexts/nr_contexts", 1),
        ("0/contexts/0/schemes/nr_schemes", SCHEMES),
    ):
        tree.write(f"kdamonds/{path}", str(count))
    kdamond = next(iter(tree.kdamonds()))
    for scheme in kdamond.at("contexts").nth(0).at("schemes").children():
        regions = range(REGIONS // SCHEMES)
        scheme.at("tried_regions").fill(
            [{"start": i * 4096, "end": i * 4096 + 4096, "age": i} for i in regions]
        )
    serve([Mount(Path(directory), AdminFiles(tree))], lambda: print("ready", flush=True))


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    elif sys.argv[1:]:
        report(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as directory:
            command = [sys.executable, "-m", "bench.control_read", "--serve", directory]
            process = subprocess.Popen(command, stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()
            try:
                report(Path(directory))
            finally:
                process.terminate()
                process.wait()


def report(directory: Path) -> None:
    """Three times; the best is the one with the least of others in it."""
    for _ in range(3):
        count, seconds = read_all(directory)
        print(f"{count} files in {seconds:.2f} s, {seconds / count * 1e6:.0f} µs each", flush=True)


if __name__ == "__main__":
    main()
