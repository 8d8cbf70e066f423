"""Running a command where DAMON's files are udamon's: `udamon control exec`.

The server is a process of its own in the private mount namespace; it ends when this one does.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from udamon import console
from udamon.control import perf, private_sys
from udamon.control.mounting import ServedPaths, mfusepy
from udamon.errors import CannotError, NotPermitted, UdamonError
from udamon.files.temporary import TemporaryDirectory
from udamon.linux import namespaces
from udamon.linux.mounts import mounts
from udamon.linux.namespaces import Capability

SYS = Path("/sys")
DROPPED = [Capability.SYS_ADMIN, Capability.SYS_PTRACE, Capability.SYS_CHROOT]
"""What a command could leave its /sys with: mounts, the roots of other processes, another root."""


Serve = Callable[[ServedPaths, Callable[[], None]], None]
"""Serves until a signal; calls its second argument when all answer. Raises UdamonError."""


@contextmanager
def private_damon(serve: Serve, *, debugfs: bool = False) -> Iterator[Mapping[str, str]]:
    """Within, this process's /sys has udamon's tree; yields the environment for commands that use it.

    Before it yields it has verified that no path leads to the kernel's own tree. Only root, and only on the one
    thread of a process: its mount namespace is another one from then on. Raises UdamonError.
    """
    if os.geteuid() != 0:
        raise NotPermitted("a /sys of its own takes mounts; run udamon control exec as root.")
    mfusepy()
    here = os.getcwd()
    with TemporaryDirectory("exec") as directory:
        scratch = directory.path
        places = _enter(scratch, debugfs=debugfs)
        server = _start(serve, places)
        try:
            os.chdir(here if os.path.isdir(here) else "/")  # by its name: it may lead elsewhere now
            verify()
            yield environment(scratch, places)
        finally:
            os.kill(server, signal.SIGTERM)
            os.waitpid(server, 0)


def _enter(scratch: Path, *, debugfs: bool) -> ServedPaths:
    try:
        namespaces.private_mounts()
    except OSError as error:
        raise NotPermitted(
            f"a mount namespace of its own cannot be had: {error.strerror}; it takes CAP_SYS_ADMIN."
        ) from error
    staging = scratch / "sys"
    staging.mkdir()
    trees = [private_sys.SYSFS, *([private_sys.DEBUGFS] if debugfs else [])]
    hidden = [each for each in (private_sys.DEBUGFS,) if each not in trees and (SYS / each).exists()]
    private_sys.build(private_sys.plan(private_sys.listing_of(SYS), trees, hidden), SYS, staging)
    old = SYS / private_sys.DEBUGFS if debugfs else None
    return ServedPaths(SYS / private_sys.SYSFS, old, scratch / "events")


def _start(serve: Serve, places: ServedPaths) -> int:
    """The pid of a server that answers."""
    ready_read, ready_write = os.pipe()
    server = os.fork()
    if server == 0:
        os.close(ready_read)
        _be_server(serve, places, ready_write)
    os.close(ready_write)
    answered = os.read(ready_read, 1)
    os.close(ready_read)
    if not answered:
        os.waitpid(server, 0)
        raise CannotError("the tree could not be served, so nothing was run; the line above says why.")
    return server


def _be_server(serve: Serve, places: ServedPaths, ready: int) -> None:
    """Never returns. In a group of its own: Ctrl-C is meant for the command."""
    status = 1
    try:
        os.setpgid(0, 0)
        namespaces.die_with_parent(signal.SIGTERM)
        serve(places, lambda: _tell(ready))
        status = 0
    except UdamonError as error:
        console.say(str(error))
    except BaseException as error:
        console.trace(error)
    finally:
        os._exit(status)


def _tell(ready: int) -> None:
    os.write(ready, b"r")
    os.close(ready)


def verify() -> None:
    """Raises CannotError when some path of this namespace leads to the kernel's tree."""
    mounted = mounts()
    paths = private_sys.leaks(mounted, private_sys.device_of)
    if paths:
        raise CannotError(
            f"{paths[0]} would still lead to the kernel's DAMON: unmount that first; nothing was run."
        )
    if private_sys.open_directories((0, 1, 2), mounted):
        raise CannotError(
            "standard input or output is a directory of the kernel's /sys; redirect it elsewhere."
        )


def environment(scratch: Path, places: ServedPaths) -> dict[str, str]:
    """Ours, with the stand-in for perf, which is made in `scratch`, first in PATH."""
    shim = scratch / "bin"
    shim.mkdir()
    script = shim / "perf"
    # As a plain file and without site-packages: who calls it may not wait long before interrupting it.
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S {shlex.quote(perf.__file__)} "$@"\n')
    script.chmod(0o755)
    path = f"{shim}:{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path, perf.STREAM: str(places.events), perf.SHIM: str(shim)}


def drop_capabilities() -> None:
    """For the process that is about to become the command. Raises OSError."""
    namespaces.drop(DROPPED)
