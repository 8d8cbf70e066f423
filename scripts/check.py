"""`make test` and `make test-all`: every check of this checkout, several at a time, with one summary.

python -m scripts.check [--all] [STAGE…]      the stages, or the named ones; a prefix names several (guest)
python -m scripts.check --all --resume        without those that have passed or failed on this commit

`--all` runs everything there is: the source tree and the wheel, all kernels, all interpreters, slow tests and long
property runs. Without it each stage runs what tests/selection.py calls its short part.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from scripts import analysis, changelog, content, interpreters, parallel, passed, sanitizers, wheel
from scripts.guest import suite
from scripts.stages import (
    ROOT,
    WORK,
    Counts,
    Failed,
    Result,
    Skipped,
    check_numbers,
    current,
    environment,
    install,
    number,
    perform,
    pytest,
    run,
)
from tests import surroundings
from tests.selection import ENGINES

PYTHON = Path(sys.executable)
PARALLEL = ["-n", "2", "--dist", "worksteal"]
"""Two processes for the tests on this machine. Most of their time they wait, so two need about one processor."""
WORKERS = 3
"""Stages at a time on two processors: a guest, or the tests of the wheel, needs two thirds of one."""
LIMIT_S, LIMIT_LONG_S = 3600, 4 * 3600
"""Seconds after which a stage on this machine hangs: several times what the longest takes beside other work."""

# What a machine that runs CI=true has: losing one of these is a failure, not a skip (tests/capabilities.py).
CI_REQUIRES = "root,second_user,clear_refs,cgroup,compiler,redis,postgres,chromium,qemu"
CI_MAY_LACK = {"newer-pythons"}


def lint() -> Counts:
    run([PYTHON, "-m", "ruff", "check", "."], "ruff check")
    run([PYTHON, "-m", "ruff", "format", "--check", "."], "ruff format")
    analysis.check()
    print(changelog.check())
    return Counts()


def types() -> Counts:
    run([PYTHON, "-m", "mypy", "--cache-dir", WORK / "mypy"], "mypy")
    return Counts()


def docs() -> Counts:
    """The site; a link or section that is not there is an error."""
    site = WORK / "site"
    strict = ["-q", "-W", "--keep-going"]
    run([PYTHON, "-m", "sphinx", *strict, "-b", "html", "-c", ROOT / "docs" / "site", ROOT, site], "sphinx")
    print(f"file://{site}/docs/index.html")
    return Counts()


def built_wheel() -> Counts:
    """The wheel, in an environment of its own, from a directory where src/ cannot be imported."""
    python = wheel.install(PYTHON)
    wheel.check_base_install(PYTHON)
    return wheel.test("wheel", python, "host", *TESTS, *_seed(), *PARALLEL)


def source() -> Counts:
    """The package as it lies here, installed in place; the slow tests are run on the wheel."""
    env = environment(UDAMON_TEST_SELECTION="host")
    env.pop("UDAMON_TEST_LONG", None)
    return pytest("source", PYTHON, *TESTS, *_seed(), *PARALLEL, env=env)


def sanitized() -> Counts:
    """The C under AddressSanitizer and UndefinedBehaviorSanitizer, by the tests that reach it."""
    return sanitizers.test(PYTHON, *_seed(), *PARALLEL)


def newer() -> Counts:
    """The same wheel (one build serves them all) on every newer interpreter this machine has."""
    found = interpreters.newer_than_oldest()
    if not found:
        raise Skipped("no newer Python on this machine")
    total = Counts()
    for version, interpreter in found.items():
        print(f"-- Python {version}: {interpreter}", flush=True)
        python = wheel.install(interpreter)
        total += wheel.test(f"python{version}", python, "pythons", *TESTS, *_seed(), *PARALLEL)
    return total


def engines() -> Counts:
    """The tables on engines that are no part of an installation: the same wheel beside Spark, Iceberg and others."""
    if not shutil.which("java"):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Skipped("no Java, which Spark needs; install the Debian package default-jre-headless")
        install([ROOT / "scripts" / "setup", "java"], "scripts/setup java")
    python = wheel.install(PYTHON, "readers")
    # What the environment was made with: a test that lacks one of these fails there, wherever it runs.
    os.environ["UDAMON_REQUIRE"] = ",".join(filter(None, [os.environ.get("UDAMON_REQUIRE"), *ENGINES]))
    # One process: Spark and its cluster are several, and have the processors to themselves for minutes.
    return wheel.test("engines", python, "engines", *TESTS)


def deploy() -> Counts:
    """What the agent is run with: units, rules, dashboards, manifests."""
    return pytest("deploy", PYTHON, "tests/deploy")


def dist() -> Counts:
    """Packages: built twice and compared, checked by their linters, installed, used and removed in clean roots."""
    from scripts.dist.__main__ import check

    install([ROOT / "scripts" / "setup", "dist"], "scripts/setup dist")
    return check()


TESTS = ["tests/unit", "tests/property", "tests/integration", "tests/fuzz"]
STAGES: dict[str, Callable[[], Counts]] = {
    "lint": lint,
    "types": types,
    "docs": docs,
    "wheel": built_wheel,
    "sanitizers": sanitized,
    "newer-pythons": newer,
    "deploy": deploy,
}
LONG_STAGES = {**STAGES, "source": source, "dist": dist, "engines": engines}


def _seed() -> list[str]:
    """A fresh seed for property tests, printed, so that a failure can be had again."""
    seed = os.environ.get("UDAMON_TEST_SEED") or str(random.SystemRandom().randrange(1 << 32))
    current.notes.append(
        f"property tests: --hypothesis-seed={seed} (UDAMON_TEST_SEED={seed} runs them all again)"
    )
    return [f"--hypothesis-seed={seed}"]


def main(arguments: list[str]) -> int:
    resume = arguments == ["--all", "--resume"]
    match arguments[:-1] if resume else arguments:
        case ["--one", name]:
            return perform(LONG_STAGES[name], parallel.RESULTS / f"{name}.json", _must_run(name))
        case ["--all", *wanted]:
            os.environ["UDAMON_TEST_LONG"] = "1"
        case wanted:
            os.environ.pop("UDAMON_TEST_LONG", None)
    long = "UDAMON_TEST_LONG" in os.environ
    stages = list(LONG_STAGES if long else STAGES)
    unknown = [name for name in wanted if not name or not any(s.startswith(name) for s in [*stages, "guest"])]
    if unknown or any(word.startswith("-") for word in wanted):
        print(f"no such stage: {', '.join(unknown)} (there are {', '.join([*stages, 'guest'])})\n{__doc__}")
        return 2
    if _on_ci():
        os.environ.setdefault("UDAMON_REQUIRE", CI_REQUIRES)
    try:
        check_numbers()
        with parallel.ended_by_signals(), content.locked("check"):
            return _check(stages, wanted, long, resume)
    except Failed as why:
        print(f"check: {why}")
        return 2
    except OSError as error:  # a stage's own is its failure (parallel.py)
        return parallel.without_room("check", error)


def _check(stages: list[str], wanted: list[str], long: bool, resume: bool) -> int:
    begin = time.monotonic()
    limit = number("UDAMON_STAGE_LIMIT", LIMIT_LONG_S if long else LIMIT_S)
    host = [_host(name, limit) for name in stages if not wanted or any(name.startswith(w) for w in wanted)]
    guests, ended = _guests(long) if not wanted or any("guest".startswith(w) for w in wanted) else ([], [])
    whole = parallel.Run(_ordered(host, [job.stage for job in guests]), WORKERS, ended)
    if long and not wanted:
        files, known = passed.begin({stage.name: stage for stage in whole.stages}, resume)
        before = suite.complete(guests, known)
        whole.ended += before
        whole.stages = [stage for stage in whole.stages if stage.name not in {e.stage.name for e in before}]
        whole.on_end = lambda ended: passed.remember(ended, files)
    whole.run()
    ok = parallel.summarize(whole, time.monotonic() - begin, suite.problems(guests, whole.ended), long)
    if long and not wanted:
        passed.note(ok, files, [e.stage.name for e in whole.ended if e.result.verdict == "not run"])
    passed.tell()
    return 0 if ok else 1


def _must_run(name: str) -> bool:
    return _on_ci() and name not in CI_MAY_LACK


def _on_ci() -> bool:
    return surroundings.is_on(os.environ.get("CI", ""))


def _ordered(host: list[parallel.Stage], guests: list[parallel.Stage]) -> list[parallel.Stage]:
    """What takes longest begins first, so that no processor idles at the end; what fails within a minute comes next."""
    long = [stage for stage in host if stage.name in {"wheel", "source"}]
    quick = [stage for stage in host if stage.name in {"lint", "types", "docs"}]
    rest = [stage for stage in host if stage not in [*long, *quick]]
    return [*long, *guests[:1], *quick, *guests[1:], *rest]


def _host(name: str, limit: float) -> parallel.Stage:
    return parallel.Stage(name, [PYTHON, "-m", "scripts.check", "--one", name], limit)


def _guests(long: bool) -> tuple[list[suite.Job], list[parallel.Ended]]:
    """The boots to make; where none can be made, how that is counted."""
    from scripts.guest import arm64, tools

    wanted = ["guest"] * bool(tools.absent()) + ["guest-arm64"] * bool(long and arm64.absent())
    if wanted and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run([ROOT / "scripts" / "setup", *wanted], check=False)
    begin, result = time.monotonic(), Result("FAILED")
    try:
        planned = suite.jobs(long)
        return planned.jobs, planned.absent
    except Skipped as why:
        must = _must_run("guest")
        result = Result("FAILED" if must else "not run", str(why), Counts(failed=int(must)))
    except Failed as why:
        result = Result("FAILED", str(why), why.counts)
    except OSError as error:  # a cache for kernels that may not be written to, a full disk
        result = Result("FAILED", f"guests cannot be prepared: {error}", Counts(failed=1))
    return [], [parallel.Ended(parallel.Stage("guest", []), result, time.monotonic() - begin, 0, 0)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
