"""Uploading to and compacting on an S3 server, with failures and kills on the way: every row exactly once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from time import sleep
from typing import Any

import pytest

from tests.integration import spark_cluster
from tests.integration.s3_server import (
    BUCKET,
    FAILURES,
    STALL_S,
    environment,
    failing,
    refusing,
    server,
    with_server,
)
from tests.unit.fleet import damages
from tests.unit.fleet.rows import NOON, service
from udamon.errors import CannotError
from udamon.fleet.listing import visible
from udamon.fleet.objects import ObjectName, parquet
from udamon.fleet.spool import Spool
from udamon.fleet.store import BucketStore, Store, open_store
from udamon.fleet.tables import SERVICES
from udamon.fleet.uploading import upload
from udamon.report.fleet.engines import DuckEngine, open_engine
from udamon.report.fleet.reports import Asked, measure

pytest.importorskip("obstore", reason="the extra `fleet` is not installed")
pytest.importorskip("moto.server", reason="moto is not installed; pip install 'moto[s3,server]'")

LOCATION = f"s3://{BUCKET}/tables"
HOURS = 3


def long() -> bool:
    return "UDAMON_TEST_LONG" in os.environ


def spools(place: Path, agents: int) -> list[tuple[Any, ...]]:
    """Spools of so many nodes, each with two services for three hours; the rows that readers must find."""
    rows = []
    for agent in range(agents):
        host = f"node-{agent}"
        spool = Spool(place / host, host)
        for hour in range(HOURS):
            found = [
                service(name, host, hour * 12 - 2 * 288, resident=agent + hour + 1) for name in ("a", "b")
            ]
            spool.add("services", found)
            rows += [
                (row["host"], row["service"], row["window_begin"] // 10**6, row["resident_bytes"])
                for row in found
            ]
        spool.close()
    return sorted(rows)


@contextmanager
def uploaded(agents: int, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Store]]:
    """A server, whose variables this process has, and the location on it with what is in the agents' spools."""
    with server() as url:
        for name, value in environment(url).items():
            monkeypatch.setenv(name, value)
        store = open_store(LOCATION)
        for agent in range(agents):
            assert upload(place / f"node-{agent}", store).left == 0
        yield url, store


def rows_of(store: Store) -> list[tuple[Any, ...]]:
    with DuckEngine(store) as engine:
        engine.table(SERVICES, visible(store, SERVICES))
        found = engine.rows("SELECT host, service, epoch, resident_bytes FROM services ORDER BY ALL")
    return [tuple(row.values()) for row in found]


