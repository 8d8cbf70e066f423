"""The kernel's own selftests of DAMON, unmodified, against in-kernel DAMON and against udamon, in a guest.

    python -m bench.selftests --fetch             get them from Debian's source packages (once; 300 MB downloaded)
    python -m bench.selftests [NAME…]             boot guests, run them both ways, print the table
    python -m bench.selftests --inside WHO NAME…  what runs in a guest; WHO is kernel or udamon

They lie outside the repository (they are GPL-2.0 and nobody's business here): ~/.cache/udamon/selftests/VERSION/damon.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from scripts.guest import kernels
from scripts.guest.boot import boot
from scripts.guest.machine import Machine
from scripts.stages import ROOT, WORK

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "udamon" / "selftests"
VERSIONS = {"7.2": "sid", "6.12": "trixie"}
"""The kernel version of each set, and Debian's suite that has its source."""
SYSFS = (
    "sysfs.sh", "sysfs_update_removed_scheme_dir.sh", "sysfs_update_schemes_tried_regions_hang.py",
    "damon_nr_regions.py", "damos_tried_regions.py", "damos_quota.py", "damos_quota_goal.py",
    "damos_apply_interval.py", "sysfs_update_schemes_tried_regions_wss_estimation.py",
)  # fmt: skip
DEBUGFS = (
    "debugfs_attrs.sh", "debugfs_schemes.sh", "debugfs_target_ids.sh", "debugfs_empty_targets.sh",
    "debugfs_duplicate_context_creation.sh", "debugfs_rm_non_contexts.sh", "debugfs_huge_count_read_write.sh",
    "debugfs_target_ids_pid_leak.sh", "debugfs_target_ids_read_before_terminate_race.sh",
)  # fmt: skip
LEFT_OUT = {
    "sysfs.py": "reads the kernel's memory with drgn",
    "sysfs_no_op_commit_break.py": "reads the kernel's memory with drgn",
    "sysfs_memcg_path_leak.sh": "asks the kernel's kmemleak, which these kernels do not have",
    "reclaim.sh": "is about the kernel's module damon_reclaim",
    "lru_sort.sh": "is about the kernel's module damon_lru_sort",
}
SKIPPED = 4
GUEST = Machine(2, 2048, "")
LIMIT_S = 280
LIMITS_S = {"sysfs.sh": 900}
"""Shells are slow under emulation."""
VECTORS = {"GLIBC_TUNABLES": f"glibc.cpu.x86_rep_stosb_threshold={1 << 30}"}
"""For the programs that access memory, both ways: glibc's memset then uses vectors. `rep stosb`, which it prefers, is
emulated byte by byte: 80 ms for the 10 MiB that the tests want accessed many times in 100 ms, instead of 4 ms."""


def main() -> int:
    words = sys.argv[1:]
    if words == ["--fetch"]:
        for version, suite in VERSIONS.items():
            fetch(version, suite)
        return 0
    if words[:1] == ["--inside"]:
        inside(words[1], words[2], words[3:])
        return 0
    table(words)
    return 0


def fetch(version: str, suite: str) -> None:
    """The selftests of linux-source-VERSION, built. The package comes from a suite that apt need not know."""
    place = CACHE / version
    if (place / "damon" / "access_memory").exists():
        return
    apt = place / "apt"
    for directory in ("lists/partial", "cache/archives/partial"):
        (apt / directory).mkdir(parents=True, exist_ok=True)
    (apt / "sources.list").write_text(
        f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {_mirror()} {suite} main\n"
    )
    options = [
        f"Dir::Etc::SourceList={apt}/sources.list", "Dir::Etc::SourceParts=/nonexistent",
        f"Dir::State::Lists={apt}/lists", f"Dir::Cache={apt}/cache", "APT::Sandbox::User=root",
    ]  # fmt: skip
    command = ["apt-get", "-qq", *(f"-o{option}" for option in options)]
    subprocess.run([*command, "update"], check=True)
    subprocess.run([*command, "download", f"linux-source-{version}"], cwd=place, check=True)
    package = next(place.glob("linux-source-*.deb"))
    inner = f"./usr/src/linux-source-{version}.tar.xz"
    wanted = f"linux-source-{version}/tools/testing/selftests/damon"
    script = (
        f"dpkg-deb --fsys-tarfile {package} | tar -xO {inner} | xz -dc | "
        f"tar -x -C {place} --strip-components=4 {wanted}"
    )
    subprocess.run(["bash", "-o", "pipefail", "-c", script], check=True)
    package.unlink()
    for source in (place / "damon").glob("*.c"):
        subprocess.run(["gcc", "-O1", "-o", source.with_suffix(""), source], check=True)
    for program in [*(place / "damon").glob("*.sh"), *(place / "damon").glob("*.py")]:
        program.chmod(0o755)


