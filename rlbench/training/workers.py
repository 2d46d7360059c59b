"""One run on several processes: each trains a share of the seeds, and their records are joined.

Seeds do not see each other, so splitting them changes no bit of any. Each process keeps a whole run of its own under
``workers/``; the files at the top of the run folder are made from those.
"""

import contextlib
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from ..errors import RlbenchError, UsageError
from ..files import remove_leftovers, write_json
from ..process.places import home
from ..recipe import Recipe
from ..recipe.build import Parts, build, maker_of, settled
from ..recipe.device import listed
from ..recipe.eval_cost import advice
from ..recipe.shares import placed_shares, shares
from ..record.scoreboard import Scoreboard
from ..record.summary import combine
from ..record.watcher import Watcher
from ..rollout.camera import filming
from ..rollout.signals import Interrupts, held
from ..runfolder.checkpoints import Kept
from ..runfolder.create import write_recipe
from ..runfolder.layout import WORKERS, worker_folders
from ..runfolder.workers import join_workers
from ..seed_axis import Axes
from ..track.open import check_trackers
from ..user_code.commands import begin_command, changed_words, resume_command
from .finish import draw
from .worker import work

FAREWELL = 30.0  # seconds that workers have for saving when something failed
UNGUARDED = 97  # exit code of a worker that found itself in a script without a main guard


