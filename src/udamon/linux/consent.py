"""Whether kernel memory may be read: only where somebody who may decide that has said so.

By the command line (`--via pte`), by the machine's administrator (allow_kernel_memory = true in
/etc/udamon/config.toml, which root alone can write), or by UDAMON_ALLOW_KERNEL_MEMORY=1 in the environment of the
monitor itself.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from udamon.errors import ConfigError

CONFIG = Path("/etc/udamon/config.toml")
VARIABLE = "UDAMON_ALLOW_KERNEL_MEMORY"
_KEY = "allow_kernel_memory"
_LARGEST = 1 << 20


def standing(environment: Mapping[str, str] = os.environ, config: Path = CONFIG, owner: int = 0) -> bool:
    """Whether it is allowed without being asked for. `owner` is the user that the file must belong to.

    Raises ConfigError for a file that cannot be taken at its word.
    """
    return environment.get(VARIABLE) == "1" or _configured(config, owner)


def _configured(config: Path, owner: int) -> bool:
    try:
        fd = os.open(config, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(
            f"{config}: it cannot be read ({error.strerror}); make it a plain file of root's."
        ) from None
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != owner or found.st_mode & 0o022:
            raise ConfigError(
                f"{config}: it is no plain file that root alone can write; chown root and chmod go-w it, or remove it."
            )
        try:
            document = tomllib.loads(file.read(_LARGEST).decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{config}: {error}; correct it, or remove it.") from None
    allowed = document.get(_KEY, False)
    if not isinstance(allowed, bool):
        raise ConfigError(f"{config}: {_KEY} is true or false; correct it.")
    return allowed
