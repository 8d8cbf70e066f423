"""A stand-in for perf that records udamon's events: what `udamon control exec` puts first in PATH.

    perf record [-e damon:EVENT]… [-a] [-o FILE] [-- COMMAND]    takes event lines from the stream into FILE, as text
    perf script [-i FILE] […]                                    prints them

Anything else goes to the real perf, if there is one. It is no perf: a recording is text, not perf.data, there are
no other events, filters or call graphs in it, and a FILE that exists is refused without --force. Little is imported
(the standard library and udamon.files): damo interrupts it after a time of its own choice, however long it took to
start.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

STREAM = "UDAMON_EVENTS"
"""The environment variable that names the stream."""
SHIM = "UDAMON_SHIM"
"""The one that names the directory of this stand-in, where the real perf is not to be found."""
PREFIX = "damon:"


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    words = list(sys.argv[1:] if words is None else words)
    if words[:1] == ["record"] and any(PREFIX in word for word in words):
        return _record(words[1:])
    if words[:1] == ["script"] and (name := _input_of(words[1:])) is not None:
        return _script(name)
    return _real(words)


def _record(words: Sequence[str]) -> int:
    stop_read, stop_write = os.pipe()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.write(stop_write, b"x"))
    import argparse
    import threading

    parser = argparse.ArgumentParser(prog="perf record")
    parser.add_argument("-e", "--event", action="append", default=[])
    parser.add_argument("-a", "--all-cpus", action="store_true")
    parser.add_argument("-o", "--output", default="perf.data")
    parser.add_argument("-f", "--force", action="store_true")
    parser.add_argument("command", nargs="*")
    own, rest = _split(words)
    args = parser.parse_args(own)
    wanted = {
        f"{name.strip()}:".encode(errors="surrogateescape")
        for names in args.event
        for name in names.split(",")
    }
    command = rest or args.command
    stream = os.environ.get(STREAM)
    if stream is None:
        print(f"perf: {STREAM} names no event stream; run this within udamon control exec.", file=sys.stderr)
        return 1
    _find_udamon()
    from udamon.errors import UdamonError
    from udamon.files.output import OutputFile

    fifo = os.open(stream, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fifo, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("perf: another perf record reads the events already; end it first.", file=sys.stderr)
        return 1
    status = [0]
    try:
        output = OutputFile(args.output, b"", force=args.force)
        if command:
            threading.Thread(target=_run, args=(command, status, stop_write), daemon=True).start()
        _copy(fifo, stop_read, wanted, output.append)
        output.close()
    except UdamonError as error:
        print(f"perf: {error}", file=sys.stderr)
        return 1
    return status[0]


def _find_udamon() -> None:
    """As a plain file this finds the modules beside it, by names of the standard library's among them: not udamon."""
    here = Path(__file__).resolve().parent
    if __package__:
        return
    sys.path[:] = [each for each in sys.path if each != str(here)]
    sys.path.append(str(here.parents[1]))


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    words = list(words)
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def _run(command: Sequence[str], status: list[int], stop: int) -> None:
    import subprocess

    try:
        status[0] = subprocess.run(list(command), check=False).returncode
    except OSError as error:
        print(f"perf: {_shown(command[0])}: {error.strerror}", file=sys.stderr)
        status[0] = 127
    os.write(stop, b"x")


def _copy(fifo: int, stop: int, wanted: set[bytes], write: Callable[[bytes], object]) -> None:
    """Lines of the wanted events, until told to stop; then what is still in the pipe."""
    begun, ending = b"", False
    while True:
        readable, _, _ = select.select([fifo, stop], [], [], 0 if ending else None)
        if stop in readable and not ending:
            ending = True
            continue
        data = b""
        if fifo in readable:
            try:
                data = os.read(fifo, 1 << 16)
            except BlockingIOError:
                data = b""
        if not data:
            if ending:
                return
            # No writer yet, or not any more: a FIFO then reads as ended, again and again.
            if select.select([stop], [], [], 0.02)[0]:
                ending = True
            continue
        lines = (begun + data).split(b"\n")
        begun = lines.pop()
        write(b"".join(line + b"\n" for line in lines if _is_wanted(line, wanted)))


def _is_wanted(line: bytes, wanted: set[bytes]) -> bool:
    fields = line.split(None, 5)
    return len(fields) > 4 and fields[4] in wanted


def _input_of(words: Sequence[str]) -> str | None:
    """The recording that `perf script` is to print, if one of ours."""
    name = "perf.data"
    for at, word in enumerate(words):
        if word in ("-i", "--input") and at + 1 < len(words):
            name = words[at + 1]
        elif word.startswith("--input="):
            name = word.partition("=")[2]
    try:
        with open(name, "rb") as file:
            return None if file.read(8) == b"PERFILE2" else name
    except OSError:
        return name


def _script(name: str) -> int:
    try:
        with open(name, encoding="latin-1", newline="\n") as file:
            for line in file:
                sys.stdout.write(_shown(line.removesuffix("\n")) + "\n")
    except OSError as error:
        print(f"perf: {_shown(name)}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _shown(text: str) -> str:
    """The text in printable ASCII, with escapes for the rest: a recording may be anybody's. (As udamon.text, which
    this program does without.)"""
    return "".join(char if " " <= char <= "~" else ascii(char)[1:-1] for char in text)


def _real(words: Sequence[str]) -> int:
    import shutil
    import subprocess

    shim = os.environ.get(SHIM)
    directories = [each for each in os.environ.get("PATH", "").split(":") if each != shim]
    real = shutil.which("perf", path=":".join(directories))
    if real is None:
        print(
            "perf: this stand-in of udamon only records and prints damon: events, and there is no real perf.",
            file=sys.stderr,
        )
        return 1
    return subprocess.run([real, *words], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
