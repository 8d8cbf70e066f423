"""The command `udamon`: finds the subcommand's module, and turns errors into one sentence."""

from __future__ import annotations

import argparse
import errno
import re
import sys
from collections.abc import Sequence

from udamon import console
from udamon.cli import mistakes, parsers
from udamon.cli.defaults import Defaults
from udamon.errors import UdamonError, UsageError, exhausted, interruptible
from udamon.text import sentence

_WITH_VALUE = re.compile(r"(?:-p|--pid=)(.+)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0 done, 1 could not, 2 wrong usage."""
    console.begin()
    try:
        try:
            with interruptible():
                return _run(list(sys.argv[1:] if argv is None else argv))
        finally:
            console.flush()  # what it says of a full disk is told here, not by the interpreter at its end
    except BrokenPipeError as error:
        # The reader of our output has what it wants (`| head`); the interpreter must not complain at its end.
        console.give_up()
        return console.answered() if console.failed_by(error) else 1
    except OSError as error:
        if not console.failed_by(error):
            raise
        console.give_up()
        why = "it is closed" if error.errno == errno.EBADF else error.strerror
        console.say(f"cannot write to standard output: {why}; redirect it to a place with room.")
        return 1
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    # What stands behind "--" is the command line of COMMAND: argparse must not parse it.
    own = words[: words.index("--")] if "--" in words else words
    if own[:1] == ["help"]:
        own = [*own[1:], "--help"]
    own = with_pids_joined(own)
    try:
        mistakes.refuse(own, parsers.COMMANDS)
        if own[:1] == ["report"]:
            from udamon.cli.report import with_kind

            own = with_kind(own)
        args, defaults = parsed(own)
        args.command = words[words.index("--") + 1 :] if "--" in words else None
        console.set_plain(args.plain)
        try:
            return int(args.run(args))
        except UsageError as error:
            raise defaults.attributed_to(args, error) from None
    except UdamonError as error:
        said = exhausted(error)
        console.say(sentence(str(error)) if said is None else said)
        return 1 if said is not None and error.status == UsageError.status else error.status
    except Exception as error:
        said = exhausted(error)
        if said is None:
            raise
        console.say(said)
    return 1


def with_pids_joined(words: Sequence[str]) -> list[str]:
    """The words of a command line, in which the numbers behind `-p PID` are its value, too, with commas: a shell makes
    a word of each line of `-p $(pgrep NAME)`."""
    found: list[str] = []
    taking = False
    for word in words:
        if taking and word.isdecimal():
            found[-1] += f",{word}"
            continue
        value = word if found[-1:] in (["-p"], ["--pid"]) else (_WITH_VALUE.match(word) or ("", ""))[1]
        taking = value.replace(",", "").isdecimal()
        found.append(word)
    return found


def parsed(words: Sequence[str]) -> tuple[argparse.Namespace, Defaults]:
    """What a command line says, with the defaults that are in force. Raises UdamonError."""
    parser = parsers.parser(words)
    command = parsers.subcommands(parser).get(parsers.asked_for(words) or "")
    helped = not {"-h", "--help"}.isdisjoint(words)  # which a wrong file must not keep from anybody
    defaults = Defaults([], {}) if command is None or helped else Defaults.read()
    if command is not None:
        defaults.apply(command)
    args = parser.parse_args(words)
    defaults.settle(args)
    return args, defaults


if __name__ == "__main__":
    sys.exit(main())
