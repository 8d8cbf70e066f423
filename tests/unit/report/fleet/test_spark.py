"""What Spark is given and what it says; what it answers is in tests/integration."""

from __future__ import annotations

import io
import os
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from udamon.errors import CannotError, UsageError
from udamon.report.fleet.engines import _tell_of_spark, no_pattern_of_spark
from udamon.report.fleet.spark_submit import GATEWAY, separate_standard_error

TRACE = """An exception was thrown from the Python worker:
Traceback (most recent call last):
  File "/opt/udamon/report/fleet/spark_source.py", line 56, in read
    found = pq.read_table(io.BytesIO(store.read(path)))
                                     ^^^^^^^^^^^^^^^^
  File "/opt/udamon/fleet/store.py", line 207, in read
    raise self._trouble("read", path, error) from error
{said}

JVM stacktrace:
org.apache.spark.api.python.PythonException: Traceback"""


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "udamon.errors.CannotError: cannot read s3://a/b: refused; try again.",
            "Spark cannot answer: cannot read s3://a/b: refused; try again.",
        ),
        (
            "udamon.fleet.store.ObjectUnreadable: s3://a/b cannot be read: permission denied; see who may read it.",
            "Spark cannot answer: s3://a/b cannot be read: permission denied; see who may read it.",
        ),
        (
            "pyarrow.lib.ArrowInvalid: no magic bytes",
            (
                "Spark cannot answer: pyarrow.lib.ArrowInvalid: no magic bytes; check the objects, or give it more "
                "memory or fewer days."
            ),
        ),
    ],
)
def test_what_a_worker_says_is_one_sentence(said: str, sentence: str) -> None:
    with pytest.raises(CannotError) as found:
        _tell_of_spark(RuntimeError(TRACE.format(said=said)))
    assert str(found.value) == sentence


def taken_literally(pattern: str) -> str | None:
    """What Hadoop's globs (GlobPattern, GlobExpander) read where each character with a meaning has a backslash before
    it; None where one has not."""
    found = re.fullmatch(r"(?:\\.|[^][{}*?\\])*", pattern, re.DOTALL)
    return None if found is None else re.sub(r"\\(.)", r"\1", pattern, flags=re.DOTALL)


@pytest.mark.parametrize(
    "path",
    [
        "/f*",
        "/f?/a",
        "/[fg]/a",
        "/f[",
        "/f]",
        "/{f,g}",
        "/f\\x",
        "/f\\",
        "/\\*",
        "/f[^x]",
        "/f[!a-b]",
        "/f x\n'#%41",
    ],
)
def test_a_path_is_no_pattern_of_spark(path: str) -> None:
    assert taken_literally(no_pattern_of_spark(path)) == path
    if not set("[]{}*?\\") & set(path):
        assert no_pattern_of_spark(path) == path


def test_a_path_that_spark_cannot_be_given() -> None:
    assert no_pattern_of_spark("/a:b/c") == "/a:b/c"
    with pytest.raises(
        UsageError, match=r"Spark cannot open /a:b\[1\], which has a colon and one of .*; give a link"
    ):
        no_pattern_of_spark("/a:b[1]")


@pytest.fixture
def java(monkeypatch: pytest.MonkeyPatch) -> bytearray:
    """What the Java process of spark-submit has on its standard error."""
    written = bytearray()

    def write(data: bytes, begin: int, length: int) -> None:
        written.extend(data[begin : begin + length])

    error = SimpleNamespace(write=write, flush=lambda: None)
    jvm = SimpleNamespace(java=SimpleNamespace(lang=SimpleNamespace(System=SimpleNamespace(err=error))))
    gateway: Any = ModuleType("pyspark.java_gateway")
    gateway.launch_gateway = lambda: SimpleNamespace(jvm=jvm)
    monkeypatch.setitem(sys.modules, "pyspark", ModuleType("pyspark"))
    monkeypatch.setitem(sys.modules, "pyspark.java_gateway", gateway)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    return written


def test_standard_error_goes_through_java(java: bytearray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GATEWAY, "4711")
    separate_standard_error()
    print("größer", file=sys.stderr)
    assert java.decode() == "größer\n"


def test_standard_error_of_others_stays(java: bytearray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GATEWAY, raising=False)
    before = sys.stderr
    separate_standard_error()
    assert sys.stderr is before


@pytest.mark.needs("spark")
def test_workers_have_the_identity_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the location's kind of store, whole; and their own again afterwards."""
    from udamon.report.fleet.spark_source import variables, with_variables

    given = variables("s3a://b/p", {"AWS_ACCESS_KEY_ID": "driver", "GOOGLE_BUCKET": "x", "PATH": "/"})
    assert given == {"AWS_ACCESS_KEY_ID": "driver"}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "worker")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "worker")
    monkeypatch.setenv("AZURE_CLIENT_ID", "worker")
    own = dict(os.environ)
    with with_variables("s3a://b/p", given):
        found = {
            name: os.environ.get(name)
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AZURE_CLIENT_ID")
        }
    assert found == {"AWS_ACCESS_KEY_ID": "driver", "AWS_SESSION_TOKEN": None, "AZURE_CLIENT_ID": "worker"}
    assert dict(os.environ) == own
    with with_variables("s3a://b/p", {}):
        assert dict(os.environ) == own
