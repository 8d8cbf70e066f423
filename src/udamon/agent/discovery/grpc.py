"""One call of gRPC over a socket of this machine: a request, an answer, within a time.

HTTP/2 is h2's (extra `agent`): grpcio would take 19 MiB of memory for this (docs/decisions/0011-discovery.md).
"""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

from udamon import extras
from udamon.errors import CannotError

_HEAD = struct.Struct(">BI")  # whether it is compressed, and its length
_STREAM = 1


def call(path: Path, method: str, request: bytes, within_s: float, most: int) -> bytes:
    """The message that `method` ("/package.Service/Method") of the server at the socket `path` answers.

    Waits `within_s` at most, and reads `most` bytes. Raises CannotError (MissingExtra).
    """
    try:
        import h2.config
        import h2.connection
        import h2.events
        import h2.exceptions
    except ImportError:
        raise extras.missing("the kubelet's API", "agent") from None
    end = time.monotonic() + within_s
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    data, status, message = bytearray(), None, ""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as server:
            server.settimeout(_left(end))
            server.connect(str(path))
            http.initiate_connection()
            http.send_headers(_STREAM, _headers(method))
            http.send_data(_STREAM, _HEAD.pack(0, len(request)) + request, end_stream=True)
            ended = False
            while not ended:
                server.settimeout(_left(end))
                server.sendall(http.data_to_send())
                received = server.recv(1 << 16)
                if not received:
                    raise OSError("it closed the connection")
                for event in http.receive_data(received):
                    if isinstance(event, h2.events.DataReceived):
                        data += event.data
                        if len(data) > most + _HEAD.size:
                            raise OSError(f"it answers more than {most} bytes")
                        http.acknowledge_received_data(event.flow_controlled_length, _STREAM)
                    elif isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                        said = {str(name): str(value) for name, value in event.headers}
                        status, message = said.get("grpc-status", status), said.get("grpc-message", message)
                    elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                        raise OSError("it refused")
                    ended = ended or isinstance(event, h2.events.StreamEnded)
    except (OSError, h2.exceptions.ProtocolError, UnicodeDecodeError) as error:
        raise CannotError(f"{path} does not answer {method}: {error}.") from None
    if status != "0":
        raise CannotError(f"{path} answers {method} with status {status}: {message[:200]}.")
    return _message(bytes(data), path)


def _headers(method: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]


def _message(data: bytes, path: Path) -> bytes:
    if len(data) < _HEAD.size:
        raise CannotError(f"{path} answers nothing.")
    compressed, length = _HEAD.unpack_from(data)
    if compressed or length != len(data) - _HEAD.size:
        raise CannotError(f"{path} answers no single message.")
    return data[_HEAD.size :]


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("it takes too long")
    return left
