"""Environments are brought back to mid-episode: each is reset with its seed, and takes the same actions again.

Nothing of an environment is pickled: it is reset with the seed of its episode, and takes the same actions.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import EnvError
from .episodes import Episodes
from .stepper import Again, CopyError

Before = Callable[[int, Mapping[int, int]], Mapping[int, Sequence[Any]]]  # seed, env -> episode: env -> what was done


def state_of(episodes: Episodes) -> dict[str, Any]:
    """Where every copy stands: episode numbers (S, E), the actions of the episodes under way, the observations, and
    checksums of all that these episodes gave, where it is not sure to follow from the actions."""
    n, lead = len(episodes.numbers), (len(episodes.seeds), episodes.num_envs)
    dtype = torch.int64 if episodes.copies.action_codec.counts else torch.float32
    running = torch.zeros(n, dtype=torch.bool)
    running[episodes.running] = True
    state = {
        "episodes": torch.tensor(episodes.numbers).view(lead),
        "running": running.view(lead),
        "actions": [torch.tensor(np.array(episodes.actions(i)), dtype=dtype) for i in range(n)],
        "obs": torch.from_numpy(episodes.obs.copy()),
    }
    return state if episodes.digests is None else {**state, "sums": torch.tensor(episodes.digests.all())}


def bring_back(episodes: Episodes, state: dict[str, Any], before: Before | None = None) -> list[int]:
    """Bring every copy back to where it stood, by replaying the episode under way.

    Args:
        episodes: fresh ones, or any that stand somewhere else; ``obs`` is written to.
        state: from `state_of`.
        before: gives the actions of earlier episodes of a seed, by env, where they are known. The episode before
            the one under way goes first: some environments keep something over a reset (MinAtar's repeat the last
            action now and then, whichever episode it was of).

    Returns:
        The copies whose episode gave other observations or rewards, or ended: these are not deterministic given their
        seed, and start the next one.

    Raises:
        EnvError: an environment's code raised, or returned what does not fit, while its episode was replayed.
    """
    codec = episodes.copies.action_codec
    episodes.numbers = [int(e) for e in state["episodes"].flatten()]
    episodes.running = [i for i, on in enumerate(state["running"].flatten().tolist()) if on]
    stood = state["obs"].numpy()
    episodes.obs[:] = stood
    taken = [a.tolist() if codec.discrete else list(a.numpy().astype(codec.dtype)) for a in state["actions"]]
    episodes.clock = max(map(len, taken))
    idle = next((a[0] for a in taken if a), None)  # stands in the log before an episode began
    rows = zip(*([idle] * (episodes.clock - len(a)) + a for a in taken), strict=True)
    episodes.log = [list(row) for row in rows]
    strayed = []
    sums = state["sums"].tolist() if "sums" in state and episodes.digests else None  # earlier versions kept none
    earlier = _earlier(episodes, before) if before and not episodes.copies.at_once else {}
    for i in episodes.running:
        number = episodes.numbers[i]
        if earlier.get(i):
            with contextlib.suppress(EnvError):  # of one that is not deterministic
                _again(episodes, i, number - 1, earlier[i])
        try:
            again = _again(episodes, i, number, taken[i])
        except EnvError as e:  # whatever it depends on: going on with another episode would hide a fault
            e.args = (f"{str(e).rstrip('. ')}; that was while the episode it had stopped in was replayed",)
            raise
        same = not again.ended and np.array_equal(episodes.obs[i], stood[i])
        if not same or not (sums is None or list(again.sums) == sums[i]):
            strayed.append(i)
            episodes.next(i)
    episodes.fresh = [i for i in episodes.running if i in strayed or not taken[i]]
    return strayed


def _earlier(episodes: Episodes, before: Before) -> dict[int, Sequence[Any]]:
    """What each running copy did in the episode before the one under way, where that is known."""
    wanted: dict[int, dict[int, int]] = {}
    for i in episodes.running:
        s, e = divmod(i, episodes.num_envs)
        wanted.setdefault(s, {})[e] = episodes.numbers[i] - 1
    known = {s: before(episodes.seeds[s], numbers) for s, numbers in wanted.items()}
    return {s * episodes.num_envs + e: taken for s, of_seed in known.items() for e, taken in of_seed.items()}


def _again(episodes: Episodes, i: int, number: int, taken: Sequence[Any]) -> Again:
    """Run copy ``i`` through its episode ``number`` as far as ``taken`` goes."""
    episodes.numbers[i] = number - 1
    episodes.next(i)
    episodes.began[i] = episodes.clock - len(taken)
    try:
        again = episodes.copies.replay(i, taken, episodes.obs[i : i + 1])
    except CopyError as e:
        raise episodes.failed(i, e.done + 1, e.__cause__) from e.__cause__
    episodes.returns[i] = again.episode_return
    if episodes.digests is not None:
        episodes.digests.stand(i, again.sums)
    return again
