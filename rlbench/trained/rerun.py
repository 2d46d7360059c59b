"""Episodes of training, run again from their seeds and their actions, long after they happened."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any, NamedTuple

import gymnasium as gym

from ..border.blame import ForeignError
from ..border.extras import MASK, masks_method
from ..errors import EnvError
from ..runfolder import journal
from ..runfolder.journal import Entry, Moment
from .recording import Chosen, Recording


class Replayed(NamedTuple):
    """An episode that was run again to its end."""

    entry: Entry
    end: Moment


OnReplayed = Callable[[Replayed], Any]


class Witness(gym.Wrapper):
    """Keeps what the environment last took and gave."""

    obs: Any = None
    info: Any = None
    action: Any = None
    reward: float = 0.0

    def reset(self, **how: Any) -> Any:
        self.obs, self.info = self.env.reset(**how)
        return self.obs, self.info

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self.obs, self.action, self.reward, self.info = result[0], action, float(result[1]), result[4]
        return result

    def masks(self) -> dict[str, Any]:
        """What a method of the environment says of its actions, as if its info did."""
        method = masks_method(self.env)
        return {} if method is None else {MASK: method()}


def replay_returns(
    recording: Recording, chosen: Sequence[Chosen], on_episode: OnReplayed = lambda replayed: None
) -> None:
    """Run episodes again without rendering.

    Args:
        recording: of the run.
        chosen: from `choose`.
        on_episode: called with each episode when it ends.

    Raises:
        EnvError: the environment raised.
    """
    for entry, _ in chosen:
        with closing(recording.maker()) as env:
            lead_in(env, recording.before(entry))
            for moment in states(env, entry):
                if moment.over:
                    on_episode(Replayed(entry, moment))


def states(env: gym.Env[Any, Any], entry: Entry) -> Iterator[Moment]:
    """`journal.replay`, where an error of the environment names the episode."""
    moment = None
    try:
        for moment in journal.replay(env, entry):
            yield moment
    except ForeignError as e:
        name, step = env.spec.id if env.spec else str(env), 0 if moment is None else moment.step + 1
        where = f"step {step}, when episode {entry.episode} of seed {entry.seed} was run again"
        raise ForeignError(name, where, e.what) from e


def lead_in(env: gym.Env[Any, Any], before: Entry | None) -> None:
    """Run the episode before the one that is wanted: some environments keep something over a reset."""
    if before:
        with suppress(EnvError):  # the episode itself will tell
            deque(states(env, before), maxlen=0)


def check(recording: Recording, replayed: Sequence[Replayed]) -> None:
    """Raises EnvError where an episode did not come to the end that was recorded."""
    differing = [one for one in sorted(replayed, key=lambda one: one.entry.env_steps) if one.end != one.entry.end]
    if not differing:
        return
    entry, end = differing[0]
    others = f", and {len(differing) - 1} more differ" if len(differing) > 1 else ""
    raise EnvError(
        f"{recording.recipe.env} did not repeat itself: episode {title(recording, entry)} gave "
        f"{journal.difference(entry, end)}{others}. It is not deterministic given its seed, or has changed since."
        + journal.advice(recording.recipe.fresh_envs)
    )


def title(recording: Recording, entry: Entry) -> str:
    """An episode's number as `choose` takes it, and its seed."""
    copy = f"@{entry.env}" if recording.recipe.num_envs > 1 else ""
    return f"{entry.episode}{copy} of seed {entry.seed}"
