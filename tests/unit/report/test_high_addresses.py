"""Addresses from 2**63 on, which signed numbers do not have: the same memory somewhere else has the same figures."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.bases import METADATA, events, shot
from udamon.cli.main import main
from udamon.model import Event
from udamon.record.writer import Writer

REGIONS = 40
LOW = 1 << 30
PLACES = {"across": (1 << 63) - 8192 * 20, "behind": 1 << 63, "last": (1 << 64) - 8192 * 45}

KINDS = [
    ["wss"], ["wss", "--by", "mapping"], ["access"], ["access", "--by", "mapping"], ["heatmap"],
    ["heatmap", "--by", "mapping"], ["mappings"], ["phases"], ["holistic"], ["footprint"], ["ages"], ["right-size"],
    ["size"], ["times"], ["nr-regions"],
]  # fmt: skip
_ELSE = {"start", "end", "address", "recording", "file", "ranges", "pieces", "next", "metadata"}
"""What says where it is, or of which file."""


def recorded(path: Path, base: int) -> str:
    with Writer(path, METADATA) as writer:
        writer.event(events(0)[0])
        add = [[base, base + 8192 * REGIONS, "rw-p", 0, 0, "[heap]"]]
        writer.event(Event(1 << 40, "mappings", {"target": 0, "add": add, "remove": []}))
        for seq in range(6):
            starts = array("Q", [base + 8192 * at for at in range(REGIONS)])
            ends = array("Q", [start + 4096 for start in starts])
            writer.snapshot(replace(shot(seq, regions=REGIONS), starts=starts, ends=ends))
            writer.flush()
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("high")
    return {name: recorded(place / name, base) for name, base in {"low": LOW, **PLACES}.items()}


def _document(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> Any:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("words", KINDS, ids=" ".join)
@pytest.mark.parametrize("place", PLACES)
def test_figures_do_not_depend_on_where_memory_is(
    words: list[str], place: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    kind, *flags = words
    low, high = (_document(["report", kind, files[name], *flags], capsys) for name in ("low", place))
    assert _alike(high, low)


def _alike(high: Any, low: Any) -> bool:
    """Equal without what says where, numbers to a millionth."""
    if isinstance(low, dict):
        keys = low.keys() - _ELSE
        return keys == high.keys() - _ELSE and all(_alike(high[key], low[key]) for key in keys)
    if isinstance(low, list):
        return len(low) == len(high) and all(map(_alike, high, low))
    if isinstance(low, float):
        return bool(high == pytest.approx(low, rel=1e-6, abs=1e-9))
    return bool(high == low)


@pytest.mark.parametrize("place", PLACES)
def test_texts_name_addresses_without_a_sign(
    place: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    base = PLACES[place]
    assert main(["report", "access", files[place]]) == 0
    out = capsys.readouterr().out
    for at in (0, REGIONS - 1):
        assert f"{base + 8192 * at:x}" in out
    assert "-0x" not in out
    for words in (
        ["diff", files[place], files[place]],
        ["heatmap", files[place], "--address", "0x8000000000000000-"],
    ):
        assert main(["report", *words]) == 0
    capsys.readouterr()
