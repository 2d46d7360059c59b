"""The most that this process has held, by the system's own count."""

import subprocess
import sys
from pathlib import Path

import pytest

from rlbench.process.resources import peak_memory


def test_it_is_read_from_the_status_file(tmp_path: Path) -> None:
    status = tmp_path / "proc" / "self" / "status"
    status.parent.mkdir(parents=True)
    status.write_text("Name:\tpython\nVmPeak:\t  99999 kB\nVmHWM:\t   12345 kB\nVmRSS:\t   11111 kB\n")
    assert peak_memory(tmp_path) == 12345 * 1024


def test_it_grows_with_what_is_held_and_does_not_fall() -> None:
    before = peak_memory()
    assert before is not None
    held = bytearray(b"x" * (before + 2**26))  # every page of it is written to
    after = peak_memory()
    assert after is not None
    assert after >= len(held)
    del held
    assert peak_memory() == after


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not told apart")
def test_what_the_parent_holds_is_not_the_childs() -> None:
    held = bytearray(b"x" * 2**28)
    ask = "from rlbench.process.resources import peak_memory; print(peak_memory())"
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout
    assert int(said) < len(held)
