"""The agent's pages by HTTP: /metrics, /-/healthy, /-/ready."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from udamon.errors import CannotError

AT_ONCE = 8
"""Connections that are served at a time; others wait to be accepted."""
WAIT_LIMIT_S = 10.0
LONGEST_S = 30.0
"""Of a connection from when it is served on: a client that sends a byte now and then would keep its place for ever."""
ACCEPT_AGAIN_S = 0.25
"""After a connection could not be accepted: it waits and can be read all the time while no descriptor is left, so to
try again at once would take a whole CPU."""

Page = tuple[int, str, bytes]
"""Status, content type, body."""
PLAIN = "text/plain; charset=utf-8"


class Pages(NamedTuple):
    """What is served, by path."""

    metrics: Callable[[], Page]
    healthy: Callable[[], Page]
    ready: Callable[[], Page]


class Server:
    """Serves on a thread of its own until `close`. Raises CannotError."""

    def __init__(self, host: str, port: int, pages: Pages, tls: tuple[str, str] | None) -> None:
        context = None if tls is None else tls_context(*tls)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._http = _Http((host, port), family, pages, context)
        except OSError as error:
            raise CannotError(
                f"cannot listen on {host}:{port}: {error.strerror}; choose another address by --listen."
            ) from None
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """Raises CannotError where the files are none, or of no pair."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise CannotError(
            f"cannot use the certificate {certificate} with the key {key}: {error}; give PEM files of one pair."
        ) from None
    return context


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32
    allow_reuse_address = True

    def __init__(
        self, address: tuple[str, int], family: socket.AddressFamily, pages: Pages, tls: ssl.SSLContext | None
    ) -> None:
        self.address_family = family
        self.pages = pages
        self._tls = tls
        self.closing = threading.Event()
        self._room = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()  # without asking for names

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:
            time.sleep(ACCEPT_AGAIN_S)
            raise

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        while not self._room.acquire(timeout=ACCEPT_AGAIN_S):
            if self.closing.is_set():
                self.shutdown_request(request)
                return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        assert isinstance(request, socket.socket)
        late: threading.Timer | None = None
        try:
            request.settimeout(WAIT_LIMIT_S)
            if self._tls is not None:
                request = self._tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
            late = threading.Timer(LONGEST_S, _end, (request,))
            late.start()
            if isinstance(request, ssl.SSLSocket):
                request.do_handshake()
            super().process_request_thread(request, client_address)
        except OSError:
            self.shutdown_request(request)  # no TLS, or nothing said for too long
        finally:
            if late is not None:
                late.cancel()
            self._room.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no fault of ours."""


def _end(connection: socket.socket) -> None:
    """Whatever is read or written on it ends at once."""
    with suppress(OSError):  # it has ended
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # TLS has no say in that


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    server_version = "udamon"
    sys_version = ""
    timeout = WAIT_LIMIT_S

    def do_GET(self) -> None:
        pages = self.server.pages
        known = {"/metrics": pages.metrics, "/-/healthy": pages.healthy, "/-/ready": pages.ready}
        page = known.get(self.path.partition("?")[0])
        try:
            status, kind, body = (
                page() if page is not None else (404, PLAIN, b"see /metrics, /-/healthy, /-/ready\n")
            )
        except Exception as error:  # a defect, which an answer that is empty would hide
            status, kind = 500, PLAIN
            body = f"the page failed: {type(error).__name__}: {error}\n".encode(errors="backslashreplace")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are no news."""
