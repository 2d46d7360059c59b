"""The probe that a dry run measures with: it ends with the command, whenever that is killed."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 30.0
DRY_RUN = """
import os, time
from types import SimpleNamespace
from rlbench.driving import probe
from rlbench.recipe import Recipe

recipe = Recipe(env="CartPole-v1", agent="random", seeds=1, total_steps=10**9, track="none")

def told(seconds):  # its order has been written, and it imports still
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        print(file.read(), flush=True)
    time.sleep(600)

probe.time = SimpleNamespace(monotonic=time.monotonic, sleep=told)
probe._rate(SimpleNamespace(recipes=SimpleNamespace(recipe=lambda cell: recipe)), SimpleNamespace(name="a"))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks the system for its end")
def test_a_probe_whose_command_is_killed_while_it_imports_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRY_RUN]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as driver:
        assert driver.stdout is not None
        number = int(driver.stdout.readline())
        handle = os.pidfd_open(number)
        driver.kill()
    try:
        ready, _, _ = select.select([handle], [], [], SECONDS)  # readable once it has ended
        assert ready == [handle]
    finally:
        if not ready:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