def _mirror() -> str:
    """Where apt gets Debian's packages here."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True, text=True, check=True
    )
    return next(line for line in done.stdout.splitlines() if line.endswith("/debian"))


def inside(who: str, version: str, names: list[str]) -> None:
    """Run tests one after the other; one JSON line each on standard output."""
    directory = CACHE / version / "damon"
    for name in names:
        command = [f"./{name}"]
        if who == "udamon":
            options = ["--via", "idle", "--compat", version, *_options(name)]
            command = [sys.executable, "-m", "udamon", "control", "exec", *options, "--", *command]
        began, limit = time.monotonic(), LIMITS_S.get(name, LIMIT_S)
        try:
            done = subprocess.run(
                command,
                cwd=directory,
                capture_output=True,
                text=True,
                timeout=limit,
                env=os.environ | VECTORS,
            )
            status, said = done.returncode, (done.stdout + done.stderr).strip()
        except subprocess.TimeoutExpired:
            status, said = -1, f"not done in {limit} s"
        seconds = round(time.monotonic() - began)
        line = {
            "who": who,
            "version": version,
            "name": name,
            "status": status,
            "seconds": seconds,
            "said": said[-400:],
        }
        print(json.dumps(line), flush=True)


def _options(name: str) -> list[str]:
    """Those of `udamon control exec` for a test.

    With two processors, what the emulated TLB has hides all accesses unless the one of the target is visited. Ages of
    the policy damon begin anew with two samples more or less of 20, which emulation always has: what is to be looked
    at 40 times within 4 s is looked at by adaptive.
    """
    if name.startswith("debugfs_"):
        return ["--debugfs"]
    return ["--same-cpu", *(["--policy", "adaptive"] if "wss_estimation" in name else [])]


def table(only: list[str]) -> None:
    """Boot the kernels that are there, one guest for each test and way, and print what came of it."""
    found = {kernel.release.rpartition(".")[0]: kernel for kernel in kernels.find()}
    print("| test | of | in-kernel DAMON | udamon |\n|---|---|---|---|")
    for version, names in (("7.2", SYSFS), ("6.12", (*SYSFS, *DEBUGFS))):
        kernel = found.get(version)
        if kernel is None:
            continue
        for name in names:
            if (only and name not in only) or not (CACHE / version / "damon" / name).exists():
                continue
            cells = []
            for who in ("kernel", "udamon"):
                python = f"cd '{ROOT}'; export HOME='{Path.home()}'; '{sys.executable}' -m bench.selftests"
                place = WORK / "selftests" / who
                boot(
                    kernel,
                    GUEST,
                    f"{python} --inside {who} {version} {name}\n",
                    place,
                    LIMITS_S.get(name, LIMIT_S) + 100,
                )
                lines = (place / "job" / "output").read_text().splitlines()
                cells.append(_cell([json.loads(line) for line in lines if line.startswith('{"who"')]))
            print(f"| {name} | {version} | {' | '.join(cells)} |", flush=True)
    for name, why in LEFT_OUT.items():
        print(f"| {name} | 7.2 | left out: {why} | |")


def _cell(results: list[dict[str, object]]) -> str:
    if not results:
        return "no answer"
    status, seconds = results[0]["status"], results[0]["seconds"]
    word = {0: "passes", SKIPPED: "skipped"}.get(
        int(str(status)), f"fails ({_last_line(results[0]['said'])})"
    )
    return f"{word}, {seconds} s"


def _last_line(said: object) -> str:
    return str(said).rpartition("\n")[2]


if __name__ == "__main__":
    sys.exit(main())
