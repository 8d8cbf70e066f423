"""Which boots some guest tests need, as pytest collects them outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.guest import suite
from scripts.guest.machine import Machine

FILE = "tests/guest/test_smoke.py"


@pytest.mark.parametrize(
    "asked",
    [
        (FILE, "-k", "another_user or checkout"),
        (
            f"{FILE}::test_another_user_can_run_udamon",
            f"{FILE}::test_the_checkout_is_writable_and_the_outside_is_not",
        ),
    ],
)
def test_what_is_not_asked_for_needs_no_boot(
    asked: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every boot of the file was made, and failed for the tests that did not run in it."""
    monkeypatch.setattr(suite, "PLACE", tmp_path)
    found = suite.Plans(asked).of("default")
    assert [(machine.smp, tests) for machine, tests in found.items()] == [(1, suite.Tests(2, (FILE,)))]


def test_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "PLACE", tmp_path)
    found = suite.Plans([FILE]).of("default")
    assert {machine.smp for machine in found} == {1, 2}
    assert found[Machine(smp=1)].number > 2
