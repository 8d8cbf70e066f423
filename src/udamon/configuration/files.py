"""udamon's own configuration files: the machine's and the user's.

The machine's is /etc/udamon/config.toml, which root alone may write. The user's is udamon/config.toml below
$XDG_CONFIG_HOME or ~/.config. What they say may be a limit that protects a process (max_pause), so a file that cannot
be taken at its word is an error and never passed over: also a user's file that another user could write, while root
runs (as by `sudo -E`, which keeps HOME).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from udamon.configuration.tree import ConfigValue, read
from udamon.errors import ConfigError

# Every command imports this: text, because pathlib takes a third of the time that a start takes.
SYSTEM = "/etc/udamon/config.toml"
CONFIG_VARIABLE = "UDAMON_CONFIG"
"""An environment variable that names another file than the user's; empty: none."""
_REMEDY = f"use sudo -H, or name another file by {CONFIG_VARIABLE}"


def of_system(path: str | os.PathLike[str] | None = None, owner: int = 0) -> ConfigValue | None:
    """What the machine's file says (SYSTEM, unless `path` is another); None without one.

    `owner` is the user that it must belong to. Raises ConfigError for one that others may write, that cannot be read
    or that is not TOML.
    """
    return _loaded(SYSTEM if path is None else os.fspath(path), os.O_NOFOLLOW, owner, "remove it")


def of_user(environment: Mapping[str, str] = os.environ, user: int | None = None) -> ConfigValue | None:
    """What the file of the user says whose effective number is `user` (by default ours); None without one.

    Raises ConfigError as `of_system`, and for a file that the environment names and that is not there; where `user` is
    not root, it is not checked who else may write the file.
    """
    user = os.geteuid() if user is None else user
    path = user_path(environment)
    found = None if path is None else _loaded(path, 0, 0 if user == 0 else None, _REMEDY)
    if found is None and path is not None and environment.get(CONFIG_VARIABLE):
        raise ConfigError(
            f"{path}: there is no such file, which {CONFIG_VARIABLE} names; make it, or unset that."
        )
    return found


def user_path(environment: Mapping[str, str] = os.environ) -> str | None:
    """Where the user's file would be; None where there is no such place."""
    if (instead := environment.get(CONFIG_VARIABLE)) is not None:
        return instead or None
    base = environment.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):  # which the specification of these directories says not to follow
        base = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "udamon", "config.toml") if os.path.isabs(base) else None


def _loaded(path: str, flags: int, owner: int | None, way_out: str) -> ConfigValue | None:
    """What the file says, which belongs to `owner` alone, if that is given. Its open descriptor is what is judged."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(
            f"{path}: it cannot be read ({error.strerror}); make it a plain file that can be read, or {way_out}."
        ) from None
    try:
        found = os.fstat(fd)
        if owner is not None and (found.st_uid != owner or found.st_mode & 0o022):
            raise ConfigError(
                f"{path}: it is no plain file that root alone can write; chown root and chmod go-w it, or {way_out}."
            )
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{path}: it is no plain file; make it one, or {way_out}.")
        with open(fd, "rb", closefd=False) as file:
            return read(file, path, toml=True)
    except OSError as error:
        raise ConfigError(f"{path}: it cannot be read ({error.strerror}); {way_out}.") from None
    finally:
        os.close(fd)
