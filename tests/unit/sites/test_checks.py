"""Events of allocations in a file that anybody may have written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from udamon.model import Event
from udamon.record.reader import Recording
from udamon.record.values import check_event
from udamon.record.writer import Writer
from udamon.sites.state import Images

ROWS = {
    "image": 0, "pid": 1, "mean": 4096, "begin": 1, "parent": None, "parent_ns": None,
    "lost_allocated": 0, "lost_bytes": 0, "lost_freed": 0, "rows": [[1, 4096, 64, 64, 0], [2, 4096]],
}  # fmt: skip
RIGHT: dict[str, dict[str, Any]] = {
    "allocations": ROWS,
    "allocation_stacks": {"modules": [[0, "/a", "00ff"]], "stacks": [[0, [0, 5, -1, 7]], [1, []]]},
    "symbols": {"module": 0, "symbols": [[5, [["f", None, None], ["g", "/a.c", 3]]]]},
    "allocations_unseen": {"pid": 1, "comm": "a", "why": "it is static"},
}
WRONG: list[tuple[str, str, Any]] = [
    *(("allocations", key, value) for key in ROWS for value in ("x", -1, 1.5, True, [[1]], 1 << 70)),
    *(
        ("allocations", "rows", [row])
        for row in (
            [1, 0], [1, 4096, 0, 64, 0], [1, 4096, 64, 0, 0], [1, 4096, 64, 64, -1], [1, 4096, 64, 64],
            [1, (1 << 64) - 1, 64, 64, 0], [1, 4096, 1 << 58, 64, 0], [-1, 4096], "ab", 5, None,
        )
    ),
    ("allocation_stacks", "modules", [[0, "/a", "zz"]]), ("allocation_stacks", "modules", [[0, 5, "00"]]),
    ("allocation_stacks", "modules", [[-1, "/a", "00"]]), ("allocation_stacks", "stacks", [[0, [0]]]),
    ("allocation_stacks", "stacks", [[0, [-2, 5]]]), ("allocation_stacks", "stacks", [[0, [0, -5]]]),
    ("allocation_stacks", "stacks", [[0, [0, 5] * 65]]), ("symbols", "module", None),
    ("symbols", "symbols", [[5, []]]), ("symbols", "symbols", [[5, [["f", None]]]]),
    ("symbols", "symbols", [[5, [[None, None, None]]]]), ("symbols", "symbols", [[5, [["f", "/a", -1]]]]),
    ("symbols", "symbols", [[5, [["f" * 70_000, None, None]]]]), ("allocations_unseen", "why", 5),
]  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_ones_pass_and_no_key_may_be_missing(name: str) -> None:
    check_event(name, RIGHT[name])
    for key in RIGHT[name]:
        with pytest.raises(ValueError, match=f"impossible of {key}"):
            check_event(name, {other: value for other, value in RIGHT[name].items() if other != key})


@pytest.mark.parametrize(("name", "key", "value"), WRONG, ids=str)
def test_wrong_ones_are_named(name: str, key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"impossible of {key}"):
        check_event(name, RIGHT[name] | {key: value})


def test_both_parts_of_a_rotated_recording_can_be_read_alone(tmp_path: Path) -> None:
    """The newer one begins with what was alive then, its stacks among it; together they say the same."""
    path = tmp_path / "a"
    with Writer(path, {}, max_size=1 << 16) as writer:
        writer.event(Event(1, "allocation_stacks", RIGHT["allocation_stacks"]))
        for number in range(1, 4000):
            rows = [[number, 4096 * number, 64, 64, 0]]
            if number % 10:
                rows.append([number, 4096 * number])
            writer.event(Event(number, "allocations", ROWS | {"rows": rows}))
            if number % 50 == 0:
                writer.flush()
    assert path.with_name("a.1").exists()
    alive = {4096 * number for number in range(10, 4000, 10)}
    for recording in (Recording(path, whole=False), Recording(path)):
        images, stacks = Images(), []
        for event in recording.events():
            if event.name == "allocations":
                images.add(event.data)
            elif event.name == "allocation_stacks":
                stacks.append(event.data)
        assert set(images.images[0].live) == alive
        assert stacks[0] == RIGHT["allocation_stacks"]
