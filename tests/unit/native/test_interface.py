"""What the C functions say of their arguments is what they check, what they return, and what the stub says."""

from __future__ import annotations

import ast
import re
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udamon.native import _native

INTERFACES = _native.INTERFACES
STUB = ast.parse((Path(_native.__file__).parent / "_native.pyi").read_text())
CODES = "BIQiqd"
LENGTHS = dict.fromkeys("abcdefghijklmnopqrstuvwxyz", 3)
TEXTS = {
    "array[int]": "IQiq",
    "array[float]": "d",
    "bytes": "B",
    "int": "IQiqB",
    "float": "d",
    "str | None": "z",
}

ARRAYS = [
    pytest.param(function, name, id=f"{function}-{name}")
    for function, (arguments, _) in INTERFACES.items()
    for name, _, access, _ in arguments
    if access is not None
]
VALUES = [
    pytest.param(function, name, code, id=f"{function}-{name}")
    for function, (arguments, _) in INTERFACES.items()
    for name, code, access, _ in arguments
    if access is None and code in "IQiqBd"
]


def length_of(shape: str, lengths: dict[str, int]) -> int:
    """Items of an array of that shape; 6 for one of any length."""
    found = re.fullmatch(r"(\d*)([a-z]?)([+-]\d+)?", shape)
    assert found is not None
    factor, letter, added = found.groups()
    if not shape:
        return 6
    return int(factor or 1) * (lengths[letter] if letter else 1) + int(added or 0)


def good_arguments(function: str) -> dict[str, Any]:
    """Arrays of zeros that have the right items and lengths, and zeros; nothing more is right about them."""
    found: dict[str, Any] = {}
    for name, code, access, shape in INTERFACES[function][0]:
        if access is None:
            found[name] = 0
        else:
            assert shape is not None
            found[name] = array(code, [0]) * (
                length_of(shape, LENGTHS) * (16 if code == "B" and not shape else 1)
            )
    return found


def call(function: str, arguments: dict[str, Any]) -> Any:
    return getattr(_native, function)(**arguments)


def refused(function: str, arguments: dict[str, Any], kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=rf"^{function}: {match}"):
        call(function, arguments)


@pytest.mark.parametrize("function", INTERFACES)
def test_the_stub_says_what_the_function_says(function: str) -> None:
    arguments, results = INTERFACES[function]
    (stub,) = (n for n in STUB.body if isinstance(n, ast.FunctionDef) and n.name == function)
    assert not stub.args.args
    assert [argument.arg for argument in stub.args.kwonlyargs] == [name for name, *_ in arguments]
    for argument, (_, code, access, _) in zip(stub.args.kwonlyargs, arguments, strict=True):
        assert argument.annotation is not None
        text = ast.unparse(argument.annotation)
        if access is None:
            assert text == {"d": "float", "p": "bool", "O": "object"}.get(code, "int")
        else:
            assert text == ("Buffer | None" if access == "maybe" else "Buffer")
    assert stub.returns is not None
    returns = ast.unparse(stub.returns)
    if len(results) > 1:
        (named,) = (n for n in STUB.body if isinstance(n, ast.ClassDef) and n.name == returns)
        fields = [n for n in named.body if isinstance(n, ast.AnnAssign)]
        assert [ast.unparse(field.target) for field in fields] == [name for name, *_ in results]
        assert getattr(_native, returns).n_fields == len(results)
        said = [ast.unparse(field.annotation) for field in fields]
    else:
        said = [returns] if results else []
        assert results or returns == "None"
    for text, (_, code, access, _) in zip(said, results, strict=True):
        assert code == "O" or code in TEXTS[text]
        assert (access is not None) == (text.startswith("array") or text == "bytes")


