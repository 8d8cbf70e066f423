"""Stages that run at the same time end with the check that began them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
CHECK = """
import sys
from pathlib import Path
from scripts import parallel
parallel.LOGS = parallel.RESULTS = Path(sys.argv[1])
place = sys.argv[1]
script = f"echo $$ > {place}/new; mv {place}/new {place}/pid; exec sleep 300"
stage = parallel.Stage("one", ["sh", "-c", script])
parallel.Run([stage], 1).run()
"""


def test_a_check_that_is_ended_ends_its_stages(tmp_path: Path) -> None:
    check = subprocess.Popen([sys.executable, "-c", CHECK, str(tmp_path)], cwd=ROOT)
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 120
    while not pid.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    stage = os.pidfd_open(int(pid.read_text()))
    try:
        check.send_signal(signal.SIGTERM)
        assert check.wait(60) == 128 + signal.SIGTERM
        assert select.select([stage], [], [], 60)[0], "the stage runs on"
    finally:
        os.close(stage)
