"""A recording of Redis by engine kernel beside one by idle, as two heatmaps.

python -m bench.side_by_side.redis [--kernel 7.2]     docs/pictures/redis-kernel.svg and redis-idle.svg

In the guest, each monitor watches a new server: five groups of values of 50 KB, 50 MB in all, are filled one
after the other; then redis-benchmark has the server read random values of one group at a time (BITCOUNT: a whole
value is read, and little is sent, for sending takes long under emulation).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.side_by_side import guest
from scripts.stages import ROOT
from tests.integration.servers import Redis, redis

PICTURES = ROOT / "docs" / "pictures"
COLUMNS = 104
MONITORS = {"kernel": ["--via", "kernel"], "idle": ["--via", "idle", "--policy", "damon"]}
GROUPS, KEYS, VALUE = "abcde", 200, 50_000
READ = "acebd"
SECONDS = 8
REQUESTS = 2000
STARTS_IN_S = 10


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kernel", default="", help="a part of its release (default: the newest)")
    args = parser.parse_args(argv)
    ended, left = guest.run(guest.kernel(args.kernel), "bench.side_by_side.redis", "inside")
    if ended.status:
        return 1
    kept = guest.KEPT / "redis"
    kept.mkdir(parents=True, exist_ok=True)
    for name in MONITORS:
        shutil.copy(left / f"{name}.udamon", kept)
        (PICTURES / f"redis-{name}.svg").write_text(_picture(kept / f"{name}.udamon"))
    return 0


def _picture(recording: Path) -> str:
    words = ["report", "heatmap", recording.name, "--color", "always", "--resol", f"24x{COLUMNS - 28}"]
    environment = os.environ | {
        "COLUMNS": str(COLUMNS),
        "COLORTERM": "truecolor",
        "PYTHONIOENCODING": "utf-8",
    }
    drawn = subprocess.run(
        [sys.executable, "-m", "udamon", *words], cwd=recording.parent, env=environment, check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    text = f"$ udamon report heatmap {recording.name}\n{drawn}"
    program = [sys.executable, str(ROOT / "scripts" / "pictures"), "-"]
    return subprocess.run(program, input=text, check=True, capture_output=True, text=True).stdout


def inside(place: Path) -> int:
    """In the guest: leave the recordings in `place`."""
    for name, words in MONITORS.items():
        with redis() as server:
            for group in GROUPS:
                _fill(server, group)
            file = Path("/tmp", f"{name}.udamon")
            monitor = subprocess.Popen(
                [sys.executable, "-m", "udamon", "record", "-q", *words, "-p", str(server.pid),
                 "--sample", "50ms", "--aggr", "1s", "--update", "1s", "-o", str(file)],
            )  # fmt: skip
            time.sleep(STARTS_IN_S)
            for group in READ:
                rate = _read(server, group)
                print(f"{name}: group {group}, {rate:.0f} values/s", flush=True)
            monitor.send_signal(signal.SIGINT)
            assert monitor.wait(60) == 0
            shutil.copy(file, place)
    return 0


def _fill(server: Redis, group: str) -> None:
    """One value after the other, so that a group lies together."""
    value = b"x" * VALUE
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        answers = connection.makefile("rb")
        for number in range(KEYS):
            key = f"{group}:{number:012}".encode()
            connection.sendall(
                b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, VALUE, value)
            )
            assert answers.readline() == b"+OK\r\n"


def _read(server: Redis, group: str) -> float:
    """Read values of a group at random for some seconds; returns how many a second."""
    begin, done = time.monotonic(), 0
    while time.monotonic() - begin < SECONDS:
        words = ["-p", server.port, "-c", 4, "-P", 4, "-n", REQUESTS, "-r", KEYS, "-q", "BITCOUNT"]
        words.append(f"{group}:__rand_int__")
        subprocess.run(["redis-benchmark", *map(str, words)], check=True, stdout=subprocess.DEVNULL)
        done += REQUESTS
    return done / (time.monotonic() - begin)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(inside(Path(arguments[1])) if arguments[:1] == ["inside"] else main(arguments))
