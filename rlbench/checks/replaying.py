"""Rows about what an agent learns from: the replay buffer gives back what was put in, and no more than fits."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..agent import AgentConfig
from ..probing.answers import Fails, LeftOut
from ..probing.rows import row
from ..probing.states import difference
from ..probing.story import Story
from ..probing.subject import Subject
from ..probing.trial import Trial
from ..replay import Rollout
from ..types import Batch

GROUP = "replay"
ENVS, FULL = 2, 60  # transitions of each seed that the buffer is made for, where it may be chosen
DRAWS = 2_600  # of so many, none of 60 is missing but once in 10**17


def _sampler(trial: Trial) -> Callable[[int], Batch]:
    """Draws from its buffer.

    Raises:
        LeftOut: it has none that can be drawn from.
    """
    replay: Any = trial.agent.replay
    if trial.spec.num_obs is not None:
        raise LeftOut("what it sees is an index, which holds no id")
    if replay is None:
        raise LeftOut("it has no replay")
    if not hasattr(replay, "sample"):
        raise LeftOut(f"its replay, a {type(replay).__name__}, has no sample(batch_size)")

    def sample(count: int) -> Batch:
        batch = replay.sample(count)
        if not isinstance(batch, Batch):
            raise LeftOut(f"its replay, a {type(replay).__name__}, samples no rlbench.Batch")
        return batch

    return sample


def _configs(subject: Subject) -> list[AgentConfig]:
    size = {"capacity": FULL} if subject.has("capacity") else {}
    configs = [subject.config_with(**size)]
    return [*configs, subject.config_with(**size, n_step=3)] if subject.has("n_step") else configs


@row(
    "replay-returns",
    "a replay buffer returns what was put in, and no window reaches over an episode's end",
    group=GROUP,
)
def replay_returns(subject: Subject) -> None:
    place = subject.fitting()[0]
    for config in _configs(subject):
        trial = subject.trial(place, num_envs=ENVS, config=config)
        if isinstance(trial.agent.replay, Rollout):
            return _check_rollout(trial, trial.agent.replay)
        sample, story = _sampler(trial), Story(trial)
        for steps in (3, 20, 20):
            story.tell(steps)
            _check_batch(trial, story, sample(400))


def _check_batch(trial: Trial, story: Story, batch: Batch) -> None:
    replay: Any = trial.agent.replay
    gamma = getattr(replay, "gamma", getattr(trial.config, "gamma", 0.99))
    n = getattr(replay, "n_step", getattr(trial.config, "n_step", 1))
    when = f"after {story.t} steps of {ENVS} envs, with n_step = {n}"
    seen, following = story.read(batch.obs), story.read(batch.next_obs)
    for s, ids in enumerate(seen):
        for b, one in enumerate(ids):
            if one not in story.put or (one - 1) // 100_000 != s:
                whose = "no step that was observed" if one not in story.put else f"one of seed {(one - 1) // 100_000}"
                raise Fails(
                    f"Expected a step of seed {s}, came {whose}, {when}.", "rows of seeds or fields are mixed up"
                )
            total, discount, next_id = story.window(one, n, gamma)
            came = {
                "reward": float(batch.reward[s, b]),
                "discount": float(batch.discount[s, b]),
                "action": batch.action[s, b],
                "next_obs": following[s][b],
            }
            expected = {"reward": total, "discount": discount, "action": story.put[one].action, "next_obs": next_id}
            for name, value in expected.items():
                if not _alike(value, came[name]):
                    put = story.put[one]
                    then = ", where its episode ended" if put.terminated or put.truncated else ""
                    raise Fails(
                        f"Expected {name} {_said(value)} of the step with id {one}, came {_said(came[name])}, {when}; "
                        f"its reward was {one / 4:g}, and it was followed by {put.next_id}{then}.",
                        _CAUSES[name],
                    )


_CAUSES = {
    "reward": "rewards are changed on their way in, windows reach over ends, or powers of gamma are counted wrongly",
    "discount": "a termination does not set it to 0, a time limit does, or powers of gamma are counted wrongly",
    "action": "fields of different steps are put together",
    "next_obs": "the next episode's first observation is taken, or a window ends elsewhere than its rewards do",
}


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return bool(torch.equal(a, b) or torch.allclose(a.float(), b.float(), atol=1e-5))
    return bool(abs(a - b) <= 1e-5 * max(1.0, abs(a)))


def _said(x: Any) -> str:
    return str(x.tolist()) if isinstance(x, Tensor) else f"{x:g}"


def _check_rollout(trial: Trial, rollout: Rollout) -> None:
    """Of an agent that learns from whole rollouts: each field in its place, and what every step truly led to."""
    story = Story(trial)
    story.tell(rollout.steps)
    if len(rollout) != rollout.capacity:
        raise Fails(
            f"Expected a full rollout after {rollout.steps} steps, came {len(rollout)} of {rollout.capacity}.",
            "observe does not add every step",
        )
    following = rollout.next_obs()
    for t in range(rollout.steps):
        for s, ids in enumerate(story.ids(t).tolist()):
            for e, one in enumerate(ids):
                put = story.put[one]
                (seen,), (led,) = (story.read(x[s, t, e][None, None])[0] for x in (rollout.obs, following))
                came = (
                    seen, float(rollout.reward[s, t, e]), led,
                    bool(rollout.terminated[s, t, e]), bool(rollout.truncated[s, t, e]),
                )  # fmt: skip
                if came != (one, *put[1:]) or not _alike(put.action, rollout.action[s, t, e]):
                    expected = f"Expected id, reward, next id and flags {(one, *put[1:])}"
                    raise Fails(
                        f"{expected} at step {t} of env {e}, came {came}.",
                        "fields are changed on their way into the rollout",
                    )


@row("replay-keeps", "a replay buffer keeps all until it is full, and then the newest", group=GROUP)
def replay_keeps(subject: Subject) -> None:
    if not subject.has("capacity"):
        raise LeftOut("it has no capacity of its own")
    for config in _configs(subject):
        trial = subject.trial(subject.fitting()[0], num_envs=ENVS, config=config)
        if isinstance(trial.agent.replay, Rollout):
            raise LeftOut("its replay is a rollout, which is forgotten as a whole")
        sample, story = _sampler(trial), Story(trial)
        room = FULL // ENVS
        for steps in (room - 1, 1, 9):
            story.tell(steps)
            oldest = max(0, story.t - room)
            found = {one for ids in story.read(sample(DRAWS).obs) for one in ids}
            due = {one for t in range(oldest, story.t) for one in story.ids(t).flatten().tolist()}
            when = f"after {story.t} steps of {ENVS} envs, with capacity = {FULL}"
            if found - due:
                raise Fails(
                    f"Expected the newest {len(due) // trial.spec.num_seeds} steps of each seed, came older ones "
                    f"(id {min(found - due)}), {when}.",
                    "it keeps more than capacity says",
                )
            if due - found:
                raise Fails(
                    f"Expected the newest {len(due) // trial.spec.num_seeds} steps of each seed, came none of id "
                    f"{min(due - found)} in {DRAWS:,} draws, {when}.",
                    "steps are overwritten before the buffer is full, are not kept, or cannot be drawn",
                )


@row("replay-lends-copies", "what a replay buffer hands out is a copy", group=GROUP)
def replay_lends_copies(subject: Subject) -> None:
    for config in _configs(subject):
        trial = subject.trial(subject.fitting()[0], num_envs=ENVS, config=config)
        if isinstance(trial.agent.replay, Rollout):
            raise LeftOut("its replay is a rollout, which is read in place")
        sample, story = _sampler(trial), Story(trial)
        story.tell(FULL // ENVS)
        batch = sample(16)
        kept = [leaf.clone() for leaf in batch]
        story.tell(FULL // ENVS)  # over all of it
        for name, leaf, was in zip(batch._fields, batch, kept, strict=True):
            if not torch.equal(leaf, was):
                raise Fails(
                    f"Expected a batch to stay as it is while more is observed, {name} changed.",
                    "a batch shares the buffer's memory: index with tensors, or clone",
                )
        before, batch = trial.held()["replay"], sample(16)
        for leaf in batch:
            leaf.zero_()
        if found := difference(before, trial.held()["replay"]):
            raise Fails(
                f"Expected the buffer to stay as it is when a batch is written to, {found}.",
                "a batch shares the buffer's memory: index with tensors, or clone",
            )
