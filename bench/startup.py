"""How light udamon is: start, resident memory, installed size."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.figures import Figure, Sample
from bench.machine import cost_of
from scripts import wheel
from scripts.stages import WORK, Failed, environment
from udamon.units import MIB

RUNS = 11


def measure() -> list[Figure]:
    return [_start(), _installed()]


def _start() -> Figure:
    python = [sys.executable, "-c", "pass"]
    with tempfile.TemporaryDirectory() as place:
        file = str(Path(place, "a.udamon"))
        udamon = [sys.executable, "-m", "udamon"]
        record = [*udamon, "record", "--via", "refs", "--force", "-q", "-o", file]
        commands = {
            "python -c pass": python,
            "udamon --help": [*udamon, "--help"],
            "udamon record --help": [*udamon, "record", "--help"],
            "udamon record, 1 s of a process at rest": [*record, "--duration", "1s", "--", "sleep", "10"],
            "udamon report wss": [*udamon, "report", "wss", file],
        }
        cpu: dict[str, Sample] = {name: Sample() for name in commands}
        rss: dict[str, Sample] = {name: Sample() for name in commands}
        # In turns, so that what else the machine does meets all of them alike.
        for _ in range(RUNS):
            for name, command in commands.items():
                cost = cost_of(command)
                assert cost.status == 0, (name, cost.status)
                cpu[name].values.append(cost.cpu_seconds * 1000)
                rss[name].values.append(cost.max_rss_bytes / MIB)
    base_cpu, base_rss = cpu["python -c pass"].median, rss["python -c pass"].median
    rows = [
        [name, cpu[name].text(0), f"{cpu[name].median / base_cpu:.1f}", rss[name].text(1),
         f"{rss[name].median / base_rss:.1f}"]
        for name in commands
    ]  # fmt: skip
    head = ("command", "CPU, ms", "× python", "resident, MiB", "× python")
    note = f"Whole processes, medians of {RUNS} runs in turns (smallest–largest)."
    return Figure("Start and memory", head, rows, note)


def _installed() -> Figure:
    head = ("installation", "MiB", "packages")
    try:
        built = wheel.build()
        rows = [
            [name, *_size(what, requirement)]
            for name, what, requirement in (
                ("udamon", "base", str(built)),
                ("udamon[all]", "all", f"udamon[all] @ {built.as_uri()}"),
            )
        ]
    except (Failed, subprocess.CalledProcessError) as error:
        return Figure("Installed size", head, [[f"not measured: {error}", "", ""]])
    return Figure("Installed size", head, rows, "What pip adds to a new environment, its byte code included.")


def _size(what: str, requirement: str) -> tuple[str, str]:
    """MiB and names of what an installation adds to a new, empty environment."""
    place = WORK / "bench" / f"venv-{what}"
    subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
    python = place / "bin" / "python"
    packages = next((place / "lib").glob("python3*")) / "site-packages"
    before, known = _bytes_below(place), {path.name for path in packages.iterdir()}
    pip: list[str | Path] = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", requirement]
    subprocess.run(pip, check=True, env=environment())
    names = sorted(
        path.name for path in packages.iterdir() if path.name not in known and path.suffix != ".dist-info"
    )
    return f"{(_bytes_below(place) - before) / MIB:.1f}", ", ".join(name for name in names if name[0] != "_")


def _bytes_below(place: Path) -> int:
    """Bytes of the files; pip's own byte code, which its first run leaves, is not ours."""
    files = (path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files if "pip" not in path.parts)
