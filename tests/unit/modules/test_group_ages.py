"""Ages of whole control groups, on a made-up kernel that keeps generations as MGLRU does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from udamon.cli import group_ages as command
from udamon.errors import CannotError
from udamon.linux.lru_gen import Generation, NodeLru
from udamon.modules import group_ages
from udamon.modules.group_ages import SHORTEST_NS, GroupWatch
from udamon.ops.base import TOUCH_NS

S = 1_000_000_000
PAGE = 4096
MOST_GENERATIONS = 4


class Kernel:
    """One group with anonymous pages; `access` says which are accessed before the next aging."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pages: int, path: str = "/a") -> None:
        self.now = 100 * S
        self.cpu = 0
        self.path = path
        self.newest = 5
        self.born = {5: self.now}
        self.last = [5] * pages  # the generation of each page
        self.accessed: set[int] = set()
        self.there = True
        monkeypatch.setattr(group_ages, "read", self.read)
        monkeypatch.setattr(group_ages, "age", self.age)

    def read(self, path: Path) -> list[NodeLru]:
        other = NodeLru(1, "/b", 0, (Generation(1, 0, PAGE, 0),))
        if not self.there:
            return [other]
        oldest = max(min(self.born), self.newest - MOST_GENERATIONS + 1)
        rows = [
            Generation(
                number,
                (self.now - self.born[number]) // 1_000_000,
                sum(max(last, oldest) == number for last in self.last) * PAGE,
                0,
            )
            for number in range(oldest, self.newest + 1)
        ]
        return [NodeLru(12, self.path, 0, tuple(rows)), other]

    def age(self, one: NodeLru, path: Path) -> bool:
        assert (one.memcg, one.path) == (12, self.path), "nobody else's generations are touched"
        assert one.generations[-1].number == self.newest
        for page in self.accessed:
            self.last[page] = self.newest
        self.newest += 1
        self.born[self.newest] = self.now
        self.cpu += 5_000_000
        return True

    def watch(self) -> GroupWatch:
        return GroupWatch(self.path, now_ns=lambda: self.now, cpu_ns=lambda: self.cpu)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch, 100)


def test_ages_beyond_the_generations_of_the_kernel(kernel: Kernel) -> None:
    """40 pages are accessed in each of 12 windows of a second, 60 never again."""
    watch = kernel.watch()
    watch.begin()
    kernel.accessed = set(range(40))
    for _ in range(12):
        kernel.now += S
        watch.window()
    found = watch.cold("anon")
    assert found.size == 100 * PAGE
    assert (found.low[:3], found.high[:3]) == ([60 * PAGE, 60 * PAGE, None],) * 2
    assert watch.touched("anon") == 40 * PAGE
    assert watch.cold("file").size == 0
    assert watch.windows == 12
    assert watch.foreign == 0
    assert watch.target_cost_ns == 12 * 40 * TOUCH_NS


def test_what_was_not_watched_is_not_told(kernel: Kernel) -> None:
    """The kernel's own ages from before are not believed: it does not look at all pages."""
    kernel.now += 1000 * S
    watch = kernel.watch()
    watch.begin()
    assert watch.cold("anon").low[0] is None
    kernel.now += S
    watch.window()
    assert watch.cold("anon").low[:2] == [100 * PAGE, None]


def test_windows_are_as_long_as_the_budget_wants(kernel: Kernel) -> None:
    watch = kernel.watch()
    watch.begin()
    assert watch.pause_ns(0.01) == SHORTEST_NS, "5 ms of CPU"
    assert watch.pause_ns(0.001) == 5 * S
    kernel.accessed = set(range(100))
    kernel.now += S
    watch.window()
    assert watch.pause_ns(0.001) == 5 * S + 1000 * 100 * TOUCH_NS


def test_who_else_ages_is_counted(kernel: Kernel) -> None:
    watch = kernel.watch()
    watch.begin()
    kernel.accessed = {1}
    kernel.now += S
    kernel.age(kernel.read(Path())[0], Path())
    kernel.now += S
    watch.window()
    assert watch.foreign == 1
    assert watch.touched("anon") == PAGE
    assert watch.cold("anon").low[0] == 99 * PAGE


def test_a_group_that_is_not_there_or_goes(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = kernel.watch()
    watch.begin()
    kernel.there = False
    with pytest.raises(CannotError, match="is gone"):
        watch.window()
    with pytest.raises(CannotError, match="memory controller"):
        GroupWatch("/none").begin()


def test_what_is_told(kernel: Kernel) -> None:
    """30 pages are accessed in 8 windows, 70 never; all is exact until 50 of these leave the oldest generation."""
    watch = kernel.watch()
    watch.begin()
    kernel.accessed = set(range(30))
    for _ in range(8):
        kernel.now += S
        watch.window()
    kernel.accessed = set()
    for _ in range(6):
        kernel.now += S
        watch.window()
    exact = kind(command.document(watch, "/a", 0.01, "duration"))
    assert (exact["bounds"], exact["why"], exact["cold_bytes"]["10"]) == (None, None, 70 * PAGE)
    kernel.accessed = set(range(30, 80))
    kernel.now += S
    watch.window()
    document = command.document(watch, "/a", 0.01, "duration")
    assert (document["memcg"], document["windows"], document["foreign_agings"]) == (12, 15, 0)
    bounds = kind(document)["bounds"]
    assert (bounds["low"]["10"], bounds["high"]["10"]) == (20 * PAGE, 50 * PAGE)
    assert kind(document)["touched_bytes"] == 50 * PAGE
    text = "\n".join(command.lines(watch, 0.01))
    assert "1 control group, 15 windows in 15 s" in text
    assert "80.0 to 200.0 KiB" in text
    assert all(len(line) <= 80 for line in text.splitlines()[:-1])


def kind(document: dict[str, object]) -> dict[str, Any]:
    found = document["anon"]
    assert isinstance(found, dict)
    return found
