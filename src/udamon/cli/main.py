"""The command `udamon`: finds the subcommand's module, and turns errors into one sentence."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from udamon import __version__
from udamon.errors import UdamonError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Buffer

COMMANDS = {
    "doctor": "what this machine offers, what is missing, how to get it",
    "record": "watch a process and write down where it touches memory",
    "schemes": "say what schemes would do to a target's memory, or with --apply do it",
    "reclaim": "take memory out that was not accessed for long",
    "lru-sort": "sort hot memory to the head of the kernel's lists, cold memory to their tail",
    "stat": "for how long memory lies idle, and how much is accessed a second",
    "live": "watch, and show it meanwhile: a heatmap that scrolls, the hottest mappings",
    "report": "working set, heatmap and more from a recording",
    "check": "assert limits on a recording: working set, cold memory, rates of mappings",
    "convert": "turn recordings into damo's formats, Parquet or CSV, and back",
    "control": "serve DAMON's own files, for DAMON's own tools",
    "workload": "touch memory as a masim configuration says",
    "eval": "accuracy and cost of a region policy against a known truth",
}
"""Command names and their help; the module is `udamon.cli.NAME` (_ for -), imported only when it is asked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0 done, 1 could not, 2 wrong usage."""
    _open_streams()
    try:
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        finally:
            sys.stdout.flush()  # what it says of a full disk is told here, not by the interpreter at its end
    except BrokenPipeError:
        # The reader of our output went away; nothing is left to say, not even at interpreter exit.
        _write_nowhere()
        return 1
    except OSError as error:
        if error is not _Output.failure:
            raise
        _write_nowhere()
        why = "it is closed" if error.errno == errno.EBADF else error.strerror
        _say(f"cannot write to standard output: {why}; redirect it to a place with room.")
        return 1
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    # What stands behind "--" is somebody else's command line: argparse must not touch it.
    own = words[: words.index("--")] if "--" in words else words
    try:
        args = _parser(own).parse_args(own)
        args.command = words[len(own) + 1 :] if len(own) < len(words) else None
        return int(args.run(args))
    except UdamonError as error:
        _say(str(error))
        return error.status


def _say(sentence: str) -> None:
    print(f"udamon: {sentence}", file=sys.stderr)


class _Output(io.FileIO):
    """Standard output, which knows what its own error was: any other OSError would be a fault of ours."""

    failure: OSError | None = None

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            _Output.failure = error
            raise


def _open_streams() -> None:
    """Have all three standard streams open, and know when writing to the output fails.

    Where one was closed the next file would get its number, and with it what is printed. Writing to a closed
    standard output fails from then on; what is said on a closed standard error goes nowhere.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(
                os.open(os.devnull, mode), True
            )  # it gets the lowest number that is free: this one
    if sys.stderr is None:
        sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
    before = sys.stdout
    if before is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Output(1, "w", closefd=False)))
    elif before is sys.__stdout__ and isinstance(
        before, io.TextIOWrapper
    ):  # not one that a test has put there
        before.flush()
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Output(before.fileno(), "w", closefd=False)),
            encoding=before.encoding,
            errors=before.errors,
            line_buffering=before.line_buffering,
            write_through=before.write_through,
        )


def _write_nowhere() -> None:
    """What is still to be flushed must not fail again when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, as all of udamon does, where argparse prints the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help.")


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="udamon", description="Which memory of a live Linux system is hot, warm or cold.")
    parser.add_argument("--version", action="version", version=f"udamon {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    asked = next((word for word in words if not word.startswith("-")), None)
    for name, text in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == asked:
            module = importlib.import_module(f"udamon.cli.{name.replace('-', '_')}")
            module.configure(sub)
            sub.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
