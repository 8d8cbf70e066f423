"""`--user NAME -- COMMAND`: the command is that user's, with nothing of root's environment."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from tests.integration.recorder import nobody_runs, place_of_nobody, udamon

NOBODY = "nobody"
ROOTS = {"XDG_RUNTIME_DIR": "/run/user/0", "SSH_AUTH_SOCK": "/root/agent", "API_TOKEN": "secret", "HOME": "/root",
         "PYTHONPATH": "", "MAIL": "/var/mail/root", "OLDPWD": "/root"}  # fmt: skip


@pytest.mark.needs("second_user")
def test_a_command_of_another_user_has_its_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ROOTS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("TERM", "vt100")
    script = "id -un; env -0; sleep 1"
    done = udamon("record", "--user", NOBODY, "-o", tmp_path / "a", "-q", "--", "sh", "-c", script)
    assert done.status == 0, done.stderr
    who, _, rest = done.stdout.partition("\n")
    found = dict(each.split("=", 1) for each in rest.split("\0") if each)
    entry = pwd.getpwnam(NOBODY)
    assert who == NOBODY
    assert {name: found.get(name) for name in ("HOME", "SHELL", "USER", "LOGNAME")} == {
        "HOME": entry.pw_dir, "SHELL": entry.pw_shell, "USER": NOBODY, "LOGNAME": NOBODY,
    }  # fmt: skip
    assert found["TERM"] == "vt100"
    assert found["LC_TIME"] == "C"
    assert "/sbin" not in found["PATH"].split(":")
    assert not (ROOTS.keys() - {"HOME"}) & found.keys()
    # Of the rest, a shell sets some by itself.
    known = {
        "HOME",
        "SHELL",
        "USER",
        "LOGNAME",
        "PATH",
        "TERM",
        "COLORTERM",
        "LANG",
        "TZ",
        "PWD",
        "SHLVL",
        "_",
    }
    assert all(name in known or name.startswith("LC_") for name in found)


@pytest.mark.needs("second_user")
@pytest.mark.parametrize("content", [b"\xff\xff\xff\xff", b"[]", b""])
def test_a_file_of_another_user_is_not_called_something_else(content: bytes) -> None:
    """What is in it is not known to who may not read it; whose it is, is."""
    with place_of_nobody() as place:
        file = place / "a.udamon"
        file.write_bytes(content)
        file.chmod(0o600)
        commands: tuple[tuple[list[str | Path], str], ...] = (
            (["check", file, "--max-wss", "1GiB"], "nothing was checked: "),
            (["convert", file, "--to", "arrow", "-o", place / "b"], ""),
        )
        for words, first in commands:
            done = nobody_runs(place, *words)
            assert done.status == 1
            assert done.stderr == (
                f"udamon: {first}cannot read {file}: Permission denied; recordings are private: read it as root.\n"
            )
