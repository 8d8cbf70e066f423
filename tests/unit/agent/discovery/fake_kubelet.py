"""A server of gRPC at a socket, which answers every call with what a test gives it; and messages of pods."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Mapping
from pathlib import Path

import h2.config
import h2.connection
import h2.events


def number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(at: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return number(at << 3 | 2) + number(len(data)) + data


def pod(
    name: str, namespace: str, containers: Mapping[str, str], labels: Mapping[str, str], annotations: Mapping[str, str]
) -> bytes:  # fmt: skip
    """A v1.Pod, with what is of no interest between; `containers`: names by id."""
    entries = [(11, labels), (12, annotations)]
    metadata = field(1, name) + field(3, namespace) + field(5, "uid") + number(7 << 3) + number(300)
    for at, table in entries:
        metadata += b"".join(field(at, field(1, key) + field(2, value)) for key, value in table.items())
    status = field(1, "Running")
    for container, called in containers.items():
        status += field(
            8, field(1, called) + number(4 << 3) + number(1) + field(8, f"containerd://{container}")
        )
    return field(1, metadata) + field(2, b"\x09" + b"x" * 8 + b"\x0d" + b"x" * 4) + field(3, status)


def framed(message: bytes, compressed: int = 0) -> bytes:
    return struct.pack(">BI", compressed, len(message)) + message


class FakeKubelet:
    """`answer`: the bytes of the answer's body, None to say nothing at all; `status`: of the call."""

    def __init__(self, path: Path) -> None:
        self.answer: bytes | None = framed(b"")
        self.status = "0"
        self.asked: list[str] = []
        self.answered = threading.Semaphore(0)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def pods(self, *pods: bytes) -> None:
        self.answer = framed(b"".join(field(1, one) for one in pods))

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with client:
                try:
                    self._talk(client)
                except OSError:
                    pass  # the client has closed it
            self.answered.release()

    def _talk(self, client: socket.socket) -> None:
        http = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        http.initiate_connection()
        body, sent = self.answer or b"", False
        while True:
            client.sendall(http.data_to_send())
            received = client.recv(1 << 16)
            if not received:
                return
            for event in http.receive_data(received):
                if isinstance(event, h2.events.RequestReceived):
                    self.asked.append({str(name): str(value) for name, value in event.headers}[":path"])
                elif isinstance(event, h2.events.StreamEnded) and self.answer is not None:
                    http.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
                    sent = True
            while sent and body and (room := min(http.local_flow_control_window(1), 1 << 14)) > 0:
                http.send_data(1, body[:room])
                body = body[room:]
            if sent and not body:
                http.send_headers(1, [("grpc-status", self.status), ("grpc-message", "no")], end_stream=True)
                sent = False
