"""The served tree: what tools see of it, and that nothing stays when its server ends in whatever way."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from tests.integration.control_server import Server, mounted, serving
from tests.integration.forking import UDAMON
from tests.waiting import until

pytestmark = pytest.mark.needs("fuse")


@pytest.fixture
def server(tmp_path: Path) -> Server:  # type: ignore[misc]
    directory = tmp_path / "damon"
    directory.mkdir()
    with serving(directory) as found:
        found.write("nr_kdamonds", "1\n")
        found.write("0/contexts/nr_contexts", "1\n")
        yield found


def on(server: Server) -> None:
    server.write("0/contexts/0/targets/nr_targets", "1")
    server.write("0/state", "on")


def test_files_look_like_those_of_sysfs(server: Server) -> None:
    state = (server.at / "0/state").stat()
    assert (stat.filemode(state.st_mode), state.st_size, state.st_uid) == ("-rw-------", 4096, os.geteuid())
    assert stat.filemode((server.at / "0/pid").stat().st_mode) == "-r--------"
    assert stat.filemode((server.at / "0").stat().st_mode) == "drwxr-xr-x"
    assert sorted(os.listdir(server.at / "0")) == ["contexts", "pid", "refresh_ms", "state"]
    assert server.read("0/contexts/0/operations") == "vaddr\n"


@pytest.mark.each_command
def test_a_shell_can_write_and_read(server: Server) -> None:
    script = "echo 0x10 > 0/refresh_ms && cat 0/refresh_ms && : > 0/refresh_ms && cat 0/refresh_ms"
    done = subprocess.run(["sh", "-c", script], cwd=server.at, capture_output=True, text=True, check=True)
    assert done.stdout == "16\n16\n"


@pytest.mark.parametrize(
    ("path", "text", "code"),
    [
        ("0/state", "fly", errno.EINVAL),
        ("0/refresh_ms", str(2**40), errno.ERANGE),
        ("0/pid", "1", errno.EACCES),
        ("1/state", "on", errno.ENOENT),
        ("0/contexts/nr_contexts", "2", errno.EINVAL),
    ],
)
def test_refusals_have_the_kernels_number(server: Server, path: str, text: str, code: int) -> None:
    with pytest.raises(OSError, match=rf"\[Errno {code}\]"):
        server.write(path, text)


def test_nothing_else_can_be_made_or_changed(server: Server) -> None:
    with pytest.raises(OSError, match=f"Errno {errno.EACCES}"):
        (server.at / "new").write_text("")
    for change in (
        lambda: (server.at / "new").mkdir(),
        lambda: (server.at / "nr_kdamonds").unlink(),
        lambda: (server.at / "0/state").chmod(0o666),
        lambda: (server.at / "0").rename(server.at / "7"),
    ):
        with pytest.raises(OSError, match=f"Errno {errno.EPERM}"):
            change()


def test_directories_come_and_go_at_once(server: Server) -> None:
    schemes = server.at / "0/contexts/0/schemes"
    for count in (2, 0, 1):
        server.write("0/contexts/0/schemes/nr_schemes", str(count))
        assert sorted(os.listdir(schemes)) == sorted(["nr_schemes", *map(str, range(count))])
        assert [(schemes / str(n)).is_dir() for n in range(2)] == [count > 0, count > 1]


def test_reading_in_small_pieces_and_from_the_start_again(server: Server) -> None:
    fd = os.open(server.at / "0/contexts/0/avail_operations", os.O_RDONLY)
    try:
        assert b"".join(iter(lambda: os.read(fd, 4), b"")) == b"vaddr\nfvaddr\npaddr\n"
        assert os.pread(fd, 5, 0) == b"vaddr"
    finally:
        os.close(fd)


def test_a_file_of_a_removed_directory_says_so(server: Server) -> None:
    fd = os.open(server.at / "0/refresh_ms", os.O_RDWR)
    try:
        server.write("nr_kdamonds", "1")
        with pytest.raises(OSError, match=f"Errno {errno.ENODEV}"):
            os.pread(fd, 10, 0)
    finally:
        os.close(fd)


def test_while_one_waits_for_a_kdamond_others_read_on(server: Server) -> None:
    server.write("0/contexts/0/schemes/nr_schemes", "1")
    server.write("0/contexts/0/monitoring_attrs/intervals/aggr_us", "3000000")
    on(server)
    walk = threading.Thread(target=lambda: server.write("0/state", "update_schemes_tried_regions"))
    walk.start()
    busy = 0
    while walk.is_alive():
        assert server.read("0/refresh_ms") == "0\n"
        try:
            server.read("0/state")
        except OSError as error:
            busy += error.errno == errno.EBUSY
    walk.join()
    assert busy > 0
    assert server.read("0/state") == "on\n"


def test_a_signal_ends_it_and_all_kdamonds(server: Server) -> None:
    on(server)
    pid = server.read("0/pid").strip()
    assert Path(f"/proc/{pid}/comm").read_text() == "kdamond.0\n"
    assert server.end() == 0
    assert not mounted(server.directory)
    assert not Path(f"/proc/{pid}").exists()


def test_unmounting_ends_it(server: Server) -> None:
    on(server)
    command = ["umount"] if os.geteuid() == 0 else ["fusermount3", "-u"]
    subprocess.run([*command, str(server.directory)], check=True)
    assert server.process.wait(60) == 0


def test_what_a_killed_server_leaves_is_cleared_by_the_next(server: Server) -> None:
    on(server)
    pid = server.read("0/pid").strip()
    server.end(signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists())
    with serving(server.directory) as again:
        assert again.read("nr_kdamonds") == "0\n"
    assert not mounted(server.directory)


def test_an_older_kernels_tree(tmp_path: Path) -> None:
    with serving(tmp_path, "--compat", "6.1") as old:
        old.write("nr_kdamonds", "1")
        assert sorted(os.listdir(old.at / "0")) == ["contexts", "pid", "state"]


def test_both_trees_end_together(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    new.mkdir()
    old.mkdir()
    with serving(new, "--debugfs", str(old)) as server:
        assert (old / "target_ids").read_text() == "\n"
        (old / "mk_contexts").write_text("foo\n")
        assert (old / "foo/kdamond_pid").read_text() == "none\n"
        broken = subprocess.run(
            ["bash", "-c", "echo '1 2\n3 4' > schemes"], cwd=old, capture_output=True, text=True
        )
        assert "Invalid argument" in broken.stderr
        subprocess.run(["umount", str(old)], check=True)
        assert server.process.wait(60) == 0
        assert not mounted(new)


def test_paths_that_begin_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libfuse goes to / with the first mount. The second was not found there, and the first waited for its end for
    ever; events were looked for a reader there."""
    monkeypatch.chdir(tmp_path)
    for name in ("new", "old"):
        Path(name).mkdir()
    with serving(Path("new"), "--debugfs", "old", "--events", "events") as server:
        assert (tmp_path / "old/target_ids").read_text() == "\n"
        server.write("nr_kdamonds", "1\n")
        server.write("0/contexts/nr_contexts", "1\n")
        on(server)
        with open("events", encoding="ascii") as events:
            assert "damon_aggregated" in events.readline()
        assert server.end() == 0
    assert not mounted(tmp_path / "new")
    assert not mounted(tmp_path / "old")


