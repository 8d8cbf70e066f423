"""What JSON has is read as Python reads it; all else is one kind of error, and nothing is read by another reader."""

from __future__ import annotations

import ast
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.imports import SOURCE
from udamon.plain_json import JsonError, TooDeep, read, read_object, read_within

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.just("\udcff")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**39) + 1, 10**39 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(_TEXTS, inside, max_size=4),
)


@given(VALUES, st.sampled_from([None, 2]))
def test_what_json_has_is_read(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert read(text, 500) == value
    assert read(f" {text}\n".encode(), 500) == value
    assert read_within(f"[{text},", 1, 500) == (value, len(text) + 1)


WRONG = {
    "NaN": "has the number NaN", "[Infinity]": "has the number Infinity", "[-Infinity]": "has the number -Infinity",
    "1e999": "has the number 1e999", "[-1e400]": "has the number -1e400",
    '{"a": 1, "a": 2}': "says 'a' twice", '[{"x": {"\\n": 1, "\\u000a": 1}}]': "says '\\n' twice",
    "9" * 40: "more than 39 digits", "-" + "9" * 50: "more than 39 digits", "9" * 5000: "more than 39 digits",
    '"\\ud800"': "half of a character", '{"\\udfff": 1}': "half of a character", '["\\ud83d x"]': "half of a character",
    "[" * 40 + "]" * 40: "nested deeper than 32", "[" * 100_000: "nested too deeply",
    '{"a":' * 40 + "1" + "}" * 40: "nested deeper than 32",
    "": "does not parse", "{": "does not parse", "[1,]": "does not parse", "1 2": "does not parse",
    "01": "does not parse", "1_0": "does not parse", "\u0661": "does not parse", "'a'": "does not parse",
    "\ufeff1": "does not parse", '"\x01"': "does not parse",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG, ids=[text[:12].encode("unicode_escape").decode() for text in WRONG])
def test_what_json_has_not(text: str) -> None:
    with pytest.raises(JsonError) as raised:
        read(text)
    assert WRONG[text] in str(raised.value)
    assert str(raised.value).isascii()
    assert len(str(raised.value)) < 80


def test_bytes_and_objects() -> None:
    with pytest.raises(JsonError, match="is not UTF-8"):
        read(b'"\xff"')
    with pytest.raises(JsonError, match="is no object"):
        read_object("[]")
    with pytest.raises(TooDeep):
        read("[[[1]]]", depth=2)
    assert read("[[]]", depth=2) == [[]]


@given(st.text(max_size=30) | st.text('{}[]",:\\ud8e+-.0129Na', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read(text)
    except JsonError:
        return
    assert json.loads(text) == found
    json.dumps(found, allow_nan=False).encode()
    assert not (isinstance(found, float) and not math.isfinite(found))


def test_nothing_else_reads_json() -> None:
    """`json.loads` and its kind are in one module: the others would take what that refuses."""
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path.name != "plain_json.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("loads", "load", "JSONDecoder")
        and isinstance(node.value, ast.Name)
        and node.value.id == "json"
    ]
    assert not found, f"read JSON by udamon.plain_json: {found}"
