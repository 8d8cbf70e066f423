"""Boot a kernel under QEMU over this machine's root file system and run a script in it as root.

The root file system and the checkout are shared read-only (9p); the guest lays memory over both. A third
share, `claims`, is common to guests that share tests. A fourth, the job directory, holds the script and takes what
comes out:

    job/run        the script          job/output   what it printed, streamed to our stdout
    job/checkout   where ROOT lies     job/status   its exit status; absent when the guest died before

Emulation in software (tcg, see `_pace`) unless UDAMON_GUEST_ACCEL says otherwise: hardware virtualisation is often not
there, and where it is, its timing would differ from what CI sees.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.guest import arm64, initrd, tools
from scripts.guest.kernels import Kernel
from scripts.guest.machine import Machine
from scripts.stages import ROOT

DIED, HUNG = 125, 124
JOB_INSIDE = Path("/run/udamon-guest")
CLAIMS_INSIDE = Path("/run/udamon-claims")


@dataclass(frozen=True)
class Ended:
    """How a guest ended: the script's status, or DIED or HUNG with the reason."""

    status: int
    seconds: float
    why: str = ""
    began: bool = True  # the script printed something


def boot(
    kernel: Kernel,
    machine: Machine,
    script: str,
    place: Path,
    limit: float,
    silence: float = 0,
    claims: Path | None = None,
) -> Ended:
    """Run `script` in a guest. It is killed `limit` seconds after its start, or after `silence` seconds in
    which it printed nothing (0: never). `claims`: a directory that it shares with other guests."""
    job = _prepare(place, kernel, script)
    console = place / "console.log"
    begin = time.monotonic()
    with console.open("wb") as log, _Tail(job / "output") as tail:
        guest = subprocess.Popen(
            [*_command(kernel, machine, place, claims), "-serial", "stdio", "-monitor", "none", "-display", "none"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent,
        )  # fmt: skip
        try:
            why = _watch(guest, tail, limit, silence)
        finally:
            guest.kill()
            guest.wait()
        tail.copy()
        ended = replace(_verdict(job, why), seconds=time.monotonic() - begin, began=tail.began)
    if ended.why:
        print(f"guest: {ended.why}; the end of its console ({console}):", flush=True)
        print("\n".join(console.read_text(errors="replace").splitlines()[-25:]), flush=True)
    return ended


def shell(kernel: Kernel, machine: Machine, place: Path) -> int:
    """A root prompt on this terminal; Ctrl-A X ends the guest."""
    job = _prepare(
        place, kernel, f"cd '{ROOT}'; export PATH='{os.environ['PATH']}' HOME=/root; exec /bin/bash -i\n"
    )
    (job / "interactive").touch()
    terminal = ["-display", "none", "-serial", "mon:stdio"]  # in raw mode: Ctrl-C goes into the guest
    return subprocess.run([*_command(kernel, machine, place, None), *terminal], check=False).returncode


def _prepare(place: Path, kernel: Kernel, script: str) -> Path:
    shutil.rmtree(
        place, ignore_errors=True
    )  # a status left by an earlier boot must not be taken for this one's
    job = place / "job"
    job.mkdir(parents=True)
    (job / "run").write_text(script)
    (job / "checkout").write_text(str(ROOT))
    (job / "reachable").write_text(f"{ROOT}/x\n{Path(sys.executable).resolve()}\n")
    (job / "output").touch()
    if kernel.arm64:
        shutil.copy(arm64.extension(kernel.system), job)
    return job


def _command(kernel: Kernel, machine: Machine, place: Path, claims: Path | None) -> list[str]:
    emulator, board, console = (
        (arm64.QEMU, "virt", "ttyAMA0") if kernel.arm64 else (tools.QEMU, "q35", "ttyS0")
    )
    words = f"console={console} rdinit=/init panic=-1 quiet {machine.append}".strip()
    command = [
        emulator, "-nodefaults", "-no-reboot", *_pace(machine), "-M", board, "-cpu", _processor(kernel),
        "-smp", str(machine.smp), "-m", str(machine.mem), *(_nodes(machine) if kernel.arm64 else ()),
        "-kernel", str(kernel.image), "-initrd", str(initrd.cached(kernel)), "-append", words,
    ]  # fmt: skip
    for tag, path, access in (
        ("root", kernel.system, ",readonly=on"),
        ("checkout", ROOT, ",readonly=on"),
        ("job", place / "job", ""),
        *([("claims", claims, "")] if claims else []),
    ):
        escaped = str(path).replace(",", ",,")
        # remap: files of several file systems below one share must not collide by inode number
        command += ["-fsdev", f"local,id={tag},path={escaped},security_model=none,multidevs=remap{access}"]
        command += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    return command


def _nodes(machine: Machine) -> list[str]:
    """On Arm "numa=fake=2" of the command line makes no nodes, so the machine itself has two. All processors are on the
    first."""
    if "numa=fake=2" not in machine.append.split():
        return []
    half = machine.mem // 2
    words = []
    for node, size in enumerate((half, machine.mem - half)):
        words += ["-object", f"memory-backend-ram,id=node{node},size={size}M"]
        cpus = f",cpus=0-{machine.smp - 1}" if node == 0 else ""
        words += ["-numa", f"node,nodeid={node},memdev=node{node}{cpus}"]
    return words


def _processor(kernel: Kernel) -> str:
    """With QEMU's own way to sign pointers: with Arm's, a boot took 99 s of CPU instead of about 60."""
    return "max,pauth-impdef=on" if kernel.arm64 and kernel.processor == "max" else kernel.processor


def _pace(machine: Machine) -> list[str]:
    """How fast it runs. With one processor, time in the guest is counted in its instructions, 8 ns for each, while it
    has work, and goes on with ours while it waits: what work takes there does not depend on what else this machine
    does. QEMU cannot do that with two. With UDAMON_GUEST_WAITS=off no time of ours goes by while it waits: then when
    work is done there does not depend on it, either; nothing that talks to the outside is possible in time."""
    if accelerator := os.environ.get("UDAMON_GUEST_ACCEL"):
        return ["-accel", accelerator]
    if machine.smp == 1:
        waits = os.environ.get("UDAMON_GUEST_WAITS", "on")
        return ["-accel", "tcg,thread=single", "-icount", f"shift=3,sleep={waits}"]
    return ["-accel", "tcg,thread=multi"]


def _watch(guest: subprocess.Popen[bytes], tail: _Tail, limit: float, silence: float) -> str:
    """Copy output until the guest ends by itself (returns "") or has to be ended (returns why)."""
    begin = heard = time.monotonic()
    while guest.poll() is None:
        time.sleep(0.1)
        now = time.monotonic()
        if tail.copy():
            heard = now
        if now - begin > limit:
            return f"killed after its limit of {limit:.0f} s"
        if silence and now - heard > silence:
            return f"killed after {silence:.0f} s without a word"
    return ""


def _verdict(job: Path, why: str) -> Ended:
    status = job / "status"
    text = status.read_text().strip() if status.exists() else ""
    if text.isdecimal():  # ended by its script; what happened while it powered off does not matter
        return Ended(int(text), 0)
    if why:
        return Ended(HUNG, 0, why)
    return Ended(DIED, 0, "ended without a status")


class _Tail:
    """Copies what is appended to a file to our stdout."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.began = False

    def __enter__(self) -> _Tail:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def copy(self) -> bool:
        data = self._file.read()
        if data:
            self.began = True
            sys.stdout.write(data.decode(errors="replace"))
            sys.stdout.flush()
        return bool(data)


_prctl: Callable[..., int] = ctypes.CDLL(None).prctl


def _die_with_parent() -> None:
    """A harness that is killed must not leave an emulator running: PR_SET_PDEATHSIG is option 1."""
    _prctl(1, signal.SIGKILL)
