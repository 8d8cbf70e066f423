"""Address spaces whose page tables are read: found once, pinned, and proved to be the process's own.

An open page map keeps the address space (mm_struct), and with it the topmost table: its frame is not used for anything
else meanwhile. Once no process has that memory any more (after an exec, or the end) the page map reads nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from udamon.errors import NotPermitted, NotSupported
from udamon.linux.kernel_memory import BadMemory
from udamon.linux.maps import line_range, read_lines
from udamon.linux.pagemap import ENTRY_FRAME, ENTRY_PRESENT, PRESENT, open_page_map, page_map_entry
from udamon.linux.pagemap_scan import NoScan, scan_runs
from udamon.linux.procfs import ProcessId, memory_thread
from udamon.linux.roots import PROC
from udamon.model import PAGE_SIZE, Range
from udamon.ops.kernel_tables import Opened

_PROBES = 8
_PROBED = 256  # page-map entries that are read to find these
_TRIES = 3


class AddressSpace:
    """The memory of a process as it is now; `root` is the physical address of its topmost table.

    Raises, when made, OSError: ProcessLookupError where the process ends, or nothing of it is resident, so that nothing
    proves which tables are its own. NotSupported where tables and page map disagree, or its main thread has ended
    and others are not found, and NotPermitted where the page map hides frames.
    """

    def __init__(self, opened: Opened, process: ProcessId, proc: Path = PROC) -> None:
        self.page_map = open_page_map(process, proc)
        try:
            self.root = self._found(opened, process, proc)
        except BaseException:
            self.close()
            raise

    def _found(self, opened: Opened, process: ProcessId, proc: Path) -> int:
        for _ in range(_TRIES):  # pages are moved, tasks freed, and threads end while we look
            self.check()
            thread = memory_thread(process, proc)
            if thread != process.pid and not opened.roots.threads:
                raise NotSupported(
                    f"the main thread of process {process.pid} has ended before others, and without BTF page "
                    "tables are found by main threads alone; use another --via."
                )
            with suppress(BadMemory):
                try:
                    root = opened.tables.memory.physical(opened.roots.of(thread))
                except ProcessLookupError:
                    if thread == memory_thread(process, proc):
                        raise
                    continue  # this thread ended, and others go on
                probes = self._probes(process, proc)
                if not probes:
                    raise ProcessLookupError
                if root is not None and opened.tables.agrees(root, self.page_map, probes):
                    return root
        self.check()
        raise NotSupported(
            f"the page tables found for process {process.pid} do not agree with its page map; use another --via."
        )

    def _probes(self, process: ProcessId, proc: Path) -> Sequence[int]:
        """Addresses of some present pages, of mappings all over; empty where none was found."""
        ranges = [line_range(line) for line in read_lines(process, proc)]
        if not ranges:
            raise ProcessLookupError
        found = list(islice(filter(self._is_present, _candidates(ranges)), _PROBES))
        if not found:  # most of it was moved out
            with suppress(NoScan):
                runs = scan_runs(self.page_map, ranges, PRESENT, PRESENT)
                found = [run.start for run in islice(runs, _PROBES)]
        if found and not any(page_map_entry(self.page_map, address) & ENTRY_FRAME for address in found):
            raise NotPermitted(
                "page frame numbers are kept from you, so that page tables prove nothing; run udamon as root."
            )
        return found

    def _is_present(self, address: int) -> bool:
        return bool(page_map_entry(self.page_map, address) & ENTRY_PRESENT)

    def check(self) -> None:
        """Raises ProcessLookupError when no process has this memory any more."""
        page_map_entry(self.page_map, 0)

    def close(self) -> None:
        if self.page_map >= 0:
            os.close(self.page_map)
            self.page_map = -1


def _candidates(ranges: Sequence[Range]) -> Iterator[int]:
    """Pages at the beginning of each range."""
    each = max(1, _PROBED // len(ranges))
    for r in ranges:
        yield from range(r.start, min(r.end, r.start + each * PAGE_SIZE), PAGE_SIZE)
