"""A real browser for tests: headless Chromium, driven through chromedriver's HTTP protocol."""

import json
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
MISSING = None if CHROMIUM and DRIVER else "needs chromium and chromedriver (chromium-driver)"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


def needs_browser(test: Callable[..., None]) -> Callable[..., None]:
    """Marks a test that opens one."""
    return pytest.mark.slow(pytest.mark.skipif(MISSING is not None, reason=str(MISSING))(test))


class Browser:
    """One window."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}/session"

    def call(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        """A command of the WebDriver protocol; returns its value."""
        data = json.dumps(content or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self.address + path, data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def start(self, profile: str) -> None:
        options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self.call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self.address += f"/{session['sessionId']}"

    def open(self, file: Path, width: int = 1000, height: int = 800) -> None:
        """Show a file in a viewport of exactly that size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        command = {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics}
        self.call("POST", "/goog/cdp/execute", command)
        self.call("POST", "/url", {"url": file.resolve().as_uri()})

    def run(self, script: str) -> Any:
        """The value that a script returns."""
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def point(self, x: float, y: float) -> None:
        """Move the mouse to a place of the viewport."""
        move = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
        mouse = {"type": "pointer", "id": "mouse", "actions": [move]}
        self.call("POST", "/actions", {"actions": [mouse]})

    def drag(self, kind: str, *places: tuple[float, float]) -> None:
        """Press a mouse's button, or put down a finger ("touch"), and move from place to place."""
        moves = [
            {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)} for x, y in places
        ]
        steps = [
            moves[0],
            {"type": "pointerDown", "button": 0},
            *moves[1:],
            {"type": "pointerUp", "button": 0},
        ]
        pointer = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}}
        self.call("POST", "/actions", {"actions": [pointer | {"actions": steps}]})

    def messages(self) -> list[str]:
        """What the console got since the last call."""
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with an empty profile, closed at the end."""
    assert DRIVER is not None
    driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    try:
        started = next(line for line in driver.stdout if "started successfully on port" in line)
        window = Browser(int(started.rpartition(" ")[2].strip(" .\n")))
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            window.start(profile)
            try:
                yield window
            finally:
                window.call("DELETE", "")
    finally:
        driver.terminate()
        driver.wait()
        driver.stdout.close()
