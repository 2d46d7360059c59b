"""A run that trains looks inside its agent now and then: debug.csv, TensorBoard, and warnings in words.

What is asked is a copy of one seed at a time, which has been handed a snapshot of the agent's state: nothing that is
learned can tell whether anybody looks.
"""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ..agent import Agent
from ..agent_state import pick
from ..errors import first_line
from ..inspection.course import COLUMNS, Watched, row
from ..inspection.findings import Finding, gathered
from ..inspection.look import SeedLook, look, remembers
from ..inspection.recent import Recent
from ..trained.explain import discount
from ..types import Transition
from .underway import Underway

FEWEST = 16  # states that a look is worth the while of


class Debug:
    """Looks inside the agent of a run every ``debug_every`` env steps.

    Args:
        run: under way; its folder's recorder is there by the first look.
    """

    def __init__(self, run: Underway) -> None:
        self._run = run
        recipe, spec = run.recipe, run.parts.spec
        with _untouched():  # an agent of somebody's may draw its weights from a global generator
            self._copy: Agent = run.parts.made(recipe.seed_numbers[:1])[0]
        self._recent = Recent(
            recipe.seeds,
            recipe.num_envs,
            recipe.debug_every,
            images=len(spec.obs_shape) > 1,
            in_order=remembers(self._copy),
            said=tuple(spec.extras),
        )
        self._gamma = None if recipe.hyper.get("normalise_rewards") else discount(recipe)
        self._watched = Watched(recipe.seed_numbers, _width(run))
        self._failed = False

    def step(self, transition: Transition) -> None:
        """Take in what has just happened."""
        self._recent.step(transition, self._run.env_steps)

    def look(self) -> None:
        """Look inside the seeds that train; write down what there is, and tell what is wrong.

        An agent that cannot be looked into trains on all the same, and a note says why.
        """
        run = self._run
        if self._failed:
            return
        seeds = run.recipe.seed_numbers
        rows: dict[str, list[float]] = {name: [math.nan] * len(seeds) for name in COLUMNS}
        found: dict[int, list[Finding]] = {}
        try:
            with _untouched():
                looks = self._looks()
            for s, one in looks.items():
                norm = self._norm(s)
                for name, value in row(one, self._recent, s, norm).items():
                    rows[name][s] = value
                found[one.seed] = self._watched.found(one, self._recent, norm, run.env_steps)
        except (Exception, SystemExit) as e:  # of the agent's own code; it has trained so far, and can go on
            self._failed = True
            why = f"something called sys.exit({e.code!r})" if isinstance(e, SystemExit) else first_line(e)
            run.watcher.remark(f"what is inside the agent is not looked at any more: {why.rstrip('.')}.")
            return
        if looks:
            run.recorder.debug(run.env_steps, run.agent.updates, rows, list(looks))
        several = len(seeds) if run.alone else max(len(seeds), 2)
        for group in self._watched.news(found):
            run.watcher.note(f"step {run.env_steps:,}: {gathered(group, several)}")

    def _looks(self) -> dict[int, SeedLook]:
        """A look into each seed that trains, by its position; {} where too little has happened since the last."""
        run, recent = self._run, self._recent
        seeds, spec, training = run.recipe.seed_numbers, run.parts.spec, run.state.training
        state, out = run.own_state(), dict[int, SeedLook]()
        for s in training:
            episodes = recent.take(s, last=s == training[-1])
            count = sum(len(one.rewards) for one in episodes)
            if count < FEWEST:
                continue
            self._copy.load_state_dict(pick(state, s, len(seeds), run.axes))
            out[s] = look(
                self._copy, seeds[s], episodes, count,
                gamma=self._gamma, time_limit=spec.time_limit, num_actions=spec.num_actions,
                rewards=(float(recent.low[s]), float(recent.high[s])),
            )  # fmt: skip
        return out

    def _norm(self, s: int) -> float | None:
        told = self._run.state.metrics.get("grad_norm")
        return float(told[s]) if isinstance(told, torch.Tensor) and told.dim() else None

    def state_dict(self) -> dict[str, Any]:
        """What has been seen and told, so that a resumed run does not say it again."""
        return {"recent": self._recent.state_dict(), "watched": self._watched.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._recent.load_state_dict(state["recent"])
        self._watched.load_state_dict(state["watched"])


def _width(run: Underway) -> float | None:
    """The least width of the space of continuous actions; 1 where it has no bounds, None of choices."""
    low, high = run.parts.spec.action_low, run.parts.spec.action_high
    if low is None or high is None:
        return None
    wide = (high.double() - low.double()).flatten()
    wide = wide[torch.isfinite(wide) & (wide > 0)]
    return float(wide.min()) if len(wide) else 1.0


@contextmanager
def _untouched() -> Iterator[None]:
    """Context in which the global generators may be drawn from, and are afterwards as they were."""
    kept = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        random.setstate(kept[2])
