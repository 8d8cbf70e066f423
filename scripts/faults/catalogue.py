"""The planted faults: what is read from planted.toml (written by hand) and mutations.toml (by a mutation tool)."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.stages import ROOT

HERE = Path(__file__).parent
LISTS = {"hand": HERE / "planted.toml", "cosmic-ray": HERE / "mutations.toml"}


class FaultsError(Exception):
    """Something that a person has to put right; the message says what."""


@dataclass(frozen=True)
class Fault:
    """One change of one file: `old`, which is there exactly once, becomes `new`.

    `guest` are files of tests/guest that reach it, for what only a kernel of the guest executes.
    """

    id: str
    part: str
    file: str
    old: str
    new: str
    breaks: str
    guest: tuple[str, ...]
    author: str

    @property
    def is_c(self) -> bool:
        return self.file.endswith((".c", ".h"))

    @property
    def digest(self) -> str:
        return hashlib.sha256("\0".join((self.file, self.old, self.new)).encode()).hexdigest()[:16]

    def lines(self, root: Path = ROOT) -> range:
        """The lines of the file, from 1, that are changed: those of `old` but for what `new` begins and ends with."""
        text = self._text(root)
        old, new = self.old.splitlines(), self.new.splitlines()
        first = text[: text.index(self.old)].count("\n") + 1
        same = 0
        while same < min(len(old), len(new)) and old[same] == new[same]:
            same += 1
        tail = 0
        while tail < min(len(old), len(new)) - same and old[-1 - tail] == new[-1 - tail]:
            tail += 1
        last = len(old) - tail
        if same >= last:  # lines were only added: what is executed is the line before them
            return range(first + max(same - 1, 0), first + max(same, 1))
        return range(first + same, first + last)

    def patched(self, root: Path = ROOT) -> str:
        """The file with the fault in it. Raises FaultsError where it does not apply."""
        return self._text(root).replace(self.old, self.new)

    def _text(self, root: Path) -> str:
        path = root / self.file
        text = path.read_text() if path.is_file() else ""
        found = text.count(self.old)
        if found != 1:
            raise FaultsError(
                f"{self.id}: its old text is {found} times in {self.file} and must be there once; write it anew."
            )
        if self.old == self.new:
            raise FaultsError(f"{self.id}: its old and new text are the same; give a change.")
        return text


def load() -> list[Fault]:
    """All faults. Raises FaultsError when two have one id, or one does not apply to this checkout."""
    faults = [
        _fault(entry, author)
        for author, path in LISTS.items()
        for entry in tomllib.loads(path.read_text())["fault"]
    ]
    ids = [fault.id for fault in faults]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise FaultsError(f"two faults are called {', '.join(twice)}; rename one.")
    for fault in faults:
        fault.patched()
    return faults


def chosen(ids: list[str]) -> list[Fault]:
    """Those with these ids, all when there are none. Raises FaultsError for an unknown one."""
    faults = load()
    if unknown := set(ids) - {fault.id for fault in faults}:
        raise FaultsError(f"there is no fault {', '.join(sorted(unknown))}; `list` shows those there are.")
    return [fault for fault in faults if not ids or fault.id in ids]


def _fault(entry: Mapping[str, Any], author: str) -> Fault:
    return Fault(
        id=entry["id"],
        part=entry["part"],
        file=entry["file"],
        old=entry["old"],
        new=entry["new"],
        breaks=entry["breaks"],
        guest=tuple(f"tests/guest/test_{name}.py" for name in entry.get("guest", ())),
        author=author,
    )
