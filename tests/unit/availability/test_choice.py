"""What `--via auto` means: the rule, fact by fact, and the facts of fake roots."""

from __future__ import annotations

from typing import NoReturn

import pytest

from udamon.availability import choice as choices
from udamon.availability.choice import (
    LONGEST_WINDOW_S,
    OFFER,
    WINDOW_NS,
    ChoiceInputs,
    Load,
    choose,
    decide,
    facts_here,
    offer,
)
from udamon.availability.primitives import Usable
from udamon.errors import ConfigError, NotSupported, UsageError
from udamon.linux import features
from udamon.linux.roots import Roots

CAN = Usable(True, "It can.", offered=True)
WAYS = ("pte", "idle", "kernel", "refs")
MOST_PAGES = int(LONGEST_WINDOW_S * 0.01 * 1e9 / WINDOW_NS)
"""Of small pages that 1 % of a CPU can look at in the longest window."""


def usable(*names: str) -> dict[str, Usable]:
    return {name: CAN if name in names else Usable(False, f"No {name} here: really.") for name in WAYS}


def facts(
    *names: str, consent: bool = False, pages: int = 1000, pause_ns: int = 0, **more: object
) -> ChoiceInputs:
    found = ChoiceInputs(usable(*names), consent, load=Load(1, pages, pause_ns), overhead=0.01)
    return found._replace(**more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "via"),
    [(("idle", "kernel", "refs"), "idle"), (("kernel", "refs"), "kernel"), (("refs",), "refs"),
     (("pte", "refs"), "refs"), (("pte", "idle", "kernel", "refs"), "idle")],
)  # fmt: skip
def test_without_consent_it_is_the_first_of_three(names: tuple[str, ...], via: str) -> None:
    found = decide(facts(*names))
    assert (found.via, found.samples) == (via, via == "idle")
    assert found.why.startswith("pte is not allowed")


def test_the_reason_names_what_was_passed_over() -> None:
    why = decide(facts("refs")).why
    assert why == "pte is not allowed; no idle here: really; no kernel here"


def test_with_consent_every_page_is_looked_at() -> None:
    found = decide(facts(*WAYS, consent=True))
    assert (found.via, found.samples) == ("pte", False)
    assert "1 process in windows of at most" in found.why
    assert decide(facts("idle", "refs", consent=True)).why == "no pte here: really"


def test_what_a_census_is_too_dear_for_is_sampled() -> None:
    assert decide(facts(*WAYS, consent=True, pages=MOST_PAGES)).via == "pte"
    large = facts(*WAYS, consent=True, pages=MOST_PAGES + 1)
    assert decide(large)[::2] == ("pte", True)
    assert "windows of at most 1 m 0 s" in decide(large).why
    assert not decide(large._replace(overhead=None)).samples, "who gives intervals has no budget"
    assert not decide(large._replace(load=None)).samples, "a command has yet to grow"


def test_what_may_not_be_cleared_is_sampled() -> None:
    stopped = facts(*WAYS, consent=True, pause_ns=20_000_000, max_pause_ns=10_000_000)
    assert decide(stopped).via == "pte", "MADV_COLD clears it"
    short = stopped._replace(short="tasks wait for memory")
    assert decide(short)[::2] == ("idle", True), "samples by pte are cleared by MADV_COLD, too"
    assert decide(short._replace(usable=usable("pte", "kernel", "refs")))[::2] == ("pte", False)
    assert "MADV_COLD is not used while tasks wait for memory" in decide(short).why
    assert decide(short._replace(max_pause_ns=20_000_000)).via == "pte"
    assert decide(short._replace(max_pause_ns=None)).via == "pte"


def test_what_needs_samples_gets_them() -> None:
    wanted = facts(*WAYS, consent=True, needs_sampler="--policy")
    assert decide(wanted)[::2] == ("pte", True)
    alone = wanted._replace(needs_idle=True)
    assert decide(alone).via == "idle"
    assert decide(alone._replace(usable=usable("pte", "refs"))).via == "refs", "which says what is wrong"


@pytest.mark.parametrize("consent", [False, True])
def test_physical_memory_is_not_for_page_tables(consent: bool) -> None:
    assert decide(facts(*WAYS, consent=consent, physical=True)).via == "idle"
    assert decide(facts("pte", "kernel", consent=consent, physical=True)).via == "kernel"
    with pytest.raises(NotSupported, match="physical memory needs"):
        decide(facts("pte", "refs", consent=consent, physical=True))


def test_kernel_and_refs_do_not_depend_on_what_is_watched() -> None:
    """Commands ask before they know what is watched."""
    for names in (WAYS, ("pte", "kernel", "refs"), ("pte", "refs"), ("kernel", "refs"), ("refs",)):
        for consent in (False, True):
            blind = facts(*names, consent=consent, load=None, overhead=None)
            seen = facts(
                *names, consent=consent, pages=1 << 40, pause_ns=1 << 40, max_pause_ns=1, short="it is short"
            )
            for name in ("kernel", "refs"):
                assert (decide(blind).via == name) == (decide(seen).via == name)


def test_nothing_at_all() -> None:
    with pytest.raises(NotSupported, match="udamon doctor"):
        decide(facts())


@pytest.fixture
def with_bpf(roots: Roots) -> Roots:
    bits = 1 << features.CAP_SYS_ADMIN
    (roots.proc / "self/status").write_text(f"Tgid:\t1\nUid:\t0\t0\t0\t0\nCapEff:\t{bits:016x}\n")
    (roots.proc / "sys/kernel").mkdir(parents=True)
    (roots.proc / "sys/kernel/unprivileged_bpf_disabled").write_text("2\n")
    return roots


def test_on_a_machine(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "standing", lambda: True)
    assert choose("auto", roots) == choose("refs", roots) == "refs"
    assert offer(facts_here(roots)) is None, "it would not work"
    with pytest.raises(NotSupported, match="idle cannot be used"):
        choose("idle", roots)
    with pytest.raises(UsageError, match="no primitive 'magic'"):
        choose("magic", roots)
    (roots.proc / "self/clear_refs").unlink()
    with pytest.raises(NotSupported, match="udamon doctor"):
        choose("auto", roots)


def test_consent_decides(with_bpf: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "standing", lambda: False)
    assert choose("auto", with_bpf) == "refs"
    assert offer(facts_here(with_bpf)) == OFFER
    assert len(OFFER) < 80
    assert offer(facts_here(with_bpf, physical=True)) is None
    monkeypatch.setattr(choices, "standing", lambda: True)
    assert choose("auto", with_bpf) == "pte"
    assert offer(facts_here(with_bpf)) is None


def test_a_file_that_is_wrong_allows_nothing_and_is_told(
    with_bpf: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bad() -> NoReturn:
        raise ConfigError("/etc/udamon/config.toml: it is no plain file that root alone can write.")

    monkeypatch.setattr(choices, "standing", bad)
    assert choose("auto", with_bpf) == "refs"
    assert "root alone can write" in str(offer(facts_here(with_bpf)))
