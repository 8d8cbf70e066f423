"""Which test executes which line: recorded once by coverage on the tree without faults, and asked from then on."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from scripts.faults.catalogue import FaultsError
from scripts.faults.contexts import CONTEXT, FIXTURE, SETTINGS, USES
from scripts.faults.place import FAULTS, Place
from scripts.faults.suites import TESTS
from scripts.stages import environment

RULES = """\
[run]
source = {root}/src/udamon
parallel = true
patch = fork, _exit
data_file = {data}
context = ${{{context}-}}
disable_warnings = no-data-collected, module-not-imported, couldnt-parse
"""


@dataclass(frozen=True)
class Test:
    """A test as it was when coverage was recorded."""

    id: str
    seconds: float
    fixtures: frozenset[str]

    @property
    def file(self) -> str:
        return self.id.partition("::")[0]


class Contexts:
    """What was recorded for one tree of tests. Raises FaultsError when nothing was."""

    def __init__(self, directory: Path) -> None:
        if not (directory / "tests.json").exists():
            raise FaultsError(
                f"no coverage is recorded in {directory}; run `python -m scripts.faults record`."
            )
        self._root = Path((directory / "root").read_text())
        import coverage  # not where faults are listed and tables are read alone

        self._data = coverage.CoverageData(str(directory / "coverage"))
        self._data.read()
        self.tests = {
            name: Test(name, about["seconds"], frozenset(about["fixtures"]))
            for name, about in json.loads((directory / "tests.json").read_text()).items()
        }
        self.files: dict[str, str] = json.loads((directory / "files.json").read_text())

    def lines(self, file: str) -> dict[int, set[str]]:
        """The ids of the tests that execute each line of a source file."""
        found: dict[int, set[str]] = {}
        for line, contexts in self._data.contexts_by_lineno(str(self._root / file)).items():
            found[line] = set().union(*map(self._tests_of, contexts))
        return found

    def _tests_of(self, context: str) -> set[str]:
        if context in self.tests:
            return {context}
        if not context.startswith(FIXTURE):
            return set()  # while modules are imported
        name, _, place = context.removeprefix(FIXTURE).partition("|")
        return {
            test.id for test in self.tests.values() if name in test.fixtures and test.id.startswith(place)
        }


def directory_of(place: Place) -> Path:
    """Suites whose tests are of one commit share what is recorded; so do those of this checkout."""
    return FAULTS / "contexts" / (place.suite.commit or "checkout")


def file_digests(root: Path) -> dict[str, str]:
    """Of every Python file of the tests."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((root / "tests").rglob("*.py"))
    }


def record(place: Place) -> Path:
    """Run all tests of the host under coverage; returns where it is kept. Tests may fail: coverage slows them."""
    directory = directory_of(place)
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*"):
        old.unlink()
    plugin = directory / "faults_contexts.py"
    plugin.write_bytes(Path(__file__).with_name("contexts.py").read_bytes())
    settings = directory / "settings"
    settings.write_text(RULES.format(root=place.root, data=directory / "coverage", context=CONTEXT))
    env = environment(HYPOTHESIS_PROFILE="quick", PYTHONPATH=str(directory))
    env |= {CONTEXT: "", SETTINGS: str(settings), USES: str(directory / "tests.json")}
    command = [place.python, "-m", "coverage", "run", f"--rcfile={settings}", "-m", "pytest", "-q"]
    options = ["-p", "faults_contexts", "-p", "no:cacheprovider", "--timeout=300", *TESTS]
    status = subprocess.run([*map(str, command), *options], cwd=place.root, env=env, check=False).returncode
    if status not in (0, 1):
        raise FaultsError(f"pytest ended with status {status} while coverage was recorded.")
    combine = [place.python, "-m", "coverage", "combine", "-q", f"--rcfile={settings}"]
    subprocess.run(list(map(str, combine)), cwd=place.root, env=environment(), check=True)
    (directory / "root").write_text(str(place.root))
    (directory / "files.json").write_text(json.dumps(file_digests(place.root)))
    return directory
