"""Greedy evaluation of all seeds at once, in environments and with episode seeds of its own."""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ..acting import choose
from ..agent import Agent
from ..border.make import EnvMaker
from ..types import NO_EXTRAS, Extras
from .env_batch import EnvBatch, Episode
from .loop import run

EVAL_COPIES = 10  # copies per seed that play at the same time, and the fewest episodes that a bound leaves
STREAM = "evaluate"  # of episode seeds
ROUND = 1_000_000  # episode numbers of one evaluation stay below this
FEW = 2  # copies per seed that play at the same time where a step may take long

PlayedReturns = dict[tuple[int, int], tuple[float, int]]  # position of the seed, episode -> its return and length


class EvaluationPlan:
    """Which episodes an evaluation plays, and what came of those that it has played.

    How many a seed plays may be bounded by env steps: when its first ten are known, as many follow as fit, by their
    mean length, into the bound. That depends on nothing but this seed's own episodes.

    Args:
        playing: positions of the seeds.
        episodes: per seed, at most.
        most_steps: env steps per seed, by position, that its episodes should take at most; None: no bound.
        played: episodes that are known already.
        room: copies of a seed that play at the same time. By count and not by the clock, seed by seed: an agent that
            draws its actions draws the same ones every time, whichever seeds are evaluated beside.

    Attributes:
        played: all that are known.
        copies: how many environment copies there are.
    """

    def __init__(
        self,
        playing: Sequence[int],
        episodes: int,
        most_steps: Sequence[int] | None = None,
        played: PlayedReturns | None = None,
        room: int = EVAL_COPIES,
    ) -> None:
        self.episodes, self._most, self.copies, self._room = episodes, most_steps, 0, room
        self.wanted = {s: min(EVAL_COPIES, episodes) if most_steps else episodes for s in playing}
        self.played = {(s, k): v for (s, k), v in (played or {}).items() if s in self.wanted and k < episodes}
        self._open = {
            s for s in playing if most_steps and episodes > EVAL_COPIES
        }  # how many they play is not known yet
        self._next = {(s, e): e for s in playing for e in range(EVAL_COPIES)}
        self._waiting: dict[int, list[int]] = {s: [] for s in playing}  # episodes of a seed, a heap, for copies at rest
        self._ready: list[tuple[int, int]] = []  # (episode, seed), a heap: those for which there is room
        self._taken: Counter[int] = Counter()  # episodes of a seed that are ready, or being played
        for s in playing:
            self._offer_all(s)
            self._decide(s)

    @property
    def ready(self) -> bool:
        """Whether there is an episode to be begun."""
        return bool(self._ready)

    @property
    def total(self) -> int:
        """Episodes of all seeds together, as far as that is known."""
        return sum(self.wanted.values())

    @property
    def text(self) -> str:
        """How far it is."""
        copies = f"{self.copies:,} environment {'copy' if self.copies == 1 else 'copies'}"
        return f"evaluating: {len(self.played):,} of {self.total:,} episodes, in {copies}"

    def take(self) -> tuple[int, int]:
        """The position of a seed, and the number of its episode that is to be begun now: the lowest come first."""
        k, s = heapq.heappop(self._ready)
        return s, k

    def count(self, s: int, k: int, episode_return: float, length: int) -> None:
        """Episode ``k`` of the seed at position ``s`` has ended."""
        self.played[s, k] = episode_return, length
        self._taken[s] -= 1
        self._offer(s, k % EVAL_COPIES)
        self._decide(s)

    def drop(self, s: int) -> None:
        """The seed at position ``s`` plays no more, and has no score."""
        self.wanted.pop(s, None)
        self._open.discard(s)
        self._waiting[s] = []
        self._ready = [(k, other) for k, other in self._ready if other != s]
        heapq.heapify(self._ready)
        self.played = {key: value for key, value in self.played.items() if key[0] != s}

    def numbers(self, seeds: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns and lengths, both (seeds, episodes) float64, NaN where there is none."""
        returns, lengths = np.full((seeds, self.episodes), np.nan), np.full((seeds, self.episodes), np.nan)
        for (s, k), (episode_return, length) in self.played.items():
            if k < self.wanted[s]:
                returns[s, k], lengths[s, k] = episode_return, length
        return returns, lengths

    def _offer_all(self, s: int) -> None:
        for e in range(EVAL_COPIES):
            self._offer(s, e)

    def _offer(self, s: int, e: int) -> None:
        """Let copy ``e`` of a seed, which is free, have its next episode, if there is one."""
        k = self._next[s, e]
        while (s, k) in self.played:
            k += EVAL_COPIES
        if k < self.wanted[s]:
            heapq.heappush(self._waiting[s], k)
            k += EVAL_COPIES
        self._next[s, e] = k
        while self._waiting[s] and self._taken[s] < self._room:
            heapq.heappush(self._ready, (heapq.heappop(self._waiting[s]), s))
            self._taken[s] += 1

    def _decide(self, s: int) -> None:
        """Once a seed's first episodes are known: how many it plays."""
        if s not in self._open or not all((s, k) in self.played for k in range(EVAL_COPIES)):
            return
        assert self._most is not None
        self._open.remove(s)
        steps = sum(self.played[s, k][1] for k in range(EVAL_COPIES))
        self.wanted[s] = min(self.episodes, max(EVAL_COPIES, self._most[s] * EVAL_COPIES // max(1, steps)))
        self._offer_all(s)


class _Padded:
    """An agent that always sees ``EVAL_COPIES`` observations a seed: products of other sizes may round otherwise.

    So what an episode gives does not depend on how many are played beside it.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def begin(self, started: Tensor, *, explore: bool) -> None:
        self.agent.begin(_padded(started, 1), explore=explore)

    def act(self, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor:
        envs = obs.shape[1]
        more = {name: _padded(x, 1) for name, x in extras.items()}
        action, _ = choose(self.agent, _padded(obs, 0), more, explore=explore)
        return action[:, :envs] if isinstance(action, Tensor) and action.dim() >= 2 else action


def _padded(leaf: Tensor, fill: float) -> Tensor:
    """(S, E, ...) to (S, EVAL_COPIES, ...), filled up."""
    seeds, envs, *rest = leaf.shape
    return torch.cat([leaf, leaf.new_full((seeds, EVAL_COPIES - envs, *rest), fill)], 1)


class Evaluator:
    """Plays greedy episodes of every seed. Keeps its environments between calls.

    Episode k of an evaluation is the (k // EVAL_COPIES)-th of copy k % EVAL_COPIES: which episodes are played, and in
    which order they are reported, does not depend on who finishes first (taking those would favour short ones), and a
    shorter evaluation is the beginning of a longer one.

    Copies that are stepped by arithmetic play all at once. Of others, whose steps may take long, two of each seed do:
    more would save little, and with fewer there is an episode to show, and to keep, the sooner.

    Args:
        maker: makes the environments.
        seeds: the S seed numbers.
        device: where the agent lives.
        keep_going: leave out a seed whose environment returns NaN or infinity, and go on with the others.

    Attributes:
        broken: of the newest evaluation, the positions of the seeds that were left out for that, and what came.
    """

    def __init__(
        self,
        maker: EnvMaker,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        *,
        keep_going: bool = False,
    ) -> None:
        self.maker, self.seeds, self.device, self.keep_going = maker, tuple(seeds), device, keep_going
        self.broken: dict[int, str] = {}
        self._envs: EnvBatch | None = None

    def __call__(
        self,
        agent: Agent,
        episodes: int,
        *,
        round: int = 0,
        skip: Sequence[int] = (),
        most_steps: Sequence[int] | None = None,
        played: Mapping[tuple[int, int], tuple[float, int]] | None = None,
        look: Callable[[EvaluationPlan], None] = lambda plan: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Play ``episodes`` episodes per seed.

        Args:
            agent: acts with ``explore=False``; it observes nothing.
            episodes: per seed, at least 1.
            round: another number gives other episodes.
            skip: positions of seeds that do not play; their numbers are NaN.
            most_steps: bounds of the seeds, as for `EvaluationPlan`.
            played: what an evaluation that was cut off had played.
            look: called before every step; what it raises ends the evaluation.

        Returns:
            Returns and lengths, both (S, episodes) float64; NaN for seeds that do not play, and beyond a seed's bound.
        """
        if episodes < 1:
            raise ValueError("an evaluation needs at least one episode")
        playing = [s for s in range(len(self.seeds)) if s not in skip]
        envs = self._made(min(EVAL_COPIES, episodes))
        plan = EvaluationPlan(
            playing, episodes, most_steps, dict(played or {}), EVAL_COPIES if envs.copies.known else FEW
        )
        self.broken = {}
        if not plan.ready:
            return plan.numbers(len(self.seeds))
        plan.copies = len(envs.envs)
        actor = agent if envs.num_envs == EVAL_COPIES else cast("Agent", _Padded(agent))
        envs.rest()
        look(plan)
        while plan.ready or envs.running:
            taken = []
            while plan.ready:
                taken.append(plan.take())
            envs.begin([(s, k % EVAL_COPIES, round * ROUND + k // EVAL_COPIES) for s, k in taken])
            self._drop_broken(envs, plan)
            for step in run(actor, envs, explore=False, learn=False, obs=envs.obs):
                for done in step.finished:
                    plan.count(done.seed, self._number(done, round), done.episode_return, done.episode_length)
                self._drop_broken(envs, plan)
                look(plan)
                if plan.ready:
                    break
        return plan.numbers(len(self.seeds))

    def _number(self, done: Episode, round: int) -> int:
        return (done.episode - round * ROUND) * EVAL_COPIES + done.env

    def _drop_broken(self, envs: EnvBatch, plan: EvaluationPlan) -> None:
        for s in envs.broken.keys() - self.broken.keys():
            self.broken[s] = envs.broken[s]
            plan.drop(s)

    def _made(self, width: int) -> EnvBatch:
        """The environments, ``width`` copies per seed or more."""
        if self._envs is not None and self._envs.num_envs < width:
            self.close()
        if self._envs is None:
            self._envs = EnvBatch(
                self.maker,
                self.seeds,
                width,
                device=self.device,
                stream=STREAM,
                keep_going=self.keep_going,
                pausing=True,
            )
        return self._envs

    def close(self) -> None:
        if self._envs is not None:
            self._envs.close()
            self._envs = None


FINAL_ROUND = 0  # evaluation episodes of the final figures; rounds during training are env steps, and never 0
