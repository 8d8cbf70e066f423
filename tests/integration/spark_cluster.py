"""A standalone cluster of Spark on loopback, and processes that use it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

STORES = ("AWS_", "GOOGLE_", "AZURE_")
MEMORY = {"SPARK_DAEMON_MEMORY": "256m", "SPARK_DRIVER_MEMORY": "1g"}


def environment() -> dict[str, str]:
    """Of processes of Spark: this PySpark, this Python, loopback alone, little memory."""
    return {
        **os.environ, **MEMORY, "SPARK_HOME": str(home()), "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }  # fmt: skip


def home() -> Path:
    import pyspark

    return Path(pyspark.__file__).parent


@contextmanager
def cluster(place: Path) -> Iterator[str]:
    """A master and two workers of one core each, as processes of their own; its URL. As on machines of their own they
    have no variables of object stores. Their logs, and those of what they run, are below `place`."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    own = {name: value for name, value in environment().items() if not name.startswith(STORES)}
    started: list[subprocess.Popen[bytes]] = []

    def start(kind: str, *words: str) -> None:
        name = f"org.apache.spark.deploy.{kind.lower()}.{kind}"
        command = [
            str(home() / "bin" / "spark-class"),
            name,
            "--host",
            "127.0.0.1",
            "--webui-port",
            "0",
            *words,
        ]
        with (place / f"{kind}{len(started)}.log").open("wb") as log:
            started.append(subprocess.Popen(command, env=own, stdout=log, stderr=log, cwd=place))

    url = f"spark://127.0.0.1:{port}"
    try:
        start("Master", "--port", str(port))
        for number in range(2):
            start("Worker", url, "--cores", "1", "--memory", "1g", "--work-dir", f"work{number}")
        while (place / "Master0.log").read_text(errors="replace").count("Registering worker") < 2:
            assert all(each.poll() is None for each in started), (place / "Master0.log").read_text()
            time.sleep(0.2)
        yield url
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.wait()
