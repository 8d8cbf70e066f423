"""Servers on loopback: each is filled, and then most requests are for a part of what it has."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.memory_group import MemoryGroup
from bench.right_size.workload import Units, Workload
from tests.integration.servers import free_port

WAIT_LIMIT_S = 30.0
KEYS, HOT_KEYS, VALUE = 60_000, 24_000, 2048
"""About 120 MiB, of which 40 % are asked for after all were written once."""

PAGES, HOT_PAGES, PAGE_BYTES = 4_000, 1_600, 32 << 10


class Client:
    """One connection; requests are sent `BATCH` at a time."""

    BATCH = 100

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), WAIT_LIMIT_S)
        self._back = self._socket.makefile("rb")

    def ask(self, requests: Sequence[bytes], answer: Callable[[Client], object]) -> None:
        """Send all and take an answer for each."""
        self._socket.sendall(b"".join(requests))
        for _ in requests:
            answer(self)

    def line(self) -> bytes:
        """Raises BrokenPipeError where the server has ended."""
        found = self._back.readline()
        if not found:
            raise BrokenPipeError("the server has ended")
        return found

    def skip(self, size: int) -> None:
        """Raises BrokenPipeError where the server has ended."""
        if len(self._back.read(size)) != size:
            raise BrokenPipeError("the server has ended")

    def work(self, request: Callable[[], bytes], answer: Callable[[Client], object]) -> Units:
        def units(seconds: float) -> int:
            end, done = time.monotonic() + seconds, 0
            while time.monotonic() < end:
                self.ask([request() for _ in range(self.BATCH)], answer)
                done += self.BATCH
            return done

        return units

    def close(self) -> None:
        self._back.close()
        self._socket.close()


@contextmanager
def _serving(group: MemoryGroup, words: Sequence[str], port: int) -> Iterator[Client]:
    """A server in the group with a client; it is ended at the end."""
    process = subprocess.Popen(
        group.words(words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    client = None
    try:
        client = _connected(process, port)
        yield client
    finally:
        if client is not None:
            client.close()
        process.kill()
        process.wait()


def _connected(process: subprocess.Popen[bytes], port: int) -> Client:
    deadline = time.monotonic() + WAIT_LIMIT_S
    while True:
        try:
            return Client(port)
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _nothing(place: Path) -> list[Path]:
    return []


def _value(client: Client) -> None:
    """A value of Redis: its size, and the bytes with a line end."""
    size = int(client.line()[1:])
    client.skip(size + 2)


@contextmanager
def _redis(place: Path, group: MemoryGroup) -> Iterator[Units]:
    port, choice = free_port(), random.Random(11)
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(place)]
    with _serving(group, words, port) as client:
        for at in range(0, KEYS, Client.BATCH):
            sets = [
                b"*3\r\n$3\r\nSET\r\n$%d\r\nk%d\r\n$%d\r\n%s\r\n"
                % (len(str(key)) + 1, key, VALUE, choice.randbytes(VALUE))
                for key in range(at, at + Client.BATCH)
            ]
            client.ask(sets, Client.line)
        yield client.work(lambda: b"GET k%d\r\n" % choice.randrange(HOT_KEYS), _value)


def _item(client: Client) -> None:
    """An item of memcached: VALUE key flags size, the bytes with a line end, END."""
    size = int(client.line().split()[3])
    client.skip(size + 2)
    client.line()


@contextmanager
def _memcached(place: Path, group: MemoryGroup) -> Iterator[Units]:
    port, choice = free_port(), random.Random(12)
    words = ["memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-m", "512", "-t", "1"]
    with _serving(group, words, port) as client:
        for at in range(0, KEYS, Client.BATCH):
            sets = [
                b"set k%d 0 0 %d\r\n%s\r\n" % (key, VALUE, choice.randbytes(VALUE))
                for key in range(at, at + Client.BATCH)
            ]
            client.ask(sets, Client.line)
        yield client.work(lambda: b"get k%d\r\n" % choice.randrange(HOT_KEYS), _item)


NGINX = """\
daemon off; master_process off; worker_processes 1; user root; pid {place}/nginx.pid; error_log {place}/nginx.error;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000000;
  client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f;
  uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
  server {{ listen 127.0.0.1:{port}; root {place}/pages; }}
}}
"""


def _pages(place: Path) -> list[Path]:
    noise = random.Random(13)
    (place / "pages").mkdir()
    found = []
    for number in range(PAGES):
        found.append(place / "pages" / str(number))
        found[-1].write_bytes(noise.randbytes(PAGE_BYTES))
    return found


def _page(client: Client) -> None:
    """Heads of an answer to HTTP, and its body."""
    size = 0
    while (head := client.line()) != b"\r\n":
        if head.lower().startswith(b"content-length:"):
            size = int(head.split(b":")[1])
    client.skip(size)


@contextmanager
def _nginx(place: Path, group: MemoryGroup) -> Iterator[Units]:
    port, choice = free_port(), random.Random(14)
    settings = place / "nginx.conf"
    settings.write_text(NGINX.format(place=place, port=port))

    def get(number: int) -> bytes:
        return b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number

    with _serving(group, ["nginx", "-c", str(settings)], port) as client:
        for number in range(PAGES):
            client.ask([get(number)], _page)
        yield client.work(lambda: get(choice.randrange(HOT_PAGES)), _page)


SERVERS = (
    Workload("Redis", "GETs", "redis-server", _nothing, _redis),
    Workload("memcached", "gets", "memcached", _nothing, _memcached),
    Workload("nginx, sendfile", "requests", "nginx", _pages, _nginx),
)
