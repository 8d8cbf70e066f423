"""pte under the kernel's lockdown: integrity leaves it alone, confidentiality takes it away in one sentence."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from udamon.availability.primitives import probe
from udamon.errors import NotPermitted
from udamon.linux.lockdown import lockdown
from udamon.ops.kernel_tables import BACKENDS, SWITCH, open_tables

SECURITY = Path("/sys/kernel/security")

pytestmark = [pytest.mark.guest_long, pytest.mark.guest_612, pytest.mark.needs("root")]


@pytest.fixture(autouse=True)
def security() -> None:
    """Where the kernel tells of its lockdown."""
    if SECURITY.exists() and not (SECURITY / "lockdown").exists():
        subprocess.run(["mount", "-t", "securityfs", "none", str(SECURITY)], check=False, capture_output=True)


@pytest.mark.guest_boot(smp=1, append="lockdown=integrity")
@pytest.mark.parametrize("backend", BACKENDS)
def test_integrity(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    if lockdown() != "integrity":
        pytest.skip("this kernel has no lockdown")
    monkeypatch.setenv(SWITCH, backend)
    opened = open_tables(allowed=True)
    assert opened.backend == backend
    opened.close()


@pytest.mark.guest_boot(smp=1, append="lockdown=confidentiality")
@pytest.mark.parametrize("backend", BACKENDS)
def test_confidentiality(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    if lockdown() != "confidentiality":
        pytest.skip("this kernel has no lockdown")
    assert not probe("pte").usable
    monkeypatch.setenv(SWITCH, backend)
    with pytest.raises(
        NotPermitted, match=f"{backend}: refused under lockdown=confidentiality; use another --via"
    ):
        open_tables(allowed=True)
