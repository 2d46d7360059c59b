"""Episodes recorded for the player: every state's picture, in little space, and what the agent did and thought there.

The pictures come from `greedy` (a trained agent) or `recorded` (training, run again); `player` makes a page of them.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from .. import numbers
from ..border.spaces import action_codec
from ..errors import UsageError
from ..recipe.registry import agent_code
from ..rollout.camera import Film, draws, filming, frame_rate
from ..rollout.display import sdl_driver
from ..rollout.evaluation import EVAL_COPIES
from ..trained.explain import Aloud, Insight, discount, number, returns_that_followed
from ..trained.load import Trained
from ..trained.recording import Chosen, Recording
from ..trained.rerun import Replayed, Witness, lead_in, states, title
from .greedy import OnPlayed, scenes
from .webp import Pictures

BUDGET = 16_000_000  # bytes of pictures in one page, before base64 makes a third more of them
MOST = 100  # episodes in one page

Action = int | list[float | None]


class Reel(NamedTuple):
    """One episode of T steps, T + 1 states. Step t begins in state t; where nothing is known there is None.

    Attributes:
        title: of the episode.
        notes: sentences on where the numbers come from, and what was left out.
        ending: how it ended.
        fps: pictures a second at the environment's own pace.
        size: width and height of the pictures, in pixels.
        pictures: data URIs, each different from the one before it; empty where the environment draws none.
        shown: T + 1 positions in ``pictures``, one per state.
        actions: T; an index, or the numbers of a continuous one, or several indices.
        rewards: T.
        q_values: T x A.
        values: T, and what they are called in ``valued``.
        followed: T, the discounted returns that followed, by ``gamma``.
        other: T, whether the agent with these Q-values, or these probabilities, would have acted otherwise.
        probabilities: T x A, of the actions.
        means: T x n, of the dimensions of a continuous action.
        stds: likewise.
    """

    title: str
    notes: tuple[str, ...]
    ending: str
    fps: float
    size: tuple[int, int]
    pictures: list[str]
    shown: list[int]
    actions: list[Action]
    rewards: list[float | None]
    q_values: list[list[float | None]] | None = None
    values: list[float | None] | None = None
    valued: str = ""
    followed: list[float | None] | None = None
    gamma: float | None = None
    other: list[bool] | None = None
    probabilities: list[list[float | None]] | None = None
    means: list[list[float | None]] | None = None
    stds: list[list[float | None]] | None = None


class _Take:
    """Collects what a reel is made of, state by state."""

    def __init__(self, budget: int) -> None:
        self.pictures = Pictures(budget)
        self.actions, self.rewards, self.insights = list[Action](), list[float](), list[Insight]()

    def act(self, action: Any, reward: float, thought: Insight | None) -> None:
        self.actions.append(int(action) if np.ndim(action) == 0 else [number(float(a)) for a in np.ravel(action)])
        self.rewards.append(reward)
        if thought:
            self.insights.append(thought)

    def reel(self, title: str, note: str, terminated: bool, fps: float, gamma: float | None) -> Reel:
        uris, shown = self.pictures.done()
        notes = [note]
        q_values = _all([one.q_values for one in self.insights])
        values, valued = _all([one.value for one in self.insights]), "the agent's estimate"
        if values is None and q_values is not None:
            values, valued = _all([_largest(q) for q in q_values]), "largest Q-value"
        followed = returns_that_followed(self.rewards, gamma) if values is not None and gamma is not None else None
        policy = {
            "probabilities": _all([one.probabilities for one in self.insights]),
            "means": (means := _all([one.mean for one in self.insights])),
            "stds": _all([one.std for one in self.insights]) if means else None,
        }
        if self.insights and q_values is None and values is None and not any(policy.values()):
            notes.append("This agent tells no Q-values, no value estimate and no probabilities.")
        if followed and not terminated:
            notes.append(
                "A time limit cut the episode, and with it the return that followed; the estimate looks beyond."
            )
        if self.pictures.every > 1:
            notes.append(f"One picture in {self.pictures.every} is shown: all of them would make the file too large.")
        return Reel(
            title, tuple(notes), "terminated" if terminated else "cut by the time limit", fps, self.pictures.size, uris,
            shown, self.actions, [number(reward) for reward in self.rewards], q_values, values, valued, followed, gamma,
            **policy,
        )  # fmt: skip


def reels(trained: Trained, episodes: int, on_episode: OnPlayed = lambda played: None) -> list[Reel]:
    """Greedy episodes, those that `greedy` plays, with what the agent thought.

    Args:
        trained: of one seed.
        episodes: how many, up to `MOST`.
        on_episode: called with each episode when it ends.

    Raises:
        UsageError: more than one seed, or too many episodes.
        AgentError: ``explain`` gave something else than it should.
    """
    few(episodes)
    film, fps = draws(trained.maker), frame_rate(trained.maker, 1.0)
    gamma, out = discount(trained.recipe), list[Reel]()
    note = f"Played greedily by {_weights(trained)}."
    take, aloud = _Take(BUDGET // episodes), Aloud(trained.agent)
    with (
        sdl_driver("dummy"),
        agent_code(trained.recipe.agent),
        closing(scenes(trained, episodes, film=film, actor=aloud)) as source,
    ):
        for scene in source:
            aloud.copy = copy = (scene.episode - 1) % EVAL_COPIES
            if (done := scene.transition) is not None:
                take.act(done.action[0, copy].cpu().numpy(), float(done.reward[0, copy]), aloud.thought)
            if scene.frame is not None:
                take.pictures.add(scene.frame)
            if scene.played and done is not None:
                total = numbers.number(scene.episode_return)
                name = f"seed {scene.played.seed}, episode {scene.episode}: return {total}"
                out.append(take.reel(name, note, bool(done.terminated[0, copy]), fps, gamma))
                take = _Take(BUDGET // episodes)
                on_episode(scene.played)
    return out


def training_reels(
    recording: Recording,
    chosen: Sequence[Chosen],
    trained: Trained | None,
    on_episode: Callable[[Replayed], Any] = lambda replayed: None,
    why_not: str = "",
    budget: int = BUDGET,
) -> list[Reel]:
    """Episodes of training, run again, with what a trained agent makes of their states.

    The weights that acted at the time are not recorded; the Q-values are those of ``trained``, and the page says so.

    Args:
        recording: of the run.
        chosen: from `recording.choose`, up to `MOST`.
        trained: of the episodes' seed; None: no Q-values.
        on_episode: called with each episode when it ends.
        why_not: why there is no ``trained``, for the page; ends a sentence.
        budget: bytes of pictures in all.

    Raises:
        UsageError: too many episodes.
        EnvError: the environment raised.
        AgentError: ``explain`` gave something else than it should.
    """
    few(len(chosen))
    film, fps = draws(recording.maker), frame_rate(recording.maker, 1.0)
    gamma, out = discount(trained.recipe) if trained else None, list[Reel]()
    note = "An episode of training, run again from its seed and its actions. The weights that acted then were not kept"
    note += (
        f": all estimates are those of {_weights(trained)}." if trained else f", and others were not loaded{why_not}."
    )
    with sdl_driver("dummy"), agent_code(recording.recipe.agent):
        env = (filming(recording.maker) if film else recording.maker)()
        aloud = Aloud(trained.agent) if trained else None
        witness, codec = Witness(env), action_codec(env.action_space, recording.recipe.env)
        try:
            for entry, words in chosen:
                take, thought = _Take(budget // len(chosen)), None
                if trained:
                    trained.reset()
                lead_in(env.env if isinstance(env, Film) else env, recording.before(entry))
                for moment in states(witness, entry):
                    if moment.step:
                        take.act(codec.chosen(witness.action), witness.reward, thought)
                    if trained and aloud and not moment.over:  # with its last observation it may say nothing more
                        thought = _thought(trained, aloud, witness)
                    if isinstance(env, Film):
                        take.pictures.add(env.frame if moment.step else env.first())
                    if moment.over:
                        name = f"episode {title(recording, entry)}{f' ({words})' if words else ''}"
                        name += f": return {numbers.number(moment.episode_return)}"
                        out.append(_with_others(take.reel(name, note, moment.terminated, fps, gamma)))
                        on_episode(Replayed(entry, moment))
        finally:
            env.close()
    return out


def few(count: int) -> None:
    """Raises UsageError where there are more episodes than a page holds."""
    if count > MOST:
        raise UsageError(f"a page holds up to {MOST} episodes, not {count}: ask for fewer")


def _thought(trained: Trained, aloud: Aloud, witness: Witness) -> Insight:
    """What the agent makes of the state that ``witness`` shows. What it would do there is not done."""
    said = witness.info if not trained.maker.extras else {**witness.masks(), **witness.info}
    aloud.act(trained.seen(witness.obs), explore=False, extras=trained.told(witness.obs, said))
    return aloud.thought


def _weights(trained: Trained) -> str:
    return f"{trained.path.name} of seed {trained.seeds[0]}, saved after {trained.env_steps:,} env steps"


def _with_others(reel: Reel) -> Reel:
    """With the steps at which the largest Q-value, or probability, belongs to another action than the one taken."""
    liked = reel.q_values or reel.probabilities
    if liked is None:
        return reel
    other = []
    for q, action in zip(liked, reel.actions, strict=True):
        top = _largest(q)
        other.append(top is not None and q.index(top) != action)
    return reel._replace(other=other)


def _largest(q: list[float | None]) -> float | None:
    return max((x for x in q if x is not None), default=None)


def _all(each: list[Any]) -> list[Any] | None:
    """The list, or None where anything is missing from it or it is empty."""
    return each if each and all(one is not None for one in each) else None
