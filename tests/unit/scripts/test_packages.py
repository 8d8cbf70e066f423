"""What uv is told of pip's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.packages import CACHE, environment

MIRROR = "https://mirror.example/simple"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("where", ["global", "install", "user", ":env:"])
def test_the_index_and_the_certificates_of_pip_are_uvs(where: str) -> None:
    settings = (
        f"{where}.index-url='{MIRROR}'\n{where}.cert='/etc/own.crt'\n{where}.find-links='/opt/wheels'\n"
    )
    assert environment(settings, {"PATH": "/bin"}) == {
        "PATH": "/bin",
        "UV_DEFAULT_INDEX": MIRROR,
        "SSL_CERT_FILE": "/etc/own.crt",
    }


def test_what_uv_was_told_itself_holds() -> None:
    before = {"UV_DEFAULT_INDEX": "https://own.example/simple", "SSL_CERT_FILE": "/etc/other.crt"}
    assert environment(f"global.index-url='{MIRROR}'\nglobal.cert='/etc/own.crt'\n", before) == before


@pytest.mark.parametrize("settings", ["", "\n", "global.timeout='60'\n", "no sign of equality\n"])
def test_other_settings_are_not_uvs(settings: str) -> None:
    assert environment(settings, {}) == {}


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """uv ends there, where pip goes on without a cache."""
    home = tmp_path / "home"
    home.write_text("no directory")
    monkeypatch.setenv("HOME", str(home))
    assert environment("", {}) == {"UV_CACHE_DIR": str(CACHE)}
    assert environment("", {"UV_CACHE_DIR": "/elsewhere"}) == {"UV_CACHE_DIR": "/elsewhere"}
    other = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert environment("", other) == other
