"""Environments of a few states whose values are known: each is a table, which is walked and solved.

What is in a table says what each action leads to, with what chance; `solve` finds the values of the best policy, and of
one that mistakes an end for another thing, which is how a row tells what is likely wrong. A walk shows the states as an
agent can take them: numbers between -1 and 1, indices, or small images. The tables themselves are `probes`'.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

Form = Literal["vector", "index", "pixels"]
ACTIONS = 2
SIDE = 10  # pixels of an image, each way
_SWEEPS = 200  # of value iteration; 0.8 to this power is 1e-20


class To(NamedTuple):
    """Where an action may lead."""

    state: int
    reward: float = 0.0
    over: bool = False  # the task ends here; ``state`` is what is seen then, and nothing follows
    chance: float = 1.0


class Known(NamedTuple):
    """A table: what each of two actions leads to in every state.

    Attributes:
        table: of each state, for each action, where it may lead; nothing, of a state that is only ever seen at an end.
        starts: what an episode may begin with, each as likely.
        limit: steps after which an episode is cut, by a time limit; None: never.
        forbidden: states, each with an action that is illegal there, of which ``info["action_mask"]`` tells.
        shown: what each state looks like, where two look the same; None: as itself.
    """

    table: tuple[tuple[tuple[To, ...], ...], ...]
    starts: tuple[int, ...] = (0,)
    limit: int | None = None
    forbidden: tuple[tuple[int, int], ...] = ()
    shown: tuple[int, ...] | None = None

    @property
    def looks(self) -> tuple[int, ...]:
        """Of each state, the number of what it looks like."""
        return tuple(range(len(self.table))) if self.shown is None else self.shown

    @property
    def immediate(self) -> bool:
        """Whether every step ends the task, so that no discount comes into it."""
        return all(to.over for actions in self.table for action in actions for to in action)

    @property
    def legal(self) -> np.ndarray:
        """(N, 2) bool."""
        legal = np.ones((len(self.table), ACTIONS), np.bool_)
        for state, action in self.forbidden:
            legal[state, action] = False
        return legal


def both(*to: To) -> tuple[tuple[To, ...], ...]:
    """Both actions lead to the same."""
    return (to, to)


def solve(known: Known, gamma: float) -> np.ndarray:
    """(N, 2): the values of both actions in every state, under the best policy. The limit is no part of the task."""
    q = np.zeros((len(known.table), ACTIONS))
    for _ in range(_SWEEPS):
        value = np.where(known.legal, q, -np.inf).max(1)
        for s, row in enumerate(known.table):
            for a, to in enumerate(row):
                q[s, a] = sum(t.chance * (t.reward + gamma * (not t.over) * value[t.state]) for t in to)
    return q


def mistaken(known: Known, gamma: float) -> dict[str, np.ndarray]:
    """What agents learn that get one thing wrong: what they do -> the values they find, (N, 2)."""
    found = {
        "the value of what follows is counted on after a termination too": solve(_each(known, over=False), gamma),
        "what follows is not counted on": solve(known, 0.0),
        "nothing is discounted": solve(known, 1.0),
        "each step is discounted twice": solve(known, gamma**2),
        "rewards are clipped to -1..1": solve(_each(known, clip=1.0), gamma),
        "rewards of the wrong sign are learned from": -solve(known, gamma),
    }
    if known.limit is not None:
        found["a time limit is taken for a termination"] = solve(_cut(known, None), gamma)
        found["a time limit is taken for a termination, and rewards summed up to there"] = _summed(known, gamma)
        found["after a time limit the next episode's first observation is taken for what followed"] = solve(
            _cut(known, known.starts[0]), gamma
        )
    return found


def _each(known: Known, over: bool | None = None, clip: float = np.inf) -> Known:
    def changed(to: To) -> To:
        reward = float(np.clip(to.reward, -clip, clip))
        return to._replace(reward=reward, over=to.over if over is None else over)

    return known._replace(table=tuple(tuple(tuple(map(changed, to)) for to in row) for row in known.table))


def _cut(known: Known, after: int | None) -> Known:
    """The table as it seems to who takes the limit for a death, or believes that the state ``after`` follows it.

    Of the visits to each state a share is an episode's last.
    """
    visits = _visits(known)
    share = visits[-1] / np.maximum(visits.sum(0), 1e-12)

    def split(s: int, to: Sequence[To]) -> tuple[To, ...]:
        cut = [t._replace(over=True) if after is None else t._replace(state=after) for t in to]
        went_on = [t._replace(chance=t.chance * (1 - share[s])) for t in to]
        return (*went_on, *(t._replace(chance=t.chance * share[s]) for t in cut))

    return known._replace(table=tuple(tuple(split(s, to) for to in row) for s, row in enumerate(known.table)))


def _summed(known: Known, gamma: float) -> np.ndarray:
    """(N, 2): the mean of what is paid from each visit on, up to the limit and not beyond it."""
    visits = _visits(known)
    left = np.zeros(len(known.table))  # of what is paid in as many steps as are left
    total = np.zeros(len(known.table))
    for here in visits[::-1]:
        paid = np.zeros_like(left)
        for s, row in enumerate(known.table):
            paid[s] = (
                sum(t.chance * (t.reward + gamma * (not t.over) * left[t.state]) for to in row for t in to) / ACTIONS
            )
        left = paid
        total += here * left
    return np.repeat(total[:, None] / np.maximum(visits.sum(0), 1e-12)[:, None], ACTIONS, 1)


def _visits(known: Known) -> np.ndarray:
    """(limit, N): how often each state is visited at each step of an episode of evenly drawn actions."""
    here = np.zeros(len(known.table))
    here[list(known.starts)] = 1 / len(known.starts)
    visits = []
    for _ in range(known.limit or 1):
        visits.append(here)
        there = np.zeros_like(here)
        for s, row in enumerate(known.table):
            for to in row:
                for t in to:
                    there[t.state] += here[s] * t.chance * (not t.over) / ACTIONS
        here = there
    return np.array(visits)


def picture(look: int, looks: int, form: Form) -> np.ndarray:
    """What a state is seen as: a number from -1 to 1, its index, or an image with a block of its own lit."""
    if form == "index":
        return np.array(look)
    if form == "vector":
        return np.array([1.0 if looks == 1 else 2.0 * look / (looks - 1) - 1.0], np.float32)
    image = np.zeros((SIDE, SIDE, 1), np.uint8)
    width = SIDE // looks
    image[:, look * width : (look + 1) * width] = 255
    return image


class Walk(gymnasium.Env[Any, Any]):
    """A table, walked.

    Args:
        known: the table.
        form: how states are shown.
        continuous: actions are numbers from -1 to 1, of which those above 0 stand for action 1.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, known: Known, form: Form = "vector", continuous: bool = False) -> None:
        self.known, self.form, self.continuous = known, form, continuous
        looks = max(known.looks) + 1
        self._pictures = [picture(look, looks, form) for look in known.looks]
        if form == "index":
            self.observation_space: spaces.Space[Any] = spaces.Discrete(looks)
        elif form == "vector":
            self.observation_space = spaces.Box(-1, 1, (1,), np.float32)
        else:
            self.observation_space = spaces.Box(0, 255, (SIDE, SIDE, 1), np.uint8)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32) if continuous else spaces.Discrete(ACTIONS)
        self._legal = known.legal
        self._state = self._steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        starts = self.known.starts
        self._state, self._steps = starts[int(self.np_random.integers(len(starts)))], 0
        return self._seen()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        chosen = int(action[0] > 0) if self.continuous else int(action)
        if not self._legal[self._state, chosen]:
            raise RuntimeError(f"action {chosen} was taken where action_mask forbids it")
        to = self.known.table[self._state][chosen]
        drawn, below = self.np_random.random(), 0.0
        for one in to:
            below += one.chance
            if drawn < below:
                break
        self._state = one.state
        seen, said = self._seen()
        return seen, one.reward, one.over, not one.over and self._steps == self.known.limit, said

    def _seen(self) -> tuple[Any, dict[str, Any]]:
        said = {"action_mask": self._legal[self._state].copy()} if self.known.forbidden else {}
        seen = self._pictures[self._state]
        return (np.int64(seen) if self.form == "index" else seen.copy()), said
