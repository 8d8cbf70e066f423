"""One of two processes that write to a served tree as they like: python -m tests.integration.control_fuzz DIR SEED N.

Prints, as JSON, what it wrote last to each file that stays, and every error it met.
"""

from __future__ import annotations

import errno
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

CONTEXT = "0/contexts/0"
NUMBERS = [
    f"{CONTEXT}/monitoring_attrs/intervals/sample_us",
    f"{CONTEXT}/monitoring_attrs/nr_regions/max",
    f"{CONTEXT}/schemes/0/quotas/bytes",
    f"{CONTEXT}/schemes/0/access_pattern/sz/max",
    f"{CONTEXT}/targets/0/pid_target",
    "0/refresh_ms",
]
"""Files that are there all the time."""
COUNT = f"{CONTEXT}/schemes/0/quotas/goals/nr_goals"
COMES_AND_GOES = f"{CONTEXT}/schemes/0/quotas/goals/1/target_value"
ALLOWED = {errno.EBUSY, errno.ENOENT, errno.ENODEV}
"""What another process's work may bring: the structure in use, a directory gone, an open file's directory gone."""


def main(directory: str, seed: str, operations: str) -> None:
    at, chance = Path(directory), random.Random(int(seed))
    last: dict[str, int] = {}
    met: Counter[int] = Counter()
    for _ in range(int(operations)):
        path = chance.choice([*NUMBERS, *NUMBERS, COUNT, COMES_AND_GOES])
        value = chance.choice((0, 1, 2)) if path == COUNT else chance.randrange(2**20)
        try:
            if chance.random() < 0.4:
                int((at / path).read_text())
            else:
                write(at / path, str(value))
                last[path] = value
        except OSError as error:
            met[error.errno or 0] += 1
            if path in NUMBERS or error.errno not in ALLOWED:
                raise
    print(json.dumps({"last": {path: last.get(path) for path in NUMBERS}, "errors": met}))


def write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


if __name__ == "__main__":
    main(*sys.argv[1:])
