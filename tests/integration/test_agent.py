"""The agent as a command, on a control group of our own: what it serves, how it gives targets away, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.programs import started
from tests.integration.recorder import finish, report, running_udamon, udamon, until_recorded
from tests.integration.test_targets import group  # noqa: F401
from tests.waiting import until
from udamon.handover import ask, connect
from udamon.linux.procfs import read_stat
from udamon.linux.roots import Roots
from udamon.lock import lock_holder

pytest.importorskip("prometheus_client", reason="the extra `agent` is not installed")
pytestmark = pytest.mark.needs("cgroup", "clear_refs", "root")

MIB = 1 << 20
PROGRAM = f"area = bytearray({16 * MIB}); print(flush=True); import sys; sys.stdin.read()"

Status = dict[str, Any]


class Running:
    """An agent, its socket, and a program in the group that it watches."""

    def __init__(self, process: subprocess.Popen[str], socket: Path, program: int, place: Path) -> None:
        self.process = process
        self.socket = socket
        self.program = program
        self.place = place
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r"http://\S+(?=/metrics)", said)
        assert found is not None, said
        self.address = found[0]

    def status(self) -> Status:
        done = udamon("agent", "status", "--json", "--socket", self.socket)
        assert done.status == 0, done.stderr
        return dict(json.loads(done.stdout))

    def service(self) -> Status:
        """The one that there is, once it was looked at."""
        (found,) = self.status()["services"]
        return dict(found)

    def page(self, path: str) -> str:
        with urllib.request.urlopen(self.address + path, timeout=20) as answer:
            return str(answer.read().decode())

    def until(self, condition: Callable[[Status], bool], what: str) -> None:
        def holds() -> bool:
            with connect(self.socket) as connection:  # as often as this; the command asks the same
                services = ask(connection, do="status")["services"]
            return bool(services) and condition(services[0])

        until(holds, what)

    def holder(self) -> str:
        """Who has the lock of the program."""
        return lock_holder(f"{self.program}-{read_stat(self.program).start_time}", Roots())


@pytest.fixture
def agent(group: Path, tmp_path: Path) -> Iterator[Running]:  # noqa: F811
    private = tmp_path / "run"
    config = tmp_path / "agent.toml"
    config.write_text(f'state = "{tmp_path}/state.json"\nbudget = "5%"\n')
    words: list[str | Path] = ["--config", config, "--cgroup", group, "--listen", "127.0.0.1:0"]
    words += ["--socket", private / "agent.sock"]
    with (
        started([sys.executable, "-c", PROGRAM]) as program,
        _inside(program, group),
        running_udamon("agent", *words) as process,
    ):
        yield Running(process, private / "agent.sock", program.pid, tmp_path)


@contextlib.contextmanager
def _inside(program: subprocess.Popen[bytes], directory: Path) -> Iterator[None]:
    assert program.stdout is not None
    program.stdout.readline()
    (directory / "cgroup.procs").write_text(str(program.pid))
    yield
    program.kill()
    program.wait()


def test_without_a_place_for_rows_it_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(f'spool = "{config}"\nsocket = "{tmp_path}/run/sock"\n')
    done = udamon("agent", "--config", config, "--listen", "127.0.0.1:0")
    assert (done.status, done.stderr) == (
        1, f"udamon: {config} is no directory, so rows cannot be kept there; give another spool.\n"
    )  # fmt: skip


@pytest.mark.parametrize("what", ["state", "spool"])
def test_two_agents_do_not_write_to_one_place(what: str, group: Path, tmp_path: Path) -> None:  # noqa: F811
    """The figures of the last to write would replace the other's, and rows of one node would be there twice."""
    place, words = tmp_path / what, list[list[str | Path]]()
    for number in range(2):
        config = tmp_path / f"agent{number}.toml"
        config.write_text(f'{what} = "{place}"\n')
        one: list[str | Path] = ["agent", "--config", config, "--cgroup", group, "--listen", "127.0.0.1:0"]
        words.append([*one, "--socket", tmp_path / f"run{number}/sock"])
    with running_udamon(*words[0]) as first:
        assert first.stderr is not None
        first.stderr.readline()
        second = udamon(*words[1])
        assert (second.status, second.stderr) == (
            1, f"udamon: the {what} {place} is used by another process; end that one, or give another {what}.\n"
        )  # fmt: skip
        first.kill()
    with running_udamon(*words[1]) as third:
        assert third.stderr is not None
        assert "/metrics" in third.stderr.readline()
        third.send_signal(signal.SIGTERM)
        assert finish(third).status == 0


