"""Functions and lines of addresses in files of code: what udamon.sites.symbols runs as a process of its own.

Files are whatever a watched program had loaded. So they are read here, with bounds on memory and time, and what goes
wrong goes wrong here. Reads a request for each line on standard input, writes an answer for each.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import stat
import sys
from collections.abc import Callable, Iterator
from typing import Any

from udamon import plain_json

MEMORY, CPU_S = 6 << 30, 120
DEBUG_FILES = "/usr/lib/debug/.build-id"
LARGEST = 4 << 30
_LONGEST = 4096
"""Letters of a name, at most: templates have long ones."""


def main() -> int:
    """Answer requests until there are no more; 0."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    demangle = _demangler()
    for line in sys.stdin:
        request = plain_json.read_object(line)
        found = symbols(request["path"], request["build_id"], request["addresses"], demangle)
        _answer(json.dumps({"module": request["module"], **found}) + "\n")
    return 0


def _answer(text: str) -> None:
    """To the process that asked: a pipe, no terminal."""
    left = text.encode("ascii")
    while left:
        left = left[os.write(1, left) :]


def symbols(path: str, build_id: str, addresses: list[int], demangle: Callable[[str], str]) -> dict[str, Any]:
    """`symbols`: [[address, [[function, file, line], …]], …], calls that were inlined before what they are in.

    `lines` says whether there was a file with line numbers; `why` why there was nothing, else None.
    """
    names: dict[int, list[list[Any]]] = {}
    lines = False
    why: str | None = "there is no such file any more, nor its debug file"
    candidates = _candidates(path, build_id)
    while (left := [address for address in addresses if address not in names]) and not lines:
        try:
            candidate = next(candidates, None)
            if candidate is None:
                break
            lines = _look_up(candidate, build_id, left, names, demangle)
            why = None
        except (OSError, ValueError, RuntimeError) as error:
            why = str(error)[:200]
        except Exception as error:  # what the library for ELF files raises, of which there are many
            why = f"{type(error).__name__}: {str(error)[:200]}"
    return {
        "symbols": sorted([address, found] for address, found in names.items()),
        "lines": lines,
        "why": None if names else why,
    }


def _candidates(path: str, build_id: str) -> Iterator[str]:
    """Files that may have the symbols, those with lines first. Raises OSError where no server can be asked."""
    if len(build_id) > 2:
        yield f"{DEBUG_FILES}/{build_id[:2]}/{build_id[2:]}.debug"
    if path.startswith("/"):
        yield path
    if build_id and os.environ.get("DEBUGINFOD_URLS"):
        yield from _from_debuginfod(build_id)


def _from_debuginfod(build_id: str) -> Iterator[str]:
    """The debug file that a server has (elfutils' client, with its cache and settings). Raises OSError without it."""
    try:
        library = ctypes.CDLL("libdebuginfod.so.1")
    except OSError:
        raise OSError(
            "no file here has their names, and DEBUGINFOD_URLS needs elfutils' libdebuginfod.so.1, which is not "
            "installed"
        ) from None
    library.debuginfod_begin.restype = ctypes.c_void_p
    client = ctypes.c_void_p(library.debuginfod_begin())
    if not client.value:
        return
    found = ctypes.c_char_p()
    fd = library.debuginfod_find_debuginfo(client, build_id.encode(), 0, ctypes.byref(found))
    library.debuginfod_end(client)
    if fd >= 0:
        try:
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)


def _look_up(
    path: str,
    build_id: str,
    addresses: list[int],
    names: dict[int, list[list[Any]]],
    demangle: Callable[[str], str],
) -> bool:
    """Whether the file has line numbers; raises where it is not the one, or none."""
    from symbolic.debuginfo import Archive

    # Not opened before it is known what it is: opening some devices does something.
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST:
            raise ValueError("it is no file, or one of more than 4 GiB")
        objects = list(Archive.open(f"/proc/self/fd/{fd}").iter_objects())
        if len(objects) != 1 or (build_id and objects[0].code_id != build_id):
            raise ValueError("the file is another one than was loaded: its build id differs")
        cache = objects[0].make_symcache()
        for address in addresses:
            calls: list[Any] = cache.lookup(address)  # type: ignore[no-untyped-call]
            found = [_frame(one, demangle) for one in calls]
            if found:
                names[address] = found
        return "debug" in objects[0].features
    finally:
        os.close(fd)


def _frame(found: Any, demangle: Callable[[str], str]) -> list[Any]:
    path = found.full_path or None
    return [demangle(str(found.symbol))[:_LONGEST], path and path[:_LONGEST], found.line or None]


def _demangler() -> Callable[[str], str]:
    """The C++ library's own, where there is one."""
    try:
        library = ctypes.CDLL("libstdc++.so.6")
    except OSError:
        return lambda name: name
    function = library.__cxa_demangle
    function.restype = ctypes.c_void_p
    free = ctypes.CDLL(None).free
    free.argtypes = [ctypes.c_void_p]

    def demangle(name: str) -> str:
        if not name.startswith("_Z") or "\0" in name:
            return name
        failed = ctypes.c_int()
        text = function(name.encode(errors="surrogateescape"), None, None, ctypes.byref(failed))
        if failed.value or not text:
            return name
        plain = ctypes.string_at(text).decode(errors="surrogateescape")
        free(text)
        return plain

    return demangle


if __name__ == "__main__":
    sys.exit(main())
