"""pte under the kernel's lockdown: integrity leaves it alone, confidentiality takes it away in one sentence."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.guest.pages import MIB, pages
from tests.guest.test_pte import EXACT, third
from udamon.availability.primitives import probe
from udamon.errors import NotPermitted
from udamon.linux.lockdown import lockdown
from udamon.ops.kernel_tables import BACKENDS, SWITCH, open_tables
from udamon.ops.pte import Pte
from udamon.ops.tlb import way

SECURITY = Path("/sys/kernel/security")

pytestmark = [
    pytest.mark.guest_long,
    pytest.mark.guest_612,
    pytest.mark.guest_pte,
    pytest.mark.guest_stock,
    pytest.mark.needs("root"),
]


@pytest.fixture(autouse=True)
def security() -> None:
    """Where the kernel tells of its lockdown."""
    if SECURITY.exists() and not (SECURITY / "lockdown").exists():
        subprocess.run(["mount", "-t", "securityfs", "none", str(SECURITY)], check=False, capture_output=True)


@pytest.mark.guest_boot(smp=1, append="lockdown=integrity no5lvl")
@pytest.mark.parametrize("backend", BACKENDS)
def test_integrity(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """With four levels of tables: in the other boots of these kernels there are five."""
    assert lockdown() == "integrity"
    monkeypatch.setenv(SWITCH, backend)
    census = Pte(open_tables(allowed=True), tlb=way(), max_ranges=EXACT)
    assert census.opened.backend == backend
    assert census.opened.tables.shape.levels == 4 or os.uname().machine != "x86_64"
    with pages() as program:
        third(program, census, 12 * MIB)
    census.close()


@pytest.mark.guest_boot(smp=1, append="lockdown=confidentiality")
@pytest.mark.parametrize("backend", BACKENDS)
def test_confidentiality(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    assert lockdown() == "confidentiality"
    assert not probe("pte").usable
    monkeypatch.setenv(SWITCH, backend)
    with pytest.raises(
        NotPermitted, match=f"{backend}: refused under lockdown=confidentiality; use another --via"
    ):
        open_tables(allowed=True)
