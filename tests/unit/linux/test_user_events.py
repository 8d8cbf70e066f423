"""Tracepoints of user space, as far as they go without a kernel that has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from udamon.control.tracepoints import FIELDS
from udamon.control.user_tracepoints import UserTracepoints
from udamon.errors import NotSupported
from udamon.linux.user_events import declared


def test_the_declaration() -> None:
    assert declared("damos_esz", FIELDS["damos_esz"]) == "damos_esz u64 ctx_idx; u64 scheme_idx; u64 esz"


def test_a_kernel_without_them(tmp_path: Path) -> None:
    with pytest.raises(NotSupported, match="CONFIG_USER_EVENTS"):
        UserTracepoints(tmp_path)
