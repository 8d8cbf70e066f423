"""Each package as people use it: installed by one command in a clean root, used, removed, nothing left.

An RPM needs a root of Fedora or Amazon Linux, which Debian's archive does not have: it is installed by rpm into a
Debian that has the same Python, without rpm's look at dependencies. So the files, the scripts and the program are
tried, the names of what it requires are not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from scripts.dist import deb, image, roots, source, tools
from scripts.stages import ROOT, Counts, Failed, current, pytest, run

NATIVE = ("tests/unit/native", "tests/unit/test_built.py")
"""What is run on the wheel for Arm: what calls the C extension, and little else, as each instruction is translated."""

# QEMU has a thread of its own in each process, which runs on any processor; and a process that it translates cannot
# start the interpreter for Arm again. Guests for Arm run these tests (tests/guest).
NOT_TRANSLATED = ("test_visits.py::test_a_hot_set_grows_and_is_collected", "test_look_processes.py")


def wheel_for_arm(wheel: Path) -> Counts:
    """The unit tests of the extension on a Debian for Arm, its instructions translated by QEMU."""
    from scripts.guest import arm64

    tools.need("qemu-aarch64-static")
    root = arm64.root()
    place = source.fresh("wheel-for-arm")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(place)
    python = place / "python"
    python.write_text(
        f"#!/bin/sh\nexec qemu-aarch64-static -L {root} -E PYTHONPATH={place} -E PYTHONHOME={root}/usr "
        f'-E LD_LIBRARY_PATH={root}/usr/lib/aarch64-linux-gnu {root}/usr/bin/python3.11 "$@"\n'
    )
    python.chmod(0o755)
    tests = [str(ROOT / name) for name in NATIVE]
    without = [f"--deselect=tests/unit/native/{name}" for name in NOT_TRANSLATED]
    return pytest("wheel-for-arm", python, *tests, *without, "-p", "no:cacheprovider", cwd=place)


def debian_package(package: Path, release: deb.Release) -> None:
    # Debian 13's Python brings tzdata, which apt never removes, for its priority is "required", and netbase, which
    # leaves /etc/hosts. What systems have anyway is there before.
    with roots.debian(release.name, ("netbase", "tzdata")) as root:
        before = root.files()
        add = root.add(package)
        root.run("sh", "-c", f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {add} >/dev/null",
                 what=f"apt-get install ./{package.name}")  # fmt: skip
        root.five_minutes()
        root.run(
            "sh", "-c", "apt-get purge -y -qq --autoremove udamon >/dev/null", what="apt-get purge udamon"
        )
        _nothing_left(root.files() - before)


def rpm_package(package: Path) -> None:
    tools.need("rpm")
    with roots.debian("bookworm", ("python3.11", "libstdc++6", "ca-certificates")) as root:
        (root.place / "usr/share/licenses").mkdir()  # as distributions with rpm have it
        before = root.files()
        rpm = ["rpm", "--root", str(root.place), "--dbpath", "/var/lib/rpm", "--nodeps"]
        begin = time.monotonic()
        run([*rpm, "--install", package], "rpm --install")
        current.notes.append(f"rpm --install {package.name}: {time.monotonic() - begin:.1f} s")
        run([*rpm, "--verify", "udamon"], "rpm --verify")
        root.five_minutes()
        run([*rpm, "--erase", "udamon"], "rpm --erase")
        _nothing_left({name for name in root.files() - before if "/rpm" not in name})


def _nothing_left(left: set[str]) -> None:
    # Byte code of the system's own Python, which any program of root makes it write.
    left = {name for name in left if "__pycache__" not in name or "udamon" in name}
    if left:
        raise Failed(f"left after removal: {' '.join(sorted(left))}")


CAPABILITIES = ["CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"]


def oci_image(archive: Path) -> None:
    """In the host's pid namespace as a user that is not root, with two capabilities: a process of root is watched."""
    place = source.fresh("run-image")
    bundle = image.unpack(archive, place)
    target = subprocess.Popen([sys.executable, "-c", "import time; b = bytearray(30 << 20); time.sleep(600)"])
    try:
        for words in (["--version"], ["record", "-p", str(target.pid), "--duration", "4s", "-o", "/tmp/a.udamon"],
                      ["report", "wss", "/tmp/a.udamon"]):  # fmt: skip
            _as_the_image_says(bundle, ["/usr/bin/udamon", *words])
    finally:
        target.kill()
        target.wait()


def _as_the_image_says(bundle: Path, words: list[str]) -> None:
    """By crun; by unshare and setpriv where both versions of control groups are mounted, which crun refuses."""
    if Path("/sys/fs/cgroup/unified").exists():
        current.notes.append("the image was run by unshare: crun does not run on hybrid control groups")
        _unshare(bundle / "rootfs", words)
    else:
        _crun(bundle, words)


def _unshare(root: Path, words: list[str]) -> None:
    names = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in CAPABILITIES)
    only = [f"--{kind}=-all,{names}" for kind in ("bounding-set", "inh-caps", "ambient-caps")]
    user = [f"--reuid={image.USER}", f"--regid={image.USER}", "--clear-groups", "--no-new-privs"]
    inside = 'mount -t proc proc "$0/proc" && exec chroot "$0" setpriv "$@"'
    command: list[str | Path] = [
        "unshare",
        "--mount",
        "--ipc",
        "--uts",
        "--net",
        "sh",
        "-c",
        inside,
        root,
        *user,
        *only,
        *words,
    ]
    run(command, f"unshare: {words[1]}", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})


def _crun(bundle: Path, words: list[str]) -> None:
    tools.need("crun")
    config: dict[str, Any] = json.loads((bundle / "config.json").read_text())
    process, linux = config["process"], config["linux"]
    process |= {"terminal": False, "args": words, "noNewPrivileges": True}
    if process["user"]["uid"] != image.USER:
        raise Failed(f"the image runs as {process['user']}")
    process["capabilities"] = dict.fromkeys(
        ("bounding", "effective", "inheritable", "permitted", "ambient"), CAPABILITIES
    )
    linux["namespaces"] = [
        {"type": name} for name in ("mount", "ipc", "uts", "network")
    ]  # not pid: the host's
    linux.pop("resources", None)
    config["mounts"] = [
        one for one in config["mounts"] if one["destination"] not in ("/sys", "/sys/fs/cgroup")
    ]
    (bundle / "config.json").write_text(json.dumps(config))
    name = f"udamon-{os.getpid()}"
    state = bundle.parent / "state"
    run(
        ["crun", "--root", state, "--cgroup-manager", "disabled", "run", "--bundle", bundle, name],
        f"crun: {words[0]}",
    )


def same(first: Path, second: Path) -> None:
    """Two builds are equal. Raises Failed, with what diffoscope says of the difference."""
    names = sorted(path.name for path in first.iterdir())
    if names != sorted(path.name for path in second.iterdir()):
        raise Failed(f"two builds made {names} and {sorted(path.name for path in second.iterdir())}")
    for name in names:
        if (first / name).read_bytes() != (second / name).read_bytes():
            if shutil.which("diffoscope"):
                subprocess.run(
                    ["diffoscope", "--max-report-size", "20000", first / name, second / name], check=False
                )
            raise Failed(f"two builds of {name} differ")
