"""A service in processes of its own: what is slow, too long, or under way when it ends; a worker that dies."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import policy_files
import pytest
from serving import LONGEST, Running, running

BODY = json.dumps({"obs": [0.5, -1.0, 2.0, 0.25]}).encode()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    file = policy_files.linear(tmp_path_factory.mktemp("served") / "a.onnx")
    with running(file, "--body-timeout", "1", "--max-body", "0.01") as one:
        yield one


def head(length: int | None = len(BODY), *more: str) -> bytes:
    lines = ["POST /predict HTTP/1.1", "Host: here", "Content-Type: application/json", *more]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def talk(service: Running, *parts: bytes, close: bool = False) -> bytes:
    """What comes back until the other side ends the connection, or answered once; parts are sent a moment apart."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=LONGEST) as one:
        for part in parts:
            one.sendall(part)
            time.sleep(0.05)
        if close:
            one.shutdown(socket.SHUT_WR)
        said = b""
        while more := one.recv(65536):
            said += more
            if re.search(rb"\r\n\r\n\{.*\}$", said, re.DOTALL) and b"connection: close" not in said:
                break
        return said


def status(said: bytes) -> int:
    return int(said.split(b" ")[1]) if said else 0


def test_a_request_in_pieces_is_answered(service: Running) -> None:
    whole = head() + BODY
    pieces = [whole[:10], whole[10:70], whole[70 : len(whole) - 7], whole[-7:]]
    assert status(talk(service, *pieces)) == 200
    chunked = head(None, "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    assert status(talk(service, chunked[:60], chunked[60:])) == 200


def test_pipelined_requests_are_answered_in_order(service: Running) -> None:
    said = talk(service, (head() + BODY) * 2 + b"GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    assert [int(code) for code in re.findall(rb"HTTP/1.1 (\d+)", said)] == [200] * 3
    assert said.index(b'"action"') < said.index(b'"status"')


def test_half_closed_is_still_answered(service: Running) -> None:
    assert status(talk(service, head() + BODY, close=True)) in (0, 200)
    assert service.ask("/healthz")[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ((b"POST /pre",), 408),
        ((head(), BODY[:5]), 408),
        ((head(500), BODY), 408),
        ((head(None, "Transfer-Encoding: chunked"), b"5\r\n{\"obs\r\n"), 408),
        ((b"",), 0),
    ],
    ids=["half a head", "half a body", "less than it says", "an open chunk", "nothing"],
)  # fmt: skip
def test_what_does_not_arrive_in_time_is_ended(service: Running, parts: tuple[bytes, ...], code: int) -> None:
    began = time.monotonic()
    assert status(talk(service, *parts)) == code
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ((b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000,), 431),
        ((b"GET /" + b"a" * 40_000,), 431),
        ((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",), 400),
        ((b"nonsense\r\n\r\n",), 400),
        ((head(None, "Content-Length: 3", "Content-Length: 30") + BODY,), 400),
        ((head(None, "Content-Length: -5") + BODY,), 400),
        ((head(None, "Content-Length: 99999999999999999999999") + BODY,), 400),
        ((head(None, "Transfer-Encoding: chunked") + b"zz\r\n",), 400),
        ((b"POST /\xff\xfe HTTP/1.1\r\nHost: here\r\n\r\n",), 400),
        ((head(10_000_000) + BODY,), 413),
        ((head(20_000) + b"x" * 20_000,), 413),
    ],
)
def test_what_is_no_request_or_too_long_is_ended(service: Running, parts: tuple[bytes, ...], code: int) -> None:
    assert status(talk(service, *parts)) == code


def test_it_answers_after_all_that(service: Running) -> None:
    assert status(talk(service, b"nonsense\r\n\r\n")) == 400  # whichever tests were here before
    assert service.ask("/predict", json.loads(BODY))[0] == 200
    assert 'code="400"' in service.ask("/metrics")[1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_under_way_is_answered_at_the_end(workers: str, tmp_path: Path) -> None:
    with running(policy_files.linear(tmp_path / "a.onnx"), "--workers", workers) as service:
        with socket.create_connection(("127.0.0.1", service.port), timeout=LONGEST) as one:
            one.sendall(head() + BODY[:5])
            time.sleep(0.3)
            service.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            one.sendall(BODY[5:])
            said = one.recv(65536)
        assert status(said) == 200
        assert b"connection: close" in said
        _, err = service.process.communicate(timeout=LONGEST)
        assert (service.process.returncode, err) == (0, "")


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    file = policy_files.linear(tmp_path / "a.onnx")
    with (
        running(file, "--body-timeout", "60") as service,
        socket.create_connection(("127.0.0.1", service.port), timeout=LONGEST) as one,
    ):
        one.sendall(head() + BODY[:5])
        time.sleep(0.3)
        service.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert service.process.poll() is None
        began = time.monotonic()
        assert service.end(signal.SIGINT) == (130, "")
        assert time.monotonic() - began < 5


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.0, 0.4, 0.9])
def test_a_terminal_may_interrupt_all_processes_at_any_moment(after: float, tmp_path: Path) -> None:
    """It sends SIGINT to workers, too, which may only just have begun."""
    command = [sys.executable, "-m", "rlbench", "serve", policy_files.linear(tmp_path / "a.onnx"), "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, "--workers", "2"], stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        until = time.monotonic() + LONGEST
        while not _children(process.pid) and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(after)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=LONGEST)
        assert (process.returncode, err) == (130, "")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with running(policy_files.linear(tmp_path / "a.onnx"), "--workers", "2") as service:
        children = _children(service.process.pid)
        for _ in range(50):
            assert service.ask("/predict", json.loads(BODY))[0] == 200
        os.kill(children[0], signal.SIGKILL)
        until = time.monotonic() + LONGEST
        while len(now := _children(service.process.pid)) < 2 or children[0] in now:
            assert time.monotonic() < until
            time.sleep(0.1)
        while service.ask("/healthz")[1]["workers"] < 2:
            assert time.monotonic() < until
            time.sleep(0.1)
        counted = re.search(r'/predict",code="200"} (\d+)', service.ask("/metrics")[1])
        assert counted is not None
        assert int(counted[1]) == 50  # what the dead one counted is not lost
        code, err = service.end()
        assert code == 0
        assert err.strip() == "worker 0 died (signal 9); another takes its place" or "worker 1 died" in err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_no_worker_outlives_the_process_above(tmp_path: Path) -> None:
    with running(policy_files.linear(tmp_path / "a.onnx"), "--workers", "2", env={"TMPDIR": str(tmp_path)}) as service:
        children = _children(service.process.pid)
        assert len(children) >= 2
        service.process.kill()
        service.process.wait()
        until = time.monotonic() + LONGEST
        while any(_alive(pid) for pid in children):
            assert time.monotonic() < until
            time.sleep(0.1)


@pytest.mark.slow
def test_metrics_add_up_over_workers(tmp_path: Path) -> None:
    with running(policy_files.linear(tmp_path / "a.onnx"), "--workers", "2") as service:
        codes: list[int] = []

        def ask() -> None:
            codes.extend(service.ask("/predict", json.loads(BODY))[0] for _ in range(50))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes == [200] * 200
        for _ in range(5):  # whoever is asked says the same
            assert 'rlbench_requests_total{route="/predict",code="200"} 200\n' in service.ask("/metrics")[1]


def _children(pid: int) -> list[int]:
    """Processes that it started and that serve; the one that watches over their semaphores is none."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if f"PPid:\t{pid}\n" in status.read_text() and b"spawn_main" in (status.parent / "cmdline").read_bytes():
                found.append(int(status.parent.name))
        except OSError:  # it has ended
            continue
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False
