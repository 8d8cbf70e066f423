"""What `stat` shows of percentiles: in words, where DAMON_STAT has negative times."""

from __future__ import annotations

from dataclasses import replace

from udamon.cli.stat import _table
from udamon.modules.stat import Idleness


class _Cost:
    cost = "it took nothing"


def test_percentiles_in_words() -> None:
    idle = tuple(-2000 if percent < 50 else 3000 for percent in range(101))
    found = Idleness(
        idle_ms=idle, at_least=tuple(percent >= 90 for percent in range(101)), bandwidth=None, bandwidth_low=0,
        aggr_us=1_000_000, sample_us=50_000, bytes=4096,
    )  # fmt: skip
    lines = _table(found, _Cost()).splitlines()  # type: ignore[arg-type]
    assert lines[0].startswith("of 4.0 KiB, from what is accessed for longest to what is idle")
    told = {line.split()[0]: " ".join(line.split()[2:]) for line in lines[1:8]}
    assert told == {
        "0": "accessed for 2 s", "25": "accessed for 2 s", "50": "idle for 3 s", "75": "idle for 3 s",
        "90": "idle for at least 3 s", "99": "idle for at least 3 s", "100": "idle for at least 3 s",
    }  # fmt: skip


def test_what_a_mapping_does_not_tell_is_said() -> None:
    found = Idleness(
        idle_ms=(0,) * 101, at_least=(False,) * 101, bandwidth=None, bandwidth_low=0, aggr_us=1_000_000,
        sample_us=50_000, bytes=8192, untouched=4096,
    )  # fmt: skip
    said = "4.0 KiB of mappings that were touched in part were not; they count as accessed, so idle times are at least"
    for untouched in (4096, 0, None):
        text = str(_table(replace(found, untouched=untouched), _Cost()))  # type: ignore[arg-type]
        assert (said in text) == bool(untouched)
