"""The benchmark of the service: what wrk prints becomes numbers, and without wrk it says how to install it."""

import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from rlbench.experiments.bench import serve

from rlbench.policyfile.opened import open_policy

PRINTED = """Running 4s test @ http://127.0.0.1:8131/predict
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.36ms    1.09ms  21.10ms   93.41%
    Req/Sec    14.46k     2.07k   16.84k    82.50%
  Latency Distribution
     50%  912.00us
     75%    2.29ms
     90%    2.77ms
     99%    1.13s
  57531 requests in 4.00s, 12.90MB read
"""
ENDING = "Requests/sec:  14377.18\nTransfer/sec:      3.22MB\n"


def test_what_wrk_prints() -> None:
    found = serve.told(PRINTED + ENDING, 12.5, 57.531)
    assert found == serve.Load(rate=14377.18, p50=0.912, p99=1130.0, requests=57531, errors=0, batch=12.5, cpu=1000.0)
    trouble = "  Socket errors: connect 1, read 2, write 0, timeout 3\n  Non-2xx or 3xx responses: 40\n"
    assert serve.told(PRINTED + trouble + ENDING, 1.0, 1.0).errors == 46


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
def test_cpu_time_is_that_of_the_process() -> None:
    before, own = serve.cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() - own < 0.2:
        pass
    assert 0.15 < serve.cpu_seconds(os.getpid()) - before < 0.5


def test_the_network_is_a_policy_file(tmp_path: Path) -> None:
    file = open_policy(serve.network(tmp_path / "a.onnx", 64))
    made = file(file.inputs([[0.1] * 8, [0.0] * 8]))
    assert made["q_values"].shape == (2, 4)
    assert (made["action"] == made["q_values"].argmax(1)).all()


def test_without_wrk_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve.shutil, "which", lambda name: None)
    result = CliRunner().invoke(serve.serve, [])
    assert result.exit_code == 1
    assert "apt-get install wrk" in result.output


def test_a_service_that_does_not_begin_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(Exception, match="damaged, or no onnx file"), serve.served(tmp_path / "a.onnx"):
        pass
