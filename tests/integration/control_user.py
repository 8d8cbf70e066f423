"""python -m tests.integration.control_user DIRECTORY: what test_control_user does as the user nobody.

A process of its own, with one thread: it goes into another mount namespace, becomes somebody else, and forks.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

from tests.integration.control_server import mounted
from tests.integration.programs import become_nobody
from tests.waiting import until
from udamon.cli import main as udamon_main
from udamon.control import mounting
from udamon.linux.namespaces import bind, private_mounts

DEVICE = Path("/dev/fuse")
WORKLOAD = "hot, 8388608\n\nall the time\n1000000000\nhot, 1, 4096, 1\n"


def as_nobody(place: Path) -> None:
    private_mounts()
    everybodys_device(place)
    everything_is_imported()
    become_nobody()
    (place / "workload").write_text(WORKLOAD)
    tree = place / "tree"
    tree.mkdir()
    for number in (signal.SIGKILL, signal.SIGTERM):
        server = served(tree)
        kdamonds = tree / "admin/kdamonds"
        (kdamonds / "nr_kdamonds").write_text("1\n")
        found = (kdamonds / "0/state").stat()
        assert (stat.filemode(found.st_mode), found.st_uid) == ("-rw-------", os.geteuid())
        (kdamonds / "0/contexts/nr_contexts").write_text("1\n")
        (kdamonds / "0/contexts/0/targets/nr_targets").write_text("1\n")
        (kdamonds / "0/state").write_text("on\n")
        assert (kdamonds / "0/state").read_text() == "on\n"
        os.kill(server, number)
        _, status = os.waitpid(server, 0)
        assert os.waitstatus_to_exitcode(status) == (0 if number == signal.SIGTERM else -number)
        if number == signal.SIGTERM:
            assert not mounted(tree)
        # What a killed one leaves mounted is cleared by the next: fusermount3 unmounts itself for root alone.
    server = served(tree)
    subprocess.run(["fusermount3", "-u", str(tree)], check=True)
    assert os.waitpid(server, 0)[1] == 0


def served(tree: Path) -> int:
    server = os.fork()
    if server == 0:
        os._exit(udamon_main.main(["control", "mount", str(tree), "--sim", str(tree.parent / "workload")]))
    until(lambda: answers(tree))
    return server


def answers(tree: Path) -> bool:
    try:
        return (tree / "admin").is_dir()
    except OSError:  # the remains of the last one
        return False


def everybodys_device(place: Path) -> None:
    """As udev makes it: machines without udev have it for root alone."""
    if DEVICE.stat().st_mode & 0o006 == 0o006:
        return
    node = place / "fuse"
    os.mknod(node, stat.S_IFCHR | 0o666, DEVICE.stat().st_rdev)
    node.chmod(0o666)
    bind(node, DEVICE)


def everything_is_imported() -> None:
    """The checkout may lie where only root reads."""
    for package in (
        "udamon.control",
        "udamon.cli",
        "udamon.core",
        "udamon.engine",
        "udamon.schemes",
        "udamon.acting",
        "udamon.ops",
        "udamon.scheme_metrics",
        "udamon.targets",
    ):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
    mounting.mfusepy()


if __name__ == "__main__":
    as_nobody(Path(sys.argv[1]))