@pytest.mark.each_command
def test_it_serves_what_it_sees(agent: Running) -> None:
    agent.until(lambda one: one["cold_bytes"]["10"] is not None, "cold bytes of 10 s")
    found = agent.service()
    assert found["cold_bytes"]["10"]["low"] >= 16 * MIB
    assert found["cold_bytes"]["28800"] is None
    assert agent.page("/-/healthy") == agent.page("/-/ready") == "ok\n"
    text = agent.page("/metrics")
    assert text.endswith("# EOF\n")
    assert 'udamon_service_cold_bytes{age="10",service=' in text
    assert 'age="120"' not in text
    assert str(agent.program) not in re.findall(r'="([^"]*)"', text)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        agent.page("/")
    assert oct(agent.socket.stat().st_mode & 0o777) == "0o600"
    assert "safe age" in udamon("agent", "status", "--socket", agent.socket).stdout


def test_record_gets_a_target_and_the_agent_takes_it_back(agent: Running, tmp_path: Path) -> None:
    agent.until(lambda one: one["resident_bytes"]["high"] > 0, "a look")
    assert agent.holder() == f"process {agent.process.pid}"
    file = tmp_path / "a.udamon"
    environment = {**os.environ, "UDAMON_HANDOVER": str(agent.socket)}
    words = ["record", "-p", str(agent.program), "--via", "refs", "-o", str(file)]
    with subprocess.Popen([sys.executable, "-m", "udamon", *words], env=environment) as recorder:
        until(lambda: agent.holder() not in ("", f"process {agent.process.pid}"), "another holder")
        assert agent.service()["given"]
        until_recorded(file)
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(60) == 0
    agent.until(lambda one: not one["given"] and one["processes"] == 1, "it is watched again")
    assert agent.holder() == f"process {agent.process.pid}"
    assert agent.status()["dropped"]["handover"] == 1


def test_watch_makes_an_ordinary_recording(agent: Running, tmp_path: Path) -> None:
    agent.until(lambda one: one["resident_bytes"]["high"] > 0, "a look")
    file = tmp_path / "w.udamon"
    name = agent.service()["key"]
    done = udamon("agent", "watch", name, "--for", "3s", "-o", file, "--socket", agent.socket)
    assert done.status == 0, done.stderr
    assert report("info", file)["targets"][0]["pid"] == agent.program
    done = udamon("agent", "watch", "nobody", "--for", "1s", "-o", file, "--socket", agent.socket)
    assert done.status == 1
    assert "no service is called nobody" in done.stderr


def test_it_ends_gives_locks_back_and_keeps_its_state(agent: Running) -> None:
    agent.until(lambda one: one["resident_bytes"]["high"] > 0, "a look")
    agent.process.send_signal(signal.SIGTERM)
    assert finish(agent.process).status == 0
    assert agent.holder() == ""
    assert not agent.socket.exists()
    assert json.loads((agent.place / "state.json").read_text())["services"]
    done = udamon("agent", "status", "--socket", agent.socket)
    assert done.status == 1
    assert "no agent answers" in done.stderr


