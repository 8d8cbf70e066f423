"""The table of a scheme's fields has all of them, with the defaults of the values, and so has the document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from udamon.core.scheme import Destination, Filter, Goal, Quota, Scheme, Watermarks
from udamon.core.scheme_fields import FIELDS, FILTER_OPERANDS, LISTS, made, of_list, single, what_lacks
from udamon.model import Range

IN_LISTS = {"quotas.goals", "dests", "core_filters", "ops_filters"}


def attributes(value: Any, before: str = "") -> Iterator[tuple[str, object]]:
    """Names and values of all that is in it."""
    names = [one.name for one in fields(value)] if is_dataclass(value) else list(value._fields)
    for name in names:
        inner = getattr(value, name)
        if is_dataclass(inner) or isinstance(inner, Range):
            yield from attributes(inner, f"{before}{name}.")
        elif f"{before}{name}" not in IN_LISTS:
            yield f"{before}{name}", inner


def test_all_attributes_of_a_scheme_are_there() -> None:
    assert dict(attributes(Scheme())) == {field.name: field.value(field.default) for field in single()}


def test_all_attributes_of_what_it_has_many_of_are_there() -> None:
    for path, value in (("quotas/goals", Goal()), ("filters", Filter()), ("dests", Destination())):
        assert dict(attributes(value)) == {field.name: field.value(field.default) for field in of_list(path)}
    assert {one.path for one in LISTS} == {"quotas/goals", "filters", "dests"}


def test_values_are_made_of_them() -> None:
    marks: Watermarks = made("watermarks", {"high": 5})
    assert marks == Watermarks(high=5)
    found: Scheme = made("", {"quotas.ms": 3, "quotas.weights.sz_permil": 7, "target_nid": 1})
    assert found.quotas == Quota(ms=3, weights=found.quotas.weights)
    assert found.quotas.weights.sz_permil == 7
    assert made("filters", {"addr.start": 1, "addr.end": 2}) == Filter(addr=Range(1, 2))


def test_what_a_kernel_has_not_is_told_where_it_is_no_matter_of_course() -> None:
    """5.18 had the first ones; a list is told as a whole where a field of it has no name of its own."""
    for field in single():
        found = what_lacks(field.path)
        assert (found is None) == (field.since == (5, 18))
        assert found is None or found == (field.what, field.since)
    assert what_lacks("ops_filters/3/type") == ("filters", (6, 3))
    assert what_lacks("quotas/goals/0/target_value") == ("goals of quotas", (6, 8))


def test_operands_of_filters_are_fields() -> None:
    assert {key for keys in FILTER_OPERANDS.values() for key in keys} < {
        field.file for field in of_list("filters")
    }
    assert len({field.path for field in FIELDS}) == len(FIELDS)
