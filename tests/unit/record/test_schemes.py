"""What recordings keep of schemes: their totals, also without names, and at the beginning of each part."""

from __future__ import annotations

from tests.unit.actors import ALL, Bench, region
from udamon.core.scheme import Action, Scheme
from udamon.model import Event
from udamon.record.anonymize import event_data
from udamon.record.state import ValidEvents


def event() -> Event:
    bench = Bench(Scheme(ALL, Action.PAGEOUT), regions=[region(0, 3)])
    bench.apply()
    (data,) = [data for name, data in bench.events if name == "schemes"]
    return Event(1, "schemes", data)


def test_totals_are_numbers_and_stay_without_names() -> None:
    told = event()
    rows: list[dict[str, object]] = told.data["schemes"]  # type: ignore[assignment]
    (full,) = rows
    assert full["why"] == ""
    full["why"] = "process 7 (secretd) cannot be acted on"
    (left,) = event_data("schemes", told.data)["schemes"]
    assert left == {key: value for key, value in full.items() if key not in ("why", "sz_moved")}
    assert (left["action"], left["nr_tried"], left["sz_tried"]) == ("pageout", 1, 3 * 4096)


def test_the_last_totals_hold_for_the_next_part() -> None:
    valid = ValidEvents()
    valid.add(Event(0, "schemes", {"schemes": []}))
    told = event()
    valid.add(told)
    assert list(valid) == [told]
