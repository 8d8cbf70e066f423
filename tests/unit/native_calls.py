"""Arrays by the names that native/interface.h gives them, for tests that have them in a row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from udamon.native._native import INTERFACES


def named(function: str, arrays: Iterable[object]) -> dict[str, Any]:
    """Keywords for all arrays of a function, given in its order."""
    names = [name for name, _, access, _ in INTERFACES[function][0] if access is not None]
    return dict(zip(names, arrays, strict=True))
