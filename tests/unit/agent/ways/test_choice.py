"""What can be had, what a class may ask for, and what is said where it cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.agent.simulated import MIB, Node, Pages, Program
from udamon.agent.discovery.classes import ServiceClass
from udamon.agent.settings import Settings
from udamon.agent.ways.choice import Ways, check_ways, open_ways
from udamon.agent.ways.group import GroupReadings
from udamon.errors import CannotError, NotPermitted, NotSupported
from udamon.linux.consent import VARIABLE
from udamon.linux.roots import Roots


@pytest.mark.parametrize(
    ("via", "said", "kind"),
    [
        ("pte", "administrator's consent only", NotPermitted),
        ("idle", "CONFIG_IDLE_PAGE_TRACKING", NotSupported),
        ("lru_gen", "multi-generational", NotSupported),
    ],
)
def test_a_way_that_a_class_names_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, via: str, said: str, kind: type[CannotError]
) -> None:
    """With `auto` it is left out."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(
        "udamon.linux.lru_gen.lacks", lambda: ("there is no multi-generational LRU", "boot one")
    )
    monkeypatch.setattr("udamon.agent.ways.choice.standing", lambda: False)
    roots = Roots(tmp_path / "proc", tmp_path / "sys", (tmp_path,))
    named = Settings(
        classes=(ServiceClass("db", {"service": "a"}, via=via),), default=ServiceClass(via="refs")
    )
    with pytest.raises(kind, match=f"class db, via {via}: .*{said}"):
        open_ways(named, lambda _: [], roots)
    ways = open_ways(Settings(), lambda _: [], roots)
    assert [ways.make(name).via for name in ("pte", "idle", "lru_gen", "refs")] == ["refs"] * 4
    with pytest.raises(NotSupported, match="was not asked for at the start"):
        check_ways(named, ways)
    check_ways(Settings(default=ServiceClass(via="off")), ways)


def test_consent_that_is_of_no_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(roots: Roots) -> None:
        raise NotPermitted("it takes CAP_SYS_RAWIO.")

    monkeypatch.setattr("udamon.agent.ways.choice._pte", refuse)
    monkeypatch.setattr("udamon.agent.ways.choice.standing", lambda: True)
    said: list[str] = []
    ways = open_ways(Settings(), lambda _: [], Roots(tmp_path, tmp_path, (tmp_path,)), said.append)
    assert ways.make("pte").via == "refs"
    (line,) = said
    assert "pte cannot be used: it takes CAP_SYS_RAWIO. Other ways are taken." in line


def test_a_way_does_not_change_to_and_fro() -> None:
    """Memory in use that is now below, now above what `idle` may cost; ages would begin anew each time."""
    node = Node()
    in_use = [200_000]
    node.add("web", Program({1.0: MIB, 0.0: MIB}))
    ways = Ways({"idle": Pages(node, "idle", 2500)}, memory_pages=lambda: in_use[0])
    rotation = node.rotation(Settings(budget=0.01), ways)
    seen = []
    for pages in (200_000, 300_000, 200_000, 400_000, 500_000, 300_000):
        in_use[0] = pages
        node.run(rotation, 1100)
        seen.append(rotation.services["web"].way.via)
    assert seen == ["idle", "idle", "idle", "idle", "refs", "refs"]


def test_where_a_pause_would_be_too_long() -> None:
    """MGLRU generations of the group, else idle bits whatever they cost; else it is left alone."""
    node = Node()
    generations = GroupReadings(lambda _: [])
    settings = Settings(budget=1.0, default=ServiceClass(max_pause_ns=1000))
    for ways, via in (
        (Ways({}, generations), "lru_gen"),
        (Ways({"idle": Pages(node, "idle")}, None, lambda: 1 << 40), "idle"),
        (Ways(), "refs"),
    ):
        node = Node()
        node.add("web", Program({1.0: 8 * MIB}))
        rotation = node.rotation(settings)
        node.run(rotation, 1)
        (one,) = rotation.present()
        assert ways.best(one, 1.0) == via
        one.unfit |= {"lru_gen", "idle"}
        assert ways.best(one, 1.0) == "refs"
