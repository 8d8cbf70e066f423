"""move_pages(2): on which NUMA node pages of a process are, and moving them (2.6.18).

A positive answer is the number of pages that were not moved, those included that were not even tried, for the
call ends at the first group of pages (for one node) that did not move whole. Nothing says which, so who wants to know
asks again where the pages are.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence

from udamon.linux.syscall import system_call

_NUMBER = {"x86_64": 279}
_GENERIC = 239
_MOVE, _MOVE_ALL = 1 << 1, 1 << 2


def nodes_of(pid: int, addresses: Sequence[int]) -> array[int]:
    """For each page its node, or minus an errno (ENOENT: not present, EFAULT: not mapped). Raises OSError
    (ESRCH; EPERM where the process may not be read)."""
    pages, status = array("Q", addresses), array("i", bytes(4 * len(addresses)))
    _call(pid, pages, 0, status, 0)
    return status


def move(pid: int, addresses: Sequence[int], node: int, *, shared: bool = False) -> None:
    """Move these pages to `node`, as far as that goes; with `shared` also those that other processes map, which needs
    CAP_SYS_NICE. Raises OSError: ENODEV (no such node), EACCES (not among the target's allowed nodes), ESRCH, EPERM."""
    pages, status = array("Q", addresses), array("i", bytes(4 * len(addresses)))
    wanted = array("i", [node]) * len(addresses)
    _call(pid, pages, wanted.buffer_info()[0], status, _MOVE_ALL if shared else _MOVE)


def _call(pid: int, pages: array[int], nodes: int, status: array[int], flags: int) -> None:
    number = _NUMBER.get(os.uname().machine, _GENERIC)
    system_call(number, pid, len(pages), pages.buffer_info()[0], nodes, status.buffer_info()[0], flags)
