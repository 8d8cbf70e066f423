"""An S3 server on loopback, and a proxy before it that fails as networks and servers do."""

from __future__ import annotations

import http.client
import os
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from time import sleep
from typing import Any

BUCKET = "fleet"
FAILURES = ("error before", "error after", "hang up before", "hang up after", "stall")
"""What becomes of a request: before it reaches the server, or after, when the answer is lost. A stall is longer than
clients wait."""

STALL_S = 3.0


@contextmanager
def server() -> Iterator[str]:
    """moto with an empty bucket; its URL."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    try:
        _, port = moto.get_host_and_port()
        url = f"http://127.0.0.1:{port}"
        for method, path in (
            ("POST", "moto-api/reset"),
            ("PUT", BUCKET),
        ):  # all servers of a process share their state
            urllib.request.urlopen(urllib.request.Request(f"{url}/{path}", method=method)).close()
        yield url
    finally:
        moto.stop()


@contextmanager
def failing(url: str, share: float, seed: int) -> Iterator[tuple[str, dict[str, int]]]:
    """A proxy that fails the given share of requests; its URL, and how often it failed in which way."""
    random, lock = Random(seed), threading.Lock()
    counts = dict.fromkeys(FAILURES, 0)
    host = url.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                fails = random.choice(FAILURES) if random.random() < share else ""
                if fails:
                    counts[fails] += 1
            if fails == "stall":
                sleep(STALL_S)
            if fails in ("hang up before", "stall"):
                self.close_connection = True
                return
            if fails == "error before":
                self._send(500, [], b"")
                return
            upstream = http.client.HTTPConnection(host, timeout=60)
            upstream.request(self.command, self.path, body, {**dict(self.headers), "Connection": "close"})
            answer = upstream.getresponse()
            data = answer.read()
            upstream.close()
            if fails == "hang up after":
                self.close_connection = True
            elif fails == "error after":
                self._send(503, [], b"")
            else:
                self._send(answer.status, answer.getheaders(), data)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _answer

        def _send(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
            self.send_response(status)
            given = {name.lower() for name, _ in headers}
            for name, value in headers:
                if name.lower() not in (
                    "connection",
                    "transfer-encoding",
                    "date",
                    "server",
                    "content-length",
                ):
                    self.send_header(name, value)
            keeps = self.command == "HEAD" and "content-length" in given
            length = (
                {name.lower(): value for name, value in headers}["content-length"] if keeps else len(data)
            )
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}", counts
    finally:
        proxy.shutdown()
        proxy.server_close()


@contextmanager
def refusing() -> Iterator[str]:
    """A server that permits nothing; its URL."""

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_HEAD = do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    refusal = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=refusal.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{refusal.server_address[1]}"
    finally:
        refusal.shutdown()
        refusal.server_close()


def environment(url: str) -> dict[str, str]:
    """For obstore to use this server."""
    return {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true", "NO_PROXY": "*",
    }  # fmt: skip


def with_server(url: str) -> dict[str, str]:
    """The environment of a process that uses this server."""
    return os.environ | environment(url)
