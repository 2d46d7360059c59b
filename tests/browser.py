"""For tests of pages: a headless Chromium, driven through its debugging pipe, without any package in between."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


class Browser:
    """One tab. ``seen`` holds what it logged, its uncaught errors, and the addresses it asked for."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.errors: list[str] = []
        self.requests: list[str] = []
        (target,) = [t for t in self._call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        self._session = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(
        self, page: Path | str, fragment: str = "", *, width: int = 1200, height: int = 900, dark: bool = False
    ) -> None:
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._call("Page.navigate", url="about:blank")  # a new fragment alone would not load the page again
        url = page if isinstance(page, str) else page.resolve().as_uri()
        self._call("Page.navigate", url=url + fragment)
        self.wait("location.protocol != 'about:' && document.readyState == 'complete'")

    def js(self, expression: str) -> Any:
        """The value of an expression; a promise is waited for."""
        said = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until the expression is true; 20 seconds at most."""
        for _ in range(400):
            if self.js(f"Boolean({expression})"):
                return
            self.js("new Promise((done) => setTimeout(done, 50))")
        raise AssertionError(f"never came true: {expression}")

    def press(self, key: str, **more: Any) -> None:
        text = {"text": " "} if key == " " else {}
        self._call("Input.dispatchKeyEvent", type="keyDown", key=key, **text, **more)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key, **more)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def picture(self, path: Path) -> None:
        """The whole page as .png."""
        data = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def paper(self, path: Path) -> None:
        """The page as it is printed, .pdf."""
        path.write_bytes(base64.b64decode(self._call("Page.printToPDF", printBackground=False)["data"]))

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            said = self._read()
            if said.get("id") == self._number:
                assert "error" not in said, (method, said["error"])
                return dict(said["result"])
            self._event(said)

    def _event(self, said: dict[str, Any]) -> None:
        params = said.get("params", {})
        if said["method"] == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif said["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(str(params["entry"]))
        elif said["method"] == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            some = os.read(self._back, 1 << 20)
            assert some, "Chromium went away"
            self._buffer += some
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A Chromium with a profile of its own, and no network to speak of: this machine's own servers alone answer."""
    assert CHROMIUM is not None
    read_its, to = os.pipe()
    back, write_its = os.pipe()
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
        "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank",
    ]  # fmt: skip
    # Chromium reads commands from descriptor 3 and answers on 4.
    shell = f'exec 3<&{read_its} 4>&{write_its}; exec "$@"'
    process = subprocess.Popen(
        ["bash", "-c", shell, "chromium", *command],
        pass_fds=[read_its, write_its], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(read_its)
    os.close(write_its)
    try:
        yield Browser(to, back)
    finally:
        process.terminate()
        process.wait()
        os.close(to)
        os.close(back)
