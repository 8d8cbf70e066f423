"""A seccomp filter that refuses a system call is not taken for a kernel that has none."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, struct, sys
number, code = int(sys.argv[1]), int(sys.argv[2])
# load the number of the call; equal to ours: ERRNO with the code, else ALLOW
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x00050000 | code), (6, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
libc = ctypes.CDLL(None, use_errno=True)
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code)))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0
from udamon.availability.actions import probe_action
from udamon.linux import features
print(features.process_madvise(), features.move_pages(), probe_action("cold").why, sep="|")
"""
PROCESS_MADVISE, MOVE_PAGES = 440, 279


@pytest.mark.parametrize(
    ("number", "code", "states", "why"),
    [
        (PROCESS_MADVISE, errno.EPERM, ("refused", "there"), "A seccomp filter refuses process_madvise."),
        (
            PROCESS_MADVISE,
            errno.ENOSYS,
            ("hidden", "there"),
            "The kernel has no process_madvise, or a seccomp filter hides it.",
        ),
        (MOVE_PAGES, errno.EACCES, ("there", "refused"), None),
    ],
)
def test_a_filter_is_named(number: int, code: int, states: tuple[str, str], why: str | None) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(number), str(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *found, told = done.stdout.strip().split("|")
    if "missing" in found:
        pytest.skip("this kernel has no such system call")
    assert tuple(found) == states
    assert why is None or told == why
