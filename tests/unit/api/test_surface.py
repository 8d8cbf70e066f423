"""What `from udamon import …` gives, what it costs, and that its documentation is up to date."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import subprocess
import sys

import pytest

import udamon
from scripts import api_docs
from udamon import MonitorSpec, doctor, evaluate
from udamon.errors import ConfigError, UsageError


def test_names_and_defaults() -> None:
    """Those that programs rely on."""
    assert sorted(udamon.__all__) == [
        "Monitor", "MonitorSpec", "Recording", "Scheme", "Snapshot", "UdamonError", "doctor", "evaluate",
    ]  # fmt: skip
    assert {name for name in dir(udamon) if name in udamon.__all__} == set(udamon.__all__)
    fields = {field.name: field.default for field in dataclasses.fields(MonitorSpec)}
    assert fields == {
        "pids": (), "children": False, "cgroup": None, "command": None, "paddr": False, "ops": "vaddr", "via": "auto",
        "policy": None, "sample": 0.005, "aggr": 0.1, "update": 1.0, "min_regions": 10, "max_regions": 1000,
        "overhead": None, "duration": None, "max_pause": None,
    }  # fmt: skip
    assert list(fields) == list(inspect.signature(MonitorSpec).parameters)
    with pytest.raises(dataclasses.FrozenInstanceError):
        MonitorSpec().via = "idle"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = udamon.nothing


def test_the_import_is_cheap() -> None:
    """Nothing but the package itself is loaded before a name is used, and no dependency before a recording is read."""
    code = """
import json, sys
before = set(sys.modules)
import udamon
first = sorted(set(sys.modules) - before)
from udamon import Monitor, MonitorSpec, Scheme, Snapshot, UdamonError, doctor, evaluate
print(json.dumps([first, sorted({"arro3.core", "duckdb", "pandas", "asyncio", "argparse"} & set(sys.modules))]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == [["udamon"], []]


def test_every_name_is_what_type_checkers_see() -> None:
    """The names of `__all__`, of the lazy table and of the imports for type checkers are the same."""
    assert set(udamon.__all__) == set(udamon._MODULES)
    for name, module in udamon._MODULES.items():
        assert f"from {module} import {name}\n" in inspect.getsource(udamon)


def test_the_reference_is_up_to_date() -> None:
    assert api_docs.PAGE.read_text() == api_docs.page(), "run: python -m scripts.api_docs"


def test_items_of_the_reference_are_fields() -> None:
    """A word with a colon within a sentence is none; annotations are as they are in the source."""
    page = api_docs.page()
    items = [name for names in re.findall(r"^- `([^`]+)`:", page, re.MULTILINE) for name in names.split(", ")]
    fields = {field.name for cls in (MonitorSpec, udamon.Scheme) for field in dataclasses.fields(cls)}
    assert fields <= set(items) | {"_", "quota_reset"}  # which is told beside quota_bytes
    assert set(items) <= fields | set(udamon.Snapshot.__dataclass_fields__)
    assert "ForwardRef" not in page


def test_everything_public_is_documented() -> None:
    for name in udamon.__all__:
        thing = getattr(udamon, name)
        assert inspect.getdoc(thing)
        members = vars(thing).items() if inspect.isclass(thing) else ()
        for member, value in members:
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{member}"


def test_doctor() -> None:
    found = doctor()
    assert found.primitives["sim"].usable
    assert found.auto is None or found.primitives[found.auto].usable


def test_evaluate() -> None:
    """The same run twice is the same; a policy with fewer checks makes fewer."""
    once, again = (evaluate("one", seed=3, duration=2) for _ in range(2))
    assert once.summary()["f1_mean"] == again.summary()["f1_mean"]
    less = evaluate("one", seed=3, duration=2, checks=50)
    assert less.scored[-1].checks < once.scored[-1].checks
    assert evaluate("one", "damon", sample=0.01, aggr=0.1, duration=1).attrs.max_nr_accesses == 10


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("no such workload",), {}),
        (("one", "no such policy"), {}),
        (("one",), {"duration": 0.01}),
        (("one",), {"checks": 0}),
        (("one", "damon"), {"checks": 10}),
        (("one",), {"sample": 0.0}),
        (("one",), {"duration": float("nan")}),
        (("one",), {"duration": float("inf")}),
        (("one",), {"duration": 1e8}),
        (("one",), {"duration": "2"}),
        (("one",), {"checks": 1.5}),
        (("one",), {"seed": None}),
        (("one", 3), {}),
        ((None,), {}),
        (("a\0b",), {}),
    ],
)
def test_evaluations_that_make_no_sense(arguments: tuple[str, ...], options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        evaluate(*arguments, **options)  # type: ignore[arg-type]


def test_a_workload_that_does_not_parse(tmp_path: object) -> None:
    path = f"{tmp_path}/bad.masim"
    with open(path, "w") as file:
        file.write("what is this\n")
    with pytest.raises(ConfigError):
        evaluate(path)
