"""Where an output goes: what is there now, and whether it may be written."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterable

from udamon.closing import Closing
from udamon.errors import OutputError, UsageError
from udamon.files.names import Identity, descriptor_of, resolved, shown
from udamon.linux.open_files import remedy


class OutputPlace(Closing):
    """A name for an output, checked; its directory is held open, so that it cannot become another one meanwhile.

    - A regular file is replaced with `force`, and refused without.
    - A descriptor that is open already (-, /dev/stdout, /dev/fd/N), a pipe or a device is written as it is.
    - A symbolic link, a directory and another user's pipe are refused, and so is one of `inputs`, whatever `force`
      says.

    Nothing is changed or opened for writing. Raises OutputError; UsageError for an input.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, force: bool = False, inputs: Iterable[Identity] = ()
    ) -> None:
        self.path = os.fspath(path)
        self.force = force
        self.inputs = frozenset(inputs)
        self.descriptor = descriptor_of(self.path)
        self.shown = shown(self.path)
        """How sentences call it."""
        self.directory, self.name = -1, ""
        """The directory's descriptor (O_PATH), and the name in it. Not for a descriptor."""
        self._found: os.stat_result | None = None
        try:
            if self.descriptor is not None:
                self._check_descriptor(self.descriptor)
            else:
                self._open_directory()
                self._found = self._look()
        except BaseException:
            self.close()
            raise

    @property
    def as_it_is(self) -> bool:
        """Whether what is there is written, not replaced: a descriptor, a pipe or a device."""
        return self.descriptor is not None or (
            self._found is not None and not stat.S_ISREG(self._found.st_mode)
        )

    @property
    def shared(self) -> bool:
        """Whether another user may make names in the directory (root may everywhere)."""
        status = os.fstat(self.directory)
        return bool(status.st_mode & 0o022) or status.st_uid not in (0, os.geteuid())

    def open_as_it_is(self) -> int:
        """A descriptor for writing to what is there. Waits for the reader of a pipe. Raises OutputError."""
        try:
            if self.descriptor is not None:
                return fcntl.fcntl(self.descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
            flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
            fd = os.open(self.name, flags, dir_fd=self.directory)
        except OSError as error:
            raise self.trouble(error) from error
        found = self._found
        if found is None or not os.path.samestat(found, os.fstat(fd)):
            os.close(fd)
            raise OutputError(
                f"{self.path} became another file while it was opened; nothing was written to it."
            )
        return fd

    def trouble(self, error: OSError) -> OutputError:
        """The OutputError for a failed open or create."""
        if error.errno == errno.EEXIST:
            return OutputError(f"{self.path} exists already; give another name or --force to replace it.")
        fix = remedy(error, "choose another place")
        return OutputError(f"cannot create {self.path}: {error.strerror}; {fix}.")

    def close(self) -> None:
        """Idempotent."""
        if self.directory >= 0:
            os.close(self.directory)
            self.directory = -1

    def _open_directory(self) -> None:
        head, self.name = os.path.split(self.path)
        if self.name in ("", ".", ".."):
            raise OutputError(f"{self.path or '.'} is a directory; give the name of a file.")
        try:
            self.directory = os.open(head or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self.trouble(error) from error

    def _look(self) -> os.stat_result | None:
        """What is there; None where nothing is."""
        try:
            found = os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            self._check_directory()
            return None
        except OSError as error:
            raise self.trouble(error) from error
        mode = found.st_mode
        if stat.S_ISLNK(mode):
            raise OutputError(
                f"{self.path} is a symbolic link, and an output is never written through one; "
                f"give {resolved(self.path)}, where it leads."
            )
        if stat.S_ISDIR(mode):
            raise OutputError(f"{self.path} is a directory; give the name of a file.")
        if stat.S_ISSOCK(mode):
            raise OutputError(f"{self.path} is a socket; give the name of a file.")
        self._check_input(found)
        if stat.S_ISREG(mode):
            if not self.force:
                raise self.trouble(FileExistsError(errno.EEXIST, ""))
            self._check_directory()
        elif stat.S_ISBLK(mode) and not self.force:
            raise OutputError(
                f"{self.path} is a block device; give the name of a file, or --force to write over it."
            )
        elif stat.S_ISFIFO(mode) and found.st_uid not in (0, os.geteuid()):
            raise OutputError(
                f"{self.path} is a pipe of another user; if that is meant, give - and redirect standard output to it."
            )
        return found

    def _check_directory(self) -> None:
        """Whether names can be made in it, as far as that can be told without trying."""
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=self.directory, effective_ids=True):
            read_only = os.statvfs(self.directory).f_flag & os.ST_RDONLY
            code = errno.EROFS if read_only else errno.EACCES
            raise self.trouble(OSError(code, os.strerror(code)))

    def _check_descriptor(self, number: int) -> None:
        try:
            found = os.fstat(number)
            own = number > 2 and fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
            mode = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
        except OSError as error:
            raise self._no_descriptor(number, error.strerror) from error
        if own:  # udamon opened it: what its parent gave has no close-on-exec flag
            raise self._no_descriptor(number, os.strerror(errno.EBADF))
        if mode == os.O_RDONLY:
            raise self._no_descriptor(number, "it is not open for writing")
        self._check_input(found)

    def _no_descriptor(self, number: int, why: str | None) -> OutputError:
        return OutputError(f"cannot write to {self.shown}: {why}; give the name of a file, or redirect it.")

    def _check_input(self, found: os.stat_result) -> None:
        same = (found.st_dev, found.st_ino) in self.inputs
        if same and (stat.S_ISREG(found.st_mode) or stat.S_ISBLK(found.st_mode)):
            raise UsageError(f"{self.shown} is the file that is read, or a part of it; give another name.")


def check(path: str | os.PathLike[str], *, force: bool = False, inputs: Iterable[Identity] = ()) -> None:
    """Raise what OutputPlace raises, before anything is started for this output; changes nothing."""
    OutputPlace(path, force=force, inputs=inputs).close()


def without_force(said: str) -> str:
    """What an OutputError says, where nothing like --force can be given."""
    return re.sub(r",? or --force to [a-z ]+(?=\.$)", "", said)
