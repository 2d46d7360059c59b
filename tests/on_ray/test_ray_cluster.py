"""What stands between a driver and a Ray cluster, without Ray: addresses, and what Ray says in one line."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rlbench.errors import UsageError
from rlbench.on_ray.cluster import _last_line, _told, reach


@pytest.fixture
def port() -> Iterator[int]:
    """One that something listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_an_address_that_answers(port: int) -> None:
    reach(f"127.0.0.1:{port}")
    reach(f"ray://127.0.0.1:{port}")


def test_an_address_that_does_not_answer_is_told_with_what_to_start(port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    for address in (f"127.0.0.1:{closed}", f"ray://127.0.0.1:{closed}", "127.0.0.1:99999999"):
        with pytest.raises(UsageError, match=rf"^no Ray cluster answers at {address}: .*`ray start --head`"):
            reach(address)


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "ray://", "head:port"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(UsageError, match=r"must be HOST:PORT, ray://HOST:PORT or auto, got"):
        reach(address)


def test_what_ray_says_becomes_one_line() -> None:
    mismatch = RuntimeError(
        "Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.12.1\nThis\n"
    )
    assert _told(mismatch) == "Version mismatch: The cluster was started with: Ray: 2.60.0 Python: 3.12.1 This."
    assert _told(ConnectionError("Failed to connect.\nMore on that elsewhere")) == "Failed to connect."
    remote = Exception("\x1b[36mray::one()\x1b[39m (pid=1)\n  File x\nModuleNotFoundError: No module named 'rlbench'\n")
    assert _last_line(remote) == "ModuleNotFoundError: No module named 'rlbench'"
    assert _last_line(KeyError()) == "KeyError"


@pytest.mark.slow
def test_the_process_refuses_an_address_in_one_line_and_ends() -> None:
    pytest.importorskip("ray")
    ask = json.dumps({"connect": {"address": "127.0.0.1:1", "cores": 1}}) + "\n"
    command = [sys.executable, "-m", "rlbench.on_ray.cluster"]
    done = subprocess.run(command, input=ask, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["refused"].startswith("no Ray cluster answers at 127.0.0.1:1")
    assert "Traceback" not in done.stderr
