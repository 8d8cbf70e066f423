"""Names of sockets: nothing that has such a name is lost but a socket that nobody listens to."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from udamon.agent.control import Control
from udamon.errors import CannotError
from udamon.files.sockets import SocketName


@pytest.fixture(params=[socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["stream", "datagram"])
def made(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, request.param) as found:
        yield found


def named(made: socket.socket, path: Path) -> SocketName:
    return SocketName(made, path, "somebody listens.")


def same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether a name leads to what it did, unchanged. To look at it is no change."""
    kept = ("st_dev", "st_ino", "st_mode", "st_uid", "st_size", "st_mtime_ns", "st_ctime_ns")
    return all(getattr(one, name) == getattr(other, name) for name in kept)


def test_it_is_private_and_goes(made: socket.socket, tmp_path: Path) -> None:
    name = named(made, tmp_path / "s")
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
    name.remove()
    name.remove()
    assert not list(tmp_path.iterdir())


def test_a_socket_that_was_left_is_replaced(made: socket.socket, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, made.type) as left:
        left.bind(str(tmp_path / "s"))
    with socket.socket(socket.AF_UNIX, made.type) as client:
        with pytest.raises(ConnectionRefusedError):
            client.connect(str(tmp_path / "s"))
        named(made, tmp_path / "s")
        if made.type == socket.SOCK_STREAM:
            made.listen()
        client.connect(str(tmp_path / "s"))


@pytest.mark.parametrize("waiting", [0, 5])
def test_a_socket_that_is_listened_to_stays(waiting: int, made: socket.socket, tmp_path: Path) -> None:
    """Also where more wait for it than it takes."""
    with socket.socket(socket.AF_UNIX, made.type) as there:
        there.bind(str(tmp_path / "s"))
        if made.type == socket.SOCK_STREAM:
            there.listen(0)
        clients = [socket.socket(socket.AF_UNIX, made.type | socket.SOCK_NONBLOCK) for _ in range(waiting)]
        for client in clients:
            client.connect_ex(str(tmp_path / "s"))
        before = (tmp_path / "s").stat()
        with pytest.raises(CannotError, match=r"somebody listens\."):
            named(made, tmp_path / "s")
        for client in clients:
            client.close()
        assert same((tmp_path / "s").lstat(), before)


def test_what_is_no_socket_stays(made: socket.socket, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "place").mkdir()
    for path in list(tmp_path.iterdir()):
        before = path.lstat()
        with pytest.raises(CannotError, match="is no socket"):
            named(made, path)
        assert same(path.lstat(), before)
    assert (tmp_path / "file").read_text() == "mine"


def test_what_took_the_name_meanwhile_stays(made: socket.socket, tmp_path: Path) -> None:
    name = named(made, tmp_path / "s")
    (tmp_path / "s").unlink()
    (tmp_path / "s").write_text("mine")
    name.remove()
    assert (tmp_path / "s").read_text() == "mine"


def test_the_agent_leaves_a_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(CannotError, match="is no socket"):
        Control(path, lambda *_: {}, lambda _: None)
    assert path.read_text() == "mine"


def test_the_agent_removes_its_own_socket_alone(tmp_path: Path) -> None:
    control = Control(tmp_path / "s", lambda *_: {}, lambda _: None)
    (tmp_path / "s").unlink()
    (tmp_path / "s").write_text("another's")
    control.close()
    assert (tmp_path / "s").read_text() == "another's"