@pytest.mark.parametrize("old", ["new", "new/inside", ".", "link"])
def test_two_trees_are_apart(tmp_path: Path, old: str) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "link").symlink_to("new")
    done = subprocess.run(
        [*UDAMON, "control", "mount", "new", "--sim", "demo", "--debugfs", old],
        capture_output=True, text=True, cwd=tmp_path, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "give two apart" in done.stderr
    assert not mounted(tmp_path / "new")


def test_a_signal_ends_both_trees_without_a_word(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    new.mkdir()
    old.mkdir()
    with serving(new, "--debugfs", str(old)) as server:
        assert server.end() == 0
        assert server.process.stderr is not None
        assert server.process.stderr.read() == ""
        assert not mounted(new)
        assert not mounted(old)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--sim", "demo"], 1, "is not empty"),
        (["--sim", "demo", "--via", "idle"], 2, "--sim goes with --via sim"),
        (["--sim", "demo", "--compat", "5.10"], 2, "5.18 or later"),
        (["--sim", "demo", "--compat", "7.3"], 2, "not known here; give at most 7.2"),
        (["--sim", "demo", "--compat", "\uff16.\uff11\uff12"], 2, "is not a kernel version"),
        (["--sim", "demo", "--same-cpu"], 2, "--same-cpu"),
        (["--sim", "demo", "--", "true"], 2, "control exec"),
    ],
)
def test_what_cannot_be_served(tmp_path: Path, words: list[str], status: int, says: str) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [*UDAMON, "control", "mount", str(tmp_path), *words], capture_output=True, text=True
    )
    assert done.returncode == status
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
