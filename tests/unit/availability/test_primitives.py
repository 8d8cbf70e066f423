"""What is said of each primitive and action, on fake roots."""

from __future__ import annotations

from typing import NoReturn

import pytest

from udamon.availability import primitives as available
from udamon.availability.actions import ACTIONS, probe_action
from udamon.availability.primitives import PROBES, probe, proved_pte, require
from udamon.errors import ConfigError, NotSupported, UsageError
from udamon.linux import features
from udamon.linux.roots import Roots
from udamon.ops.tlb import way


def test_an_explicit_wish_is_refused_with_the_reason(roots: Roots) -> None:
    with pytest.raises(
        NotSupported, match=r"idle cannot be used: this kernel does not track idle pages; boot .*\.$"
    ):
        require("idle", roots)
    with pytest.raises(UsageError, match="no primitive 'magic'"):
        require("magic", roots)


def test_busy_kernel_damon_is_named(roots: Roots) -> None:
    admin = roots.sys / "kernel/mm/damon/admin/kdamonds"
    admin.mkdir(parents=True)
    (admin / "nr_kdamonds").write_text("1\n")
    found = probe("kernel", roots)
    assert not found.usable
    assert "nr_kdamonds is 1" in found.why
    (admin / "nr_kdamonds").write_text("0\n")
    assert probe("kernel", roots).offered


@pytest.mark.parametrize("name", list(PROBES))
def test_every_answer_is_whole(roots: Roots, name: str) -> None:
    """What is not usable and not offered says how to get it; all say why."""
    found = probe(name, roots)
    assert found.why.endswith(".")
    assert found.usable or found.offered or found.fix


@pytest.mark.parametrize("name", ACTIONS)
def test_actions_are_not_promised_where_nothing_is_there(roots: Roots, name: str) -> None:
    """Neither /proc nor /sys: no capability is known, there is no node and no DAMON; counting needs nothing."""
    found = probe_action(name, roots)
    assert found.usable is (name == "stat")
    assert found.why.endswith(".")
    assert found.usable or found.fix


def capable(roots: Roots, *numbers: int) -> None:
    bits = sum(1 << number for number in numbers)
    (roots.proc / "self/status").write_text(f"Tgid:\t1\nUid:\t0\t0\t0\t0\nCapEff:\t{bits:016x}\n")


def test_soft_dirty_bits_that_are_not_known(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the own page map cannot be read nothing is said of the kernel."""
    monkeypatch.setattr(features, "own_page_map_entries", list)
    found = probe("softdirty", roots)
    assert not found.usable
    assert "is not known" in found.why
    assert way() == "visit"
    monkeypatch.setattr(features, "own_page_map_entries", lambda: [1 << 63])
    assert "does not keep" in probe("softdirty", roots).why
    assert way() == "flush"


def test_whose_memory_is_seen(roots: Roots) -> None:
    """Of others neither with the one capability nor with the other: clear_refs is a file that its owner may write."""
    (roots.proc / "self").mkdir(parents=True, exist_ok=True)
    (roots.proc / "self/clear_refs").write_text("")
    (roots.proc / "self/smaps").write_text("\nReferenced:")
    both = (features.CAP_SYS_PTRACE, features.CAP_DAC_OVERRIDE)
    for numbers in ((), both[:1], both[1:], (features.CAP_SYS_PTRACE, features.CAP_DAC_READ_SEARCH), both):
        capable(roots, *numbers)
        found = "any process" if numbers == both else "your own processes"
        assert probe("refs", roots).why == f"It sees {found}, at the grain of mappings."


def with_bpf(roots: Roots) -> None:
    (roots.proc / "sys/kernel").mkdir(parents=True)
    (roots.proc / "sys/kernel/unprivileged_bpf_disabled").write_text("2\n")


def test_what_pte_would_take(roots: Roots) -> None:
    """Each thing that is missing is named, and which way would be gone."""
    admin, raw_io = features.CAP_SYS_ADMIN, features.CAP_SYS_RAWIO
    assert "neither BPF nor /proc/kcore" in probe("pte", roots).why
    (roots.proc / "kcore").write_bytes(b"")
    for numbers in ((), (admin,), (raw_io,)):
        capable(roots, *numbers)
        found = probe("pte", roots)
        assert (found.usable, found.offered, found.backend) == (False, True, "")
    capable(roots, admin, raw_io)
    assert probe("pte", roots).backend == "kcore"
    with_bpf(roots)
    capable(roots, admin)
    found = probe("pte", roots)
    assert (found.usable, found.backend) == (True, "bpf")
    assert "would see" in found.why
    (roots.sys / "kernel/security").mkdir(parents=True)
    (roots.sys / "kernel/security/lockdown").write_text("none [integrity] confidentiality\n")
    assert probe("pte", roots).usable
    (roots.sys / "kernel/security/lockdown").write_text("none integrity [confidentiality]\n")
    assert "lockdown=confidentiality" in probe("pte", roots).why


def test_doctor_reads_kernel_memory_with_consent_only(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[bool] = []

    def refuse(*, allowed: bool, roots: Roots) -> NoReturn:
        opened.append(allowed)
        raise NotSupported("pte cannot be used: through bpf: cleared: pages read wrong; use another --via.")

    monkeypatch.setattr("udamon.ops.kernel_tables.open_tables", refuse)
    with_bpf(roots)
    capable(roots, features.CAP_SYS_ADMIN)
    monkeypatch.setattr(available, "standing", lambda: False)
    assert proved_pte(roots) == probe("pte", roots)
    assert opened == []
    monkeypatch.setattr(available, "standing", lambda: True)
    found = proved_pte(roots)
    assert opened == [True]
    assert not found.usable
    assert found.backend == ""
    assert found.why.startswith("Pte cannot be used: through bpf: cleared:")

    def bad() -> NoReturn:
        raise ConfigError("/etc/udamon/config.toml: it is no plain file that root alone can write.")

    monkeypatch.setattr(available, "standing", bad)
    assert "root alone" in proved_pte(roots).why
    assert opened == [True]


def on(machine: str, page_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(available, "PAGE_SIZE", page_size)
    monkeypatch.setattr(features, "soft_dirty", lambda: False)


def test_on_arm64_no_kernel_is_advised_that_cannot_be_had(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux has soft-dirty bits on some machines only: there, and not here, a kernel may be built with them."""
    on("x86_64", 4096, monkeypatch)
    assert "CONFIG_MEM_SOFT_DIRTY=y" in str(probe("softdirty", roots).fix)
    on("aarch64", 4096, monkeypatch)
    with pytest.raises(NotSupported, match=r"use another way to look: Linux has no such bits on arm64\.$"):
        require("softdirty", roots)


@pytest.mark.parametrize("kib", [16, 64])
def test_page_tables_with_larger_pages_are_refused_by_their_size(
    roots: Roots, monkeypatch: pytest.MonkeyPatch, kib: int
) -> None:
    on("aarch64", kib << 10, monkeypatch)
    with pytest.raises(
        NotSupported, match=rf"page tables with pages of {kib} KiB are not known, only those with 4 KiB;"
    ):
        require("pte", roots)
    on("riscv64", kib << 10, monkeypatch)
    assert probe("pte", roots).why == "The page tables of this machine are not known."
