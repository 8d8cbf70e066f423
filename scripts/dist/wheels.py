"""Wheels for manylinux_2_28: glibc 2.28 is older than any distribution that has Python 3.11.

Debian's compiler links against Debian's own glibc, so zig's does, which brings the symbols of every glibc. It has no
unwinder of gcc, which is linked into the library of --sites: that one comes from Debian's compilers
(docs/decisions/0012-packages.md).
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

from scripts.dist import source, tools
from scripts.stages import Failed, run

GLIBC = "2.28"
MACHINES = {"x86_64": "gcc", "aarch64": "aarch64-linux-gnu-gcc"}
"""Machines, and the compilers whose unwinders are taken."""

LIBRARIES = {
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
}


def build(archive: Path, out: Path, machine: str) -> Path:
    """The wheel of a source archive for a machine."""
    place = source.fresh(f"wheel-{machine}")
    tree = source.unpacked(archive, place)
    tag = f"manylinux_{GLIBC.replace('.', '_')}_{machine}"
    command: list[str | Path] = [
        sys.executable, "-m", "build", "--wheel", "--no-isolation", f"-C--build-option=--plat-name={tag}",
        "--outdir", place, tree,
    ]  # fmt: skip
    run(command, f"python -m build for {machine}", cwd=place, env=_compilers(machine, place))
    (made,) = place.glob("*.whl")
    return made.replace(out / made.name)


def _compilers(machine: str, place: Path) -> dict[str, str]:
    tools.need(MACHINES[machine])
    zig = f"{tools.python()} -m ziglang cc -target {machine}-linux-gnu.{GLIBC}"
    asked = [MACHINES[machine], "-print-file-name=libgcc_eh.a"]
    unwinder = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    return source.reproducible(
        CC=zig,
        LDSHARED=f"{zig} -shared -Wl,-s",  # Python's own has the paths of where it was built
        CFLAGS=f"-g0 -Wno-macro-redefined -ffile-prefix-map={place}=.",
        UDAMON_UNWINDER=unwinder,
        _PYTHON_HOST_PLATFORM=f"linux-{machine}",
        ZIG_LOCAL_CACHE_DIR=str(place / "zig"),
        ZIG_GLOBAL_CACHE_DIR=str(source.PLACE / "zig"),
    )


def check(wheel: Path) -> None:
    """The tag is true: symbols by auditwheel, Python's interface by abi3audit, no library but the C library's."""
    command: list[str | Path] = [tools.tool("auditwheel"), "show", wheel]
    said = " ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    print(said)
    consistent = re.search(r'tag: "manylinux_2_(\d+)_', said)
    if consistent is None or int(consistent[1]) > int(GLIBC.split(".")[1]):
        raise Failed(f"auditwheel does not confirm the tag of {wheel.name}")
    run([tools.tool("abi3audit"), "--strict", "--assume-minimum-abi3", "3.11", wheel], "abi3audit")
    place = source.fresh("look")
    with zipfile.ZipFile(wheel) as file:
        objects = [Path(file.extract(name, place)) for name in file.namelist() if name.endswith(".so")]
    if len(objects) != 2:
        raise Failed(f"{wheel.name} has {objects}, and not the extension and the library of --sites")
    for path in objects:
        if foreign := needed(path) - LIBRARIES:
            raise Failed(f"{path.name} needs {foreign}")


def needed(path: Path) -> set[str]:
    """The libraries that an ELF file of any machine names."""
    text = subprocess.run(["readelf", "-dW", path], capture_output=True, text=True, check=True).stdout
    return {line.split("[")[1].split("]")[0] for line in text.splitlines() if "(NEEDED)" in line}
