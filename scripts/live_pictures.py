"""Make the pictures of page, terminal and live view in docs/pictures again, from real runs.

python -m scripts.live_pictures        about four minutes

Redis and PostgreSQL are started for it and ended again; both are watched via refs, which needs no privilege.
Chromium draws the page and what Textual exports.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.stages import ROOT
from tests.integration.browser import Browser, browser
from tests.integration.servers import Postgres, Redis, postgres, redis
from udamon.cli import live
from udamon.live.app import LiveApp
from udamon.live.state import LiveState

PICTURES = ROOT / "docs" / "pictures"
UDAMON = [sys.executable, "-m", "udamon"]
LOOK = ["--via", "refs", "--aggr", "500ms"]


def main() -> None:
    with tempfile.TemporaryDirectory() as place, browser() as tab:
        with redis() as server:
            server.fill(keys=190_000, size=1000)
            _of_redis(server, tab, Path(place))
        with postgres(scale=20, buffers="256MB") as cluster:
            _of_postgres(cluster, tab, Path(place))


def _of_redis(server: Redis, tab: Browser, place: Path) -> None:
    """A tenth of the keys for 20 s, nobody for 15 s, all keys for 25 s."""
    recording, pid = place / "redis.udamon", ["-p", str(server.pid)]
    with _loads(server):
        _run(["record", *LOOK, *pid, "--duration", "60s", "-q", "-o", str(recording)])
    _page(recording, tab, "redis-page-light", dark=False, height=1150)
    _terminal(recording, "redis-terminal")
    _run(["report", "wss", str(recording), "--svg", str(PICTURES / "redis-wss.svg"), "--force"])
    (PICTURES / "redis-wss.svg").chmod(0o644)  # private as all pictures, and meant for everybody
    with _loads(server):
        _live([*LOOK, *pid], 50, tab, "redis-live", several=False)


def _of_postgres(cluster: Postgres, tab: Browser, place: Path) -> None:
    """Three clients of pgbench's select-only script all the time, and a query over all accounts after 20 s."""
    recording, family = place / "postgres.udamon", ["-p", str(cluster.pid), "--children"]
    query = [*cluster.client("psql"), "-c", "select sum(abalance) from pgbench_accounts", "postgres"]
    load = cluster.load(seconds=600, clients=3)
    try:
        later = threading.Timer(20, lambda: subprocess.run(query, capture_output=True, check=True))
        later.start()
        _run(["record", *LOOK, *family, "--duration", "45s", "-q", "-o", str(recording)])
        later.join()
        _page(recording, tab, "postgres-page-dark", dark=True, height=1150)
        _terminal(recording, "postgres-terminal")
        _live([*LOOK, *family], 12, tab, "postgres-live", several=True)
    finally:
        load.kill()
        load.wait()


@contextmanager
def _loads(server: Redis) -> Iterator[None]:
    stop = threading.Event()

    def go() -> None:
        for keys, seconds in ((19_000, 20), (None, 15), (190_000, 25)):
            load = None if keys is None else server.load(keys=keys)
            stop.wait(seconds)
            if load is not None:
                load.kill()
                load.wait()

    thread = threading.Thread(target=go)
    thread.start()
    try:
        time.sleep(0.5)
        yield
    finally:
        stop.set()
        thread.join()


def _run(words: list[str]) -> str:
    return subprocess.run([*UDAMON, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def _page(recording: Path, tab: Browser, name: str, *, dark: bool, height: int) -> None:
    out = recording.with_suffix(".html")
    _run(["report", "heatmap", str(recording), "--html", str(out)])
    tab.open(out, dark=dark, height=height)
    tab.point(620, 420)
    tab.screenshot(PICTURES / f"{name}.png")


def _terminal(recording: Path, name: str) -> None:
    text = subprocess.run(
        [*UDAMON, "report", "heatmap", str(recording), "--color", "always", "--resol", "30x76"],
        check=True, stdout=subprocess.PIPE, env={"COLUMNS": "104", "COLORTERM": "truecolor", "PYTHONUTF8": "1"},
    ).stdout  # fmt: skip
    title = f"udamon report heatmap of {recording.stem}: access rates by time and address"
    drawn = subprocess.run(
        [ROOT / "scripts" / "pictures", "-", title], input=text, check=True, stdout=subprocess.PIPE
    ).stdout
    (PICTURES / f"{name}.svg").write_bytes(drawn)


def _live(words: list[str], seconds: int, tab: Browser, name: str, *, several: bool) -> None:
    """Run the live view on a made-up terminal for so long, and photograph it."""
    parser = ArgumentParser()
    live.configure(parser)
    args = Namespace(**vars(parser.parse_args(words)), command=None)
    session = live.session_of(args, LiveState(), None)
    session.start(session.watch_request, None if several else 0)
    app = LiveApp(session.state, session, several=several)
    try:
        drawn = asyncio.run(_watch(app, seconds))
    finally:
        session.stop()
    with tempfile.TemporaryDirectory() as place:
        page = Path(place) / "live.html"
        style = "<style>body{margin:0}svg{width:100%}</style>"
        # Textual names fonts of the network: a browser would wait for them, and show no letters meanwhile.
        drawn = re.sub(r"@font-face\s*{.*?}", "", drawn, flags=re.DOTALL)
        page.write_text(f'<html data-ready="yes"><meta charset="utf-8">{style}{drawn}</html>')
        tab.open(page, width=1200, height=10)
        size = tab.value("document.querySelector('svg').getBoundingClientRect().height")
        tab.open(page, width=1200, height=round(size))
        tab.screenshot(PICTURES / f"{name}.png")


async def _watch(app: LiveApp, seconds: int) -> str:
    async with app.run_test(size=(110, 34 if not app._several else 18)) as pilot:
        await asyncio.sleep(seconds)
        await pilot.pause()
        return app.export_screenshot()


if __name__ == "__main__":
    main()
