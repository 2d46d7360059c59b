"""For tests: a service of a policy file, in this process or in one of its own."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from rlbench.service.answering import Answering, begin_state
from rlbench.service.app import ServiceApp
from rlbench.service.settings import Settings
from rlbench.service.state import SharedState

LONGEST = 30.0  # seconds that anything takes here


class Served:
    """A service in this process, asked one request after another, or several at once.

    Args:
        file: ONNX.
        folder: an empty one.
        how: of `Settings`.
    """

    def __init__(self, file: Path, folder: Path, **how: Any) -> None:
        folder.mkdir()
        settings = Settings(**{"name": file.name, "source": file, "state": folder, **how})
        begin_state(folder, settings.workers, file.read_bytes())
        self.answering = Answering(settings, SharedState(folder, settings.workers))
        self.answering.state.ready(0, True)
        self.app = ServiceApp(self.answering)

    async def ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, path, **how)

    def get(self, path: str, **how: Any) -> httpx.Response:
        return asyncio.run(self.ask("GET", path, **how))

    def post(self, path: str, **how: Any) -> httpx.Response:
        return asyncio.run(self.ask("POST", path, **how))

    def predict(self, content: Any, status: int = 200) -> Any:
        """The body of the answer to a JSON body; of a refusal, its one line."""
        answer = self.post("/predict", json=content)
        assert answer.status_code == status, answer.text
        return answer.json() if status == 200 else one_line(answer)

    def together(self, *contents: Any) -> list[httpx.Response]:
        """The answers to several requests that arrive at once."""

        async def all_of_them() -> list[httpx.Response]:
            return await asyncio.gather(*(self.ask("POST", "/predict", json=content) for content in contents))

        return asyncio.run(all_of_them())


def one_line(answer: httpx.Response) -> str:
    """What a refusal says."""
    assert answer.json().keys() == {"detail"}, answer.text
    detail = answer.json()["detail"]
    assert detail, answer.text
    assert "\n" not in detail
    assert isinstance(detail, str)
    return detail


class Running:
    """`rlbench serve` in a process of its own.

    Attributes:
        url: where it answers.
        said: lines of standard output.
    """

    def __init__(self, process: "subprocess.Popen[str]", url: str, said: list[str]) -> None:
        self.process, self.url, self.said = process, url, said

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def ask(self, path: str, content: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and body; with content, by POST."""
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json", **headers})
        try:
            with urllib.request.urlopen(request, timeout=LONGEST) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read().decode()
        return status, json.loads(text) if text.startswith(("{", "[")) else text

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code, and what stands on standard error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=LONGEST)
        return self.process.returncode, err


@contextlib.contextmanager
def running(*args: str | Path, env: dict[str, str] | None = None) -> Iterator[Running]:
    """`rlbench serve ARGS` on a free port, once it answers."""
    command = [sys.executable, "-m", "rlbench", "serve", *map(str, args), "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"http://\S+:\d+", line):
                yield Running(process, found[0], said)
                break
        else:
            raise AssertionError(f"it did not begin: {said} {process.stderr.read()}")
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(LONGEST)
            except subprocess.TimeoutExpired:
                process.kill()
        process.communicate()
