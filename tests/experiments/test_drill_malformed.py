"""The drill of malformed requests: a short run of it, and that it would see harm."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import policy_files
import pytest
from rlbench.experiments.drills import malformed
from rlbench.experiments.drills.broken import TEXTS, VALUES, WIRES, BrokenRequest, drawn
from serving import running

GOOD = {"obs": [0.5, -1.0, 2.0, 0.25]}


def test_all_kinds_are_drawn_and_the_seed_says_which() -> None:
    first = list(drawn(1, 200, GOOD))
    assert first == list(drawn(1, 200, GOOD))
    assert first != list(drawn(2, 200, GOOD))
    assert len({request.kind for request in first}) >= len([*VALUES, *TEXTS, *WIRES])
    assert {request.ends for request in first} == {"waits", "half", "gone"}


@pytest.mark.parametrize("words", [(), ("--batch-wait", "0")])
def test_three_hundred_of_them_do_no_harm(words: tuple[str, ...], tmp_path: Path) -> None:
    with running(policy_files.linear(tmp_path / "a.onnx"), "--body-timeout", "1", *words) as service:
        wrong = malformed.broken(service.url, service.process.pid, seed=3, count=300, good=GOOD)
        assert wrong == []
        assert service.ask("/predict", GOOD)[0] == 200
        assert service.end() == (0, "")


def test_harm_would_be_seen() -> None:
    """By a server that answers everything with 500, and then nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for _ in range(12):
                one, _ = server.accept()
                with one:
                    one.recv(1 << 16)
                    one.sendall(b"HTTP/1.1 500 \r\ncontent-length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert malformed.still_answers(url, GOOD) == ["a good request got [500]"]
        request = BrokenRequest("x", [b"GET / HTTP/1.1\r\n\r\n"])
        assert malformed.sent(url, request).statuses == [500]
        wrong = malformed.broken(url, 0, seed=0, count=4, good=GOOD)
        assert wrong[0] == "a good request got [500]"
        assert len([line for line in wrong if "got [500]" in line]) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("make", [policy_files.linear, policy_files.adding, policy_files.masked])
def test_the_document_is_kept(make: Callable[[Path], Path], tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    # That there is a mask, or a memory, for each observation, and that some action is legal, no JSON schema says.
    left_out = () if make is policy_files.linear else ("positive_data_acceptance",)
    with running(make(tmp_path / "a.onnx")) as service:
        assert malformed.documented(service.url, 20, 1, *left_out) == []
        assert service.end() == (0, "")
