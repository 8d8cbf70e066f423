"""Names that users give and that no file can have: pathlib raises for them where `os.path` says no."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from udamon.agent.config import read_settings
from udamon.agent.state import check_place
from udamon.errors import UdamonError
from udamon.linux.cgroup.groups import find_cgroup
from udamon.workload import shapes

USES: dict[str, Callable[[str], object]] = {
    "cgroup": find_cgroup,
    "configuration": lambda name: read_settings(Path(name + ".toml")),
    "state": lambda name: check_place(name + "/state"),
    "workload": shapes.find,
}


@pytest.mark.parametrize("name", ["a" * 300, "/" + "b/" * 3000 + "c"], ids=["name", "path"])
@pytest.mark.parametrize("use", USES)
def test_too_long(use: str, name: str) -> None:
    with pytest.raises(UdamonError):
        USES[use](name)
