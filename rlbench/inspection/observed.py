"""What an agent is asked about: observations of real episodes, in the order in which they came, with their rewards."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..agent import Agent
from ..border.extras import read_one
from ..border.observations import Unfit
from ..errors import CheckpointError, EnvError, UsageError, first_line
from ..rollout.env_batch import EnvBatch
from ..rollout.loop import run
from ..runfolder.journal import Entry
from ..trained.load import Trained
from ..trained.recording import Recording
from ..trained.rerun import Witness, lead_in, states
from ..types import Extras

STATES = 1000  # observations that an agent is asked about
IMAGES = 128  # likewise, where each is an image
STEPS = 20_000  # env steps that are run again for them, at most
EPISODES = 50  # likewise, of so many episodes
COPIES = 4  # environments in which greedy episodes are played, where none were recorded
UNKNOWN = 0.1  # of a return, the share that may lie beyond where its episode was cut


class SeenEpisode(NamedTuple):
    """One episode of T steps, or its beginning.

    Attributes:
        obs: (T, *O), before each step.
        extras: name -> (T, ...), what the environment said besides.
        rewards: T.
        terminated: whether nothing follows.
    """

    obs: Tensor
    extras: dict[str, Tensor]
    rewards: list[float]
    terminated: bool

    def returns(self, gamma: float) -> tuple[np.ndarray, np.ndarray]:
        """The discounted return from each step on, (T,), and where it is known well enough, (T,) bool.

        Of a course that was cut, a share gamma**k of a return lies beyond the cut, k steps ahead.
        """
        out, following = np.zeros(len(self.rewards)), 0.0
        for t in range(len(self.rewards) - 1, -1, -1):
            following = out[t] = self.rewards[t] + gamma * following
        left = np.arange(len(self.rewards), 0, -1)
        return out, np.full(len(out), True) if self.terminated else gamma**left <= UNKNOWN


class Observed(NamedTuple):
    """Episodes of one seed, in the order in which they came.

    Attributes:
        courses: at least one, but where none could be run again.
        source: where they are from, for people: "greedy episodes".
        notes: what is to be known of that.
    """

    courses: list[SeenEpisode]
    source: str
    notes: tuple[str, ...] = ()


def recorded(recording: Recording, trained: Trained, seed: int) -> Observed | None:
    """The newest episodes of a seed's training, run again from their seeds and actions; None where there are none.

    Of a damaged journal those before the damage, perhaps none, and a note.

    Args:
        recording: of the run.
        trained: of the same run; its environment says what its agent wants.
        seed: a seed number.
    """
    entries, notes = list[Entry](), list[str]()
    try:
        entries.extend(recording.journal(seed).entries())
    except UsageError:
        return None
    except CheckpointError as e:
        notes.append(first_line(e).rstrip("."))
    chosen: list[Entry] = []
    for entry in reversed(entries[-EPISODES:]):
        if sum(one.episode_length for one in chosen) >= _most(trained) and len(chosen) > 1:
            break
        chosen.insert(0, entry)
    courses, strayed, room = list[SeenEpisode](), 0, STEPS
    with closing(trained.maker()) as env:
        for entry in chosen:
            if room <= 0:
                break
            course, same = _again(Witness(env), trained, entry, room)
            if not same:  # it may keep something over a reset
                with closing(trained.maker()) as fresh:
                    lead_in(fresh, recording.before(entry))
                    course, same = _again(Witness(fresh), trained, entry, room)
            strayed += not same
            room -= len(course.rewards)
            courses += [course] if course.rewards else []
    if strayed:
        notes.append(
            f"{strayed} of {len(courses)} episodes of seed {seed} did not repeat themselves: these are other ones"
        )
    return Observed(courses, "the newest episodes of training, run again", tuple(notes)) if courses or notes else None


def played(agent: Agent, trained: Trained, seed: int) -> Observed:
    """A few greedy episodes of an agent of one seed, for want of recorded ones."""
    envs = EnvBatch(trained.maker, [seed], COPIES, stream="inspect")
    under_way: list[list[Any]] = [[] for _ in range(COPIES)]
    courses, wanted = list[SeenEpisode](), _most(trained)
    steps = 0
    try:
        for step in run(agent, envs, explore=False, learn=False):
            steps += COPIES
            moment, names = step.transition, trained.maker.extras
            for e in range(COPIES):
                said = {source.name: moment.extras[source.name][0, e] for source in names}
                under_way[e].append((moment.obs[0, e], said, float(moment.reward[0, e])))
                if moment.terminated[0, e] or moment.truncated[0, e]:
                    courses.append(_course(under_way[e], bool(moment.terminated[0, e])))
                    under_way[e] = []
            if steps >= STEPS or (sum(len(c.rewards) for c in courses) >= wanted and len(courses) >= COPIES):
                break
    finally:
        envs.close()
    courses += [_course(part, False) for part in under_way if part] if not courses else []
    return Observed(courses, "greedy episodes, as none of training can be run again")


def _again(env: Witness, trained: Trained, entry: Entry, room: int) -> tuple[SeenEpisode, bool]:
    """An episode run again, up to ``room`` steps, and whether it came out as it was recorded."""
    steps: list[Any] = []
    before: tuple[Tensor, dict[str, Tensor]] | None = None
    moment = None
    try:
        for moment in states(env, entry):
            if before is not None:
                steps.append((*before, env.reward))
            if moment.over or len(steps) >= room:
                break
            before = _seen(env, trained)
    except (EnvError, Unfit):
        return _course(steps, False), False
    assert moment is not None
    return _course(steps, moment.over and moment.terminated), not moment.over or moment == entry.end


def _seen(env: Witness, trained: Trained) -> tuple[Tensor, dict[str, Tensor]]:
    """The observation as the agent takes it, (*O), and what the environment says besides."""
    form = trained.parts.obs_codec
    obs = torch.from_numpy(np.array(form.encode(env.obs), form.dtype))
    if not trained.maker.extras:
        return obs, {}
    said = read_one(trained.maker.extras, env.obs, {**env.masks(), **env.info})
    return obs, {name: torch.from_numpy(np.array(x)) for name, x in said.items()}


def _course(steps: Sequence[tuple[Tensor, Extras, float]], terminated: bool) -> SeenEpisode:
    if not steps:
        return SeenEpisode(torch.zeros(0), {}, [], False)
    obs, extras, rewards = zip(*steps, strict=True)
    said = {name: torch.stack([one[name] for one in extras]) for name in extras[0]}
    return SeenEpisode(torch.stack(obs), said, list(rewards), terminated)


def _most(trained: Trained) -> int:
    return states_of(len(trained.parts.spec.obs_shape))


def states_of(axes: int) -> int:
    """How many observations of so many axes are enough, and not too much to compute."""
    return STATES if axes < 2 else IMAGES
