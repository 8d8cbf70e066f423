"""What kind of memory a mapping is, by the name the kernel prints for it."""

from __future__ import annotations

import re

HEAP, STACK, LIBRARY, FILE, ANONYMOUS, SHARED, KERNEL = (
    "heap", "stack", "library", "file", "anonymous", "shared", "kernel",
)  # fmt: skip

_LIBRARY = re.compile(r"\.so(\.[0-9.]+)?( \(deleted\))?$")
# Shared memory has a name without having a file: shmem's inodes live in a mount that nobody sees.
_SHARED = re.compile(r"/dev/zero \(deleted\)|/SYSV|/memfd:|/dev/shm/|\[anon_shmem:|/anon_hugepage")


def title_of(command: str) -> str:
    """A command line, or what a process made of it, without the directories of its program."""
    program, blank, rest = command.strip().partition(" ")
    return f"{program.rpartition('/')[2] or program}{blank}{rest}"


def kind_of(name: str) -> str:
    """One of the seven kinds above, from a name of /proc/PID/maps ("" is anonymous memory)."""
    if name == "[heap]":
        return HEAP
    if name.startswith("[stack"):
        return STACK
    if not name or name.startswith("[anon:"):
        return ANONYMOUS
    if _SHARED.match(name):
        return SHARED
    if name.startswith("["):
        return KERNEL  # [vdso], [vvar], [vsyscall], [uprobes]
    return LIBRARY if _LIBRARY.search(name) else FILE


def without_secrets(name: str) -> str:
    """The name with nothing but its kind left: paths and given names go."""
    kind = kind_of(name)
    if kind in (HEAP, STACK, KERNEL):
        return name
    return "" if kind == ANONYMOUS else {SHARED: "/memfd:", LIBRARY: "library.so", FILE: "file"}[kind]
