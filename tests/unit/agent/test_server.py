"""The pages by HTTP, over real sockets on loopback."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from udamon.agent.server import AT_ONCE, PLAIN, Page, Pages, Server
from udamon.errors import CannotError


def page(body: bytes, status: int = 200) -> Page:
    return status, PLAIN, body


PAGES = Pages(lambda: page(b"figures"), lambda: page(b"ok"), lambda: page(b"not yet", 503))


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server("127.0.0.1", 0, PAGES, None)
    yield made
    made.close()


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/metrics", (200, b"figures")),
        ("/metrics?x=1", (200, b"figures")),
        ("/-/healthy", (200, b"ok")),
        ("/-/ready", (503, b"not yet")),
        ("/../etc/passwd", (404, b"see /metrics, /-/healthy, /-/ready\n")),
    ],
)
def test_pages(server: Server, path: str, expected: tuple[int, bytes]) -> None:
    assert get(server.port, path) == expected


def test_other_methods(server: Server) -> None:
    assert get(server.port, "/metrics", "HEAD") == (200, b"")
    assert get(server.port, "/metrics", "POST")[0] == 501


def test_clients_that_say_nothing_or_nonsense(server: Server) -> None:
    """They get no more than a thread each, of which there are few, and are answered or dropped."""
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(AT_ONCE - 1)]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as other:
        other.sendall(b"\x16\x03\x01nonsense\r\n\r\n")
        assert b"400" in other.recv(1000)
    assert get(server.port, "/metrics") == (200, b"figures")
    for each in silent:
        each.close()


def test_a_page_that_fails_says_so() -> None:
    server = Server("127.0.0.1", 0, PAGES._replace(metrics=lambda: page(str(1 / 0).encode())), None)
    try:
        assert get(server.port, "/metrics") == (
            500,
            b"the page failed: ZeroDivisionError: division by zero\n",
        )
    finally:
        server.close()


@pytest.fixture
def drip() -> Iterator[Callable[[list[socket.socket]], None]]:
    """Sends a byte on each connection now and then, so that none of them is ever silent for long."""
    ended, threads = threading.Event(), []

    def send(connections: list[socket.socket]) -> None:
        while not ended.wait(0.1):
            for each in connections:
                with suppress(OSError):
                    each.send(b"x")

    def start(connections: list[socket.socket]) -> None:
        threads.append(threading.Thread(target=send, args=(connections,)))
        threads[-1].start()

    yield start
    ended.set()
    for thread in threads:
        thread.join()


def test_clients_that_never_end_their_request(
    server: Server, drip: Callable[[list[socket.socket]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lose their places after some time, whatever they send."""
    monkeypatch.setattr("udamon.agent.server.LONGEST_S", 0.5)
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(AT_ONCE)]
    drip(slow)
    assert get(server.port, "/-/healthy") == (200, b"ok")
    for each in slow:
        each.close()


def test_the_server_ends_while_all_places_are_taken(drip: Callable[[list[socket.socket]], None]) -> None:
    server = Server("127.0.0.1", 0, PAGES, None)
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(AT_ONCE + 1)]
    drip(slow)
    while sum("process_request_thread" in each.name for each in threading.enumerate()) < AT_ONCE:
        time.sleep(0.01)
    time.sleep(0.1)  # the last one is accepted, and waits for a place
    ending = threading.Thread(target=server.close, daemon=True)
    ending.start()
    ending.join(20)
    assert not ending.is_alive()
    for each in slow:
        each.close()


def test_an_address_in_use_is_one_sentence(server: Server) -> None:
    with pytest.raises(CannotError, match="cannot listen on 127.0.0.1:.*--listen"):
        Server("127.0.0.1", server.port, PAGES, None)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*words, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server = Server("127.0.0.1", 0, PAGES, (str(certificate), str(key)))
    try:
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=20, context=context)
        connection.request("GET", "/metrics")
        assert connection.getresponse().read() == b"figures"
        connection.close()
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as plain:
            plain.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            with suppress(ConnectionResetError):
                assert b"figures" not in plain.recv(1000)
    finally:
        server.close()
    with pytest.raises(CannotError, match="PEM files of one pair"):
        Server("127.0.0.1", 0, PAGES, (str(key), str(certificate)))
