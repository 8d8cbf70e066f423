"""The systemd units that the packages bring."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.stages import ROOT
from udamon.agent.config import parse_settings, read_settings

PACKAGED = ROOT / "packaging" / "root"
UNITS = sorted((PACKAGED / "usr/lib/systemd/system").glob("*.service"))
MOST_EXPOSED = 2.5
"""Of 10: what systemd calls the exposure of a unit."""

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.name))
def test_exposure(unit: Path) -> None:
    command = [
        "systemd-analyze",
        "security",
        "--offline=yes",
        "--no-pager",
        f"--threshold={MOST_EXPOSED * 10:.0f}",
    ]
    done = subprocess.run([*command, unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.name))
def test_systemd_knows_every_setting(unit: Path, tmp_path: Path) -> None:
    """With a program that is there, for udamon is not installed here."""
    text = re.sub(r"/usr/bin/udamon\b", "/bin/true", unit.read_text())
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"(?m)^Documentation=.*\n", "", text))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.name))
def test_its_configuration_is_packaged(unit: Path) -> None:
    settings = configparser.ConfigParser(strict=False, interpolation=None)
    settings.optionxform = str  # type: ignore[method-assign, assignment]
    settings.read(unit)
    config = settings["Unit"]["ConditionPathExists"]
    assert f"--config {config}" in settings["Service"]["ExecStart"]
    assert (PACKAGED / config.lstrip("/")).exists()


def test_the_packaged_configuration_is_right() -> None:
    path = PACKAGED / "etc/udamon/agent.toml"
    assert read_settings(path).state == "/var/lib/udamon/agent.json", "below StateDirectory="
    every = re.sub(r"(?m)^#(?=[\[\w])", "", path.read_text())
    assert parse_settings(every, "every.toml").classes[0].via == "off"
