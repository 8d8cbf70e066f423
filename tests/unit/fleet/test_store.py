"""Locations: what URLs open, and what is said of those that open nothing. Nothing here is sent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom

import pytest

from udamon.errors import CannotError, UdamonError, UsageError
from udamon.fleet import settings
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
        (
            "s3://bucket/f[1]",
            "has '\\[' in its name, which URLs or patterns take for something else; give a prefix",
        ),
        ("s3://bucket/a*/b", "has '\\*' in its name"),
        ("s3a://bucket/a?versionId=1", "has '\\?' in its name"),
        ("gs://bucket/a#b", "has '#' in its name"),
        ("az://box/a%20b", "has '%20' in its name"),
        ("s3://bucket/a/../b", "has '..' in its name"),
        ("s3://bucket/.", "has '.' in its name"),
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


SERVERS = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL_S3",
    "GOOGLE_BASE_URL",
    "AZURE_STORAGE_ENDPOINT",
)
NO_SERVER = (
    "", "nonsense", "://", "http://", "http://[", "http://[::1", "ftp://x", "http://a b", "http://x:99999", "http://%",
    "127.0.0.1:9", "http://a^b", "http://:9", "http://a:b:c", "https://x/<>", "http://\xfc.test", "http://x\n",
    "\udcff",
)  # fmt: skip
TEXTS = {
    "s3": (
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ),
    "gs": ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS"),
    "az": (
        "AZURE_STORAGE_ACCOUNT_NAME",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_TOKEN",
        "AZURE_CLIENT_SECRET",
    ),
}


def test_a_directory_that_cannot_be_looked_into_is_a_sentence(tmp_path: Path) -> None:
    """Its name is too long here; a directory that this user may not search is another case of it."""
    store = Directory(tmp_path / ("x" * 300))
    with pytest.raises(
        CannotError, match="cannot make the directory of .*File name too long; give a location"
    ):
        store.create("services/v1/a.parquet", b"a")


def sentence_of(location: str) -> str:
    """What opening a location, or the first request to it, says; empty where it gets as far as the network."""
    try:
        store = BucketStore(location, patience=0, timeout=1)
        list(store.list("services/v1"))
    except UdamonError as error:
        said = str(error)
        return "" if "Error performing list request" in said else said
    pytest.fail("nothing answers there")


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("value", NO_SERVER)
def test_servers_that_are_no_urls(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="the extra `fleet` is not installed")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv(name, value)
    kind = {"AWS": "s3", "GOO": "gs", "AZU": "az"}[name[:3]]
    with pytest.raises(
        UsageError, match=f"the variable {name} is .*, which is no URL of a server; give one like"
    ):
        open_store(f"{kind}://bucket/a")


@pytest.mark.parametrize(
    "value", ["http://127.0.0.1:9", "https://[::1]:9/a", "https://s3.eu-1.x.test/a_b~c", "http://a"]
)
def test_servers(value: str) -> None:
    assert settings.is_server(value)


@pytest.mark.parametrize("name", [(kind, name) for kind, names in TEXTS.items() for name in names])
@pytest.mark.parametrize(
    "value", ["secret\n", "secret\r\nX-A: b", "\x07secret", "secret\x7f", "secret\udcff"]
)
def test_control_characters_in_variables(
    name: tuple[str, str], value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be parts of headers; what they are is not quoted, as some are secrets."""
    pytest.importorskip("obstore", reason="the extra `fleet` is not installed")
    monkeypatch.setenv(name[1], value)
    with pytest.raises(
        UsageError, match=f"the variable {name[1]} (has the control character|is not UTF-8)"
    ) as caught:
        open_store(f"{name[0]}://bucket/a")
    assert "secret" not in str(caught.value)


def test_variables_that_are_not_of_this_store(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="the extra `fleet` is not installed")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    monkeypatch.setenv("GOOGLE_NOTE", "two\nlines")
    assert isinstance(open_store("gs://bucket/a"), BucketStore)


class PanicException(BaseException):
    """As pyo3 calls it."""


@pytest.mark.parametrize("what", ["list", "read", "part", "create", "upload", "delete"])
def test_a_panic_is_a_sentence(what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever makes obstore panic; the sentence names the variables that are set."""
    obstore = pytest.importorskip("obstore", reason="the extra `fleet` is not installed")
    monkeypatch.setenv("AWS_REGION", "eu")
    store = open_store("s3://bucket/a")

    def panics(*_: object, **__: object) -> None:
        raise PanicException("called `Result::unwrap()` on an `Err` value\n  0: rust")

    for name in ("list", "get", "get_range", "put", "delete"):
        monkeypatch.setattr(obstore, name, panics)
    ask: dict[str, Callable[[], object]] = {
        "list": lambda: list(store.list("a")), "read": lambda: store.read("a"), "part": lambda: store.part("a", 0, 1),
        "create": lambda: store.create("a", b""), "upload": lambda: store.upload("a", tmp_path),
        "delete": lambda: store.delete("a"),
    }  # fmt: skip
    with pytest.raises(
        CannotError, match=r"obstore breaks off \(called .*\), as by .*\(AWS_REGION\); check that"
    ):
        ask[what]()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_other_exceptions_stay_what_they_are(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    obstore = pytest.importorskip("obstore", reason="the extra `fleet` is not installed")

    def raises(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(obstore, "list", raises)
    with pytest.raises(error):
        list(open_store("s3://bucket/a").list("a"))


def test_requests_with_any_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is let through gets as far as the network, or is a sentence: no panic of obstore's own."""
    pytest.importorskip("obstore", reason="the extra `fleet` is not installed")
    seed = SystemRandom().randrange(1 << 32)
    print("seed", seed)
    random = Random(seed)
    good = {
        "s3": {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        "gs": {"GOOGLE_BASE_URL": "http://127.0.0.1:9", "GOOGLE_SKIP_SIGNATURE": "true"},
        "az": {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "YQ==",
               "AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:9"},
    }  # fmt: skip
    parts = (
        " ",
        "\t",
        "\n",
        "\x07",
        "127.0.0.1",
        ":9",
        "\xe4",
        "\u2028",
        "\udcff",
        "%",
        "[",
        ":",
        "/",
        "http://",
        "@",
    )
    for _ in range(60):
        kind = random.choice(("s3", "gs", "az"))
        name = random.choice((*TEXTS[kind], *good[kind]))
        with monkeypatch.context() as patch:
            for key, value in good[kind].items():
                patch.setenv(key, value)
            patch.setenv(name, "".join(random.choices(parts, k=random.randrange(6))))
            said = sentence_of(f"{kind}://bucket/a")
            assert "breaks off" not in said, said
