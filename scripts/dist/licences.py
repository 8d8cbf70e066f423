"""What is bundled, and under which licences: for people, and as an SBOM in CycloneDX's JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email.message import Message
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, NamedTuple

from scripts.dist import source, tools
from scripts.stages import Failed, run


class Bundled(NamedTuple):
    name: str
    version: str
    licence: str  # as an SPDX expression, or in the words of its authors
    texts: tuple[str, ...]  # files with the licence, below site-packages


UNWINDER = Bundled("libgcc_eh", "", "GPL-3.0-or-later WITH GCC-exception-3.1", ())
"""Linked into udamon's library for --sites; the exception lets it be linked into anything."""


def bundled(packages: Path) -> list[Bundled]:
    """By name. Raises Failed for one that does not say its licence."""
    found = [_of(made, packages) for made in distributions(path=[str(packages)])]
    return sorted(found, key=lambda one: one.name.lower())


def table(packages: Path) -> str:
    """One line each."""
    rows = [*bundled(packages), UNWINDER]
    return "".join(f"{one.name:20} {one.version:10} {one.licence}\n" for one in rows)


def copyright_file(packages: Path) -> str:
    """What Debian's packages have in /usr/share/doc."""
    return "\n".join(_paragraphs(packages))


def _paragraphs(packages: Path) -> Iterator[str]:
    yield (
        "udamon\n======\n\nCopyright (C) 2026 The udamon developers\nLicence: Apache-2.0\n"
        "On Debian systems its text is in /usr/share/common-licenses/Apache-2.0.\n\n"
        "Libraries below /opt/udamon/lib\n===============================\n"
    )
    root = "/" + "/".join(packages.parts[packages.parts.index("opt") :])
    for one in bundled(packages):
        if one.name != "udamon":
            texts = "".join(f"  {root}/{text}\n" for text in one.texts)
            where = f"Texts:\n{texts}" if texts else ""
            yield f"{one.name} {one.version}\nLicence: {one.licence}\n{where}"
    yield (
        f"{UNWINDER.name}, in {root}/udamon/native/_sites.abi3.so\nCopyright (C) Free Software Foundation, Inc.\n"
        f"Licence: {UNWINDER.licence}\n"
        "On Debian systems the text of the GPL is in /usr/share/common-licenses/GPL-3.\n"
    )


def _of(made: Distribution, packages: Path) -> Bundled:
    said: Message = made.metadata  # type: ignore[assignment]  # in truth, and with what an empty field needs
    classified = [
        line.split(" :: ")[-1] for line in said.get_all("Classifier") or [] if line.startswith("License :: ")
    ]
    first_line = (said.get("License") or "").strip().split("\n")[0]
    licence = (
        said.get("License-Expression")
        or (first_line if len(first_line) < 60 else "")
        or ", ".join(classified)
    )
    if not licence:
        raise Failed(f"{said['Name']} does not say its licence")
    info = Path(str(getattr(made, "_path", "")))
    texts = sorted(
        str(path.relative_to(packages))
        for path in info.rglob("*")
        if path.is_file()
        and path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS"))
    )
    return Bundled(said["Name"], said["Version"], licence, tuple(texts))


def sbom(packages: Path, out: Path) -> Path:
    """CycloneDX's own program reads the environment; what is linked into the library of --sites is added."""
    made = source.PLACE / "sbom.json"
    python = packages.parents[2] / "bin/python"
    command: list[str | Path] = [
        tools.tool("cyclonedx-py"), "environment", "--output-reproducible", "--output-format", "JSON", "--validate",
        "--gather-license-texts", "-o", made, python,
    ]  # fmt: skip
    run(command, "cyclonedx-py", env=source.reproducible())
    document: dict[str, Any] = json.loads(made.read_text())
    document["components"].append(
        {
            "type": "library",
            "bom-ref": UNWINDER.name,
            "name": UNWINDER.name,
            "description": "gcc's unwinder, linked into udamon/native/_sites.abi3.so",
            "licenses": [{"expression": UNWINDER.licence}],
        }
    )
    path = out / "udamon.cdx.json"
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    return path
