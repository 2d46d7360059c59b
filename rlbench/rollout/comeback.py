"""Where the copies of an `EnvBatch` stand in mid-episode, and how others come to stand there: by doing it all again.

Helps `env_batch`. Nothing of an environment is pickled: it is reset with the seed of its episode, and takes the same
actions.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import EnvError
from .stepper import Again, CopyError

if TYPE_CHECKING:
    from .env_batch import EnvBatch

Before = Callable[[int, Mapping[int, int]], Mapping[int, Sequence[Any]]]  # seed, env -> episode: env -> what was done


def state_of(envs: "EnvBatch") -> dict[str, Any]:
    """Where every copy stands: episode numbers (S, E), the actions of the episodes under way, the observations, and
    checksums of all that these episodes gave, where it is not sure to follow from the actions."""
    dtype = torch.int64 if envs._action_codec.discrete else torch.float32
    running = torch.zeros(len(envs.envs), dtype=torch.bool)
    running[envs._running] = True
    state = {
        "episodes": torch.tensor(envs._episodes).view(envs._lead),
        "running": running.view(envs._lead),
        "actions": [torch.tensor(np.array(envs._actions(i)), dtype=dtype) for i in range(len(envs.envs))],
        "obs": torch.from_numpy(envs._obs.copy()),
    }
    return state if envs._digests is None else {**state, "sums": torch.tensor(envs._digests.all())}


def bring_back(envs: "EnvBatch", state: dict[str, Any], before: Before | None = None) -> tuple[Tensor, list[int]]:
    """Bring every copy back to where it stood, by replaying the episode under way.

    Args:
        envs: fresh ones, or any that stand somewhere else.
        state: from `state_of`.
        before: gives the actions of earlier episodes of a seed, by env, where they are known. The episode before
            the one under way goes first: some environments keep something over a reset (MinAtar's repeat the last
            action now and then, whichever episode it was of).

    Returns:
        The observations to act on, (S, E, *O), and the positions of the copies whose episode gave other
        observations or rewards, or ended: these are not deterministic given their seed, and start the next one.

    Raises:
        EnvError: an environment's code raised, or returned what does not fit, while its episode was replayed.
    """
    envs._episodes = [int(e) for e in state["episodes"].flatten()]
    envs._running = [i for i, on in enumerate(state["running"].flatten().tolist()) if on]
    stood = state["obs"].numpy()
    envs._obs, envs._here = envs._obs_pages.take()
    envs._obs[:] = stood
    discrete, dtype = envs._action_codec.discrete, envs._action_codec.dtype
    taken = [a.tolist() if discrete else list(a.numpy().astype(dtype)) for a in state["actions"]]
    envs._clock = max(map(len, taken))
    idle = next((a[0] for a in taken if a), None)  # stands in the log before an episode began
    rows = zip(*([idle] * (envs._clock - len(a)) + a for a in taken), strict=True)
    envs._log = [list(row) for row in rows]
    strayed = []
    sums = state["sums"].tolist() if "sums" in state and envs._digests else None  # earlier versions kept none
    earlier = _earlier(envs, before) if before and not envs.copies.at_once else {}
    for i in envs._running:
        number = envs._episodes[i]
        if earlier.get(i):
            with contextlib.suppress(EnvError):  # of one that is not deterministic
                _again(envs, i, number - 1, earlier[i])
        try:
            again = _again(envs, i, number, taken[i])
        except EnvError as e:  # whatever it depends on: going on with another episode would hide a fault
            e.args = (f"{str(e).rstrip('. ')}; that was while the episode it had stopped in was replayed",)
            raise
        same = not again.ended and np.array_equal(envs._obs[i], stood[i])
        if not same or not (sums is None or list(again.sums) == sums[i]):
            strayed.append(i)
            envs._next_episode(i)
    return envs._settle(), strayed


def _earlier(envs: "EnvBatch", before: Before) -> dict[int, Sequence[Any]]:
    """What each running copy did in the episode before the one under way, where that is known."""
    wanted: dict[int, dict[int, int]] = {}
    for i in envs._running:
        s, e = divmod(i, envs.num_envs)
        wanted.setdefault(s, {})[e] = envs._episodes[i] - 1
    told = {s: before(envs.seeds[s], episodes) for s, episodes in wanted.items()}
    return {s * envs.num_envs + e: taken for s, of_seed in told.items() for e, taken in of_seed.items()}


def _again(envs: "EnvBatch", i: int, episode: int, taken: Sequence[Any]) -> Again:
    """Run copy ``i`` through an episode as far as ``taken`` goes."""
    envs._episodes[i] = episode - 1
    envs._next_episode(i)
    envs._began[i] = envs._clock - len(taken)
    try:
        again = envs.copies.replay(i, taken, envs._obs[i : i + 1])
    except CopyError as e:
        raise envs._broken(i, e.done + 1, e.__cause__) from e.__cause__
    envs._returns[i] = again.episode_return
    if envs._digests is not None:
        envs._digests.stand(i, again.sums)
    return again
