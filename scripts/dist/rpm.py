"""The RPM for Fedora, Amazon Linux and their like: those that have a Python 3.11 to install."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from scripts.dist import deb, licences, payload, source, tools
from scripts.stages import ROOT, run
from udamon import __version__

PYTHON = "3.11"
SPEC = ROOT / "packaging" / "udamon.spec"
CONFIG = ROOT / "packaging" / "rpmlint.toml"
COMPLETIONS = {"bash-completion", "fish", "zsh"}


def build(wheel: Path, out: Path, machine: str) -> Path:
    tools.need("rpmbuild")
    root = payload.build(wheel, machine, PYTHON, "rpm")
    _documents(root)
    payload.settle(root)
    top = source.fresh(f"rpm-{machine}")
    files = top / "files"
    files.write_text("".join(_files(root)))
    defines = {
        "_topdir": top, "payload": root, "units": payload.units(root), "file_list": files, "python": PYTHON,
        "udamon_version": __version__,
        "udamon_license": "Apache-2.0", "packager_name": deb.MAINTAINER,
        "changelog_date": time.strftime("%a %b %d %Y", time.gmtime(source.epoch())), "_buildhost": "udamon",
        "use_source_date_epoch_as_buildtime": 1,
        "clamp_mtime_to_source_date_epoch": 1, "_binary_payload": "w7.zstdio", "_dbpath": top / "db",
    }  # fmt: skip
    command: list[str | Path] = ["rpmbuild", "-bb", "--target", f"{machine}-linux", SPEC]
    for name, value in defines.items():
        command += ["--define", f"{name} {value}"]
    run(command, "rpmbuild", env=source.reproducible())
    (made,) = (top / "RPMS").rglob("*.rpm")
    return made.replace(out / made.name)


def _documents(root: Path) -> None:
    zsh = root / "usr/share/zsh/vendor-completions"  # Debian's name
    if zsh.exists():
        zsh.rename(zsh.with_name("site-functions"))
    documents = root / "usr/share/doc/udamon"
    documents.mkdir(parents=True)
    for name in ("README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, documents)
    for link in (root / "usr/bin/udamon", root / payload.HOME / "bin/python"):
        target = os.path.relpath(root / os.readlink(link).lstrip("/"), link.parent)  # Debian's are absolute
        link.unlink()
        link.symlink_to(target)
    place = root / "usr/share/licenses/udamon"
    place.mkdir(parents=True)
    shutil.copy(ROOT / "LICENSE", place)
    (place / "BUNDLED").write_text(licences.table(payload.packages_of(root)))


def _files(root: Path) -> list[str]:
    """Lines of %files: each file, the directories that are udamon's alone, and those of the shells' completions, which
    packages of completions own together, for the shells need not be installed."""
    lines = ["%defattr(-,root,root,-)\n"]
    for path in sorted(root.rglob("*")):
        name = "/" + str(path.relative_to(root))
        if path.is_dir():
            if {"udamon", *COMPLETIONS} & set(path.relative_to(root).parts):
                lines.append(f'%dir "{name}"\n')
        elif name.startswith("/etc/"):
            lines.append(f'%config(noreplace) "{name}"\n')
        elif name.startswith("/usr/share/licenses/"):
            lines.append(f'%license "{name}"\n')
        elif name.startswith("/usr/share/doc/"):
            lines.append(f'%doc "{name}"\n')
        else:
            lines.append(f'"{name}"\n')
    return lines


def check(package: Path) -> None:
    """rpmlint finds no error, and no warning but those that CONFIG names."""
    tools.need("rpmlint")
    run(["rpmlint", "--strict", "--config", CONFIG, package], "rpmlint", env=source.reproducible())
