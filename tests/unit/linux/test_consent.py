"""Kernel memory is read where somebody who may decide that has said so, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from udamon.errors import ConfigError, NotPermitted
from udamon.linux.consent import standing
from udamon.linux.roots import Roots
from udamon.ops.kernel_tables import open_tables

ME = os.getuid()


def written(path: Path, text: str, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_nobody_has_said_anything(tmp_path: Path) -> None:
    assert not standing({}, tmp_path / "config.toml")
    assert not standing({"UDAMON_ALLOW_KERNEL_MEMORY": "yes"}, tmp_path / "config.toml")
    assert standing({"UDAMON_ALLOW_KERNEL_MEMORY": "1"}, tmp_path / "config.toml")


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("allow_kernel_memory = true\n", True),
        ("allow_kernel_memory = false\n", False),
        ("other = 1\n", False),
        ("[record]\nallow_kernel_memory = true\n", False),
    ],
)
def test_the_file(tmp_path: Path, text: str, allowed: bool) -> None:
    assert standing({}, written(tmp_path / "c", text), ME) is allowed


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """Of another user, writable by a group or by all, a link, no plain file: an error, never a yes."""
    text = "allow_kernel_memory = true\n"
    for mode in (0o664, 0o646):
        with pytest.raises(ConfigError, match="root alone"):
            standing({}, written(tmp_path / "c", text, mode), ME)
    good = written(tmp_path / "c", text)
    with pytest.raises(ConfigError, match="root alone"):
        standing({}, good, ME + 1)
    (tmp_path / "link").symlink_to(good)
    with pytest.raises(ConfigError, match="plain file"):
        standing({}, tmp_path / "link", ME)
    os.mkfifo(tmp_path / "fifo", 0o644)
    with pytest.raises(ConfigError, match="plain file"):
        standing({}, tmp_path / "fifo", ME)


@pytest.mark.parametrize(
    "text", ["allow_kernel_memory = 1\n", "allow_kernel_memory = 'yes'\n", "= =\n", "\xff"]
)
def test_what_is_neither_yes_nor_no_is_an_error(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "c", "")
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError):
        standing({}, path, ME)


def test_nothing_is_opened_without_it(tmp_path: Path) -> None:
    """Not even a file that is none of the kernel's."""
    (tmp_path / "kcore").write_bytes(b"")
    with pytest.raises(NotPermitted, match=r"--via pte, or set allow_kernel_memory = true in /etc/.*toml\.$"):
        open_tables(allowed=False, roots=Roots(tmp_path, tmp_path))
