"""Where neither torch nor gymnasium is installed, an ONNX file is timed, and what needs them says what to install."""

import json
import os
import subprocess
import sys
from pathlib import Path

import policy_files
import pytest
from command import process

LACK = "import sys\nfor name in ('torch', 'gymnasium', 'onnx', 'onnxscript'):\n    sys.modules[name] = None\n"


@pytest.fixture
def without(tmp_path: Path) -> dict[str, str]:
    """What makes an interpreter one in which they cannot be imported."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(LACK)
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path}


def test_an_onnx_file_is_timed(without: dict[str, str], tmp_path: Path) -> None:
    file = policy_files.linear(tmp_path / "a.onnx")
    with process("latency", file, "--batch-sizes", "1,4", "--seconds", "0.01", "--json", env=without) as command:
        out, err = command.communicate()
    assert command.returncode == 0, err
    assert json.loads(out)["policies"]["a.onnx"]["batches"]["4"]["p50"] > 0


@pytest.mark.parametrize(
    "words",
    [["export", "run", "--out", "b.onnx"], ["serve", "run"], ["latency", "run"], ["latency", "a.ts"],
     ["latency", "a.pt2"]],
)  # fmt: skip
def test_what_needs_torch_says_what_to_install(words: list[str], without: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "a.ts").write_bytes(b"x")
    (tmp_path / "a.pt2").write_bytes(b"x")
    with process(*words, env=without, cwd=tmp_path) as command:
        out, err = command.communicate()
    assert (command.returncode, out) == (2, "")
    missing = {f"Error: this needs {name}, which is not installed. Run: pip install rlbench\n" for name in
               ("torch", "gymnasium")}  # fmt: skip
    assert err in missing


def test_the_interpreter_of_these_tests_lacks_them(without: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", "import torch"], env=without, capture_output=True)
    assert done.returncode == 1
