"""The live agent, asked the same as a file: by the border's own codecs, and not by what was traced.

So that a file is compared with what plays when `rlbench eval` scores the agent.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..acting import choose
from ..border.extras import MASK
from ..border.spaces import ActionCodec
from ..policyfile.leaves import leaves
from ..policyfile.metadata import Dict, Discrete, Space, Tuple
from ..process.denormals import zeroed
from ..recipe.registry import agent_code
from ..trained.explain import insights
from ..trained.load import Trained
from ..types import NO_EXTRAS, Extras
from .votes import best_seed

VARIANTS = 16  # of an observation, that float32 hardly tells apart
ByPort = Mapping[str, np.ndarray]  # inputs or outputs by name, (B, ...) each


class Answer(NamedTuple):
    """What the live agent makes of a batch.

    ``action`` is as the environment takes it, (B, ...), ``chosen`` as each seed's agent gives it, (S, B, ...), and
    ``of_seeds`` what each shows, (S, B, ...); ``shown`` is their mean, (B, ...).
    """

    action: np.ndarray
    chosen: np.ndarray
    of_seeds: dict[str, np.ndarray]

    @property
    def shown(self) -> dict[str, np.ndarray]:
        return {name: x[0] if len(x) == 1 else x.mean(0, dtype=x.dtype) for name, x in self.of_seeds.items()}

    def of_rows(self, which: Sequence[int]) -> "Answer":
        """What it makes of some rows."""
        return Answer(
            self.action[which], self.chosen[:, which], {name: x[:, which] for name, x in self.of_seeds.items()}
        )


class LivePolicy:
    """A trained agent that answers for batches, and remembers from one to the next as it does when it plays.

    Args:
        trained: the agent.
        space: what is observed, as a file tells of it.
    """

    def __init__(self, trained: Trained, space: Space) -> None:
        self.trained, self.space = trained, space
        self.codec = trained.parts.action_codec
        self.best = best_seed(trained)
        self._before: dict[str, Tensor] = {}

    def begin(self, started: np.ndarray) -> None:
        """Episodes begin in the rows of ``started``, (B,) bool; B stays as it is until all begin."""
        if not started.any():
            return
        mask = torch.from_numpy(started).expand(len(self.trained.seeds), -1)
        with self._code():
            self.trained.agent.begin(mask.clone(), explore=False)

    def __call__(self, inputs: ByPort) -> Answer:
        """What it makes of observations, and of masks where it takes them."""
        self._before = {name: x.clone() for name, x in self.trained.agent.recall().items()}
        return self._ask(inputs)

    def _ask(self, inputs: ByPort) -> Answer:
        obs, extras = self.seen(inputs), self.told(inputs)
        with self._code():
            shown = insights(self.trained.agent, obs, extras)
            with torch.no_grad(), zeroed():
                chosen, _ = choose(self.trained.agent, obs, extras, explore=False)
        one = chosen[:1] if len(chosen) == 1 else _voted(chosen, self.codec, self.best)
        action = np.array(self.codec.decode(one), self.codec.dtype)
        return Answer(action, chosen.cpu().numpy(), {name: x.cpu().numpy() for name, x in shown.items()})

    def again(self, inputs: ByPort, i: int) -> list[Answer]:
        """What it makes of row ``i`` of the batch that it answered last, asked in other ways that are the same to
        float32: alone, and with observation and memory changed by less than sums of them are rounded by.

        It goes on as if it had not been asked.
        """
        agent, rng = self.trained.agent, np.random.default_rng(i)
        before, after = self._before, {name: x.clone() for name, x in agent.recall().items()}
        answers = []
        for count in (1, VARIANTS):
            self.begin(np.ones(count, bool))
            kept = {name: x[:, i : i + 1].expand(-1, count, *x.shape[2:]).numpy() for name, x in before.items()}
            given = {name: np.repeat(x[i : i + 1], count, 0) for name, x in inputs.items()}
            if count > 1:
                given, kept = ({name: _nudged(x, rng) for name, x in part.items()} for part in (given, kept))
            agent.remember({name: torch.tensor(x) for name, x in kept.items()})
            answers.append(self._ask(given))
        self.begin(np.ones(len(next(iter(inputs.values()))), bool))
        agent.remember(after)
        return answers

    def seen(self, inputs: ByPort) -> Tensor:
        """(S, B, *O), by the environment's own codec, one observation after the other."""
        form = self.trained.parts.obs_codec
        rows = [np.array(form.encode(obs), form.dtype) for obs in unstacked(self.space, inputs)]
        stack = torch.from_numpy(np.stack(rows))
        return stack.expand(len(self.trained.seeds), *stack.shape)

    def told(self, inputs: ByPort) -> Extras:
        if MASK not in inputs:
            return NO_EXTRAS
        mask = torch.from_numpy(inputs[MASK])
        return {MASK: mask.expand(len(self.trained.seeds), *mask.shape)}

    def _code(self) -> Any:
        return agent_code(self.trained.recipe.agent)


