"""What Iceberg tables need is named where it is missing; what is written to them is in tests/integration."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from udamon.errors import CannotError, MissingExtra
from udamon.fleet import iceberg
from udamon.fleet.iceberg import IcebergCatalog


@pytest.mark.parametrize("library", ["pyarrow", "pyiceberg.catalog"])
def test_the_extra_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=r"pip install 'udamon\[iceberg\]'"):
        IcebergCatalog("lake")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception | None], None]:
    """Raises what it is given, or makes a mistake of our own, within what tells errors of pyiceberg."""
    fake = ModuleType("pyiceberg.exceptions")
    vars(fake).update(CommitFailedException=OSError, ValidationException=OSError)
    monkeypatch.setitem(sys.modules, "pyiceberg", ModuleType("pyiceberg"))
    monkeypatch.setitem(sys.modules, "pyiceberg.exceptions", fake)

    def run(error: Exception | None) -> None:
        with iceberg._told("lake", "written"):
            if error is not None:
                raise error
            iceberg._written(None)

    return run


def test_what_a_catalog_raises_is_one_sentence(told: Callable[[Exception | None], None]) -> None:
    for error in (
        RuntimeError("no\nsuch table"),
        KeyError("uri"),
        TypeError(),
    ):  # from lines that are not udamon's
        with pytest.raises(CannotError, match="lake cannot be written: .*check the catalog"):
            told(error)


def test_a_mistake_of_our_own_is_not_told_as_the_catalogs(
    told: Callable[[Exception | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = ModuleType("pyiceberg.table.snapshots")
    vars(snapshots)["ancestors_of"] = None
    for name in ("pyiceberg.table", "pyiceberg.table.snapshots"):
        monkeypatch.setitem(sys.modules, name, snapshots)
    with pytest.raises(AttributeError):
        told(None)