def udamon(*words: str | Path, url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "udamon", "fleet", *map(str, words)]
    return subprocess.Popen(
        command, env=with_server(url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_many_agents_upload_through_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, while a third of all requests fails, before or after the server has done what it was asked for."""
    agents = 50 if long() else 6
    expected = spools(tmp_path, agents)
    with server() as url, failing(url, 0.35, seed=3) as (proxy, failed):
        for name, value in environment(proxy).items():
            monkeypatch.setenv(name, value)

        def run(agent: int) -> None:
            store = BucketStore(LOCATION, patience=0.5, timeout=STALL_S / 3)
            done.append(upload(tmp_path / f"node-{agent}", store, 600, random=Random(agent)))

        done: list[Any] = []
        threads = [threading.Thread(target=run, args=(agent,)) for agent in range(agents)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [each.left for each in done] == [0] * agents
        assert sum(each.objects for each in done) == agents * HOURS
        assert any(failed[kind] for kind in FAILURES)
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        store = open_store(LOCATION)
        assert rows_of(store) == expected
        assert len(visible(store, SERVICES).once) == agents * HOURS


def test_killed_uploads_lose_and_repeat_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL at random moments, then once to the end."""
    expected = spools(tmp_path, 1)
    random = Random(5)
    with server() as url:
        for name, value in environment(url).items():
            monkeypatch.setenv(name, value)
        for _ in range(20 if long() else 3):
            process = udamon("upload", LOCATION, "--spool", tmp_path / "node-0", url=url)
            sleep(random.uniform(0.0, 0.4))
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert udamon("upload", LOCATION, "--spool", tmp_path / "node-0", url=url).wait() == 0
        assert rows_of(open_store(LOCATION)) == expected


def test_killed_compactions_lose_and_repeat_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL at random moments of a compaction; readers see the same after each."""
    expected = spools(tmp_path, 8)
    random = Random(7)
    with uploaded(8, tmp_path, monkeypatch) as (url, store):
        words = ("compact", LOCATION, "--grace", "0s", "--closed", "0s")
        for _ in range(20 if long() else 3):
            process = udamon(*words, url=url)
            try:
                process.wait(random.uniform(0.3, 1.6))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
            assert rows_of(store) == expected
        assert udamon(*words, url=url).wait() == 0
        assert rows_of(store) == expected
        assert len(visible(store, SERVICES).all) == 1
        assert [stored.path for stored in store.list("services") if "/compact." not in stored.path] == [
            "services/v1/_manifest/2026-11-27.000001.json"
        ]


def test_damaged_objects_of_a_bucket_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many at a time, by the ends of objects alone; compaction leaves them where they are."""
    expected = spools(tmp_path, 3)
    with uploaded(3, tmp_path, monkeypatch) as (url, store):
        reasons = {}
        for number, (make, reason) in enumerate(damages.DAMAGES.values()):
            path = damages.name(number).replace("2026-11-29", "2026-11-27").replace("20261129", "20261127")
            assert store.create(path, make())
            reasons[path] = reason
        with DuckEngine(store) as engine:
            found = measure(Asked("coverage"), store, engine)
        assert {each.object for each in found.damaged} == set(reasons)
        assert all(reasons[each.object] in each.why for each in found.damaged)
        assert sum(row["rows"] for row in found.rows) == len(expected)
        assert udamon("compact", LOCATION, "--grace", "0s", "--closed", "0s", url=url).wait() == 0
        left = {stored.path for stored in store.list("services") if "/bad." in stored.path}
        assert left == set(reasons)
        with DuckEngine(store) as engine:
            again = measure(Asked("coverage"), store, engine)
        assert again.rows == found.rows


@pytest.mark.slow
@pytest.mark.needs("spark")
@pytest.mark.timeout(1800)
def test_spark_reads_a_bucket_without_a_jar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the Python data source; objects of two versions, of which some rows come twice."""
    expected = spools(tmp_path, 3)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    with uploaded(3, tmp_path, monkeypatch) as (_, store):
        old = SERVICES.batch([service("a", "node-0", -2 * 288, resident=1)])
        data = parquet(SERVICES, old.select(SERVICES.schema_of(1).names), version=1)
        store.create(ObjectName.of(SERVICES, "node-0", NOON - 2 * 86_400_000_000, data).path, data)
        with open_engine("spark", store, master="local[1]") as engine:
            engine.table(SERVICES, visible(store, SERVICES))
            rows = engine.rows("SELECT host, service, epoch, resident_bytes FROM services ORDER BY 1, 2, 3")
        found = [tuple(row.values()) for row in rows]
        assert [row[:3] for row in found] == [row[:3] for row in expected]
        assert found == rows_of(store)


@pytest.mark.slow
@pytest.mark.needs("spark")
@pytest.mark.timeout(1800)
def test_workers_of_a_cluster_read_a_bucket_as_the_driver_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have no variables of their own. The driver's secret is in no log, in no list of settings and in no plan."""
    secret = "not-to-be-shown"
    spools(tmp_path, 3)
    for name in ("cluster", "events", "settings"):
        (tmp_path / name).mkdir()
    (tmp_path / "settings" / "spark-defaults.conf").write_text(
        "spark.eventLog.enabled true\nspark.eventLog.compress false\n"
        f"spark.eventLog.dir file://{tmp_path}/events\nspark.executor.memory 1g\n"
    )
    with server() as url:
        for name, value in (environment(url) | {"AWS_SECRET_ACCESS_KEY": secret}).items():
            monkeypatch.setenv(name, value)
        for agent in range(3):
            assert upload(tmp_path / f"node-{agent}", open_store(LOCATION)).left == 0
        words = [sys.executable, "-m", "udamon", "fleet", "report", "cold", LOCATION, "--json"]
        with spark_cluster.cluster(tmp_path / "cluster") as master:
            done = subprocess.run(
                [*words, "--engine", "spark", "--master", master],
                env=spark_cluster.environment() | {"SPARK_CONF_DIR": str(tmp_path / "settings")},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        assert done.returncode == 0, done.stderr
        expected = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    assert json.loads(done.stdout)["rows"] == expected["rows"]
    shown = {
        str(file.relative_to(tmp_path)): file.read_text(errors="replace")
        for place in ("cluster", "events")
        for file in (tmp_path / place).rglob("*")
        if file.is_file() and file.suffix not in (".jar",)
    }
    assert any(name.endswith("/stderr") for name in shown)  # of executors
    assert any(LOCATION in text for name, text in shown.items() if name.startswith("events"))
    shown["standard error"] = done.stderr
    assert not [name for name, text in shown.items() if secret in text]


@pytest.mark.slow
@pytest.mark.needs("spark")
@pytest.mark.timeout(900)
def test_what_a_worker_cannot_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own sentence, and not as a trace."""
    spools(tmp_path, 1)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    with uploaded(1, tmp_path, monkeypatch) as (_, store):
        objects = visible(store, SERVICES)
        with open_engine("spark", store, master="local[1]") as engine, refusing() as elsewhere:
            monkeypatch.setenv("AWS_ENDPOINT_URL", elsewhere)
            engine.table(SERVICES, objects)
            said = "cannot be read: permission denied; see who may read it, or bring it back from a copy\\.$"
            with pytest.raises(CannotError, match=f"^Spark cannot answer: {LOCATION}/services/[^\n]* {said}"):
                engine.rows("SELECT host FROM services")
