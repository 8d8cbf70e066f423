"""Locations: what URLs open, and what is said of those that open nothing. Nothing here is sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from udamon.errors import CannotError, UdamonError, UsageError
from udamon.fleet.store import BucketStore, Directory, open_store


@pytest.fixture(autouse=True)
def without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nowhere")


@pytest.mark.parametrize(
    ("location", "kind", "container", "prefix"),
    [
        ("s3://bucket/a/b", "S3Store", "bucket", "a/b"),
        ("s3a://bucket/a", "S3Store", "bucket", "a"),
        ("gs://bucket/a/b/", "GCSStore", "bucket", "a/b"),
        ("gs://bucket", "GCSStore", "bucket", None),
        ("abfs://box@account.dfs.core.windows.net/a", "AzureStore", "box", "a"),
        ("abfss://box@account.dfs.core.windows.net/a/b", "AzureStore", "box", "a/b"),
    ],
)
def test_urls_of_object_stores(location: str, kind: str, container: str, prefix: str | None) -> None:
    pytest.importorskip("obstore", reason="the extra `fleet` is not installed")
    store = open_store(location)
    assert isinstance(store, BucketStore)
    assert type(store.store).__name__ == kind
    config = store.store.config
    assert config.get("bucket") == container or config.get("container_name") == container
    assert getattr(store.store, "prefix", None) == prefix
    assert store.location == location.rstrip("/")


def test_a_container_of_azure_needs_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="the extra `fleet` is not installed")
    with pytest.raises(CannotError, match="Account must be specified; .*AZURE_STORAGE_ACCOUNT_NAME"):
        open_store("az://box/a")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    store = open_store("az://box/a")
    assert isinstance(store, BucketStore)
    assert type(store.store).__name__ == "AzureStore"


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("gs://", "credentials such as GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://", "credentials such as AZURE_STORAGE_ACCOUNT_NAME"),
        ("s3://bucket//a", "credentials such as AWS_ACCESS_KEY_ID"),
        ("gcs://bucket/a", "give a directory, or a URL with s3://, gs:// or az://"),
        ("https://account.blob.core.windows.net/box", "give a directory, or a URL"),
        ("s3:/bucket/a", "write s3://, or ./s3: for a directory"),
        ("file:/tmp/a", "write file://, or ./file:"),
    ],
)
def test_locations_that_open_nothing(location: str, said: str) -> None:
    """One sentence on one line, without what obstore adds for its own authors."""
    if not location.startswith(("gcs", "https", "s3:/b", "file")):
        pytest.importorskip("obstore", reason="the extra `fleet` is not installed")
    with pytest.raises(UdamonError, match=said) as caught:
        open_store(location)
    text = str(caught.value)
    assert len(text) < 300
    assert "Debug" not in text
    assert text.count(". ") == 0
    assert isinstance(caught.value, UsageError) == ("obstore" not in text and "cannot open" not in text)


@pytest.mark.parametrize("location", ["a", "./s3:/a", "file:///tmp/a", "/tmp/a:b"])
def test_directories(location: str) -> None:
    store = open_store(location)
    assert isinstance(store, Directory)
    assert store.root == Path(location.removeprefix("file://")).absolute()
