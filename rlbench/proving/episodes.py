"""Whole episodes that a file plays alone: raw observations go in as the environment gives them, actions go to it as
they come out. They are the episodes of `rlbench eval`, so that the returns can be compared with the live agent's.
"""

from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from ..border.extras import MASK, Told
from ..policyfile.opened import PolicyFile
from ..rng import episode_seed
from ..rollout.evaluation import EVAL_COPIES, FINAL_ROUND, ROUND, STREAM, Evaluator
from ..stats.intervals import mean_interval
from ..tracing.live import Answer, ByPort, LivePolicy, Voting, rows
from ..trained.load import Trained, evaluate
from .agree import TOLERANCE, compared
from .observed import arrays_of, heard
from .proof import Mismatch, begun, brief, mismatch


class FileEpisodes(NamedTuple):
    """What a file played, and how it agreed with the live agent at every step on the way.

    ``returns`` is (n,), ``steps`` counts those of all episodes, ``ties`` the actions of each that are ties, (n,);
    ``largest`` and ``rounded`` are as of `agree.Agreement`.
    """

    returns: np.ndarray
    steps: int
    ties: np.ndarray
    largest: float
    rounded: int


class ReturnsCompared(NamedTuple):
    """Returns of a file beside those of the live agent in the same episodes.

    ``equal`` counts those that are the same, ``drifted`` those that differ though every step agreed; of these,
    ``why`` says what lets them, and ``low`` and ``high`` are the 95 % interval of the mean difference, paired.
    """

    returns: np.ndarray
    live: np.ndarray
    equal: int
    drifted: int
    why: str = ""
    low: float = 0.0
    high: float = 0.0


def _again(live: LivePolicy, taken: ByPort, which: list[int], j: int) -> list[Answer]:
    return live.again(taken, which[j])


class EnvCopy:
    """One copy of the environment, and the episode that it is in."""

    def __init__(self, i: int, env: gym.Env[Any, Any], told: Told | None) -> None:
        self.i, self.env, self.told = i, env, told
        self.obs: Any = None
        self.episode, self.total, self.length, self.over = -1, 0.0, 0, True

    def begin(self, seed: int, episode: int) -> None:
        number = FINAL_ROUND * ROUND + episode // EVAL_COPIES
        self.obs, info = self.env.reset(seed=episode_seed(seed, STREAM, self.i, number))
        self.episode, self.total, self.length, self.over = episode, 0.0, 0, False
        self._hear(info)

    def step(self, action: Any, limit: int) -> None:
        self.obs, reward, terminated, truncated, info = self.env.step(action)
        self.total += float(reward)
        self.length += 1
        self.over = terminated or truncated or (limit > 0 and self.length >= limit)
        self._hear(info)

    def _hear(self, info: Any) -> None:
        if self.told is not None:
            heard(self.told, self.i, self.env, self.obs, info, over=self.over)


