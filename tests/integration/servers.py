"""Redis and PostgreSQL as processes of our own: on loopback, in a temporary directory, gone when left."""

from __future__ import annotations

import contextlib
import csv
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import WAIT_LIMIT_S


@dataclass(frozen=True, slots=True)
class Redis:
    """A running redis-server without persistence."""

    pid: int
    port: int
    process: subprocess.Popen[bytes]

    def answers(self) -> str:
        """A digest of all keys and values."""
        script = (
            "local sum = '' local keys = redis.call('keys', '*') table.sort(keys) "
            "for _, key in ipairs(keys) do sum = redis.sha1hex(sum .. key .. redis.call('get', key)) end return sum"
        )
        words = ["redis-cli", "-p", str(self.port), "eval", script, "0"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    def fill(self, keys: int, size: int) -> None:
        """Set most of `keys` keys to values of `size` bytes."""
        self._benchmark("set", keys * 3, keys, size)

    def throughput(self, requests: int, keys: int, test: str = "get") -> float:
        """Requests per second of redis-benchmark, on random ones of `keys` keys."""
        return self._benchmark(test, requests, keys, 3)

    def load(self, keys: int) -> subprocess.Popen[bytes]:
        """redis-benchmark without end; the caller kills it."""
        return subprocess.Popen(
            [*self._command("get", 1 << 30, keys, 3), "-l"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _command(self, test: str, requests: int, keys: int, size: int) -> list[str]:
        words = {"-p": self.port, "-t": test, "-n": requests, "-r": keys, "-d": size, "-c": 20, "-P": 4}
        return ["redis-benchmark", "--csv", *(str(word) for pair in words.items() for word in pair)]

    def _benchmark(self, test: str, requests: int, keys: int, size: int) -> float:
        done = subprocess.run(
            self._command(test, requests, keys, size), capture_output=True, text=True, check=True
        )
        return float(next(csv.DictReader(done.stdout.splitlines()))["rps"])


@contextlib.contextmanager
def redis() -> Iterator[Redis]:
    with _place() as place:
        port = free_port()
        words = {"--bind": "127.0.0.1", "--port": port, "--save": "", "--appendonly": "no", "--dir": place}
        server = subprocess.Popen(
            ["redis-server", *(str(word) for pair in words.items() for word in pair)],
            stdout=subprocess.DEVNULL,
        )
        try:
            _until_listening(port, server)
            yield Redis(server.pid, port, server)
        finally:
            server.kill()
            server.wait()


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running PostgreSQL; `pid` is the postmaster's, all others are its children."""

    pid: int
    port: int
    programs: Path
    process: subprocess.Popen[bytes]

    def answers(self) -> str:
        """A digest of the accounts."""
        query = (
            "select count(*), md5(string_agg(aid || ':' || abalance, ',' order by aid)) from pgbench_accounts"
        )
        words = [*self.client("psql"), "-At", "-c", query, "postgres"]
        return subprocess.run(
            words, capture_output=True, text=True, check=True, env=_environment()
        ).stdout.strip()

    def throughput(self, seconds: int, clients: int = 2) -> float:
        """Transactions per second of pgbench's select-only script."""
        done = subprocess.run(
            self._pgbench(seconds, clients), capture_output=True, text=True, check=True, env=_environment()
        )
        found = re.search(r"^tps = ([0-9.]+) \(without", done.stdout, re.MULTILINE)
        assert found, done.stdout
        return float(found[1])

    def load(self, seconds: int, clients: int = 2) -> subprocess.Popen[bytes]:
        """The same meanwhile; the caller kills it."""
        return subprocess.Popen(
            self._pgbench(seconds, clients),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )

    def _pgbench(self, seconds: int, clients: int) -> list[str]:
        options = ["-n", "-S", "-c", str(clients), "-T", str(seconds)]
        return [*self.client("pgbench"), *options, "postgres"]

    def client(self, program: str) -> list[str]:
        return [str(self.programs / program), "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench"]


@contextlib.contextmanager
def postgres(scale: int, buffers: str = "64MB") -> Iterator[Postgres]:
    """A new cluster with pgbench's tables at `scale` (15 MiB each), run as nobody when we are root."""
    programs = _postgres_programs()
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    with _place() as place:
        if user is not None:
            os.chown(place, user.pw_uid, user.pw_gid)
        data, port = place / "data", free_port()
        _as_user(
            user, [programs / "initdb", "-D", data, "-A", "trust", "-U", "bench", "--no-sync"], place
        ).wait()
        settings = {
            "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
            "shared_buffers": buffers, "huge_pages": "off",
        }  # fmt: skip
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        server = _as_user(user, [programs / "postgres", "-D", data, "-p", port, *options], place)
        running = Postgres(server.pid, port, programs, server)
        try:
            _until_ready(running, server)
            subprocess.run(
                [*running.client("pgbench"), "-i", "-q", "-s", str(scale), "postgres"],
                check=True,
                capture_output=True,
                env=_environment(),
            )
            yield running
        finally:
            server.send_signal(signal.SIGQUIT)  # immediate shutdown: the postmaster ends its children
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(10)
            server.kill()
            server.wait()


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of the children that it has collected."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_name[11:15])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="udamon-server-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _as_user(
    user: pwd.struct_passwd | None, command: Sequence[str | int | Path], place: Path
) -> subprocess.Popen[bytes]:
    words = [str(word) for word in command]
    uid, gid = (None, None) if user is None else (user.pw_uid, user.pw_gid)
    groups = None if user is None else ()
    null = subprocess.DEVNULL
    return subprocess.Popen(
        words, user=uid, group=gid, extra_groups=groups, cwd=place, stdout=null, stderr=null,
        env=_environment(),
    )  # fmt: skip


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _postgres_programs() -> Path:
    """Where initdb is: Debian has a directory for each major version."""
    found = [Path(path).parent for path in (shutil.which("initdb"),) if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return found[-1]


def _until_listening(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WAIT_LIMIT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.args!r} does not listen (status {server.poll()})")
        time.sleep(0.05)


def _until_ready(running: Postgres, server: subprocess.Popen[bytes]) -> None:
    _until_listening(running.port, server)
    for _ in range(100):
        done = subprocess.run(running.client("pg_isready"), capture_output=True, check=False)
        if done.returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError("PostgreSQL does not accept connections")
