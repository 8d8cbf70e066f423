"""The real damo reads what udamon writes, and finds in it what udamon finds; udamon reads what damo writes.

damo runs as an ordinary user (scripts/damo.py) and only reads files.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.damo.recording import SAMPLE_NS, START_NS, TICKS, WINDOW_NS, snapshots_of
from scripts import damo
from tests.integration.recorder import report, udamon
from tests.unit.snapshots import recorded
from udamon.model import Event
from udamon.units import parse_size

pytestmark = pytest.mark.needs("damo_reads")

COUNT = 40
MAPS = (0x7F30_0000_0000, 0x7F32_0000_0000)
"""Where the made recording has its largest area; all of it is watched all the time."""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that damo's user may write to as well."""
    directory = Path(tempfile.mkdtemp(prefix="udamon-damo-"))
    directory.chmod(0o777)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def own(place: Path) -> Path:
    """A recording as DAMON makes it: 500 regions whose bounds, counts and ages move."""
    attrs = Event(START_NS, "attrs", {"sample_us": 5000, "aggr_us": 100_000, "update_us": 1_000_000})
    return recorded(place / "own.udamon", [attrs, *snapshots_of(COUNT)], via="kernel").path


@pytest.fixture(scope="module")
def written(own: Path) -> dict[str, Path]:
    """It in the formats that damo reads everywhere."""
    files = {}
    for name, words in {"json": ("damo-json", "--compress"), "script": ("perf-script",)}.items():
        files[name] = own.with_name(name)
        done = udamon("convert", own, "-o", files[name], "--to", *words)
        assert done.status == 0, done.stderr
        files[name].chmod(0o644)
    return files


def run(*words: str | Path, at: Path) -> str:
    """What damo prints. Fails when it does."""
    command = damo.command()
    assert not isinstance(command, str)
    done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, cwd=at, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("form", ["json", "script"])