def play_file(
    file: PolicyFile,
    trained: Trained,
    live: LivePolicy,
    chosen: list[int],
    look: Callable[[str], None] = lambda text: None,
) -> FileEpisodes:
    """Let a file play the episodes of `rlbench eval` that are ``chosen``, by their numbers.

    At every step the live agent is asked too, of the very same observations; what it says goes nowhere but into the
    comparison. Copy k of the environment plays the episodes k, k + 10, ..., as in an evaluation.

    Raises:
        Mismatch: the two do not agree on an observation.
        EnvError: the environment raised.
    """
    returns, ties = dict[int, float](), dict.fromkeys(chosen, 0)
    queues = {i: [k for k in chosen if k % EVAL_COPIES == i] for i in range(EVAL_COPIES)}
    names = [port.name for port in file.metadata.outputs]
    steps, largest, rounded = 0, 0.0, 0
    with ExitStack() as stack:
        used = [i for i in queues if queues[i]]
        envs = {i: stack.enter_context(closing(trained.maker())) for i in used}
        every = [envs[i if i in envs else used[0]] for i in range(EVAL_COPIES)]
        told = Told(trained.maker.extras, every) if trained.maker.extras else None
        copies = [EnvCopy(i, envs[i], told) for i in used]
        memory: dict[str, np.ndarray] = {}
        first = True
        while True:
            fresh = np.full(EVAL_COPIES, first)
            for copy in copies:
                if copy.over and queues[copy.i]:
                    copy.begin(trained.seeds[0], queues[copy.i].pop(0))
                    fresh[copy.i] = True
            active = [copy for copy in copies if not copy.over]
            if not active:
                break
            shown = {copy.i: copy.obs for copy in copies}
            taken = arrays_of(trained, live.space, [shown.get(i, copies[0].obs) for i in range(EVAL_COPIES)])
            which = [copy.i for copy in active]
            if told is not None:
                taken[MASK] = np.ones_like(told.arrays[MASK])  # where nobody acts, too
                taken[MASK][which] = told.arrays[MASK][which]
            kept = begun(file.metadata, memory, fresh)
            given = file({**rows(taken, which), **rows(kept, which)})
            for name, x in file.remembered(given).items():
                kept[name][which] = x
            memory = kept
            live.begin(fresh)
            answer = live(taken).of_rows(which)
            again = partial(_again, live, taken, which)
            agreement = compared(given, answer, live.codec, names, again)
            if agreement.wrong is not None:
                at = active[agreement.wrong.row]
                what = f"In step {at.length} of its own episode {at.episode}"
                raise mismatch(agreement.wrong, rows(taken, which), what)
            largest, rounded, first = max(largest, agreement.largest), rounded + agreement.rounded, False
            for j, copy in enumerate(active):
                ties[copy.episode] += bool(agreement.tied[j])
                copy.step(given["action"][j], trained.maker.limit)
                steps += 1
                if copy.over:
                    returns[copy.episode] = copy.total
                    look(f"{len(returns):,} of {len(chosen):,} episodes")
    return FileEpisodes(
        np.array([returns[k] for k in chosen]), steps, np.array([ties[k] for k in chosen]), largest, rounded
    )


def live_returns(trained: Trained, episodes: int) -> np.ndarray:
    """(n,): what the live agent gets in the same episodes; of several seeds, what they get together."""
    if len(trained.seeds) == 1:
        return evaluate(trained, episodes)[0]
    evaluator = Evaluator(trained.maker, trained.seeds[:1])
    try:
        voting: Any = Voting(trained)
        return evaluator(voting, episodes, round=FINAL_ROUND)[0][0]
    finally:
        evaluator.close()
        trained.reset()


def compare_returns(
    file: PolicyFile, trained: Trained, live: LivePolicy, played: FileEpisodes, expected: np.ndarray
) -> ReturnsCompared:
    """The returns of a file beside the live agent's, ``expected``, (n,).

    Where every step agreed they are the same, unless the environment makes more of less: of a tie, of the last bits of
    a continuous action, or of nothing, where it is not deterministic given its seed. Only then may returns differ, and
    not on the whole: the mean difference is not to be told from 0.

    Raises:
        Mismatch: they differ otherwise.
    """
    n = len(expected)
    same = np.abs(played.returns - expected) <= TOLERANCE * np.maximum(1, np.abs(expected))
    differing = np.flatnonzero(~same).tolist()
    if not differing:
        return ReturnsCompared(played.returns, expected, n, 0)
    k = next((k for k in differing if not played.ties[k]), None)
    why = "ties"
    if k is not None:
        why = "the last bits of continuous actions"
        if live.codec.counts or live.codec.dtype.kind != "f":
            again = play_file(file, trained, live, list(range(k % EVAL_COPIES, k + 1, EVAL_COPIES)))
            if again.returns[-1] == played.returns[k]:
                raise Mismatch(
                    f"the file got {played.returns[k]:.10g} in episode {k} of the evaluation, and the live agent "
                    f"{expected[k]:.10g}, though they agreed at every step. Nothing was written."
                )
            why = "the environment, which is not deterministic given its seed"
    low, high = (float(x) for x in mean_interval(played.returns - expected)) if n > 1 else (-np.inf, np.inf)
    if low > 0 or high < 0:
        raise Mismatch(
            f"the file gets other returns than the live agent, by {brief([low, high])} (95 % interval of the mean "
            f"difference over {n} episodes, {len(differing)} of which differ). Nothing was written."
        )
    return ReturnsCompared(played.returns, expected, n - len(differing), len(differing), why, low, high)
