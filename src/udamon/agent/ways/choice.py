"""Which way each service is looked at: the one that its class names, or, with `auto`, the best that can be had.

`pte` where the administrator allows reading kernel memory; `idle` where the kernel tracks idle pages and looking so at
all memory that is in use would take no more than half of the budget; `refs` where its pauses are allowed; else
`lru_gen`. That comes last because it does not tell what is accessed again, and so no safe age.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from udamon.agent.budget import pause_ns
from udamon.agent.cycles import WINDOW_S
from udamon.agent.discovery.classes import OFF
from udamon.agent.discovery.model import Service
from udamon.agent.page_states import IdleStates, PageStates, PteStates
from udamon.agent.pages import Room
from udamon.agent.settings import AUTO, IDLE, LRU_GEN, PTE, REFS, Settings
from udamon.agent.watched import WatchedService, Way
from udamon.agent.ways.group import ByGroup, GroupReadings
from udamon.agent.ways.pages import ByPages
from udamon.agent.ways.refs import ByRefs
from udamon.errors import CannotError, NotPermitted, NotSupported
from udamon.linux import lru_gen
from udamon.linux.consent import VARIABLE, standing
from udamon.linux.meminfo import read_meminfo
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE
from udamon.ops.kernel_tables import open_tables
from udamon.ops.tlb import way as tlb_way

_IDLE_SHARE = 0.5
"""Of the budget, what `idle` may take of its own accord."""
_STAYS = 2
"""With each change of the way ages begin anew, so a limit must be missed by this factor before there is one back."""


class Ways:
    """What can be had here: `pages` by name, `generations` where MGLRU's can be seen; `memory_pages`: in use by all."""

    def __init__(
        self,
        pages: Mapping[str, PageStates] = {},
        generations: GroupReadings | None = None,
        memory_pages: Callable[[], int] = lambda: 0,
        room: Room | None = None,
    ) -> None:
        self._pages = pages
        self._generations = generations
        self._memory_pages = memory_pages
        self.room = room or Room()

    def make(self, via: str) -> Way:
        if via == LRU_GEN and self._generations is not None:
            return ByGroup(self._generations)
        return ByPages(self._pages[via], self.room) if via in self._pages else ByRefs()

    def first(self, asked: str) -> Way:
        """For a service of which nothing is known yet."""
        return self.make(REFS if asked == AUTO else asked)

    def best(self, one: WatchedService, budget: float) -> str:
        """That of a service whose sizes are known. Raises OutOfFiles."""
        asked = one.settings.via
        if asked != AUTO:
            return asked
        if PTE in self._pages and PTE not in one.unfit:
            return PTE
        now = one.way.via
        if IDLE in self._pages and IDLE not in one.unfit and self._idle_is_cheap(budget, now):
            return IDLE
        longest_ns = one.settings.max_pause_ns / (1 if now == REFS else _STAYS)
        if any(pause_ns(each) > longest_ns for each in one.processes.values()):
            if self._generations is not None and LRU_GEN not in one.unfit:
                return LRU_GEN
            if IDLE in self._pages and IDLE not in one.unfit:
                return IDLE
        return REFS

    def _idle_is_cheap(self, budget: float, now: str) -> bool:
        cost_ns = self._memory_pages() * self._pages[IDLE].page_ns
        return cost_ns <= _IDLE_SHARE * (_STAYS if now == IDLE else 1) * budget * WINDOW_S * 1e9

    def close(self) -> None:
        for one in self._pages.values():
            one.close()


def open_ways(
    settings: Settings,
    groups: Callable[[Service], Sequence[str]],
    roots: Roots,
    say: Callable[[str], None] = lambda text: None,
) -> Ways:
    """Everything that some class asks for, or may get. Raises CannotError where a class names what cannot be had, and
    ConfigError where the file of consent may not be believed. What is allowed and cannot be had is said."""
    asked = {one.via: one.name for one in (settings.default, *settings.classes)}
    auto = AUTO in asked
    pages: dict[str, PageStates] = {}
    generations = None
    try:
        if PTE in asked:
            with _named(asked, PTE):
                pages[PTE] = _pte(roots)
        elif auto and standing():
            try:
                pages[PTE] = _pte(roots)
            except CannotError as error:
                say(
                    f"Reading kernel memory is allowed, but pte cannot be used: {error} Other ways are taken."
                )
        if IDLE in asked or auto:
            with _named(asked, IDLE):
                pages[IDLE] = IdleStates(roots)
        if LRU_GEN in asked or auto:
            with _named(asked, LRU_GEN):
                lru_gen.require()
                generations = GroupReadings(groups)
    except BaseException:
        for one in pages.values():
            one.close()
        raise
    return Ways(pages, generations, lambda: _memory_pages(roots))


class _named:
    """What cannot be had is an error where a class asks for it, with its name; elsewhere it is left out."""

    def __init__(self, asked: Mapping[str, str], via: str) -> None:
        self._who, self._via = asked.get(via), via

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, CannotError):
            return False
        if self._who is None:
            return True
        kind = NotPermitted if isinstance(error, NotPermitted) else NotSupported
        raise kind(f"class {self._who}, via {self._via}: {error}") from None


def unavailable(settings: Settings, roots: Roots) -> Iterator[CannotError]:
    """What `open_ways` would fail with, for each way that a class names and that cannot be had. Nothing stays open.
    Raises ConfigError."""
    named = {one.via: one for one in (*settings.classes, settings.default) if one.via in (PTE, IDLE, LRU_GEN)}
    for one in named.values():
        try:
            open_ways(replace(settings, classes=(), default=one), lambda _: (), roots).close()
        except CannotError as error:
            yield error


def check_ways(settings: Settings, ways: Ways) -> None:
    """Settings that were read again may ask for no way that was not opened at the start. Raises CannotError."""
    for one in (settings.default, *settings.classes):
        if one.via not in (AUTO, OFF) and ways.make(one.via).via != one.via:
            raise NotSupported(
                f"class {one.name}, via {one.via}: this way was not asked for at the start; start the agent again."
            )


def _pte(roots: Roots) -> PteStates:
    if not standing():
        raise NotPermitted(
            "it reads kernel memory, with the administrator's consent only; write allow_kernel_memory = true to "
            f"/etc/udamon/config.toml, or set {VARIABLE}=1 in the agent's environment."
        )
    return PteStates(open_tables(allowed=True, roots=roots), roots, tlb_way())


def _memory_pages(roots: Roots) -> int:
    found = read_meminfo(roots.proc)
    return (found.get("AnonPages", 0) + found.get("Mapped", 0)) // PAGE_SIZE
