"""Sockets of the agent while it may open no more files: nothing spins, and who waits is served later."""

from __future__ import annotations

import json
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from udamon.agent import control, server
from udamon.agent.control import Control
from udamon.agent.server import PLAIN, Pages, Server
from udamon.handover import ask


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Whatever is opened within is refused. What is open stays so."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(0)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def tried(tries: list[float], count: int) -> None:
    """Wait until it was tried so often."""
    until(lambda: len(tries) >= count)


def noted(tries: list[float], work: Callable[..., Any]) -> Callable[..., Any]:
    def again(*args: Any) -> Any:
        tries.append(time.monotonic())
        return work(*args)

    return again


def between(tries: list[float]) -> float:
    return min(later - earlier for earlier, later in pairwise(tries))


def test_the_private_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []
    monkeypatch.setattr(Control, "_accept", noted(tries, Control._accept))
    served = Control(tmp_path / "socket", lambda question, _: {"said": question}, lambda _: None)
    with socket.socket(socket.AF_UNIX) as before, socket.socket(socket.AF_UNIX) as waiting:
        try:
            before.connect(str(tmp_path / "socket"))
            assert ask(before, do="a") == {"said": {"do": "a"}}
            tries.clear()
            with no_descriptors():
                waiting.connect(str(tmp_path / "socket"))
                tried(tries, 4)
                assert ask(before, do="b") == {"said": {"do": "b"}}
            assert between(tries[:4]) >= 0.9 * control.ACCEPT_AGAIN_S
            waiting.sendall(b'{"do": "c"}\n')
            waiting.settimeout(30)
            assert json.loads(waiting.makefile().readline()) == {"said": {"do": "c"}}
        finally:
            served.close()


def test_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []
    monkeypatch.setattr(server._Http, "get_request", noted(tries, server._Http.get_request))

    def page() -> tuple[int, str, bytes]:
        return 200, PLAIN, b"figures"

    served = Server("127.0.0.1", 0, Pages(page, page, page), None)
    with socket.socket() as waiting:
        try:
            with no_descriptors():
                waiting.connect(("127.0.0.1", served.port))
                tried(tries, 4)
            assert between(tries[:4]) >= 0.9 * server.ACCEPT_AGAIN_S
            waiting.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            waiting.settimeout(30)
            with waiting.makefile("rb") as answer:
                assert answer.read().endswith(b"figures")
        finally:
            served.close()