def test_settings_are_read_again(agent: Running) -> None:
    agent.until(lambda one: one["processes"] == 1, "a look")
    config = agent.place / "agent.toml"
    config.write_text('budgett = "1%"\n')
    agent.process.send_signal(signal.SIGHUP)
    assert agent.process.stderr is not None
    assert "agent.toml:1: budgett: there is no such key" in agent.process.stderr.readline()
    assert agent.service()["class"] == "default"
    config.write_text('[[class]]\nname = "none"\nmatch = { kind = "*" }\nvia = "off"\n')
    agent.process.send_signal(signal.SIGHUP)
    until(lambda: agent.status()["states"]["off"] == 1, "it is off")
    assert agent.holder() == ""


def test_a_second_agent_is_refused(agent: Running) -> None:
    done = udamon("agent", "--cgroup", "/", "--listen", "127.0.0.1:0", "--socket", agent.socket)
    assert done.status == 1
    assert "an agent runs already" in done.stderr


def test_nonsense_on_the_socket(agent: Running) -> None:
    """It answers, or closes, and goes on."""
    import socket

    for data in (
        b"\n",
        b"[]\n",
        b'{"do": 1}\n',
        b"[" * 60_000 + b"\n",
        b"x" * 70_000,
        b'{"do": "give", "pid": "a"}\n',
    ):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(agent.socket))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
                answer = connection.recv(1 << 16)
                assert (
                    answer == b"" or "error" in json.loads(answer) or json.loads(answer) == {"given": False}
                )
    agent.until(lambda one: one["processes"] == 1, "it is watched")


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ('budget = "1%"\n', 0, "right"),
        ('state = "/nowhere/agent.json"\n', 0, r"no directory for /nowhere/agent.json"),
        ('\nbudgets = "1%"\n', 2, r":2: budgets: there is no such key"),
        ("=", 2, ":1: "),
    ],
)
def test_check(tmp_path: Path, text: str, status: int, said: str) -> None:
    config = tmp_path / "a.toml"
    config.write_text(text)
    done = udamon("agent", "--config", config, "--check")
    assert done.status == status
    assert re.search(said, done.stdout + done.stderr)


def test_act_says_what_is_missing(tmp_path: Path) -> None:
    """No class says what to do; no agent watches."""
    config = tmp_path / "a.toml"
    config.write_text('budget = "1%"\n')
    words: list[str | Path] = ["agent", "--act", "--config", config, "--socket", tmp_path / "none.sock"]
    done = udamon(*words)
    assert (done.status, "none has one" in done.stderr) == (2, True), done.stderr
    config.write_text('[default]\nreclaim = { min_age = "10m" }\n')
    done = udamon(*words)
    assert (done.status, "no agent answers" in done.stderr) == (1, True), done.stderr
    config.write_text("[default]\nreclaim = { min_age = 7 }\n")
    done = udamon(*words)
    assert done.status == 2
    assert "a.toml:2: default.reclaim.min_age: " in done.stderr


def test_act_asks_the_agent_that_watches(agent: Running, tmp_path: Path) -> None:
    """It takes nothing before a safe age is known, holds no lock, and ends by a signal."""
    agent.until(lambda one: one["resident_bytes"]["high"] > 0, "a look")
    config = tmp_path / "act.toml"
    config.write_text("[default]\nreclaim = { apply = true }\n")
    with running_udamon("agent", "--act", "--config", config, "--socket", agent.socket) as acting:
        assert acting.stderr is not None
        assert "acts on what the agent" in acting.stderr.readline()
        assert agent.holder() == f"process {agent.process.pid}"
        acting.send_signal(signal.SIGTERM)
        assert finish(acting).status == 0


def test_no_heavy_library_is_loaded() -> None:
    code = (
        "import sys, udamon.agent.agent, udamon.agent.discovery.node, udamon.cli.agent, prometheus_client\n"
        "from udamon.agent.config import read_settings; read_settings(None)\n"
        "print({name.partition('.')[0] for name in sys.modules} & "
        "{'pyarrow', 'duckdb', 'arro3', 'numpy', 'pandas', 'yaml'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
