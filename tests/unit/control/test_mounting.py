"""Which library serves files."""

from __future__ import annotations

import ctypes.util
import os
import sys

import pytest

from udamon.control.mounting import mfusepy
from udamon.errors import NotSupported


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The libraries that a fresh import of mfusepy looks for, none of which is there."""
    names: list[str] = []
    monkeypatch.delitem(sys.modules, "mfusepy", raising=False)
    monkeypatch.setattr(ctypes.util, "find_library", names.append)
    for name in ("FUSE_LIBRARY_NAME", "FUSE_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)
    return names


def test_only_libfuse3_is_looked_for(asked: list[str]) -> None:
    """To look for a library that is not installed starts a compiler; nothing is left to commands that are started."""
    with pytest.raises(NotSupported, match="libfuse3"):
        mfusepy()
    assert asked == ["fuse3"]
    assert "FUSE_LIBRARY_NAME" not in os.environ


def test_a_user_may_name_another(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSE_LIBRARY_NAME", "fuse-of-mine")
    with pytest.raises(NotSupported):
        mfusepy()
    assert asked == ["fuse-of-mine"]
    assert os.environ["FUSE_LIBRARY_NAME"] == "fuse-of-mine"
