"""Exactness in every mode of MKL that this CPU has: users have other CPUs. In the fastest all tests run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlbench.process import mkl

HERE = Path(__file__).parents[1]
FILES = [
    "nn/test_products.py",
    "nn/test_nn.py",
    "nn/test_recurrent.py",
    "nn/test_operations.py",
    "kit/test_optim.py",
    "promises/test_width.py",
    "promises/test_promises.py::test_width",
]


@pytest.mark.slow
@pytest.mark.parametrize("chosen", mkl.modes()[1:])
def test_the_promises_hold(chosen: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in (mkl.VARIABLE, mkl.OURS)}
    environment[mkl.VARIABLE] = chosen
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(HERE / name) for name in FILES)]
    done = subprocess.run(command, env=environment, cwd=HERE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
