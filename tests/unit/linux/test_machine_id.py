"""The identity of a machine, as it may leave it."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from udamon.linux.machine_id import machine_digest

ID = "0123456789abcdef0123456789abcdef"


def test_a_keyed_hash(tmp_path: Path) -> None:
    """By machine-id(5): of the identity as key, in bytes. It is as long as the digests in names of objects."""
    (tmp_path / "id").write_text(f"{ID}\n")
    found = machine_digest(tmp_path / "id", tmp_path / "none", tmp_path / "none")
    assert found == hmac.new(bytes.fromhex(ID), b"udamon fleet 1", hashlib.sha256).hexdigest()[:12]
    assert found not in hashlib.sha256(ID.encode()).hexdigest()
    assert found not in ID


@pytest.mark.parametrize("text", ["", "uninitialized\n", "0123", ID + "0", "0" * 31 + "g"])
def test_what_is_no_identity(tmp_path: Path, text: str) -> None:
    (tmp_path / "id").write_text(text)
    assert machine_digest(tmp_path / "id", tmp_path / "none") is None


def test_none_and_one_that_ends_with_the_boot(tmp_path: Path) -> None:
    assert machine_digest(tmp_path / "id", tmp_path / "none") is None
    (tmp_path / "id").write_text(ID)
    assert machine_digest(tmp_path / "id", tmp_path / "none") is not None
    (tmp_path / "transient").write_text(ID)
    assert machine_digest(tmp_path / "id", tmp_path / "transient") is None


def test_clones_on_hardware_of_their_own(tmp_path: Path) -> None:
    """A disk that was copied: one machine-id, and a UUID that the hypervisor gives each machine."""
    (tmp_path / "id").write_text(ID)

    def of(uuid: str) -> str | None:
        (tmp_path / "uuid").write_text(uuid)
        return machine_digest(tmp_path / "id", tmp_path / "none", tmp_path / "uuid")

    one, other = (of(f"4c4c4544-0042-3510-8052-b4c04f4e3{digit}31\n") for digit in "12")
    alone = machine_digest(tmp_path / "id", tmp_path / "none", tmp_path / "none")
    assert len({one, other, alone}) == 3
    assert of("4C4C4544-0042-3510-8052-B4C04F4E3131") == one
    for unset in (
        "",
        "Not Settable",
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    ):
        assert of(unset) == alone
