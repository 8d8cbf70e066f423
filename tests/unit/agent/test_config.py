"""The configuration file: what it may say, and the line of what it may not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from udamon.agent.config import address_of, parse_settings, read_settings
from udamon.agent.discovery.model import Service
from udamon.errors import ConfigError, UsageError

WHOLE = """
listen = "[::1]:9471"
budget = "0.5%"
max_series = 1000
state = "/var/lib/udamon/agent.json"
machine = "rack 7"

[default]
max_pause = "5ms"
longest_age = "1h"

[[class]]
name = "db"
match = { service = "postgres*", kind = "systemd" }
budget = "0.2%"
always_look = true

[[class]]
name = "private"
match = { namespace = "vault" }
via = "off"
"""


def service(
    labels: dict[str, str], kind: str = "systemd", annotations: dict[str, str] | None = None
) -> Service:
    return Service("a", Path("/a"), kind, labels, annotations or {}, "path")


def test_a_whole_file() -> None:
    settings = parse_settings(WHOLE, "agent.toml")
    assert (settings.listen, settings.budget, settings.max_series) == ("[::1]:9471", 0.005, 1000)
    assert settings.machine == "rack 7"
    assert (settings.default.max_pause_ns, settings.default.longest_age_s) == (5_000_000, 3600)
    database = settings.class_of(service({"service": "postgresql.service"}))
    assert (database.name, database.budget, database.always_look) == ("db", 0.002, True)
    assert settings.class_of(service({"service": "postgresql.service"}, "docker")).name == "default"
    vault = {"namespace": "vault", "pod": "p", "container": "c"}
    assert settings.class_of(service(vault, "kubernetes")).via == "off"


def test_labels_cannot_be_taken_by_annotations() -> None:
    """Who makes a container writes its annotations, and shall not choose a class by a false name."""
    settings = parse_settings(
        '[[class]]\nname = "x"\nmatch = { service = "web" }\nvia = "off"\n', "agent.toml"
    )
    assert settings.class_of(service({"service": "other"}, annotations={"service": "web"})).via == "auto"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'listen = "127.0.0.1:1"\nbudgets = "1%"',
            r"a\.toml:2: budgets: there is no such key; known here: listen",
        ),
        ('[[class]]\nname = "x"\nvai = "off"', r"a\.toml:3: class\[0\]\.vai: there is no such key"),
        (
            '[[class]]\nname = "x"\nmatch = { a = "b" }\nvia = "damon"',
            r"a\.toml:4: .*'damon' is no way of looking",
        ),
        ('[default]\nmax_pause = "0ms"', r"a\.toml:2: default\.max_pause: this leaves no time to look"),
        ('otlp = ""', r"^a\.toml:1: otlp: there is no value"),  # and its place once
        ('budget = ["1%"]', r"^a\.toml:1: budget: this is a list"),
        ('\ncertificate = "a"', r"a\.toml:2: certificate: TLS takes both certificate and key"),
        ('\nlisten = "0.0.0.0:1"', r"a\.toml:2: listen: 0\.0\.0\.0:1 can be reached from elsewhere, so"),
        ('\nmachine = "a\\nb"', r"a\.toml:2: machine: a machine's name is at most 64 characters that can be"),
        ('budget = "200%"', r"a\.toml:1: budget: '200%' is not a share"),
        ('budget = "0"', r"a\.toml:1: budget: a budget is a share of one CPU from 0\.01% to 100%"),
        ('[default]\nmatch = { a = "b" }', r"a\.toml:2: default\.match: there is no such key"),
        ('[default]\nmax_pause = "long"', r"a\.toml:2: default\.max_pause: 'long' is not a time"),
        ("max_series = 1", r"a\.toml:1: max_series: this is no whole number"),
        ("listen = ", r"a\.toml:1: "),
        ('budget = "1%"\nlisten = 9470', r"a\.toml:2: listen: '9470' is no ADDRESS:PORT"),
        ('budget = "1%"\notlp = "collector"', r"a\.toml:2: otlp: 'collector' is no URL"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_settings(text, "a.toml")


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("0.0.0.0:9470", "by TLS only"),
        ("[::]:9470", "by TLS only"),
        ("192.0.2.1:80", "by TLS only"),
        ("example.org:80", "has a name"),
        ("127.0.0.1", "no ADDRESS:PORT"),
        ("127.0.0.1:70000", "no ADDRESS:PORT"),
        ("127.0.0.1:²", "no ADDRESS:PORT"),
    ],
)
def test_addresses_that_are_refused(listen: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_settings(None, listen=listen)


def test_elsewhere_with_tls_and_loopback_without() -> None:
    assert address_of("[::1]:1") == ("::1", 1)
    assert address_of("localhost:2") == ("127.0.0.1", 2)
    assert read_settings(None, listen="127.9.9.9:1").listen == "127.9.9.9:1"
    tls = 'listen = "0.0.0.0:1"\ncertificate = "a.pem"\n'
    with pytest.raises(UsageError, match="both certificate and key"):
        parse_settings(tls, "a.toml")
    assert parse_settings(tls + 'key = "b.pem"', "a.toml").key == "b.pem"


def test_flags_come_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('listen = "127.0.0.1:1"\ncgroup = "/a"\n')
    settings = read_settings(file, listen="127.0.0.1:2", cgroup=None)
    assert (settings.listen, settings.cgroup) == ("127.0.0.1:2", "/a")
    with pytest.raises(UsageError, match=r"NAME\.toml"):
        read_settings(tmp_path / "a.yaml")


def test_an_address_that_a_flag_gives_stands(tmp_path: Path) -> None:
    """Over one in the file that would take TLS."""
    (tmp_path / "a.toml").write_text('listen = "0.0.0.0:1"')
    assert read_settings(tmp_path / "a.toml", listen="127.0.0.1:2").listen == "127.0.0.1:2"
    with pytest.raises(UsageError, match=r"0\.0\.0\.0:3 can be reached from elsewhere"):
        read_settings(tmp_path / "a.toml", listen="0.0.0.0:3")


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """To read it again would wait for ever."""
    os.mkfifo(tmp_path / "a.toml")
    with pytest.raises(UsageError, match="is a pipe, which cannot be read again"):
        read_settings(tmp_path / "a.toml")
