"""`rlbench sweep` in a process of its own, for drills that kill it: begun again, waited for, looked at afterwards."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from rlbench.sweep.folder import SweepFolder, open_sweep
from rlbench.sweep.index import CellState

from .at_home import differing


class DrivenEnd(NamedTuple):
    """A sweep that has ended: what became of its cells, and those that are not as at home, each with what differs."""

    sweep: SweepFolder
    states: dict[str, CellState]
    counts: Counter[str]  # state -> cells
    wrong: list[str]
    seconds: float
    code: int  # of the command

    def headline(self) -> str:
        """How long it took, and how many cells are in which state."""
        states = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        return f"{self.seconds:.0f} s, exit code {self.code}; {states}"


class Driven:
    """The command, from its beginning on.

    Args:
        file: the sweep file.
        out: the sweep folder.
        words: further options.

    Attributes:
        killed: how often it was killed.
    """

    def __init__(self, file: Path, out: Path, *words: str) -> None:
        self.out, self.killed = out, 0
        command = [sys.executable, "-m", "rlbench", "sweep", str(file), "--out", str(out), *words]
        self._command = [*command, "--progress", "none"]
        self._began = time.monotonic()
        self._process = self._start()

    def running(self) -> bool:
        """Whether it goes on still."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill it by -9, and give the same command again."""
        self._process.kill()
        self._process.wait()
        self.killed += 1
        self._process = self._start()

    def end(self) -> DrivenEnd:
        """Wait for its end; then run every cell at home."""
        code, seconds = self._process.wait(), time.monotonic() - self._began
        sweep = open_sweep(self.out)
        states = sweep.states()
        counts: Counter[str] = Counter(state.state for state in states.values())
        return DrivenEnd(sweep, states, counts, differing(self.out), seconds, code)

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command, stdout=subprocess.DEVNULL, start_new_session=True)
