"""The Debian package, by dpkg-deb: a package of wheels has nothing to compile, so no debhelper."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from scripts.dist import licences, payload, source, tools
from scripts.stages import ROOT, run
from udamon import __version__

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
MAINTAINER = "The udamon developers <udamon@example.org>"


@dataclass(frozen=True)
class Release:
    """One of Debian, by its Python: some libraries are compiled for that one alone."""

    name: str
    number: int
    python: str


RELEASES = (Release("bookworm", 12, "3.11"), Release("trixie", 13, "3.13"))

CONTROL = """\
Package: udamon
Version: {version}
Architecture: {machine}
Maintainer: {maintainer}
Installed-Size: {kib}
Depends: python{python}, libc6 (>= 2.28), libgcc-s1, libstdc++6, zlib1g
Recommends: systemd | systemd-standalone-tmpfiles
Suggests: libfuse3-3 | libfuse3-4, fuse3
Section: utils
Priority: optional
Description: which memory of a live system is hot, warm or cold
 udamon watches processes and records which memory they touch, when and how
 much of it: DAMON, the Data Access MONitor of the Linux kernel, in user space.
 It reports working sets, heatmaps and cold mappings, shows them live, and
 takes cold memory back within limits.
 .
 It comes with the Python libraries that it needs, below /opt/udamon.
"""

POSTINST = """\
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    # What is compiled here is not compiled at each start, and is removed by prerm.
    /opt/udamon/bin/python -I -m compileall -q /opt/udamon/lib
    if [ -d /run/systemd/system ] && command -v systemd-tmpfiles >/dev/null; then
        systemd-tmpfiles --create udamon.conf || true
    fi
    # Who wants the agent enables it. After an upgrade one that runs is of the new version.
    if [ -d /run/systemd/system ] && [ -n "$2" ]; then
        systemctl --system daemon-reload || true
        systemctl try-restart {units} || true
    fi
fi
"""

PRERM = """\
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now {units} || true
fi
find /opt/udamon/lib -depth -name __pycache__ -exec rm -r {} +
"""

POSTRM = """\
#!/bin/sh
set -e
if [ "$1" = purge ]; then
    rm -rf /run/lock/udamon /run/udamon /var/lib/udamon
fi
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload || true
fi
"""


def build(wheel: Path, out: Path, machine: str, release: Release) -> Path:
    tools.need("dpkg-deb")
    root = payload.build(wheel, machine, release.python, "deb")
    version = f"{__version__}-1~deb{release.number}"
    _documents(root, version)
    _control(root, version, MACHINES[machine], release)
    payload.settle(root)
    for script in ("postinst", "prerm", "postrm"):
        (root / "DEBIAN" / script).chmod(0o755)
    made = out / f"udamon_{version}_{MACHINES[machine]}.deb"
    command: list[str | Path] = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z3", "--build", root, made]
    run(command, "dpkg-deb", env=source.reproducible())
    return made


def check(package: Path) -> None:
    """lintian finds nothing but what the overrides name."""
    tools.need("lintian")
    command: list[str | Path] = [
        "lintian",
        "--allow-root",
        "--tag-display-limit",
        "0",
        "--fail-on",
        "error,warning",
        package,
    ]
    if not payload.has_manuals():
        command += ["--suppress-tags", "no-manual-page"]
    run(command, "lintian", env=source.reproducible())


def _documents(root: Path, version: str) -> None:
    place = root / "usr/share/doc/udamon"
    place.mkdir(parents=True)
    date = formatdate(source.epoch())
    changes = (
        f"udamon ({version}) stable; urgency=medium\n\n  * See changelog.gz.\n\n -- {MAINTAINER}  {date}\n"
    )
    payload.packed(changes.encode(), place / "changelog.Debian.gz")
    payload.packed((ROOT / "CHANGELOG.md").read_bytes(), place / "changelog.gz")
    (place / "copyright").write_text(licences.copyright_file(payload.packages_of(root)))
    overrides = root / "usr/share/lintian/overrides"
    overrides.mkdir(parents=True)
    shutil.copy(ROOT / "packaging/deb/lintian-overrides", overrides / "udamon")


def _control(root: Path, version: str, machine: str, release: Release) -> None:
    kib = payload.size(root) // 1024
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    sums = "".join(f"{_md5(path)}  {path.relative_to(root)}\n" for path in files)
    place = root / "DEBIAN"
    place.mkdir()
    control = CONTROL.format(
        version=version, machine=machine, maintainer=MAINTAINER, kib=kib, python=release.python
    )  # fmt: skip
    texts = {
        "control": control,
        "md5sums": sums,
        "conffiles": "".join(
            f"/{path.relative_to(root)}\n" for path in files if root / "etc" in path.parents
        ),
        "postinst": POSTINST.replace("{units}", payload.units(root)),
        "prerm": PRERM.replace("{units}", payload.units(root)),
        "postrm": POSTRM,
    }
    for name, text in texts.items():
        (place / name).write_text(text)


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
