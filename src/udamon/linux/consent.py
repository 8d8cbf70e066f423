"""Whether kernel memory may be read: only where somebody who may decide that has said so.

By the command line (`--via pte`), by the machine's administrator (allow_kernel_memory = true in
/etc/udamon/config.toml, which root alone can write), or by UDAMON_ALLOW_KERNEL_MEMORY=1 in the environment of the
monitor itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from udamon.configuration import files

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "UDAMON_ALLOW_KERNEL_MEMORY"
KEY = "allow_kernel_memory"


def standing(environment: Mapping[str, str] = os.environ, config: Path | None = None, owner: int = 0) -> bool:
    """Whether reading kernel memory is allowed without an explicit `--via pte`.

    `config` and `owner` are as in configuration.files.of_system.

    Raises ConfigError for a file that is damaged or that others may write.
    """
    return environment.get(VARIABLE) == "1" or _configured(config, owner)


def _configured(config: Path | None, owner: int) -> bool:
    root = files.of_system(config, owner)
    place = None if root is None else root.key(KEY)
    return place is not None and place.flag()
