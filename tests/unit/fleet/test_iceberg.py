"""What Iceberg tables need is named where it is missing; what is written to them is in tests/integration."""

from __future__ import annotations

import sys

import pytest

from udamon.errors import MissingExtra
from udamon.fleet.iceberg import IcebergCatalog


@pytest.mark.parametrize("library", ["pyarrow", "pyiceberg.catalog"])
def test_the_extra_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=r"pip install 'udamon\[iceberg\]'"):
        IcebergCatalog("lake")
