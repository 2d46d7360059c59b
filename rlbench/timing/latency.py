"""How long policies take to answer, side by side: percentiles, throughput, memory, each in a process of its own.

All processes are there at the same time, and one computes while the others wait: in every round each is measured for a
moment at every batch size, so that what else the machine does falls on all alike.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ..errors import RlbenchError, UsageError
from .asked import Asking, save

QUANTILES = (0.50, 0.95, 0.99)
ROUNDS = 10
SECONDS = 1.0  # of measuring, for each candidate and batch size
WARM = 0.2  # seconds before that
FEW = 1_000  # calls, of which ten lie beyond the 99th percentile


class Entrant(NamedTuple):
    """A candidate to be timed: its name, what is opened, ``size`` bytes of it, and what `candidates.opened` is told
    besides."""

    label: str
    path: Path
    size: int
    kind: str  # "file" or "live"
    more: dict[str, Any] = {}  # never changed


class CallTimes(NamedTuple):
    """Of one candidate at one batch size; seconds, a call each."""

    batch: int
    calls: int
    p50: float
    p95: float
    p99: float
    per_second: float  # observations
    of_first: float  # its median over the first candidate's: of each round's, the median
    rounds: tuple[float, ...]  # medians


class Measured(NamedTuple):
    """What was found of one candidate."""

    label: str
    size: int  # bytes of its file
    memory: int | None  # bytes that loading and answering took at most, over a bare process; None: not known
    loaded: float  # seconds until it was loaded, libraries included
    overhead: float  # seconds that the loop adds to a call
    times: tuple[CallTimes, ...]


class Slow(NamedTuple):
    """What broke the bound of a gate."""

    label: str
    times: CallTimes


def measure(
    entries: Sequence[Entrant],
    asked: Asking,
    batches: Sequence[int],
    *,
    threads: int = 1,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    look: Callable[[str], None] = lambda text: None,
) -> list[Measured]:
    """Time candidates in turns.

    Args:
        entries: one or more; others are compared with the first.
        asked: what they are asked with.
        batches: sizes.
        threads: that each computes with.
        rounds: in each of which every candidate is measured at every size.
        seconds: for each candidate and size, all rounds together; at least `stopwatch.FEWEST` calls a round are made.
        look: told how far it is.

    Raises:
        RlbenchError: what a candidate's process said.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        place = Path(folder) / "observations.npz"
        save(asked.at_least(max(batches)), place)
        running: list[_Apart] = []
        loads = []
        for entry in entries:
            look(f"loading {entry.label}")
            running.append(stack.enter_context(_apart(entry.label, threads)))
            request = {"kind": entry.kind, "path": str(entry.path), "asked": str(place), "threads": threads}
            loads.append(running[-1].ask("open", **request, **entry.more))
        for batch in batches:
            for one in running:
                one.ask("warm", batch=batch, seconds=WARM)
        taken: dict[tuple[int, int], list[list[int]]] = {
            (i, batch): [] for i in range(len(entries)) for batch in batches
        }
        for r in range(rounds):
            look(f"measuring: round {r + 1} of {rounds}")
            for batch in batches:
                for k in range(len(entries)):
                    i = (k + r) % len(entries)  # each comes first in turn
                    taken[i, batch].append(running[i].ask("measure", batch=batch, seconds=seconds / rounds)["taken"])
        return [
            Measured(
                label=entry.label,
                size=entry.size,
                memory=running[i].ask("memory")["bytes"],
                loaded=loads[i]["seconds"],
                overhead=1e-9 * loads[i]["overhead"],
                times=tuple(times_of(batch, taken[i, batch], taken[0, batch]) for batch in batches),
            )
            for i, entry in enumerate(entries)
        ]


def times_of(batch: int, rounds: Sequence[Sequence[int]], first: Sequence[Sequence[int]]) -> CallTimes:
    """What calls of ``batch`` observations took, nanoseconds, round by round; ``first`` is the first candidate's.

    A percentile is a call that was made: the shortest time within which that share of all calls was over.
    """
    every = np.concatenate([np.asarray(one, np.float64) for one in rounds]) * 1e-9
    p50, p95, p99 = (float(q) for q in np.quantile(every, QUANTILES, method="inverted_cdf"))
    medians = tuple(1e-9 * statistics.median(one) for one in rounds)
    ratios = [own / (1e-9 * statistics.median(other)) for own, other in zip(medians, first, strict=True)]
    return CallTimes(batch, len(every), p50, p95, p99, batch / float(every.mean()), statistics.median(ratios), medians)


def gate(measured: Sequence[Measured], most: float, labels: Sequence[str]) -> Slow | None:
    """The worst of what took longer than ``most`` seconds at the 99th percentile, among ``labels``; None: nothing."""
    slow = [Slow(one.label, t) for one in measured if one.label in labels for t in one.times if t.p99 > most]
    return max(slow, key=lambda s: s.times.p99, default=None)


class _Apart:
    """A process of `candidates`, to be asked."""

    def __init__(self, label: str, process: "subprocess.Popen[str]", errors: IO[str]) -> None:
        self.label, self._process, self._errors = label, process, errors

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """The answer to a request. Raises RlbenchError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = ""
        with contextlib.suppress(OSError):  # it has ended, and is asked what it said
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            said = [text for text in self._errors.read().splitlines() if text.strip()]
            why = said[-1].strip() if said else f"exit code {code}"
            raise RlbenchError(f"the process that timed {self.label} has ended: {why}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            kind = UsageError if answer["exit_code"] == UsageError.exit_code else RlbenchError
            raise kind(f"{self.label}: {answer['error']}")
        return answer


@contextlib.contextmanager
def _apart(label: str, threads: int) -> Iterator[_Apart]:
    """A process of its own, whose libraries compute with so many threads; it ends with the context."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    env = {**os.environ, **dict.fromkeys(names, str(threads))}
    command = [sys.executable, "-P", "-m", "rlbench.timing.candidates"]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=env
        ) as process,
    ):
        try:
            yield _Apart(label, process, errors)
        finally:
            process.kill()
