"""Raw observations of a policy's environment, to compare by: of recorded episodes, or of episodes that it plays now."""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import count as count_up
from itertools import zip_longest
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from ..border.extras import MASK, Told
from ..border.observations import Unfit
from ..errors import CheckpointError, EnvError, RlbenchError
from ..policyfile.leaves import BadValue, stacked
from ..policyfile.metadata import Dict, Space
from ..rng import episode_seed
from ..runfolder import journal
from ..runfolder.journal import Entry
from ..runfolder.layout import whole_run
from ..runfolder.reader import Reader
from ..trained.load import Trained
from ..trained.recording import Recording, open_recording
from ..trained.verify import spread

EPISODES = 8  # at the least: of a long one, no more is taken than one of so many parts of all
STREAM = "export"  # of episodes that are played for their observations
SEEDS = 8  # whose episodes are looked at


class Seen(NamedTuple):
    """What an environment showed."""

    obs: Any
    mask: np.ndarray | None


class ObsStream(NamedTuple):
    """Observations in the order in which they came.

    ``inputs`` are arrays as a file takes them, masks among them, (N, ...) each; ``started`` says with which of them an
    episode begins, (N,) bool; ``episodes`` counts these, and ``source`` says where they are from.
    """

    inputs: dict[str, np.ndarray]
    started: np.ndarray
    episodes: int
    source: str

    def __len__(self) -> int:
        return len(self.started)


def observed(trained: Trained, space: Space, count: int) -> ObsStream:
    """``count`` observations: of recorded episodes of several seeds, spread over training; where no journal lies beside
    the checkpoint, or its episodes are too few, of greedy episodes.

    Args:
        trained: whose environment.
        space: what is observed, as a file tells of it.
        count: how many; a space of wide observations gets fewer.

    Raises:
        EnvError: the environment raised, or does not give what it declares.
    """
    found: list[Seen] = []
    starts: list[int] = []
    recorded = 0
    for seen, is_recorded in _episodes(trained, count):
        starts.append(len(found))
        found += seen[: count - len(found)]
        recorded += is_recorded
        if len(found) >= count:
            break
    inputs = arrays_of(trained, space, [one.obs for one in found])
    if found[0].mask is not None:
        inputs[MASK] = np.stack([one.mask for one in found if one.mask is not None])
    started = np.zeros(len(found), bool)
    started[starts] = True
    source = f"{recorded} recorded episodes" if recorded else f"{len(starts)} greedy episodes"
    return ObsStream(inputs, started, len(starts), source)


def arrays_of(trained: Trained, space: Space, observations: list[Any]) -> dict[str, np.ndarray]:
    """Observations straight from the environment as a file takes them.

    Raises:
        EnvError: one is not of the space that the environment declares.
    """
    try:
        return stacked(space, [seen_part(space, obs) for obs in observations], bounded=False)
    except BadValue as e:
        raise EnvError(f"{trained.recipe.env} showed what is not of its observation space: {e}") from e


def seen_part(space: Space, obs: Any) -> Any:
    """An observation without the keys that are no part of what an agent sees."""
    return {key: obs[key] for key in space.spaces} if isinstance(space, Dict) else obs


def _episodes(trained: Trained, count: int) -> Iterator[tuple[list[Seen], bool]]:
    """Recorded episodes, then greedy ones without end; whether each is recorded."""
    recording = _recording(trained)
    if recording is not None:
        with closing(recording.maker()) as env:
            teller = _teller(trained, env)
            for entry in _chosen(recording, count):
                with suppress(EnvError):  # it is not what it was; what it shows else is as good
                    yield _replayed(env, teller, entry, max(1, count // EPISODES)), True
    with closing(trained.maker()) as env:
        teller = _teller(trained, env)
        for number in count_up():
            seed = episode_seed(trained.seeds[0], STREAM, 0, number)
            yield _played(trained, env, teller, seed, max(1, count // EPISODES)), False


def _recording(trained: Trained) -> Recording | None:
    recipe = trained.recipe
    try:
        reader = Reader(whole_run(trained.path.parent))
        found = open_recording(reader, agent=recipe.agent, imports=recipe.imports)
    except RlbenchError:  # a checkpoint alone
        return None
    return found if found.recipe.env == recipe.env else None


def _chosen(recording: Recording, count: int) -> list[Entry]:
    """Episodes with ``count`` steps or more, if there are so many, of the seeds in turns, spread over training."""
    seeds = spread(list(recording.journals), SEEDS)
    each: list[list[Entry]] = []
    for seed in seeds:
        with suppress(CheckpointError):  # damaged: those before the damage would do, and other seeds do as well
            entries = recording.entries(seed)
            most = max(1, count // EPISODES)
            mean = np.mean([min(entry.episode_length + 1, most) for entry in entries]) if entries else 1.0
            each.append(spread(entries, max(2, round(1 + count / len(seeds) / float(mean)))))
    chosen = [entry for row in zip_longest(*each) for entry in row if entry is not None]
    return [chosen[i] for i in np.random.default_rng(0).permutation(len(chosen))]  # any first few are spread as well


Tell = Callable[[Any, Any], np.ndarray | None]  # the mask that goes with an observation and an info


def _teller(trained: Trained, env: gym.Env[Any, Any]) -> Tell:
    sources = trained.maker.extras
    told = Told(sources, [env]) if sources else None

    def tell(obs: Any, info: Any) -> np.ndarray | None:
        if told is None:
            return None
        heard(told, 0, env, obs, info, over=True)
        return told.arrays[MASK][0].copy()

    return tell


def heard(told: Told, i: int, env: gym.Env[Any, Any], obs: Any, info: Any, *, over: bool) -> None:
    """Take in what copy ``i`` of the environment says besides its observation.

    Raises:
        EnvError: it says nothing, or something of another form.
    """
    try:
        told.read(i, obs, info, over=over)
    except Unfit as e:
        raise EnvError(f"{getattr(env, 'env_id', env)}: {e}") from e


def _replayed(env: gym.Env[Any, Any], tell: Tell, entry: Entry, most: int) -> list[Seen]:
    obs, info = env.reset(seed=entry.reset_seed)
    seen = [Seen(obs, tell(obs, info))]
    for action in journal.actions(entry)[: most - 1]:
        obs, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:  # nobody acts there
            break
        seen.append(Seen(obs, tell(obs, info)))
    return seen


def _played(trained: Trained, env: gym.Env[Any, Any], tell: Tell, seed: int, most: int) -> list[Seen]:
    """An episode that the first seed plays."""
    trained.reset()
    obs, info = env.reset(seed=seed)
    seen = [Seen(obs, tell(obs, info))]
    while len(seen) < most:
        mask = seen[-1].mask
        obs, _, terminated, truncated, info = env.step(trained.act(obs, info if mask is None else {MASK: mask}))
        if terminated or truncated:
            break
        seen.append(Seen(obs, tell(obs, info)))
    return seen
