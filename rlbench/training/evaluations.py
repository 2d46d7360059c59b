"""Evaluations of a run: they can be cut off, are kept while they go on, and say how far they are."""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..agent import Agent
from ..files import write_json
from ..recipe.eval_cost import advice
from ..rollout.evaluation import EvaluationPlan, PlayedReturns
from ..runfolder import checkpoint_file
from .underway import Underway

FILE = "evaluation.json"  # in the run folder, while there is an evaluation that has not ended
KEEP_SECONDS = 1.0  # between two writings of it


class Paused(Exception):
    """A signal came in the middle of an evaluation; what it had played is kept."""


class Evaluations:
    """Plays the evaluations of a run, and tells it how far they are and what they have cost.

    Args:
        run: whose evaluations they are.
        keep_up: called now and then in the middle of a long one, for a checkpoint that goes on with it.
        often: seconds between calls of the watcher.
    """

    def __init__(self, run: Underway, keep_up: Callable[[], object], often: float) -> None:
        self._run, self._keep_up, self._often = run, keep_up, often
        self._kept_at = self._shown_at = 0.0
        self._key = ""
        self._told_cost = False

    def __call__(
        self, agent: Agent, episodes: int, round: int, bounds: Sequence[int], skip: Sequence[int] = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """Let ``agent``, as it is now, play ``episodes`` per seed, or as many as fit into ``bounds``.

        Args:
            agent: of all seeds.
        episodes: per seed, at most.
            round: another number gives other episodes.
            bounds: env steps of each seed that its episodes should take at most; ten episodes are played in any case.
            skip: positions of seeds that do not play.

        Returns:
            Returns and lengths, both (S, episodes) float64; NaN where none was played.

        Raises:
            Paused: a signal came.
        """
        run, self._key = self._run, ""
        name = partial(self._name, agent, round)
        kept, before = self._read(name), run.state.cost
        self._kept_at = began = time.perf_counter()

        def look(plan: EvaluationPlan) -> None:
            played = max(0, len(plan.played) - len(kept)) / max(1, len(plan.wanted))
            run.state.cost = before.more(time.perf_counter() - began, played, final=not round)
            self._look(plan, name)

        try:
            return run.evaluator(agent, episodes, round=round, skip=skip, most_steps=bounds, played=kept, look=look)
        finally:
            run.evaluating = ""
            self._tell_cost()

    def done(self) -> None:
        """Nothing is to be gone on with."""
        (self._run.folder / FILE).unlink(missing_ok=True)

    def _look(self, plan: EvaluationPlan, name: Callable[[], str]) -> None:
        run, now = self._run, time.perf_counter()
        if run.stopping:
            self._write(plan, name())
            raise Paused
        if now - self._kept_at > KEEP_SECONDS:
            self._write(plan, name())
            self._keep_up()
            self._kept_at = time.perf_counter()
        if now - self._shown_at > self._often:
            run.evaluating = plan.text
            self._tell_cost()
            run.recorder.flush_if_due()
            run.watcher.tick(run)
            self._shown_at = time.perf_counter()

    def _tell_cost(self) -> None:
        """Say, once, that evaluations cost more than training. Of several processes, the whole run says so."""
        run = self._run
        if run.alone and not self._told_cost:
            note = advice(run.recipe, run.state.cost, run.env_steps, run.train_seconds)
            if note:
                self._told_cost = True
                run.watcher.remark(note)

    def _name(self, agent: Agent, round: int) -> str:
        """Of an evaluation of these weights: what it gives follows from them, the round and the seeds."""
        self._key = self._key or f"{round} {checkpoint_file.digest_of(agent.state_dict()):08x}"
        return self._key

    def _read(self, name: Callable[[], str]) -> PlayedReturns:
        """What an evaluation of the same weights had played when it was cut off."""
        kept = self._load()
        found = kept.get(name(), []) if kept else []
        return {(s, k): (float(value), int(length)) for s, k, value, length in found}

    def _write(self, plan: EvaluationPlan, name: str) -> None:
        """Keep what has been played, beside what others of the same round have: the end has two."""
        round = name.partition(" ")[0]
        others = {key: value for key, value in self._load().items() if key.partition(" ")[0] == round}
        played = [[s, k, *value] for (s, k), value in plan.played.items()]
        write_json(self._run.folder / FILE, {**others, name: played})

    def _load(self) -> dict[str, Any]:
        try:
            content = json.loads((self._run.folder / FILE).read_text(encoding="utf-8"))
            return {str(key): [(int(s), int(k), float(r), int(n)) for s, k, r, n in v] for key, v in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):  # none, or half a one: it is played again
            return {}


def mean_of(returns: np.ndarray) -> np.ndarray:
    """(S,) mean of the episodes that each seed has played, (S, episodes) with NaN for the others; NaN for none."""
    counts = np.isfinite(returns).sum(1)
    means = np.full(len(returns), np.nan)
    for s, count in enumerate(counts.tolist()):
        if count:
            means[s] = returns[s, :count].mean()
    return means
