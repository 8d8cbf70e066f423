"""Control groups, version 1 and 2: where one is, and which processes are in it and below it."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from udamon.errors import CannotError, NotPermitted, NotSupported
from udamon.linux.mounts import mounts
from udamon.linux.open_files import refuse_if_full
from udamon.linux.procfs import read_bytes, read_status
from udamon.linux.roots import PROC


@dataclass(frozen=True, slots=True)
class CgroupMount:
    """A mounted hierarchy: `top` is the cgroup seen at `point` ("/" unless bind-mounted or namespaced)."""

    point: Path
    top: str
    version: int
    controllers: frozenset[str]


def cgroup_mounts(root: Path = PROC) -> list[CgroupMount]:
    """The cgroup mounts this process sees: version 2 first, then version 1 with the memory controller, then the others.
    Raises NotSupported where there are none."""
    try:
        found = [
            CgroupMount(Path(m.point), m.root, 2, frozenset())
            if m.kind == "cgroup2"
            else CgroupMount(Path(m.point), m.root, 1, m.options)
            for m in mounts(root)
            if m.kind in {"cgroup", "cgroup2"}
        ]
    except OSError:
        raise NotSupported(f"{root} is not mounted; mount it with: mount -t proc proc {root}.") from None
    if not found:
        raise NotSupported("no cgroup hierarchy is mounted; mount -t cgroup2 none /sys/fs/cgroup, or use -p.")
    return sorted(found, key=lambda m: (m.version != 2, "memory" not in m.controllers))


def find_cgroup(path: str, root: Path = PROC) -> Path:
    """The directory of a cgroup given as a directory, or as a path within a hierarchy ("/user.slice").

    A path that exists in several hierarchies means the first one in which it holds processes. Raises
    CannotError when there is no such cgroup.
    """
    found = [d for mount in cgroup_mounts(root) if (d := directory_in(path, mount)) is not None]
    if not found:
        raise CannotError(
            f"there is no cgroup {path!r}; see /proc/PID/cgroup of a process that should be in it."
        )
    return next((d for d in found if _has_processes(d)), found[0])


def directory_in(path: str, mount: CgroupMount) -> Path | None:
    """The directory of a cgroup within one hierarchy, None where it is not in that one."""
    absolute = Path(os.path.normpath(path))
    if absolute.is_relative_to(mount.point):
        candidate = absolute
    else:
        inside = "/" + os.path.normpath(path).strip("/")
        top = "" if mount.top == "/" else mount.top
        inside = inside.removeprefix(top) if (inside + "/").startswith(top + "/") else inside
        candidate = mount.point / inside.strip("/")
    # only a cgroup has this file, so a look-alike directory elsewhere is not taken for one
    return candidate if os.path.isfile(candidate / "cgroup.procs") else None


def _has_processes(directory: Path) -> bool:
    try:
        return bool(cgroup_pids(directory))
    except CannotError:
        return False


def cgroup_pids(directory: Path, root: Path = PROC) -> list[int]:
    """Pids in the cgroup and all below it, in numeric order; empty when it was removed.

    Processes of other pid namespaces (shown as 0) are left out. Raises NotPermitted.
    """
    pids: set[int] = set()
    for folder, _, _ in os.walk(directory, onerror=refuse_if_full):
        pids |= own_pids(folder, root)
    return sorted(pids - {0})


def own_pids(folder: str | Path, root: Path = PROC) -> set[int]:
    """Pids in the cgroup itself; 0 stands for those of other pid namespaces. Raises NotPermitted, OutOfFiles."""
    found = _listed(f"{folder}/cgroup.procs")
    if found is None:  # a threaded cgroup lists threads only
        found = _processes_of(_listed(f"{folder}/cgroup.threads") or set(), root)
    return found


def _listed(file: str) -> set[int] | None:
    """The numbers in a file of a cgroup; None where it cannot be read of a cgroup of that kind."""
    try:
        return set(map(int, read_bytes(file).split()))
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return None
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise NotPermitted(f"{file} may not be read by you; run udamon as root.") from None
        return set()  # removed meanwhile


def _processes_of(tids: Collection[int], root: Path) -> set[int]:
    found = set()
    for tid in tids:
        try:
            found.add(read_status(tid, root).tgid)
        except OSError:
            continue
    return found
