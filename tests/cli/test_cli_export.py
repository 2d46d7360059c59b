"""`rlbench export`: what it prints and writes, the seeds that one may name, and what it says of a wrong request."""

import json
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command import CARTPOLE, mistake, process, rlbench, succeeds

from rlbench.policyfile.opened import open_policy


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "run"
    succeeds(*CARTPOLE, "--out", folder)
    return folder


def test_it_says_what_was_proved(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "policy.pt2"
    printed = succeeds("export", run, "--seed", "1", "--out", out, "--episodes", "3")
    first, *lines = printed.splitlines()
    assert re.fullmatch(r".*policy\.pt2: dqn on CartPole-v1, seed 1, \d+ env steps; .* KiB, \d+\.\ds", first)
    assert lines[0] == "  takes    obs float32[B, 4]"
    assert lines[1] == "  gives    action int64[B], q_values float32[B, 2]"
    assert re.match(
        r"  answers  the live agent's, to [\d,]+ observations of \d+ recorded episodes and [\d,]+ rand", lines[2]
    )
    assert re.match(r"  returns  [\d.]+ on average; 3 of 3 episodes as the live agent's", lines[4])
    assert open_policy(out).metadata.seeds == [1]


def test_json_holds_the_metadata(run: Path, tmp_path: Path) -> None:
    result = rlbench("export", run, "--seed", "all", "--to", "torchscript", "--out", tmp_path / "p.ts", "--json",
                     "--episodes", "12")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "note: PyTorch calls TorchScript deprecated" in result.stderr
    told = json.loads(result.stdout)
    assert told["format"] == "torchscript"
    assert told["bytes"] == (tmp_path / "p.ts").stat().st_size
    assert told["metadata"] == open_policy(tmp_path / "p.ts").metadata.model_dump(mode="json")
    assert told["metadata"]["vote"] == "majority"
    assert told["metadata"]["proof"]["equal_returns"] == 12
    assert list(told["gain"]["seeds"]) == ["0", "1"]
    assert told["gain"]["over_one"]["low"] <= told["gain"]["over_one"]["value"]


def test_best_is_the_default_and_a_checkpoint_alone_will_do(run: Path, tmp_path: Path) -> None:
    """Without a journal beside it, the observations are of episodes that it plays."""
    alone = tmp_path / "sent.pth"
    shutil.copy(run / "checkpoint.pth", alone)
    printed = succeeds("export", alone, "--out", tmp_path / "p.pt2", "--episodes", "2")
    assert re.search(r"observations of \d+ greedy episodes", printed)
    assert len(open_policy(tmp_path / "p.pt2").metadata.seeds) == 1


def test_a_wrong_request_is_one_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "p.onnx"
    assert "has no seed 7; it has 0, 1" in mistake("export", run, "--seed", "7", "--out", out)
    assert "'two' is neither a seed's number, nor best, nor all" in mistake(
        "export", run, "--seed", "two", "--out", out
    )
    assert "Missing option '--out'" in mistake("export", run)
    assert "give one of the two" in mistake("export", run, "--to", "pt2", "--out", out)
    assert "say the format, as --to onnx" in mistake("export", run, "--out", tmp_path / "p")
    assert "ends with .onnx" in mistake("export", run, "--to", "onnx", "--out", tmp_path / "p")
    (tmp_path / "file").write_text("")
    assert "cannot write" in mistake("export", run, "--out", tmp_path / "file" / "p.onnx")
    empty = tmp_path / "empty"
    shutil.copytree(run, empty)
    for name in ("checkpoint.pth", "best.pth"):
        (empty / name).unlink(missing_ok=True)
    assert "holds no checkpoint yet" in mistake("export", empty, "--out", out)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "needs onnxscript, which is not installed. Run: pip install 'rlbench[onnx]'" in mistake(
        "export", run, "--out", out
    )
    assert not out.exists()


@pytest.mark.slow
def test_ctrl_c_leaves_nothing(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    running = process("export", run, "--out", folder / "p.onnx", "--episodes", "100000")
    time.sleep(12)
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in said
    assert said.endswith("stopped at once; nothing was written\n")
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--quantize", "int8")])
def test_ctrl_c_says_what_has_become_of_the_file(
    more: tuple[str, ...], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*args: Any, **how: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rlbench.ship.export.compare_answers", stopped)
    out = tmp_path / "p.onnx"
    for before in (None, b"the one before"):
        if before is not None:
            out.write_bytes(before)
        done = rlbench("export", run, "--out", out, *more)
        was = f", and {out} is as it was" if before else ""
        assert (done.exit_code, done.stderr.splitlines()[-1]) == (130, f"stopped at once; nothing was written{was}")
        assert (out.read_bytes() if out.exists() else None) == before


@pytest.mark.slow
def test_a_run_without_its_best_checkpoint_is_noted(run: Path, tmp_path: Path) -> None:
    last = Path(shutil.copytree(run, tmp_path / "last"))
    (last / "best.pth").unlink()
    done = rlbench("export", last, "--out", tmp_path / "p.onnx", "--episodes", 2)
    assert "note: there is no best.pth in this run: its last checkpoint is exported" in done.stderr
    for path in (run, last / "checkpoint.pth"):
        assert "best.pth" not in rlbench("export", path, "--out", tmp_path / "p.onnx", "--episodes", 2).stderr


def test_what_is_exported_already_is_no_run(tmp_path: Path) -> None:
    for name in ("cartpole.onnx", "look.html"):
        (tmp_path / name).touch()
        said = mistake("export", tmp_path / name, "--out", tmp_path / "p.onnx")
        assert "is exported already" in said
        assert "Its run may be" not in said
