"""Memory that cannot go anywhere is told of before anything is tried."""

from __future__ import annotations

import pytest

from udamon.cli.main import main
from udamon.linux import features

SENTENCE = "udamon: there is no swap, so only memory of files can be moved out"


@pytest.mark.parametrize(
    ("swap", "action", "told"), [(False, "pageout", True), (True, "pageout", False), (False, "cold", False)]
)
def test_pageout_without_swap(
    swap: bool, action: str, told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(features, "has_swap", lambda *_: swap)
    words = [
        "schemes",
        "--action",
        action,
        "--min-age",
        "1s",
        "--via",
        "refs",
        "--duration",
        "10ms",
        "--aggr",
        "5ms",
    ]
    main([*words, "--", "sleep", "5"])
    assert (SENTENCE in capsys.readouterr().err) is told
