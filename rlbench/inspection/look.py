"""A look into one seed of an agent: everything that is known of it, with the observations that it was asked about."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..acting import choose
from ..agent import Agent
from ..learner import Learner
from ..process.denormals import zeroed
from ..seed_axis import Shared
from ..trained.explain import insights
from .buffer import BufferStats
from .capture import Listening, listening
from .gradients import GradientStats
from .layers import LayerStats, Rank, rank, statistics
from .networks import networks
from .observed import SeenEpisode
from .values import Spread, ValueStats, possible, spread, value_stats

STEP_BY_STEP = 400  # states, at most, of an agent that remembers: it is asked about one after the other
TOGETHER = 64  # images that an agent is asked about at a time: layers take many times their memory
SURE = 0.999  # probability of an action that is as good as certain


class NetworkSize(NamedTuple):
    """A network of an agent, and how many numbers it learns; ``asked``: whether acting and explaining goes through it,
    as it does not through a target network."""

    name: str
    parameters: int
    asked: bool


class TableStats(NamedTuple):
    """A tensor of an agent without networks. ``untouched`` is the share of its numbers that are equal to the commonest
    one, as they all are before anything was learned."""

    name: str
    shape: tuple[int, ...]
    numbers: Spread
    untouched: float


class PolicyStats(NamedTuple):
    """What the agent does in the states that it was asked about.

    Attributes:
        greedy: share of each action, [] of continuous ones.
        entropy: mean entropy of its probabilities, by the largest there can be; None where it tells none.
        sure: share of the states in which one action is all but certain; likewise.
        std: of continuous actions; None where it tells none.
    """

    greedy: list[float]
    entropy: float | None
    sure: float | None
    std: Spread | None


class SeedLook(NamedTuple):
    """What is inside an agent of one seed."""

    seed: int
    observations: int
    networks: list[NetworkSize]
    layers: list[LayerStats]
    ranks: list[Rank]
    values: ValueStats | None
    policy: PolicyStats
    tables: list[TableStats]
    gradients: GradientStats | None = None
    buffer: BufferStats | None = None


class Answers(NamedTuple):
    """What an agent said of N states: ``told`` as of `Agent.explain`, (N, ...) each; ``action`` (N, ...)."""

    told: dict[str, Tensor]
    action: Tensor


def look(
    agent: Agent,
    seed: int,
    courses: Sequence[SeenEpisode],
    most: int,
    *,
    gamma: float | None,
    time_limit: int | None,
    num_actions: int | None,
    rewards: tuple[float, float] | None = None,
) -> SeedLook:
    """Ask an agent of one seed about states, and listen to its layers meanwhile.

    Args:
        agent: with S = 1; what it remembers of greedy episodes changes.
        seed: the seed's number.
        courses: where the states are from.
        most: states, at most.
        gamma: the discount per step, if known.
        time_limit: of the environment, if it has one.
        num_actions: A, of one choice; else None.
        rewards: the least and the largest that were seen elsewhere.
    """
    found = networks(agent)
    in_order = remembers(agent)
    rows = _rows(courses, min(most, STEP_BY_STEP) if in_order else most, in_order=in_order)
    with listening(found) as heard, torch.no_grad(), zeroed():
        answers = ask(agent, courses, rows, heard)
    layers = heard.layers()
    asked = {one.network.partition(" ")[0] for one in layers}
    returns, known = _returns(courses, rows, gamma)
    seen = [x for course in courses for x in course.rewards if math.isfinite(x)]
    seen += [x for x in rewards or () if math.isfinite(x)]
    bounds = possible(min(seen), max(seen), gamma, time_limit) if seen else None
    return SeedLook(
        seed=seed,
        observations=sum(map(len, rows)),
        networks=[NetworkSize(one.name, one.parameters, one.name in asked) for one in found],
        layers=statistics(layers),
        ranks=[rank(name, x) for name, x in heard.features.items()],
        values=value_stats(answers.told, returns, known, gamma, bounds),
        policy=policy_stats(answers, num_actions),
        tables=[] if found else tables(agent),
    )


def ask(agent: Agent, courses: Sequence[SeenEpisode], rows: Sequence[np.ndarray], heard: Listening) -> Answers:
    """What the agent says of the states ``rows`` of each course: step by step where it remembers, else at once."""
    told: dict[str, list[Tensor]] = {}
    actions: list[Tensor] = []
    one_by_one = remembers(agent)
    for course, chosen in zip(courses, rows, strict=True):
        if not len(chosen):
            continue
        images = course.obs.dim() > 2
        for at in torch.from_numpy(chosen).split(1 if one_by_one else TOGETHER if images else max(len(chosen), 1)):
            obs = course.obs[at].unsqueeze(0)  # (1, N, *O)
            extras = {name: x[at].unsqueeze(0) for name, x in course.extras.items()}
            if not one_by_one or int(at[0]) == 0:
                agent.begin(torch.ones(obs.shape[:2], dtype=torch.bool, device=obs.device), explore=False)
            with heard.asked(len(at)):
                for name, x in insights(agent, obs, extras).items():
                    told.setdefault(name, []).append(x[0].cpu())
                actions.append(choose(agent, obs, extras, explore=False)[0][0].cpu())
    return Answers({name: torch.cat(parts) for name, parts in told.items()}, torch.cat(actions))


def remembers(agent: Agent) -> bool:
    """Whether what an agent does may depend on more of its episode than the observation."""
    learners = getattr(agent, "learners", None)
    if isinstance(learners, list) and learners and isinstance(learners[0], Learner):
        return type(learners[0]).begin is not Learner.begin
    return type(agent).begin is not Agent.begin


def policy_stats(answers: Answers, num_actions: int | None) -> PolicyStats:
    """Of the actions and probabilities of N states."""
    chances, std = answers.told.get("probabilities"), answers.told.get("std")
    greedy, entropy, sure = list[float](), None, None
    if num_actions:
        counts = torch.bincount(answers.action.flatten().long(), minlength=num_actions)
        greedy = (counts / counts.sum()).tolist()
    if chances is not None and chances.shape[-1] > 1:
        p = chances.double().clamp(min=1e-30)
        entropy = float(-(p * p.log()).sum(-1).mean() / np.log(p.shape[-1]))
        sure = float((chances.amax(-1) >= SURE).double().mean())
    return PolicyStats(greedy, entropy, sure, None if std is None else spread(std.double().numpy().ravel()))


def tables(agent: Agent) -> list[TableStats]:
    """The tensors of numbers in the state of an agent that has no networks."""
    return [
        TableStats(name, tuple(x.shape), spread(x.double().numpy().ravel()), _commonest(x))
        for name, x in _tensors(agent.state_dict(), "")
    ]


def _commonest(x: Tensor) -> float:
    _, counts = np.unique(x.numpy(), return_counts=True)
    return float(counts.max() / counts.sum())


def _tensors(state: Any, name: str) -> list[tuple[str, Tensor]]:
    state = state.value if isinstance(state, Shared) else state
    if isinstance(state, Tensor):
        x = state.detach().cpu()
        return [(name, x)] if x.is_floating_point() and x.numel() > 1 else []
    if isinstance(state, dict):
        pairs = [(f"{name}.{key}" if name and key != "learners" else name if key == "learners" else str(key), value)
                 for key, value in state.items()]  # fmt: skip
        return [found for inside, value in pairs for found in _tensors(value, inside)]
    if isinstance(state, list | tuple):
        return [found for value in state for found in _tensors(value, name)]
    return []


def _rows(courses: Sequence[SeenEpisode], most: int, *, in_order: bool) -> list[np.ndarray]:
    """Which states of each course are asked about: evenly spread over all, or the first ones in a row."""
    lengths = [len(course.rewards) for course in courses]
    total = sum(lengths)
    if total <= most:
        return [np.arange(n) for n in lengths]
    ends = np.cumsum(lengths)
    if in_order:
        return [np.arange(max(0, min(n, most - (end - n)))) for n, end in zip(lengths, ends.tolist(), strict=True)]
    chosen = np.linspace(0, total - 1, most).astype(int)
    return [chosen[(chosen >= end - n) & (chosen < end)] - (end - n) for n, end in zip(lengths, ends, strict=True)]


def _returns(
    courses: Sequence[SeenEpisode], rows: Sequence[np.ndarray], gamma: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Of the states that were asked about: discounted returns, and where they are known."""
    found = [course.returns(1.0 if gamma is None else gamma) for course in courses]
    parts = [(x[chosen], known[chosen]) for (x, known), chosen in zip(found, rows, strict=True)]
    return np.concatenate([x for x, _ in parts]), np.concatenate([known for _, known in parts])
