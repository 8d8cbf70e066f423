"""Where udamon's own configuration files are, and which of them are taken at their word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from udamon.configuration.files import of_system, of_user, user_path
from udamon.errors import ConfigError

ME = os.getuid()


def test_where_the_user_has_it(tmp_path: Path) -> None:
    """XDG_CONFIG_HOME where it is absolute, else ~/.config; UDAMON_CONFIG in place of both."""
    home = {"HOME": str(tmp_path)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path))
        assert user_path(home) == str(tmp_path / ".config/udamon/config.toml")
        assert user_path(home | {"XDG_CONFIG_HOME": "relative"}) == str(
            tmp_path / ".config/udamon/config.toml"
        )
        assert user_path(home | {"XDG_CONFIG_HOME": "/x"}) == "/x/udamon/config.toml"
        assert user_path(home | {"XDG_CONFIG_HOME": "/x", "UDAMON_CONFIG": "/y.toml"}) == "/y.toml"
        assert user_path(home | {"UDAMON_CONFIG": ""}) is None


def written(path: Path, text: str = "quiet = true\n", mode: int = 0o600) -> dict[str, str]:
    path.write_text(text)
    path.chmod(mode)
    return {"UDAMON_CONFIG": str(path)}


def test_a_byte_order_mark_is_no_part_of_it(tmp_path: Path) -> None:
    environment = written(tmp_path / "c")
    (tmp_path / "c").write_bytes(b"\xef\xbb\xbfquiet = true\n")
    found = of_user(environment)
    assert found is not None
    assert found.value == {"quiet": "true"}


def test_what_is_not_there_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert of_system(tmp_path / "none") is None
    for name in ("none", "file/none"):
        with pytest.raises(ConfigError, match=f"{name}: there is no such file, which UDAMON_CONFIG names"):
            of_user({"UDAMON_CONFIG": str(tmp_path / name)})
        assert of_user({"XDG_CONFIG_HOME": str(tmp_path / name)}) is None
    assert of_user({"UDAMON_CONFIG": ""}) is None


def test_root_takes_no_file_that_somebody_else_can_write(tmp_path: Path) -> None:
    """Of another user, or writable by the group or by all; through a link, too. Others may do as they like."""
    for mode in (0o620, 0o602):
        environment = written(tmp_path / "c", mode=mode)
        with pytest.raises(ConfigError, match=r"root alone.*sudo -H"):
            of_user(environment, user=0)
        assert of_user(environment, user=1000) is not None
    environment = written(tmp_path / "c")
    (tmp_path / "link").symlink_to(tmp_path / "c")
    if ME == 0:
        assert of_user({"UDAMON_CONFIG": str(tmp_path / "link")}, user=0) is not None
        os.chown(tmp_path / "c", 1000, 1000)
    for name in ("c", "link"):
        with pytest.raises(ConfigError, match="root alone"):
            of_user({"UDAMON_CONFIG": str(tmp_path / name)}, user=0)


def test_a_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("fifo", "."):
        with pytest.raises(ConfigError, match="plain file"):
            of_user({"UDAMON_CONFIG": str(tmp_path / name)}, user=1000)


@pytest.mark.parametrize(("text", "line"), [("quiet = true\n= =\n", 2), ("a = 1\n\na = 2\n", 3)])
def test_an_error_has_its_line(tmp_path: Path, text: str, line: int) -> None:
    environment = written(tmp_path / "c", text)
    with pytest.raises(ConfigError, match=f"c:{line}: this is not TOML"):
        of_user(environment, user=1000)
