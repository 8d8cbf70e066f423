"""Everything udamon raises on purpose. Each message is one sentence: what, why, and what to do.

Messages name flags of the command line. Those of the library name fields and arguments instead: `max_pause` for
`--max-pause`, `pids` for `-p PID` (udamon.api.words).

UdamonError
├── UsageError            the request itself is wrong (exit status 2)
│   ├── AttrsError        monitoring attributes that DAMON refuses (the kernel's EINVAL)
│   ├── RangesError       empty, unsorted or overlapping address ranges (the kernel's EINVAL)
│   └── ConfigError       a workload or scheme file that does not parse; names file and line
└── CannotError           right request, but it cannot be done here or now (exit status 1)
    ├── TargetGone        the process has ended (checked after the error that made us look)
    ├── TargetBusy        another monitor already watches this target
    ├── NotPermitted      the kernel refused; says which privilege would do
    ├── PauseTooLong      looking at this target would stop it for longer than is allowed
    ├── NotSupported      this machine lacks the feature
    ├── OutOfFiles        the limit of open files is reached
    ├── RecordingError    a file that is not a recording, or cannot be read or written
    │   └── OutputError   a file that cannot be made, or written to
    └── MissingExtra      an optional dependency is not installed
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from udamon.text import escape


class UdamonError(Exception):
    """Base of all; `status` is the exit status of the command that ends with it.

    `str()` gives one line that is safe to print: text quoted in the message is escaped.
    """

    status = 1

    def __str__(self) -> str:
        return escape(super().__str__())


class UsageError(UdamonError):
    """The request itself is wrong."""

    status = 2


class AttrsError(UsageError):
    """Monitoring attributes that DAMON refuses."""


class RangesError(UsageError):
    """Address ranges that are empty, unsorted or overlapping."""


class ConfigError(UsageError):
    """A configuration file that does not parse; the message starts with `file:line:`."""


class CannotError(UdamonError):
    """A right request that cannot be done here or now."""


class TargetGone(CannotError):
    """The target process has ended."""


class TargetBusy(CannotError):
    """Another monitor already watches this target."""


class NotPermitted(CannotError):
    """The kernel refused; the message names the privilege that would do."""


class PauseTooLong(CannotError):
    """A look would stop the target for longer than --max-pause allows.

    `temporary`: the target may be looked at again after some windows, although it has not changed.
    """

    def __init__(self, text: str, *, temporary: bool = False) -> None:
        super().__init__(text)
        self.temporary = temporary


class NotSupported(CannotError):
    """This machine lacks the feature; the message says how to get it."""


class OutOfFiles(CannotError):
    """No further file may be opened: the limit of this process, or of the machine."""


class RecordingError(CannotError):
    """A file that is not a recording, or one that cannot be read or written."""


class OutputError(RecordingError):
    """A file that cannot be made, or written to."""


class MissingExtra(CannotError):
    """An optional dependency is not installed."""


def is_defect(error: BaseException) -> bool:
    """Whether a line of udamon's own made a mistake, which is to be seen as one and not told as a library's answer.

    Libraries that have no common base of what they raise may raise any kind, but then from lines of their own.
    """
    kinds = (TypeError, AttributeError, NameError, LookupError, AssertionError, ArithmeticError)
    trace = error.__traceback__
    if trace is None or not isinstance(error, kinds):
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == "udamon"


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises KeyboardInterrupt where a library that calls back here, or imports another, made an error of its own of
    one."""
    try:
        yield
    except Exception as error:
        said = str(error)
        if (
            KeyboardInterrupt.__name__ in said
            or (type(error) is RuntimeError and said == "Query interrupted")  # of DuckDB
            or isinstance(error.__cause__ or error.__context__, KeyboardInterrupt)
        ):
            raise KeyboardInterrupt from error
        raise


def is_panic(error: BaseException) -> bool:
    """Whether a library in Rust has broken off, which it raises as no Exception."""
    return type(error).__name__ == "PanicException"


NO_FILES = "no more files can be opened; raise the limit (ulimit -n)."
NO_MEMORY = "no memory was left; allow this process more (ulimit -v, or that of its container)."
NO_THREADS = (
    "no further thread can be started, for want of memory or of threads; allow this process more (ulimit -v, ulimit "
    "-u, or those of its container)."
)
_NO_ROOM = ("failed to map segment", "annot allocate memory", "ut of memory")


def exhausted(error: BaseException) -> str | None:
    """One sentence where `error` was made by what this process has run out of: open files, memory or threads. None for
    all else.

    An error that was raised on purpose because a file could not be opened, or a library not be loaded, expected another
    reason, and says what would not help.
    """
    if not isinstance(error, UdamonError):
        return _exhausted(error)
    if isinstance(error, OutOfFiles):
        return None  # it says so itself
    seen = {id(error)}
    below = error.__cause__ or error.__context__
    while below is not None and id(below) not in seen:
        seen.add(id(below))
        full = isinstance(below, OSError) and below.errno in (errno.EMFILE, errno.ENFILE)
        if (full or isinstance(below, ImportError)) and (found := _exhausted(below)) is not None:
            return found
        below = below.__cause__ or below.__context__
    return None


def _exhausted(error: BaseException) -> str | None:
    said, of_library = str(error), type(error).__module__ in ("duckdb", "_duckdb")
    if isinstance(error, MemoryError) or (of_library and type(error).__name__ == "OutOfMemoryException"):
        return NO_MEMORY
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return NO_FILES
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return NO_MEMORY
    if isinstance(error, RuntimeError) and said == "can't start new thread":
        return NO_THREADS
    if isinstance(error, ImportError) or of_library:
        if "Too many open files" in said:
            return NO_FILES
        if any(words in said for words in _NO_ROOM):
            return NO_MEMORY
    return None
