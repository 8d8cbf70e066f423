"""Uploading to Google Cloud Storage and to Azure: what is asked of servers, and what their answers lead to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.integration.blob_servers import CONTAINER, Blobs, azure, google
from tests.unit.fleet.rows import service
from udamon.errors import CannotError
from udamon.fleet.listing import visible
from udamon.fleet.spool import Spool
from udamon.fleet.store import BucketStore, open_store
from udamon.fleet.tables import SERVICES
from udamon.fleet.uploading import upload
from udamon.report.fleet.engines import DuckEngine

pytest.importorskip("obstore", reason="the extra `fleet` is not installed")

Serve = Callable[[Path, Blobs, list[int]], AbstractContextManager[dict[str, str]]]


@pytest.mark.parametrize(("scheme", "serve"), [("gs", google), ("az", azure)])
def test_uploads(scheme: str, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through errors that pass; again, which changes nothing; what is read back is what was written."""
    monkeypatch.setattr("udamon.fleet.store._plain_http", lambda _: True)
    blobs: Blobs = {}
    fails = [2]
    with serve(tmp_path, blobs, fails) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        store = open_store(f"{scheme}://{CONTAINER}/tables")
        for _ in range(2):
            spool = Spool(tmp_path / "spool", "node-1")
            spool.add("services", [service("a"), service("b")])
            spool.close()
            done = upload(tmp_path / "spool", store)
            assert (done.objects, done.left, done.failure) == (1, 0, None)
        assert fails == [0], "these were tried again"
        (name,) = blobs
        assert name.startswith("tables/services/v1/date=2026-11-29/node-1.20261129T12.")
        first = dict(blobs)
        assert not store.create(name.removeprefix("tables/"), b"other")
        assert blobs == first
        with DuckEngine(store) as engine:
            engine.table(SERVICES, visible(store, SERVICES))
            assert [row["service"] for row in engine.rows("SELECT service FROM services ORDER BY 1")] == [
                "a",
                "b",
            ]
        with pytest.raises(FileNotFoundError):
            store.read("services/v1/none")
        for _ in range(2):
            store.delete(name.removeprefix("tables/"))
        assert not blobs
        fails[0] = 1000
        with pytest.raises(
            CannotError, match=f"^cannot create {scheme}://{CONTAINER}/tables/a: .*; check that it can"
        ):
            BucketStore(f"{scheme}://{CONTAINER}/tables", patience=0.5).create("a", b"x")
