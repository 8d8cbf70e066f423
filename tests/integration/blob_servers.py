"""Servers on loopback that speak as much of Google Cloud Storage and of Azure's blob storage as uploading needs: put
with the condition that there is nothing yet, get, list, and delete. No signature is checked.

They are ours: they show what our requests ask for and what becomes of their answers, not what the real services do.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

CONTAINER = "fleet"
_WHEN = "Sun, 29 Nov 2026 12:00:00 GMT"

Blobs = dict[str, bytes]


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Blobs(BaseHTTPRequestHandler):
    """`blobs` by path; `base` stands before the names of blobs; `fails`: how many puts fail first."""

    protocol_version = "HTTP/1.1"
    blobs: Blobs
    base: str
    fails: list[int]
    created, deleted, exists = 201, 202, 409

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(self.base).removeprefix("/")

    def _of(self, data: bytes) -> dict[str, str]:
        tag = md5(data, usedforsecurity=False).hexdigest()
        return {
            "ETag": f'"{tag}"',
            "Last_Modified": _WHEN,
            "x_goog_generation": "1",
            "x_ms_blob_type": "BlockBlob",
        }

    def conditional(self) -> bool:
        """Whether the blob is only to be made where there is none."""
        raise NotImplementedError

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.fails[0]:
            self.fails[0] -= 1
            return self._answer(503)
        name = self._name()
        if name in self.blobs and self.conditional():
            return self._answer(self.exists, x_ms_error_code="BlobAlreadyExists")
        self.blobs[name] = data
        return self._answer(self.created, b"", **self._of(data))

    def do_GET(self) -> None:
        name, query = self._name(), parse_qs(urlsplit(self.path).query)
        if not name.strip("/"):
            prefix = query.get("prefix", [""])[0]
            return self._answer(
                200, self.listing({n: d for n, d in self.blobs.items() if n.startswith(prefix)})
            )
        if name not in self.blobs:
            return self._answer(404)
        data = self.blobs[name]
        asked = re.fullmatch(
            r"bytes=(\d+)-(\d*)", self.headers.get("Range") or self.headers.get("x-ms-range") or ""
        )
        if asked is None:
            return self._answer(200, data, **self._of(data))
        first, end = int(asked[1]), min(len(data), int(asked[2] or len(data)) + 1)
        return self._answer(
            206, data[first:end], Content_Range=f"bytes {first}-{end - 1}/{len(data)}", **self._of(data)
        )

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        self._answer(404 if self.blobs.pop(self._name(), None) is None else self.deleted)

    def listing(self, found: Blobs) -> bytes:
        raise NotImplementedError


class _Google(_Blobs):
    created, deleted, exists = 200, 204, 412

    def conditional(self) -> bool:
        return self.headers.get("x-goog-if-generation-match") == "0"

    def listing(self, found: Blobs) -> bytes:
        items = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(data)}</Size><ETag>e</ETag>"
            "<LastModified>2026-11-29T12:00:00.000Z</LastModified></Contents>"
            for name, data in sorted(found.items())
        )
        return f"<ListBucketResult>{items}</ListBucketResult>".encode()


class _Azure(_Blobs):
    def do_POST(self) -> None:
        """Many requests to delete in one, and as many answers."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        parts = []
        for number, path in enumerate(re.findall(r"(?m)^DELETE (\S+) HTTP/1.1", body)):
            name = unquote(urlsplit(path).path).removeprefix(self.base).removeprefix("/")
            there = self.blobs.pop(name, None) is not None
            status = "202 Accepted" if there else "404 The specified blob does not exist."
            code = "" if there else "x-ms-error-code: BlobNotFound\r\n"
            parts.append(
                f"--b\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n"
                f"HTTP/1.1 {status}\r\n{code}x-ms-request-id: 1\r\n\r\n\r\n"
            )
        self._answer(202, "".join([*parts, "--b--\r\n"]).encode(), Content_Type="multipart/mixed; boundary=b")

    def conditional(self) -> bool:
        return self.headers.get("If-None-Match") == "*"

    def listing(self, found: Blobs) -> bytes:
        items = "".join(
            f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>{_WHEN}</Last-Modified>"
            f"<Content-Length>{len(data)}</Content-Length><Content-Type>x</Content-Type><Etag>e</Etag>"
            "</Properties></Blob>"
            for name, data in sorted(found.items())
        )
        return f"<EnumerationResults><Blobs>{items}</Blobs><NextMarker /></EnumerationResults>".encode()


@contextmanager
def google(place: Path, blobs: Blobs, fails: list[int]) -> Iterator[dict[str, str]]:
    """The variables with which gs:// is served from `blobs`; `place` gets a file with the credentials."""
    handler = type("Google", (_Google,), {"blobs": blobs, "base": f"/{CONTAINER}", "fails": fails})
    with _served(handler) as url:
        account = {
            "gcs_base_url": url,
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        file = place / "account.json"
        file.write_text(json.dumps(account))
        yield {"GOOGLE_SERVICE_ACCOUNT": str(file)}


@contextmanager
def azure(place: Path, blobs: Blobs, fails: list[int]) -> Iterator[dict[str, str]]:
    """The same of az://."""
    handler = type(
        "Azure", (_Azure,), {"blobs": blobs, "base": f"/devstoreaccount1/{CONTAINER}", "fails": fails}
    )
    with _served(handler) as url:
        yield {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": url}