def test_the_stub_has_the_constants_of_the_module() -> None:
    said = {n.target.id for n in STUB.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    assert said == {
        name for name, value in vars(_native).items() if name.isupper() and not name.startswith("_")
    }


@pytest.mark.parametrize(("function", "name"), ARRAYS)
def test_an_array_that_is_none_is_refused(function: str, name: str) -> None:
    """Its name is told: of no array, of another item, of every second item, in a table, or out of step."""
    arguments = good_arguments(function)
    code: Any = next(code for other, code, *_ in INTERFACES[function][0] if other == name)
    maybe = (name, code, "maybe", "") in INTERFACES[function][0]
    for wrong in ("text", 5, [1], *([] if maybe else [None])):
        refused(function, arguments | {name: wrong}, TypeError, f"{name} must be an array")
    for other in CODES:
        if other != code:
            refused(
                function,
                arguments | {name: array(other, [0, 0])},
                TypeError,
                f"{name} must be an array of items",
            )
    twice = array(code, [0] * 64)
    refused(function, arguments | {name: memoryview(twice)[::2]}, ValueError, f"{name} must be contiguous")
    table = (
        memoryview(twice).cast("B").cast(code, (8, 8)) if code != "B" else memoryview(twice).cast("B", (8, 8))
    )
    refused(function, arguments | {name: table}, ValueError, f"{name} must be contiguous")
    if code != "B":
        odd = memoryview(bytearray(twice.itemsize * 4 + 1))[1:].cast(code)
        refused(function, arguments | {name: odd}, ValueError, f"{name} must be aligned")


@pytest.mark.parametrize(("function", "name"), ARRAYS)
def test_an_array_of_another_length_is_refused(function: str, name: str) -> None:
    arguments = good_arguments(function)
    (field,) = (field for field in INTERFACES[function][0] if field[0] == name)
    if not field[3]:
        return
    others = [f for f in INTERFACES[function][0] if f[3] and set(f[3]) & set(field[3]) - set("0123456789+-")]
    if others == [field]:
        return  # it alone says how long it is
    longer = arguments[name] + array(field[1], [0])
    with pytest.raises(ValueError, match=rf"^{function}: \w+ must have .* items, not"):
        call(function, arguments | {name: longer})


@pytest.mark.parametrize(("function", "name"), ARRAYS)
def test_what_is_written_to_must_be_writable(function: str, name: str) -> None:
    arguments = good_arguments(function)
    (field,) = (field for field in INTERFACES[function][0] if field[0] == name)
    if field[2] != "read":
        shut = memoryview(arguments[name]).toreadonly()
        refused(
            function, arguments | {name: shut}, TypeError, f"{name} must be an array that may be written to"
        )


@pytest.mark.parametrize(("function", "name", "code"), VALUES)
def test_a_number_that_does_not_fit_is_refused(function: str, name: str, code: str) -> None:
    arguments = good_arguments(function)
    for wrong in ("1", None, b"1", *([] if code == "d" else [1.0])):
        refused(function, arguments | {name: wrong}, TypeError, f"{name} must be a")
    bits = 8 * array(code).itemsize
    signed = code in "iq"
    wrongs = [] if code == "d" else [2 ** (bits - signed), -(2 ** (bits - 1)) - 1 if signed else -1, 10**40]
    for number in wrongs:
        refused(function, arguments | {name: number}, ValueError, f"{name} must fit into {bits} bits")


@pytest.mark.parametrize("function", INTERFACES)
def test_keywords_are_these(function: str) -> None:
    arguments = good_arguments(function)
    for name in arguments:
        refused(function, {n: v for n, v in arguments.items() if n != name}, TypeError, f"{name} is missing")
    with pytest.raises(TypeError, match="arguments, not"):
        call(function, arguments | {"another": 1})
    with pytest.raises(TypeError, match="keywords only"):
        getattr(_native, function)(1, **arguments)


# Descriptors that are files, times to wait for and processes to make are none of a hostile caller's business here.
HARMLESS = {"flags_fd": -1, "bitmap_fd": -1, "event_fd": -1, "fd": -1, "begin_ns": 0, "size": 1}
AT_MOST = {
    "ticks": 40, "tick_ns": 1_000, "slot_checks": 20,
    # What names another array's item, mostly does.
    "set_segment": 1, "set_window": 1, "slot": 2, "slot_target": 2, "unchanged": 2, "event": 1, "machine": 1,
    "levels": 5,
}  # fmt: skip
WORDS = [
    0,
    1,
    2,
    3,
    7,
    12,
    21,
    4095,
    4096,
    8192,
    1 << 20,
    1 << 31,
    1 << 40,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 4096,
]
FLOATS = st.one_of(st.floats(), st.sampled_from([0.0, 0.5, 1.0, 64.0, 1e12]))


def numbers(name: str, code: str, *, tame: bool = False) -> st.SearchStrategy[Any]:
    if code == "d":
        return st.floats(0, 1) if tame else FLOATS
    bits = 8 * array(code).itemsize
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if code in "iq" else (0, 2**bits - 1)
    high = min(high, AT_MOST.get(name, high))
    return st.one_of(
        st.sampled_from([word for word in WORDS if low <= word <= high] + [high]), st.integers(low, high)
    )


@st.composite
def hostile(draw: st.DrawFn, function: str) -> dict[str, Any]:
    """Arguments of mostly the right type and length, ascending now and then, and of any values."""
    tame = draw(st.booleans())
    lengths = {letter: draw(st.integers(0, 5)) for letter in LENGTHS}
    found: dict[str, Any] = {}
    for name, code, access, shape in INTERFACES[function][0]:
        if name in HARMLESS:
            found[name] = HARMLESS[name]
        elif access is None:
            kind = numbers(name, code, tame=tame) if code in CODES else st.sampled_from([True, False])
            found[name] = draw(kind)
        elif draw(st.integers(0, 40)) == 0:
            found[name] = draw(
                st.sampled_from([None, b"", array("d", [1.0]), memoryview(b"123")[::2], bytearray(24)])
            )
        else:
            assert shape is not None
            wanted = max(length_of(shape, lengths), 0) if shape else draw(st.integers(0, 6))
            wanted *= 16 if code == "B" and not shape else 6 if name == "windows" else 1
            if wanted > 64:
                values = [draw(numbers(name, code, tame=tame))] * wanted
            else:
                values = draw(st.lists(numbers(name, code, tame=tame), min_size=wanted, max_size=wanted))
            found[name] = array(code, sorted(values) if draw(st.booleans()) else values)
    return found


@pytest.mark.parametrize("function", INTERFACES)
@given(data=st.data())
def test_nothing_is_too_strange(function: str, data: st.DataObject) -> None:
    """Refused by an exception, or answered; never a crash."""
    arguments = data.draw(hostile(function))
    try:
        call(function, arguments)
    except (TypeError, ValueError, MemoryError, OSError):
        pass
