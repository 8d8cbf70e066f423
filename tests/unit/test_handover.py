"""Answers that are none: too slow, cut off, too long, no JSON, JSON that says a key twice."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from udamon import handover
from udamon.handover import ask
from udamon.plain_json import JsonError


def _sent(parts: Iterator[bytes] | list[bytes], pause_s: float = 0.0) -> socket.socket:
    """The near end of a connection on which, after a question, these parts come."""
    near, far = socket.socketpair()
    stop = threading.Event()

    def answer() -> None:
        with far:
            far.recv(1 << 16)
            for part in parts:
                if stop.wait(pause_s):
                    return
                try:
                    far.sendall(part)
                except OSError:
                    return

    threading.Thread(target=answer, daemon=True).start()
    return near


def test_an_answer_that_comes_by_bytes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is that of the whole answer: each byte came within it, and a hundred take ten times as long."""
    monkeypatch.setattr(handover, "WAIT_LIMIT_S", 0.2)
    with _sent([b" "] * 100, 0.02) as connection, pytest.raises(TimeoutError):
        ask(connection, do="status")


@pytest.mark.parametrize(
    "parts",
    [[b"[]\n"], [b"{\n"], [b"\xff\n"], [b'{"a": NaN}\n'], [b'{"given": false, "given": true}\n'],
     [b"[" * 100_000 + b"\n"], [b'{"a": ' + b"9" * 5000 + b"}\n"], [b'{"a": "\\ud800"}\n'], [b"\n"]],
    ids=lambda parts: repr(parts[0][:20]),
)  # fmt: skip
def test_what_is_no_answer(parts: list[bytes]) -> None:
    with _sent(parts) as connection, pytest.raises(JsonError):
        ask(connection, do="status")


def test_an_answer_that_is_cut_off() -> None:
    with _sent([b'{"given"']) as connection, pytest.raises(ConnectionResetError):
        ask(connection, do="status")


def test_an_answer_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "LONGEST", 1 << 16)
    with _sent([b" " * (1 << 16)] * 3) as connection, pytest.raises(ValueError, match="too long"):
        ask(connection, do="status")
