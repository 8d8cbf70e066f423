"""What was alive when, by hand; and what a new part of a recording begins with."""

from __future__ import annotations

from typing import Any

from udamon.model import Event
from udamon.record.values import check_event
from udamon.sites.ring import PYTHON_CALL, Module, PythonCall, Stack
from udamon.sites.stacks import NOWHERE, PYTHON, Code, StackNumbers
from udamon.sites.state import AllocationSample, Images, KnownAllocations


def told(image: int, *rows: list[int], pid: int = 7, **more: Any) -> dict[str, Any]:
    """The data of an `allocations` event."""
    about = {"image": image, "pid": pid, "mean": 100, "begin": 1, "parent": None, "parent_ns": None}
    data = about | {"lost_allocated": 0, "lost_bytes": 0, "lost_freed": 0, "rows": list(rows)} | more
    check_event("allocations", data)
    return data


def test_alive_at_times_that_were_wanted() -> None:
    images = Images({0: [25, 10]})
    images.add(told(0, [5, 4096, 64, 64, 1], [20, 8192, 10, 10, 2]))
    images.add(told(0, [30, 4096], [40, 4096, 5, 5, 3]))
    first, second = AllocationSample(5, 64, 64, 1), AllocationSample(20, 10, 10, 2)
    assert images.at(0, 10) == {4096: first}
    assert images.at(0, 25) == {4096: first, 8192: second}
    assert images.images[0].live == {4096: AllocationSample(40, 5, 5, 3), 8192: second}


def test_a_fork_has_what_its_parent_had_then() -> None:
    """Also where the parent has told more by then."""
    images = Images({0: [20]})
    images.add(told(0, [5, 4096, 64, 64, 1], [20, 8192, 10, 10, 2], [21, 4096], [22, 12288, 1, 1, 1]))
    images.add(told(1, [30, 8192], pid=8, parent=0, parent_ns=20))
    assert images.images[1].live == {4096: AllocationSample(5, 64, 64, 1)}


def test_a_new_part_has_what_still_holds() -> None:
    known = KnownAllocations()
    stacks = {"modules": [[0, "/bin/a", "00ff"]], "stacks": [[0, [0, 5]], [1, [0, 6]]]}
    for name, data in (
        ("allocation_stacks", stacks),
        ("symbols", {"module": 0, "symbols": [[5, [["f", "a.py", 1]]]]}),
        ("symbols", {"module": 0, "symbols": [[6, [["g", None, None]]]]}),
        ("allocations", told(0, [5, 4096, 64, 64, 1], [6, 8192, 10, 10, 0], [7, 4096])),
        ("allocations", told(1, [5, 4096, 64, 64, 1], pid=8)),
        ("target_end", {"target": 1, "pid": 8}),
    ):
        known.add(Event(1, name, data))
    first, names, second = known
    assert first == ("allocation_stacks", stacks)
    assert names == (
        "symbols",
        {"module": 0, "symbols": [[5, [["f", "a.py", 1]]], [6, [["g", None, None]]]]},
    )
    assert second == ("allocations", told(0, [6, 8192, 10, 10, 0], whole=True))
    again = Images()
    again.add(told(0, [1, 999, 1, 1, 1]))
    again.add(second[1])
    assert set(again.images[0].live) == {8192}


def test_calls_of_python_have_numbers() -> None:
    """The same in all processes, whatever their hashes; one that was not told has no name."""
    table = StackNumbers()
    one, other = Code(table), Code(table)
    one.add_python(PythonCall(PYTHON_CALL | 3, 12, "make", "/a.py"))
    one.add_stack(Stack(1, (PYTHON_CALL | 3, PYTHON_CALL | 4)))
    other.add_python(PythonCall(PYTHON_CALL | 7, 12, "make", "/a.py"))
    other.add_stack(Stack(1, (PYTHON_CALL | 7,)))
    assert [(path, build_id) for _, path, build_id in table.new_modules] == [(PYTHON, b"")]
    module = table.module(PYTHON, b"")
    assert [number for number, _ in table.new_python] == [1]
    assert dict(table.new_stacks) == {
        one.number(1): ((module, 1), (NOWHERE, 0)),
        other.number(1): ((module, 1),),
    }


def test_stacks_are_the_same_in_all_processes() -> None:
    """By modules and addresses within them, wherever they are loaded; the module that came last counts."""
    table = StackNumbers()
    first, second = Code(table), Code(table)
    first.add_module(Module(0x1000, 0x2000, 0x1000, b"x", "/a"))
    second.add_module(Module(0x7000, 0x9000, 0x7000, b"x", "/a"))
    first.add_stack(Stack(1, (0x1010, 0x5)))
    second.add_stack(Stack(2, (0x7010, 0x5)))
    assert first.number(1) == second.number(2) != first.number(99)
    second.add_module(Module(0x7000, 0x8000, 0x6000, b"y", "/b"))
    second.add_stack(Stack(3, (0x7010,)))
    stacks = dict(table.new_stacks)
    assert stacks[first.number(1)] == ((0, 0x10), (NOWHERE, 0x5))
    assert stacks[second.number(3)] == ((1, 0x1010),)
