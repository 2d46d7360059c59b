"""What becomes of a process when the one that started it dies: it saves and ends, whenever that was."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's death")

CHILD = """
import os, signal, sys, time
from rlbench.process.orphans import named_parent, when_the_parent_dies
from rlbench.rollout.signals import Interrupts
told, late = sys.argv[1], float(sys.argv[2])
time.sleep(late)
try:
    with Interrupts() as interrupts:
        when_the_parent_dies(signal.SIGTERM, named_parent())
        open(told + ".ready", "w").close()
        until = time.monotonic() + 20
        while not interrupts.signal and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.3)  # what a run needs to save
        said = f"saved after {interrupts.signal}"
except KeyboardInterrupt:
    said = "stopped at once"
with open(told + ".new", "w") as file:
    file.write(said)
os.rename(told + ".new", told)
"""
PARENT = """
import os, subprocess, sys, threading, time
for _ in range(16):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
environment = {**os.environ, "RLBENCH_PARENT": str(os.getpid())}
subprocess.Popen([sys.executable, "-c", sys.argv[1], *sys.argv[2:]], env=environment, start_new_session=True)
print("started", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("late", [0.0, 1.0], ids=["listening", "dead before it listens"])
def test_an_orphan_saves_though_its_parent_had_many_threads(tmp_path: Path, late: float) -> None:
    told = tmp_path / "told"
    command = [sys.executable, "-c", PARENT, CHILD, str(told), str(late)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        if not late:
            _wait_for(tmp_path / "told.ready")
        os.kill(parent.pid, signal.SIGKILL)
    _wait_for(told)
    assert told.read_text() == f"saved after {int(signal.SIGTERM)}"


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 15
    while not path.exists():
        assert time.monotonic() < until, f"{path.name} has not come"
        time.sleep(0.01)