class Workers:
    """Stands where a `Session` does when ``recipe.workers`` is more than 1, with the same results: a `Trainable`."""

    folder: Path
    summary: dict[str, Any]

    def __init__(self, recipe: Recipe, watcher: Watcher) -> None:
        check_trackers(recipe.track)
        if recipe.video_every:
            filming(maker_of(recipe))  # says here, and not in a worker, that the environment makes no pictures
        self.recipe, self.watcher = recipe, watcher
        self.scores = Scoreboard(recipe.seed_numbers, None, recipe.solved_by)
        self.env_steps = 0
        self.train_seconds = 0.0
        self.numbers: dict[str, list[float]] = {}
        self.evaluating = ""
        self._resume = False
        self._axes: Axes = None
        self._changes: list[object] = []
        self._awaited: set[int] = set()  # workers that do not stand yet where they had stopped
        self._notes: set[str] = set()
        self._told_cost = False
        self._reports: dict[int, dict[str, Any]] = {}  # worker -> its newest report
        self._summaries: dict[int, dict[str, Any]] = {}

    def tried(self) -> Parts:
        """As `Trainable.tried`: of one seed. What fails, fails here, and not in every worker."""
        recipe = self.recipe
        parts = build(recipe, recipe.seed_numbers[:1], listed(recipe.device)[0], train=recipe.seeds)
        self.recipe = settled(recipe, parts.maker, on_card=not placed_shares(recipe)[1])
        return parts

    def start(self, folder: Path, axes: Axes = None) -> None:
        """As `Trainable.start`."""
        self.folder, self._axes = folder, axes

    def restore(self, folder: Path, kept: Kept | None, changes: Mapping[str, object]) -> None:
        """Go on where the workers under ``folder`` stand. Nothing there changes before all of them do so in `run`.

        Args:
            folder: the run folder.
            kept: None: they have checkpoints of their own.
            changes: what was asked to be different from now on; goes into the command that tries again.
        """
        self.folder, self._resume = folder, True
        self._changes = changed_words(changes)

    def run(self) -> dict[str, Any]:
        """Train all shares, join their files and draw the curve. As `Session.run`."""
        began = time.perf_counter()
        parts, cpu = placed_shares(self.recipe)
        # A fork is instant, but a card is out of its reach, and it must not copy a process with a pool of threads.
        forks = sys.platform == "linux" and cpu and self.recipe.threads == 1
        context: Any = multiprocessing.get_context("fork" if forks else "spawn")
        pipes: dict[Connection, int] = {}
        processes = []
        with Interrupts() as interrupts:  # to the end: a signal must not leave half of the files joined
            try:
                for k, share in enumerate(parts):
                    here, there = context.Pipe()
                    place = self.folder / WORKERS / str(k)
                    # No daemon: that could have no children, and environments may want some.
                    process = context.Process(
                        target=work,
                        args=(there, share.content(), place, self._resume, os.getpid(), home(), self._axes),
                        daemon=False,
                    )
                    with held():
                        process.start()
                    there.close()
                    processes.append(process)
                    pipes[here] = k
                self._awaited = set(pipes.values()) if self._resume else set()
                self._listen(pipes, processes, interrupts)
                _wait(processes)
            finally:
                _end(processes)
            self._join(began)
        interrupts.raise_if_any(self.folder, self.recipe)
        return self.summary

    def _join(self, began: float) -> None:
        """One run of what the workers left, and its curve; ``began`` is when they did."""
        summaries = [self._summaries[k] for k in sorted(self._summaries)]
        self.summary = combine(summaries, time.perf_counter() - began)
        join_workers(self.folder)
        write_json(self.folder / "summary.json", self.summary, sync=True)
        draw(self.folder, self.watcher)
        self.watcher.done(self)

    def close(self) -> None:
        """Nothing has been opened."""

    def _listen(self, pipes: dict[Connection, int], processes: list[Any], interrupts: Interrupts) -> None:
        """Take reports until every worker is done; hand a signal on to them once."""
        handed_on = False
        while pipes:
            if self._awaited:
                interrupts.raise_if_any(self.folder, self.recipe, *self._changes)
            if interrupts.signal and not handed_on:
                handed_on = True
                for process in processes:
                    if process.is_alive():
                        os.kill(process.pid, signal.SIGTERM)
            ready = wait(list(pipes), timeout=0.2)
            # The end of a worker does not close its pipe where it has left a child behind.
            ended = [pipe for pipe, k in pipes.items() if pipe not in ready and not processes[k].is_alive()]
            for pipe in [*ready, *ended]:
                assert isinstance(pipe, Connection)
                k = pipes[pipe]
                try:
                    if pipe in ended and not pipe.poll():
                        raise EOFError
                    kind, content = pipe.recv()
                except (EOFError, ConnectionError):
                    del pipes[pipe]
                    if k not in self._summaries:
                        raise self._died(k, processes[k]) from None
                    continue
                if kind == "stands":
                    self._stands(k, pipes)
                else:
                    self._hear(k, kind, content)

    def _stands(self, k: int, pipes: Mapping[Connection, int]) -> None:
        """Worker ``k`` stands where it had stopped. Once all do, the run goes on, with what is new of its recipe."""
        self._awaited.discard(k)
        if self._awaited:
            return
        remove_leftovers(self.folder)
        (self.folder / "summary.json").unlink(missing_ok=True)  # of a run that has not ended
        write_recipe(self.folder, self.recipe)
        for pipe in pipes:
            with contextlib.suppress(OSError):  # it has died since, which is told when its end is heard
                pipe.send("go on")

    def _died(self, k: int, process: Any) -> RlbenchError:
        """What to say of a worker that ended without a word."""
        _wait([process])
        code = process.exitcode
        if code == UNGUARDED:
            return UsageError(
                "each process of the run began the whole program again, as the script has no main guard. Put what it "
                'does under `if __name__ == "__main__":`, or train with workers=1.'
            )
        seeds, how = shares(self.recipe)[k].seed_numbers, f"ended with code {code}"
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            how = f"was killed by {name}" + (", as is done where memory runs out" if name == "SIGKILL" else "")
        begun = any((place / "checkpoint.pth").exists() for place in worker_folders(self.folder))
        do = (
            f"Go on from the last checkpoint with: {resume_command(self.folder, self.recipe)}"
            if begun
            else f"No checkpoint was written yet; begin again with: {begin_command(self.folder, self.recipe)}"
        )
        return RlbenchError(f"the process of {_named(seeds)} {how}. {do}")

    def _hear(self, k: int, kind: str, content: Any) -> None:
        if kind == "error":
            message, code = content
            error = RlbenchError(message)
            error.exit_code = code
            raise error
        if kind in ("note", "remark"):
            if content not in self._notes:  # they often say the same
                self._notes.add(content)
                (self.watcher.note if kind == "note" else self.watcher.remark)(content)
        elif kind == "summary":
            self._summaries[k] = content
        else:
            self._reports[k] = content
            self._gather()
            self._tell_cost(content)
            (self.watcher.evaluated if kind == "evaluated" else self.watcher.tick)(self)

    def _tell_cost(self, report: dict[str, Any]) -> None:
        """Say, once, that evaluations cost more than training, as they do in the worker of ``report``."""
        if not self._told_cost:
            text = advice(self.recipe, report["cost"], report["env_steps"], report["train_seconds"])
            if text:
                self._told_cost = True
                self.watcher.remark(text)

    def _gather(self) -> None:
        """Put the workers' newest reports together."""
        states, steps, heard = [], 0, 0
        for k, share in enumerate(shares(self.recipe)):
            report = self._reports.get(k)
            states.append(report["scores"] if report else Scoreboard(share.seed_numbers, None, "").state_dict())
            if report:
                steps, heard = steps + report["env_steps"] * share.seeds, heard + share.seeds
        self.scores.load_state_dict({name: [v for state in states for v in state[name]] for name in states[0]})
        self.scores.solved_at = next(iter(self._reports.values()))["solved_at"]
        self.env_steps = steps // heard  # of a resumed run, the others have not begun at 0 either
        self.train_seconds = max(report["train_seconds"] for report in self._reports.values())
        at_it = [report["evaluating"] for report in self._reports.values() if report["evaluating"]]
        self.evaluating = f"{at_it[0]}, in each of {len(at_it)} processes" if len(at_it) > 1 else "".join(at_it)
        of_workers = [self._reports[k]["numbers"] if k in self._reports else {} for k in range(len(states))]
        unknown = [[math.nan] * len(state["episodes"]) for state in states]
        self.numbers = {
            name: [x for numbers, none in zip(of_workers, unknown, strict=True) for x in numbers.get(name, none)]
            for name in dict.fromkeys(name for numbers in of_workers for name in numbers)
        }


def _end(processes: Sequence[Any]) -> None:
    """See that no worker stays behind, nor a process that one has started: each has a process group of its own.

    Those still at work are asked to save and end, and killed where they do not do so.
    """
    for process in processes:
        if process.is_alive():
            process.terminate()
    try:
        _wait(processes)
    finally:  # also where the user insists
        for process in processes:
            if process.is_alive():
                process.kill()
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError, PermissionError):  # none is left
                    os.killpg(process.pid, signal.SIGKILL)
            process.join()


def _wait(processes: Sequence[Any]) -> None:
    """Wait until all have ended, but not for ever.

    `Process.join` with a time limit would wait for the children of a child too, which hold the same pipes.
    """
    until = time.monotonic() + FAREWELL
    while any(process.is_alive() for process in processes) and time.monotonic() < until:
        time.sleep(0.01)


def refuse_again() -> None:
    """End a process that was spawned as a worker and is now beginning the program anew: see `Workers._died`."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(UNGUARDED)


def _named(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
