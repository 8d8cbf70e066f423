"""Whether the processes in /proc are those of this process's own pid namespace.

In a pid namespace without a /proc of its own (unshare -pf), /proc shows the processes of another one: a number that
system calls take for one process is another's there, and a COMMAND that was started here is watched as a stranger.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from udamon.errors import NotSupported
from udamon.linux.open_files import list_directory
from udamon.linux.procfs import read_bytes
from udamon.linux.roots import PROC


def foreign(root: Path = PROC) -> str:
    """Why the numbers in `root` are not those of this process's system calls, and what to do; "" where they are, or
    `root` is not mounted."""
    if _is_own(root):
        return ""
    return (
        f"{root} shows the processes of another pid namespace, where a number is another process than here; give "
        "udamon a /proc of its own (unshare --mount-proc, or mount -t proc proc /proc), or run it in the "
        "host's pid namespace."
    )


def require_own(root: Path = PROC) -> None:
    """Raises NotSupported where `root` is foreign: processes can be neither named, watched nor acted on."""
    if why := foreign(root):
        raise NotSupported(why)


def _is_own(root: Path) -> bool:
    try:
        shown = os.readlink(root / "self")
    except OSError as error:
        # EINVAL: something else than procfs. No link: nothing is mounted, or we are in none of its namespaces.
        return error.errno == errno.EINVAL or not _shows_processes(root)
    return shown == str(os.getpid()) and len(_numbers(root)) <= 1


def _shows_processes(root: Path) -> bool:
    try:
        return any(name.isdigit() for name in list_directory(root))
    except OSError:
        return False


def _numbers(root: Path) -> list[bytes]:
    """This process's numbers, from the namespace of `root` down to its own: one where they are the same (Linux 4.1).

    Two numbers can be equal by chance, so this is asked beside the name of /proc/self.
    """
    try:
        lines = read_bytes(root / "self" / "status").splitlines()
    except OSError:
        return []
    return next((line.split()[1:] for line in lines if line.startswith(b"NSpid:")), [])
