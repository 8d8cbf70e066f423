"""A headless Chromium that a test drives through its debugging pipe: no driver program, no library, no port.

The protocol is Chrome's DevTools protocol: JSON messages, each ended by a zero byte, on descriptors 3 and 4.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.waiting import WAIT_LIMIT_S

KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Escape": 27, "Tab": 9, "Home": 36}
SHIFT, CTRL = 8, 2


def program() -> str | None:
    """Chromium, by any of its names."""
    names = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


class Browser:
    """One tab. What the page's console says, what it throws and what it asks the network for is kept."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, back: int) -> None:
        self._process, self._to, self._back = process, to, back
        self._number, self._buffer = 0, b""
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})
        self._session: str | None = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    _session: str | None = None

    def call(self, method: str, parameters: dict[str, Any] | None = None) -> Any:
        """One command of the protocol to the tab; returns its result."""
        return self._call(method, parameters or {})

    def open(self, file: Path, *, dark: bool = False, width: int = 1280, height: int = 1000) -> None:
        """Load a file and wait until its script says that it is ready."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", size)
        self.call("Page.navigate", {"url": file.resolve().as_uri()})
        self.until("document.documentElement?.dataset.ready === 'yes'")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives, as JSON; a promise is waited for."""
        found = self.call(
            "Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True}
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until the expression is true."""
        deadline = time.monotonic() + WAIT_LIMIT_S
        while not self.value(expression):
            assert time.monotonic() < deadline, f"{expression} did not come true; {self.errors}"
            time.sleep(0.02)

    def press(self, key: str, modifiers: int = 0) -> None:
        """A key goes down and up."""
        event: dict[str, Any] = {"key": key, "modifiers": modifiers}
        if key in KEYS:
            event |= {"windowsVirtualKeyCode": KEYS[key], "code": key}
        else:
            event |= {"text": key}
        self.call("Input.dispatchKeyEvent", event | {"type": "keyDown"})
        self.call("Input.dispatchKeyEvent", event | {"type": "keyUp"})

    def point(self, x: float, y: float) -> None:
        """The pointer moves to a place of the window."""
        self.call("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})

    def click(self, x: float, y: float) -> None:
        """The first button goes down and up."""
        for kind in ("mousePressed", "mouseReleased"):
            event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", event)

    def screenshot(self, file: Path) -> None:
        """What the window shows, as PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _call(self, method: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(parameters["exceptionDetails"]))
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.errors.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._back], [], [], WAIT_LIMIT_S)
            assert ready, "the browser says nothing"
            data = os.read(self._back, 1 << 16)
            assert data, f"the browser ended with status {self._process.poll()}"
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        return found


def _out_of_the_way(descriptor: int) -> int:
    """The same under a number that is neither 3 nor 4, which the browser wants for its own ends."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(descriptor)
    return moved


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own, gone when left."""
    path = program()
    assert path is not None
    their_in, our_out = map(_out_of_the_way, os.pipe())
    our_in, their_out = map(_out_of_the_way, os.pipe())
    with tempfile.TemporaryDirectory(prefix="udamon-browser-", ignore_cleanup_errors=True) as profile:
        flags = [
            *(
                "--headless",
                "--disable-gpu",
                "--remote-debugging-pipe",
                "--hide-scrollbars",
                "--no-first-run",
            ),
            *("--disable-dev-shm-usage", "--disable-background-networking", f"--user-data-dir={profile}"),
        ]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # its sandbox refuses root; the pages are our own
        # The shell puts our pipes where the browser looks for them.
        redirect = f'exec "$0" "$@" 3<&{their_in} 4>&{their_out} {their_in}<&- {their_out}>&-'
        process = subprocess.Popen(
            ["bash", "-c", redirect, path, *flags], pass_fds=(their_in, their_out),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(their_in)
        os.close(their_out)
        try:
            yield Browser(process, our_out, our_in)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(our_out)
            os.close(our_in)