def test_wss(own: Path, written: dict[str, Path], form: str) -> None:
    """Every single working set is the same; damo's percentiles are the values at those places of the sorted ones."""
    words = ("report", "wss", "-i", written[form], "--exclude_samples", "0", "--raw_number")
    ours = report("wss", own, "--definition", "damo", "--over-time")
    series = [moment["bytes"] for moment in ours["over_time"]]
    assert len(series) == COUNT
    lines = run(*words, "--all_wss", "--sortby", "time", at=own.parent).splitlines()
    assert [int(line.split()[1]) for line in lines if re.match(r"\d", line)] == series
    lines = run(*words, at=own.parent).splitlines()
    found = {int(line.split()[0]): int(line.split()[1]) for line in lines if re.match(r"\s*\d", line)}
    series.sort()
    assert found == {share: series[min(COUNT - 1, COUNT * share // 100)] for share in (0, 25, 50, 75, 100)}
    assert (found[0], found[100]) == (ours["bytes"]["min"], ours["bytes"]["max"])
    (mean,) = (int(line.split()[-1]) for line in lines if "avr" in line)
    assert mean == sum(series) // COUNT


@pytest.mark.parametrize("form", ["json", "script"])
def test_heatmap(own: Path, written: dict[str, Path], form: str) -> None:
    """Over the same times and addresses every cell is the same: accesses a second there, shares of ticks here."""
    low, high = START_NS, START_NS + COUNT * WINDOW_NS
    text = run(
        "report", "heatmap", "-i", written[form], "--output", "raw", "--resol", "4", "8",
        "--time_range", str(low), str(high), "--address_range", *map(str, MAPS), at=own.parent,
    )  # fmt: skip
    theirs = [float(line.split()[2]) for line in text.splitlines() if line.strip()]
    ours = report("heatmap", own, "--resol", "8x4", "--address", "{:x}-{:x}".format(*MAPS))
    # Without intervals (perf script) damo shows counts; with them accesses a second.
    unit = 1e9 / SAMPLE_NS if form == "json" else TICKS
    cells = [ours["cells"][row][column] * unit for column in range(4) for row in range(8)]
    assert theirs == pytest.approx(cells, rel=1e-12)


def test_access(own: Path, written: dict[str, Path]) -> None:
    """The regions of the last snapshot, with sizes, rates and ages; perf script's text has no intervals for it."""
    text = run(
        "report", "access", "-i", written["json"], "--raw_number", "--style", "detailed", at=own.parent
    )
    last = text.rstrip().split("snapshot time")[-1]
    found = re.findall(r"addr (\S+)\s+size (\S+)\s+access (\S+) (?:samples|hz|%)?\s*age (\S+)", last)
    ours = report("access", own)["regions"]
    assert len(found) == len(ours) == 500
    assert [int(addr.replace(",", "")) for addr, *_ in found] == [region["start"] for region in ours]
    sizes = [region["end"] - region["start"] for region in ours]
    assert [int(size.replace(",", "")) for _, size, *_ in found] == sizes


@pytest.mark.parametrize("style", ["temperature-sz-hist", "recency-sz-hist"])
def test_histograms(own: Path, written: dict[str, Path], style: str) -> None:
    """damo prints one for every snapshot: that of the last is the same, edges (recency's in us) and bytes."""
    unit = 1_000_000 if style.startswith("recency") else 1
    words = ("report", "access", "-i", written["json"], "--raw_number", "--style", style)
    last = re.split(r"<total size>\n", run(*words, at=own.parent))[-1]
    found = re.findall(r"\[(-?[\d,]+), (-?[\d,]+)\)\s+([\d,]+)", last)
    ours = report("access", own, "--style", style, "--definition", "damo")["histogram"]
    assert [tuple(int(cell.replace(",", "")) for cell in row) for row in found] == [
        (round(column["from"] * unit), round(column["to"] * unit), column["bytes"]) for column in ours
    ]


def test_record_info(own: Path, written: dict[str, Path]) -> None:
    """One target, and the memory that is watched."""
    text = run("report", "record_info", "-i", written["json"], at=own.parent)
    assert text.count("target_id: 0") == 1
    sizes = re.findall(r"region\s+\d+:.*\(([0-9.]+ \w+)\)", text)
    assert [parse_size(size) for size in sizes] == [128 << 20, 8 << 30, 132 << 10]


def test_the_same_text(own: Path, written: dict[str, Path]) -> None:
    """What damo makes of our file is our file, to the byte; so nothing in it was passed over."""
    run("convert_record_format", "--record_file", written["json"], "--format", "json", "--output_file", "theirs",
        at=own.parent)  # fmt: skip
    done = udamon("convert", own, "-o", own.with_name("ours"), "--to", "damo-json")
    assert done.status == 0, done.stderr
    assert own.with_name("ours").read_bytes() == own.with_name("theirs").read_bytes()


@pytest.mark.parametrize("form", ["json", "json_compressed", "perf_script"])
def test_damos_own_files(own: Path, written: dict[str, Path], form: str) -> None:
    """What damo writes is read as the recording that it came from; perf script has ends alone."""
    name = f"damos.{form}"
    run("convert_record_format", "--record_file", written["json"], "--format", form, "--output_file", name,
        at=own.parent)  # fmt: skip
    theirs = report("wss", own.with_name(name), "--definition", "damo", "--over-time")
    ours = report("wss", own, "--definition", "damo", "--over-time")
    assert theirs["over_time"] == ours["over_time"]
    assert report("access", own.with_name(name))["regions"] == report("access", own)["regions"]


def test_recorded_for_real(place: Path) -> None:
    """A recording by udamon itself, simulated: both name the same number of snapshots and the same sizes."""
    file = place / "sim.udamon"
    done = udamon("record", "--sim", "wss", "--duration", "3s", "-o", file)
    assert done.status == 0, done.stderr
    done = udamon("convert", file, "-o", place / "sim.damo", "--to", "damo-json", "--compress")
    assert done.status == 0, done.stderr
    os.chmod(place / "sim.damo", 0o644)
    lines = run("report", "wss", "-i", place / "sim.damo", "--exclude_samples", "0", "--raw_number", "--all_wss",
                "--sortby", "time", at=place).splitlines()  # fmt: skip
    moments = report("wss", file, "--definition", "damo", "--over-time")["over_time"]
    assert [int(line.split()[1]) for line in lines if re.match(r"\d", line)] == [m["bytes"] for m in moments]