def _nudged(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows of floats, each number moved by up to what float32 rounds the largest of its row by: by so much, a sum of
    them is rounded at least."""
    if x.dtype.kind != "f":
        return x
    size = np.abs(x).reshape(len(x), -1).max(1, initial=0.0).reshape(-1, *[1] * (x.ndim - 1))
    with np.errstate(over="ignore"):
        return (x + rng.uniform(-1, 1, x.shape) * size * np.finfo(np.float32).eps).astype(x.dtype)


class Voting:
    """Several seeds as one agent of one seed, for those who let an agent play."""

    def __init__(self, trained: Trained) -> None:
        self.agent, self.seeds = trained.agent, len(trained.seeds)
        self.codec, self.best = trained.parts.action_codec, best_seed(trained)

    def begin(self, started: Tensor, *, explore: bool) -> None:
        self.agent.begin(started.expand(self.seeds, -1).clone(), explore=explore)

    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor:
        more = {name: x.expand(self.seeds, *x.shape[1:]) for name, x in extras.items()}
        action, _ = choose(self.agent, obs.expand(self.seeds, *obs.shape[1:]), more, explore=explore)
        return _voted(action, self.codec, self.best)


def _voted(actions: Tensor, codec: ActionCodec, best: int) -> Tensor:
    """What several seeds do together, (S, B, ...) to (1, B, ...): as `votes.Vote` has it, by counting."""
    if not codec.counts:
        return actions.mean(0, keepdim=True)
    each = actions.cpu().numpy()
    flat = each.reshape(len(each), -1)  # (S, B * K)
    won = [_majority(column, int(column[best])) for column in flat.T]
    return torch.tensor(won).reshape(1, *each.shape[1:])


def _majority(votes: np.ndarray, favourite: int) -> int:
    counts = np.bincount(votes)
    most = np.flatnonzero(counts == counts.max())
    return favourite if favourite in most else int(most[0])


def unstacked(space: Space, inputs: ByPort) -> Iterator[Any]:
    """The observations of a batch, one by one, as the environment gives them."""
    found = list(leaves(space))
    for i in range(len(inputs[found[0][0]])):
        values = (inputs[name][i] if isinstance(leaf, Discrete) else inputs[name][i, ...] for name, leaf in found)
        yield _nested(space, values)


def _nested(space: Space, values: Iterator[Any]) -> Any:
    if isinstance(space, Dict):
        return {key: _nested(inner, values) for key, inner in space.spaces.items()}
    if isinstance(space, Tuple):
        return tuple(_nested(inner, values) for inner in space.spaces)
    return next(values)


def rows(inputs: ByPort, which: Sequence[int] | np.ndarray | slice) -> dict[str, np.ndarray]:
    """Some rows of a batch."""
    return {name: x[which] for name, x in inputs.items()}
