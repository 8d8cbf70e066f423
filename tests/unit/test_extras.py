"""What is missing is named with the command that installs it."""

from __future__ import annotations

import re
import tomllib

from tests.imports import SOURCE
from udamon import extras

PROJECT = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())["project"]
DEVELOPMENT = {"test", "docs", "dev", "dist", "deploy", "readers"}


def test_extras_install_what_they_are_asked_for() -> None:
    """`pip install udamon[EXTRA]` brings the library that was missing, and only that."""
    installed = {
        name: [
            re.match(r"[\w-]+", requirement)[0]  # type: ignore[index]
            for requirement in wanted
            if not requirement.startswith("udamon[")
        ]
        for name, wanted in PROJECT["optional-dependencies"].items()
        if name not in DEVELOPMENT | {"all"}
    }
    assert installed == {
        extra: [library.lower() for library in some] for extra, some in extras.LIBRARIES.items()
    }


def test_all_is_all() -> None:
    """Spark and Iceberg are as large as all others together."""
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert set(everything.removeprefix("udamon[").removesuffix("]").split(",")) == set(extras.LIBRARIES) - {
        "spark",
        "iceberg",
    }


def test_nobody_else_names_a_command() -> None:
    elsewhere = [path for path in SOURCE.rglob("*.py") if "pip install" in path.read_text()]
    assert elsewhere == [SOURCE / "extras.py"]


def test_one_sentence() -> None:
    assert str(extras.missing("a PNG picture", "png", "take --svg")) == (
        "a PNG picture needs Pillow, which is not installed; run: pip install 'udamon[png]', or take --svg"
    )
