"""A server in the kubelet's place that sends any bytes, cut off, byte by byte or without end: refused within the time
that was given, and with bounded memory; the thread that asks goes on."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random, SystemRandom

import h2.config
import h2.connection
import hpack
import pytest

from tests.fuzz.mutate import data as mutated
from tests.unit.agent.discovery.fake_kubelet import field, framed, pod
from udamon.agent.discovery.grpc import call
from udamon.agent.discovery.kubelet import LIST_PODS, Pods
from udamon.errors import CannotError

WEB = field(1, pod("web-0", "shop", {"a" * 64: "web"}, {"a": "b"}, {"c": "d"}))


def good_answer() -> bytes:
    """What a server sends for a request: settings, headers, the message, trailers."""
    config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
    client = h2.connection.H2Connection(config)
    client.initiate_connection()
    client.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "x")])
    client.end_stream(1)
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
    server.send_data(1, framed(WEB))
    server.send_headers(1, [("grpc-status", "0")], end_stream=True)
    return server.data_to_send()


@contextmanager
def served(path: Path, answers: Iterable[Iterable[bytes]]) -> Iterator[None]:
    """A server at `path`; the parts of each answer go to one client, which may go away."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.fspath(path))
    listening.listen()

    def serve() -> None:
        for parts in answers:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client:
                try:
                    client.recv(1 << 16)
                    for part in parts:
                        client.sendall(part)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        path.unlink()


def test_any_bytes_end_in_an_answer_or_a_sentence(tmp_path: Path) -> None:
    seed = SystemRandom().randrange(1 << 32)
    print("seed", seed)
    random, whole = Random(seed), good_answer()
    answers = [mutated(whole, random) for _ in range(3000 if "UDAMON_TEST_LONG" in os.environ else 300)]
    answers += [whole[:end] for end in range(0, len(whole), 7)]
    with served(tmp_path / "s", ([one] for one in answers)):
        for _ in answers:
            try:
                call(tmp_path / "s", LIST_PODS, b"", 5, 1 << 20)
            except CannotError:
                pass


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


SETTINGS = _frame(4, 0, 0, b"")
ENDLESS = {
    "nothing but pings": _frame(6, 0, 0, b"x" * 8) * 100,
    "settings": SETTINGS * 100,
    "empty data": _frame(1, 4, 1, hpack.Encoder().encode([(":status", "200")])) + _frame(0, 0, 1, b"") * 100,
    "headers that go on": _frame(1, 0, 1, b"") + _frame(9, 0, 1, b"\x00" * 1000) * 20,
    "unknown frames": _frame(0xF0, 0, 0, b"y" * 1000) * 20,
    "half a frame": b"\x00\x40\x00\x00\x00",
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_answer_without_end(kind: str, tmp_path: Path) -> None:
    """Each part comes in time, and there is always another one."""

    def endless() -> Iterator[bytes]:
        yield SETTINGS
        while True:
            yield ENDLESS[kind]

    with served(tmp_path / "s", [endless()]), pytest.raises(CannotError):
        call(tmp_path / "s", LIST_PODS, b"", 0.3, 1 << 20)


def test_the_thread_that_asks_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes: `problem` says it, and the next good answer is taken."""
    from udamon.agent.discovery import kubelet

    answers: list[object] = [CannotError("x"), field(1, b"\xff"), b"\x0b", WEB]

    def answer(*_: object) -> bytes:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, bytes)
        return found

    monkeypatch.setattr(kubelet, "call", answer)
    pods = Pods(tmp_path / "s")
    for _ in range(3):
        pods._ask()
        assert pods.problem is not None
        assert pods.take() is None
    pods._ask()
    assert pods.problem is None
    assert pods.take()
