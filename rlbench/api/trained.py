"""`rlbench.load` and `rlbench.evaluate`: a trained agent that shows itself, and its returns."""

import time
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..agent_state import pick
from ..errors import UsageError
from ..live.gauge import gauge_for
from ..numbers import number, numbers
from ..play.movie import Movie, movie_of
from ..process.places import shown
from ..rollout.evaluation import EvaluationPlan
from ..trained import load as trained_load
from ..trained.load import Trained
from ..user_code.commands import ref
from .notes import Notes

FIRST = 1.0  # seconds before an evaluation shows how far it is: most are over by then


class TrainedAgent(Trained):
    """A trained agent, opened by `load`; a notebook shows what it is."""

    __slots__ = ()

    def only(self, seed: int | Literal["best"]) -> "TrainedAgent":
        """One of its seeds, as `load` would open it: by its number, or the one with the best evaluation in training.

        Raises:
            UsageError: there is no such seed.
        """
        number = max(self.seeds, key=lambda s: self.best_returns[s]) if seed == "best" else seed
        if number not in self.seeds:
            raise UsageError(f"there is no seed {number} here; seeds: {', '.join(map(str, self.seeds))}.")
        if len(self.seeds) == 1:
            return self
        agent, streams = self.parts.made([number])
        agent.load_state_dict(pick(self.agent.state_dict(), self.seeds.index(number), len(self.seeds), self.axes))
        one = self._replace(agent=agent, parts=self.parts._replace(agent=agent, streams=streams), seeds=[number])
        one.reset()
        return one

    def film(self, episodes: int = 1, *, seed: int | Literal["best"] = "best") -> Movie:
        """Greedy episodes, of those that `evaluate` counts; a cell shows them, ``save`` writes a file.

        Args:
            episodes: how many, one after the other.
            seed: whose; "best": the one with the best evaluation in training.

        Raises:
            UsageError: there is no such seed, or the environment makes no pictures.
        """
        return movie_of(self.only(seed), episodes)

    def __repr__(self) -> str:
        return f"<trained: {self._what()}, after {self.env_steps:,} env steps; {shown(self.path)}>"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{s}</td><td>{number(self.best_returns[s])}</td></tr>" for s in self.seeds)
        return (
            f"<div><b>{escape(self._what())}</b>, after {self.env_steps:,} env steps per seed"
            f"<table><thead><tr><th>seed</th><th>best evaluation in training</th></tr></thead><tbody>{rows}</tbody>"
            f"</table><code>{escape(shown(self.path))}</code></div>"
        )

    def _what(self) -> str:
        seeds = f"{len(self.seeds)} seeds" if len(self.seeds) > 1 else f"seed {self.seeds[0]}"
        return f"{ref(self.recipe.agent).rpartition(':')[2]} on {self.recipe.env}, {seeds}"


class Returns(np.ndarray):
    """Returns, (S, episodes) float64, an array as any other; printed, the means of its seeds.

    Attributes:
        seeds: the S seed numbers; () for a part of it.
        policy: "greedy" or "stochastic".
    """

    seeds: tuple[int, ...] = ()
    policy = "greedy"

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """What is computed from it are plain arrays and numbers."""
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain

    def __repr__(self) -> str:
        if self.ndim != 2 or len(self) != len(self.seeds):
            return repr(np.asarray(self))
        return (
            f"<returns of {self.shape[1]} {self.policy} episodes per seed: means {numbers(np.asarray(self.mean(1)))}>"
        )


def load(
    path: str | Path,
    *,
    seed: int | Literal["best", "all"] = "all",
    agent: str | type | None = None,
    imports: Sequence[str] = (),
    device: str = "auto",
) -> TrainedAgent:
    """Open a checkpoint, or the best one of a run folder.

    What the user should know of it is told as `RunWarning`s.

    Args:
        path: ``checkpoint.pth``, ``best.pth`` or a run folder (its ``best.pth`` if there is one).
        seed: one seed number, the one with the best evaluation during training, or all of them.
        agent: needed where the agent is code of your own: file.py:Class, package.module:Class or the class itself.
        imports: modules to import for the environment; needed where the run needed them.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        CheckpointError: missing, damaged, or not a checkpoint.
        UsageError: no such seed, or code to run that was not confirmed.
    """
    opened = trained_load.load(path, seed=seed, agent=agent, imports=imports, device=device)
    notes = Notes()
    for note in opened.notes:
        notes(note)
    notes.settle()
    return TrainedAgent(*opened)


def evaluate(
    trained: Trained | str | Path,
    episodes: int = 100,
    *,
    stochastic: bool = False,
    progress: str = "auto",
    look: Callable[[EvaluationPlan], None] = lambda plan: None,
    **how: Any,
) -> Returns:
    """Greedy returns on environments of their own.

    Args:
        trained: from `load`, or a path for it.
        episodes: per seed. The same episodes every time.
        stochastic: let the agent act as it explores, epsilon-greedily or drawing from its policy, as it stood when it
            was saved. It draws from streams of this evaluation's own: the same numbers every time, none of the run's.
        progress: as for `train`.
        look: called with what has been played before every step; what it raises ends the evaluation.
        how: `load`'s arguments, where a path is given.

    Returns:
        (S, episodes) float64.
    """
    if not isinstance(trained, Trained):
        trained = load(trained, **how)
    gauge, due = gauge_for(progress), time.perf_counter() + FIRST
    shown_yet, title = False, f"evaluating {ref(trained.recipe.agent).rpartition(':')[2]} on {trained.recipe.env}"

    def see(plan: EvaluationPlan) -> None:
        look(plan)
        nonlocal due, shown_yet
        if time.perf_counter() >= due:
            gauge.show(title, len(plan.played) / max(plan.total, 1), plan.text)
            due, shown_yet = time.perf_counter() + gauge.seldom, True

    try:
        found = trained_load.evaluate(trained, episodes, stochastic=stochastic, look=see).view(Returns)
        if shown_yet:
            gauge.show(title, 1.0, f"{found.size:,} episodes")
    finally:
        gauge.close()
    found.seeds, found.policy = tuple(trained.seeds), "stochastic" if stochastic else "greedy"
    return found
