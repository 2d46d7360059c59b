"""Every row, by an agent that breaks what it asks and one that does not: rows that cannot fail say nothing."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ConfigDict, field_validator
from sound import Sound, SoundConfig
from torch import Tensor

from rlbench import Agent, AgentConfig, Learner, Spec, Transition, UsageError, nn
from rlbench.checks import check
from rlbench.checks.results import FAILS, HOLDS, LEFT_OUT
from rlbench.functional import clip_norm_
from rlbench.probing.rows import ROWS
from rlbench.replay import Replay

BROKEN: dict[str, list[tuple[type[Agent] | type[Learner], str]]] = {}  # row -> agents that it catches, and its words


def caught_by(name: str, words: str) -> Callable[[Any], Any]:
    """A class decorator: the row ``name`` fails for this agent, and its evidence holds ``words``."""

    def note(cls: Any) -> Any:
        BROKEN.setdefault(name, []).append((cls, words))
        return cls

    return note


# Interface


@caught_by("actions", "Expected a tensor of shape (2, 3), (S, E, ...), came shape (2, 3, 1), of act(explore=True)")
class ActsWithAnAxisMore(Sound):
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        return super().act(obs, explore=explore).unsqueeze(-1)


@caught_by("actions", "Expected torch.int64, came torch.int32")
class ActsInInt32(Sound):
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        return super().act(obs, explore=explore).int()


@caught_by("actions", "Expected integers from 0 to [2], came")
class ActsOutOfRange(Sound):
    def explored(self, greedy: Tensor) -> Tensor:
        return super().explored(greedy) + 1


@caught_by("actions", "shape (2, 1), (S, E, ...), came shape (2, 3), of act(explore=False) with 1 envs")
class ActsForItsOwnEAlone(Sound):
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        return super().act(obs, explore=explore) if explore else torch.zeros(2, self.spec.num_envs).long()


class Continuous(Sound):
    """Draws around 0 in continuous action spaces."""

    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(
            spec._replace(num_actions=2, action_shape=(), action_low=None, action_high=None), config, streams
        )
        self.shape, self.low, self.high = spec.action_shape, spec.action_low, spec.action_high
        self.replay = None  # type: ignore[assignment]

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        if self.low is None:
            return super().act(obs, explore=explore)
        envs = obs.shape[1]
        if not explore:
            return torch.zeros(len(obs), envs, *self.shape)
        return self.kept(self.stream.normal(envs, *self.shape) * 3)

    def kept(self, action: Tensor) -> Tensor:
        assert self.low is not None
        return action.clamp(self.low, self.high)

    def observe(self, transition: Transition) -> None:
        self.env_steps += self.spec.num_envs

    def update(self) -> dict[str, Tensor]:
        return {}


@caught_by("actions", "Expected numbers from [-1.0, 0.0] to [1.0, 3.0], came")
class ActsBeyondItsBounds(Continuous):
    def kept(self, action: Tensor) -> Tensor:
        return action


@caught_by("metrics", "Expected shape (3,), one number for each seed, came () of 'loss'")
class TellsOneNumber(Sound):
    def learn(self) -> dict[str, Tensor]:
        return {name: x.mean() for name, x in super().learn().items()}


@caught_by("metrics", "Expected a dict, came a NoneType of update")
class ReturnsNothing(Sound):
    def update(self) -> dict[str, Tensor]:
        return super().update() or None  # type: ignore[return-value]


@caught_by("metrics", "Expected a tensor without gradient, came 'loss' with one")
class DetachesNothing(Sound):
    def learn(self) -> dict[str, Tensor]:
        return {"loss": super().learn()["loss"].requires_grad_()}


@caught_by("explain", "Expected any of q_values, value, probabilities, mean, std, came 'q'")
class ExplainsByAnotherName(Sound):
    def explain(self, obs: Tensor) -> dict[str, Tensor]:
        return {"q": super().explain(obs)["q_values"]}


@caught_by("explain", "Expected probabilities that sum to 1")
class ExplainsLogits(Sound):
    def explain(self, obs: Tensor) -> dict[str, Tensor]:
        return {"probabilities": super().explain(obs)["q_values"]}


@caught_by("explain", "Expected a tensor of shape (2, 1) as value, came (2, 1, 1)")
class ExplainsAnAxisMore(Sound):
    def explain(self, obs: Tensor) -> dict[str, Tensor]:
        return {"value": super().explain(obs)["q_values"].amax(-1, keepdim=True)}


@caught_by("diagnostics", "as 'epsilon', came a float")
class SaysANumber(Sound):
    def diagnostics(self) -> dict[str, Tensor]:
        return {"epsilon": 0.1}  # type: ignore[dict-item]


@caught_by("diagnostics", "as 'weights', came shape (9,)")
class SaysWithoutAnAxis(Sound):
    def diagnostics(self) -> dict[str, Tensor]:
        return {"weights": torch.zeros(9)}


class LooseConfig(SoundConfig):
    model_config = ConfigDict(extra="allow")


@caught_by("config", "Expected LooseConfig to be frozen and to refuse unknown keys")
class TakesAnyKey(Sound):
    Config = LooseConfig


class DoublingConfig(SoundConfig):
    width: int = 2

    @field_validator("width")
    @classmethod
    def _double(cls, value: int) -> int:
        return 2 * value


@caught_by("config", "Expected width = 2 to be read again, came 4")
class DoublesWhatItReads(Sound):
    Config = DoublingConfig


class OpenConfig(SoundConfig):
    kind: Any = torch.float32


@caught_by("config", "Expected OpenConfig to be written and read again, came:")
class HoldsAThing(Sound):
    Config = OpenConfig


@caught_by("device", "without device=, and one on the device")
class MakesOnTheHost(Sound):
    def explored(self, greedy: Tensor) -> Tensor:
        return super().explored(greedy) + torch.zeros(greedy.shape, dtype=torch.int64)


@caught_by("device", "in observe: mul of a tensor that was made at")
class KeepsOnTheHost(Sound):
    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        self.weights = torch.ones(spec.num_seeds, spec.num_envs)

    def observe(self, transition: Transition) -> None:
        super().observe(transition)
        self.total = transition.reward.mul(self.weights)


@caught_by("device", ".numpy() of what lies on the device")
class TakesTheDeviceForTheHost(Sound):
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        if obs.dtype == torch.float32:
            obs.numpy()
        return super().act(obs, explore=explore)


# Learning


@caught_by("parameters-move", "Expected parameters of seed 0 to move, came the same ones, on vector after")
class StepsOnNothing(Sound):
    def learn(self) -> dict[str, Tensor]:
        self.updates += 1
        return {"loss": torch.ones(self.spec.num_seeds)}


@caught_by("parameters-move", "Expected updates, came none")
class NeverLearns(Sound):
    def update(self) -> dict[str, Tensor]:
        return {}


@caught_by("parameters-move", "Expected parameters of seed 1 to move")
class MovesTheFirstSeedAlone(Sound):
    def learn(self) -> dict[str, Tensor]:
        before = {name: x.clone() for name, x in self.state_dict()["q_net"].items()}
        metrics = super().learn()
        for name, x in self.q_net.state_dict().items():
            x[1:] = before[name][1:]
        for x in self.adam.state_dict().values():
            if isinstance(x, Tensor):
                x[1:] = 0
        return metrics


class WithTarget(Sound):
    """With a copy of its weights, brought up to date every `PERIOD` updates."""

    PERIOD = 40

    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        self.target = [x.clone() for x in self.q_net.state_dict().values()]

    def learn(self) -> dict[str, Tensor]:
        metrics = super().learn()
        if self.updates % self.PERIOD == 0:
            self.target = [x.clone() for x in self.q_net.state_dict().values()]
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "target": self.target}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.target = [x.clone() for x in state["target"]]


@caught_by("weights-move", "Expected copies of weights to follow them, target[0] of seed 0 came as it was")
class NeverBringsItUpToDate(WithTarget):
    PERIOD = 10**9


@caught_by("weights-move", "Expected all weights to move, head.weight of seed 0 came as it was")
class ForgetsALayer(Sound):
    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        self.head = nn.Linear(3, 3, streams["init"])

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "head": self.head.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.head.load_state_dict(state["head"])


@caught_by("finite", "Expected finite metrics, came loss = [nan, nan]")
class DividesByZero(Sound):
    def learn(self) -> dict[str, Tensor]:
        zero = torch.zeros(self.spec.num_seeds)
        return {"loss": super().learn()["loss"] + zero / zero}


@caught_by("finite", "came q_net.layers")
class GrowsWithoutBounds(Sound):
    def learn(self) -> dict[str, Tensor]:
        metrics = super().learn()
        self.params.data.mul_(1e3)
        return dict.fromkeys(metrics, torch.zeros(self.spec.num_seeds))


@caught_by("counted", "Expected agent.updates to grow where update gave metrics, came 0 and 0")
class CountsNothing(Sound):
    def learn(self) -> dict[str, Tensor]:
        metrics = super().learn()
        self.updates = 0
        return metrics


@caught_by("counted", "Expected agent.updates to grow, came 0 though")
class CountsAndTellsNothing(CountsNothing):
    def learn(self) -> dict[str, Tensor]:
        super().learn()
        return {}


@caught_by("counted", "Expected metrics where agent.updates grew, came {}")
class TellsNothing(Sound):
    def learn(self) -> dict[str, Tensor]:
        super().learn()
        return {}


@caught_by("by-env-steps", "where learning_starts = 40 and E = 1, came one at 1")
class StartsAtOnce(Sound):
    def update(self) -> dict[str, Tensor]:
        return self.learn()


@caught_by("by-env-steps", "where learning_starts = 40 and E = 4, came none up to 104")
class CountsVectorSteps(Sound):
    def observe(self, transition: Transition) -> None:
        self.replay.add(transition)
        self.env_steps += 1


class EveryConfig(SoundConfig):
    train_every: int = 2


class Every(Sound):
    Config = EveryConfig

    def update(self) -> dict[str, Tensor]:
        every, envs = self.config.train_every, self.spec.num_envs  # type: ignore[attr-defined]
        metrics: dict[str, Tensor] = {}
        if self.env_steps > self.config.learning_starts:
            for _ in range(self.env_steps // every - (self.env_steps - envs) // every):
                metrics = self.learn()
        return metrics


@caught_by("by-env-steps", "with train_every = 4 and E = 1, as with train_every = 2 and E = 1 there are 120, came 120")
class LearnsAtEveryStep(Every):
    update = Sound.update


class RolloutConfig(SoundConfig):
    rollout_steps: int = 8


@caught_by(
    "by-env-steps", "Expected updates after 8, 16 and 24 steps with rollout_steps = 8 and E = 2, came after [4, 8,"
)
class CountsStepsOfAllEnvs(Sound):
    Config = RolloutConfig

    def update(self) -> dict[str, Tensor]:
        due = self.env_steps > self.config.learning_starts
        return self.learn() if due and self.env_steps % self.config.rollout_steps == 0 else {}  # type: ignore[attr-defined]


# Exploration


@caught_by("explores", "Expected different actions of seed 0 while exploring")
class NeverExplores(Sound):
    def explored(self, greedy: Tensor) -> Tensor:
        return torch.zeros_like(greedy)


@caught_by("explores", "Expected each of 3 actions in a third of 300 draws with epsilon_start = 1, came action")
class ExploresUnevenly(Sound):
    def explored(self, greedy: Tensor) -> Tensor:
        return super().explored(greedy).clamp(max=1)


@caught_by("explores-as-told", "Expected other than greedy actions in 33% of cases at env step 60")
class NeverExploresLess(Sound):
    def epsilon(self) -> float:
        return 1.0


@caught_by("explores-as-told", "where epsilon goes from 1 to 0 in 120 steps and E = 3")
class ExploresLessByVectorSteps(Sound):
    def epsilon(self) -> float:
        return max(0.0, 1 - self.env_steps / self.spec.num_envs / self.config.epsilon_steps)


@caught_by("explores-as-told", "Expected other than greedy actions in 0% of cases at env step 122")
class EndsExploringNowhere(Sound):
    def epsilon(self) -> float:
        return max(super().epsilon(), 0.05)


class OthersNames(AgentConfig):
    """Names of those who come from elsewhere: a factor an episode, and at first all is drawn."""

    eps_start: float = 1.0
    eps_min: float = 0.05
    eps_decay: float = 0.999


class NamedByOthers(Sound):
    """Sound, with epsilon of its own."""

    Config = OthersNames  # type: ignore[assignment]

    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, SoundConfig(), streams)
        self.own, self.episodes = config, torch.zeros(spec.num_seeds)

    def epsilon(self) -> Any:
        return (self.own.eps_start * self.own.eps_decay**self.episodes).clamp(self.own.eps_min).unsqueeze(1)  # (S, 1)

    def observe(self, transition: Transition) -> None:
        super().observe(transition)
        self.episodes += (transition.terminated | transition.truncated).sum(1)


@caught_by("explores-as-told", "Expected exploration to fall, with eps_decay = 0.8, eps_start = 1, eps_min = 0; came")
class NeverExploresLessByAnotherName(NamedByOthers):
    def epsilon(self) -> Any:
        return self.own.eps_start


@caught_by("own-coins", "Expected env 0 and env 1 of a seed to explore independently")
class OneCoinByAnotherName(NamedByOthers):
    def explored(self, greedy: Tensor) -> Tensor:
        coin = self.stream.uniform(1)
        draws = self.stream.integers(greedy.shape[1], self.num_actions)
        return torch.where(coin < self.epsilon(), draws, greedy)


@caught_by("own-coins", "Expected env 0 and env 1 of a seed to explore independently")
class OneCoinForAllEnvs(Sound):
    def explored(self, greedy: Tensor) -> Tensor:
        coin = self.stream.uniform(1)
        draws = self.stream.integers(greedy.shape[1], self.num_actions)
        return torch.where(coin < self.epsilon(), draws, greedy)


@caught_by("own-coins", "of seed 0 and env 0 of seed 1 to explore independently")
class OneCoinForAllSeeds(Sound):
    def explored(self, greedy: Tensor) -> Tensor:
        envs = greedy.shape[1]
        coins, draws = self.stream.uniform(envs)[:1], self.stream.integers(envs, self.num_actions)
        return torch.where(coins < self.epsilon(), draws, greedy)


@caught_by("greedy-is-fixed", "Expected the same actions twice from act(explore=False)")
class DrawsWhenGreedy(Sound):
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        return self.explored(super().act(obs, explore=False))


@caught_by("greedy-leaves-no-trace", "Expected act(explore=False) to change nothing, streams.explore is")
class SpendsNumbersWhenGreedy(Sound):
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        action = super().act(obs, explore=explore)
        self.stream.uniform(1)
        return action


@caught_by("greedy-leaves-no-trace", "Expected act(explore=False) to change nothing, agent.env_steps is")
class CountsWhenGreedy(Sound):
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        self.env_steps += not explore
        return super().act(obs, explore=explore)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict()


@caught_by("greedy-leaves-no-trace", "Expected explain to change nothing")
class LearnsWhenAsked(Sound):
    def explain(self, obs: Tensor) -> dict[str, Tensor]:
        self.params.data.mul_(0.99)
        return super().explain(obs)


@caught_by("evaluation", "Expected the same")
class NormalisesWhatItIsAsked(Sound):
    """By a running mean that is no part of its state."""

    mean: Tensor | float = 0.0

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * obs.float().mean()  # type: ignore[assignment]
        return super().act(obs, explore=explore)

    def learn(self) -> dict[str, Tensor]:
        self.params.data.add_(1e-3 * float(self.mean))
        return super().learn()


# State


@caught_by("plain-state", "it is a numpy.ndarray")
class SavesArrays(Sound):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "array": np.zeros(3)}


@caught_by("plain-state", "Expected a dict, came a NoneType")
class SavesNothing(Sound):
    def state_dict(self) -> dict[str, Any]:
        return None  # type: ignore[return-value]


@caught_by("seed-axis", "state_dict()['mean'] of shape (4,) has no seed axis")
class SavesWithoutAnAxis(Sound):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "mean": torch.zeros(4)}


@caught_by("seed-axis", "'mean'] of shape (4,) has no seed axis")
class SavesLateWithoutAnAxis(Sound):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "mean": torch.zeros(4 if self.updates else 0)}


def forgetting(*forgotten: str) -> type[Sound]:
    """Leaves parts of its state out."""

    class Forgets(Sound):
        def state_dict(self) -> dict[str, Any]:
            return {name: x for name, x in super().state_dict().items() if name not in forgotten}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            super().load_state_dict({**super().state_dict(), **state})

    return Forgets


for forgotten in ("q_net", "adam", "env_steps"):
    caught_by("resumes", "it was expected to go on as before")(forgetting(forgotten))


@caught_by(
    "resumes", "Expected the state that was saved after 21 steps to be the one that is loaded, agent.env_steps is 0"
)
class LoadsNotAll(Sound):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.env_steps = 0


@caught_by("loads-copies", "Expected what was given to load_state_dict to stay as it is, agent.momentum differs")
class KeepsWhatItLoads(Sound):
    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        self.momentum = torch.zeros(spec.num_seeds, 1)

    def learn(self) -> dict[str, Tensor]:
        self.momentum += 1
        return super().learn()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "momentum": self.momentum}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.momentum = state["momentum"]


@caught_by("loads-copies", "when that was set to 0")
class KeepsWhatItLoadsAndLeavesIt(KeepsWhatItLoads):
    def learn(self) -> dict[str, Tensor]:
        self.momentum = self.momentum + 1
        return Sound.learn(self)


@caught_by("seeds-stop", "Expected to go on with seeds 0 and 2 of three, came:")
class CannotBeTakenApart(Sound):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "odd": torch.zeros(2 * self.spec.num_seeds, 2)}


@caught_by("cut", "takes no cut")
class TakesNoCut(Sound):
    def cut(self, where: Tensor) -> None:
        raise RuntimeError("it takes no cut")


# Seeds


@caught_by("deterministic", "Expected the same state twice when it is built")
class BeginsByChance(Sound):
    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        self.params.data.add_(torch.from_numpy(np.random.default_rng().normal(size=self.params.data.shape)).float())


@caught_by("deterministic", "Expected the same actions twice, came others at step")
class ActsByChance(Sound):
    def explored(self, greedy: Tensor) -> Tensor:
        return torch.from_numpy(np.random.default_rng().integers(0, self.num_actions, greedy.shape))


@caught_by("seeds-differ", "Expected seeds to begin with weights of their own, came q_net.layers.0.weight alike")
class BeginsAlike(Sound):
    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        self.params.data[:] = self.params.data[:1].clone()


@caught_by("seeds-differ", "Expected seeds to explore differently")
class ExploresAlike(Sound):
    def explored(self, greedy: Tensor) -> Tensor:
        return super().explored(greedy)[:1].expand_as(greedy)


@caught_by("apart", "Expected seed 1 to be the same beside seed 2 and beside seed 3")
@caught_by("width", "Expected the same")
class ClipsOverSeeds(Sound):
    def learn(self) -> dict[str, Tensor]:
        obs, action, reward, _, _ = self.replay.sample(self.config.batch_size)
        error = self.q_net(obs).gather(-1, action.unsqueeze(-1)).squeeze(-1) - reward
        grad = self.params.gradient(error.square().mean(1).sum())
        self.adam.step(clip_norm_(grad.reshape(1, -1), 0.1).new_ones(()) * grad / max(1.0, 10 * float(grad.norm())))
        self.updates += 1
        return {"loss": error.detach().square().mean(1)}


@caught_by("width", "Expected the same")
class AveragesOverSeeds(Sound):
    def learn(self) -> dict[str, Tensor]:
        obs, action, reward, _, _ = self.replay.sample(self.config.batch_size)
        error = self.q_net(obs).gather(-1, action.unsqueeze(-1)).squeeze(-1) - reward
        self.adam.step(self.params.gradient(error.square().mean()))
        self.updates += 1
        return {"loss": error.detach().square().mean(1)}


@caught_by("no-global-random", "Expected torch's global generator to stay where it is, it moved in act(explore=True)")
class ActsByTorchsGenerator(Sound):
    def explored(self, greedy: Tensor) -> Tensor:
        return torch.randint(self.num_actions, greedy.shape)


@caught_by("no-global-random", "when they are made, and its distributions: make and draw them `with")
class MakesTorchsLayers(Sound):
    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        self.head = torch.nn.Linear(3, 3)


@caught_by("no-global-random", "Expected NumPy's global generator to stay where it is, it moved in __init__")
class SeedsNumPy(Sound):
    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        np.random.seed(0)  # noqa: NPY002  (that is what is wrong with it)


@caught_by("no-global-random", "Expected Python's global generator to stay where it is, it moved within 40 steps of")
class SamplesByPythonsGenerator(Sound):
    def learn(self) -> dict[str, Tensor]:
        import random

        random.sample(range(10), 2)
        return super().learn()


@caught_by(
    "no-global-random", "it moved in __init__, in act(explore=True), within 40 steps of act, observe and update, on"
)
class DrawsFromTorchsHereAndThere(MakesTorchsLayers):
    def explored(self, greedy: Tensor) -> Tensor:
        return torch.randint(self.num_actions, greedy.shape)


# Replay


def storing(change: Callable[[Transition], Transition]) -> type[Sound]:
    """Puts something else into its buffer than it was given."""

    class Stores(Sound):
        def observe(self, transition: Transition) -> None:
            super().observe(change(transition))

    return Stores


caught_by("replay-returns", "Expected reward")(storing(lambda t: t._replace(reward=t.reward.clamp(-1, 1))))
caught_by("replay-returns", "Expected discount 0 of the step")(
    storing(lambda t: t._replace(terminated=torch.zeros_like(t.terminated)))
)
caught_by("replay-returns", "Expected discount 0.9 of the step")(
    storing(lambda t: t._replace(terminated=t.terminated | t.truncated))
)
caught_by("replay-returns", "Expected action")(storing(lambda t: t._replace(action=t.action.flip(1))))
caught_by("replay-returns", "Expected a step of seed 0, came one of seed 1")(
    storing(lambda t: t._replace(obs=t.obs.flip(0)))
)
caught_by("replay-returns", "Expected next_obs")(storing(lambda t: t._replace(next_obs=t.obs)))


class OwnReplay(Replay):
    """A buffer of a class of its own."""


@caught_by("replay-keeps", "steps are overwritten before")
class KeepsHalf(Sound):
    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        self.replay = OwnReplay(spec, config.capacity // 2, streams["replay"], gamma=config.gamma)


@caught_by("replay-keeps", "it keeps more than capacity says")
class KeepsTwice(Sound):
    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        self.replay = OwnReplay(spec, config.capacity * 2, streams["replay"], gamma=config.gamma)


class Lending(Replay):
    """Gives views of its rows."""

    def sample(self, batch_size: int) -> Any:
        batch = super().sample(batch_size)
        n = min(batch_size, self._filled)
        rewards = torch.from_numpy(self._columns[2][:, :n, 0])
        return batch._replace(reward=torch.cat([rewards], 1) if n < batch_size else rewards)


@caught_by("replay-lends-copies", "Expected a batch to stay as it is while more is observed, reward changed")
class LendsItsMemory(Sound):
    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        self.replay = Lending(spec, config.capacity, streams["replay"], gamma=config.gamma)


# Episodes


@caught_by("mask", "Expected one of the actions")
class HeedsNoMask(Sound):
    wants = ("action_mask",)

    def act(self, obs: Tensor, *, explore: bool, extras: Mapping[str, Tensor] | None = None) -> Tensor:  # type: ignore[override]
        return super().act(obs, explore=explore)


class Remembers(Sound):
    """Decides by what it saw in an episode so far, and forgets it when that ends."""

    def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
        super().__init__(spec, config, streams)
        self.memory = self.played = torch.zeros(spec.num_seeds, spec.num_envs, device=spec.device)

    def begin(self, started: Tensor, *, explore: bool) -> None:
        if explore:
            self.memory = self.memory.masked_fill(started, 0.0)
        else:
            kept = (
                self.played
                if self.played.shape == started.shape
                else started.new_zeros(started.shape, dtype=torch.float32)
            )
            self.played = kept.masked_fill(started, 0.0)

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        seen = obs.reshape(*obs.shape[:2], -1).float().mean(-1)
        if explore:
            self.memory = self.memory * 0.7 + seen
            return self.explored(self.way(self.memory))
        self.played = self.played * 0.7 + seen
        return self.way(self.played)

    def way(self, memory: Tensor) -> Tensor:
        return (memory * 1e3).long() % self.num_actions

    def explain(self, obs: Tensor) -> dict[str, Tensor]:
        return {"value": self.played * 0.7 + obs.reshape(*obs.shape[:2], -1).float().mean(-1)}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "memory": self.memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.memory = state["memory"].clone()


@caught_by("episodes-apart", "Expected the same episode to be played the same way after another one")
class RemembersWhenPlaying(Remembers):
    def begin(self, started: Tensor, *, explore: bool) -> None:
        if explore or self.played.shape != started.shape:
            super().begin(started, explore=explore)


@caught_by("episodes-apart", "Expected env 1 to go on where an episode begins in env 0 alone")
class ForgetsAllAtOnce(Remembers):
    def begin(self, started: Tensor, *, explore: bool) -> None:
        super().begin(started.any().expand_as(started), explore=explore)


@caught_by("episodes-apart", "Expected the same actions in an episode after two different ones")
class RemembersWhenExploring(Remembers):
    def begin(self, started: Tensor, *, explore: bool) -> None:
        if not explore:
            super().begin(started, explore=explore)

    def epsilon(self) -> float:
        return 0.05


class WithTorchsOwn(Learner):
    """Q-learning with torch's own layers and its own Adam, as people write it who know torch."""

    def __init__(self, spec: Spec, config: Any, rng: np.random.Generator) -> None:
        if spec.num_actions is None or spec.obs_dtype != torch.float32:
            raise UsageError("it needs vectors and discrete actions")
        self.spec, self.rng = spec, rng
        self.q_net = torch.nn.Sequential(torch.nn.LazyLinear(8), torch.nn.Tanh(), torch.nn.LazyLinear(spec.num_actions))
        with torch.random.fork_rng(devices=[]):  # lazy layers are made by the global generator, and drawn anew below
            self.q_net(torch.zeros(1, *spec.obs_shape))
        for parameter in self.q_net.parameters():
            parameter.data = torch.from_numpy(rng.uniform(-0.5, 0.5, parameter.shape)).float()
        self.adam = torch.optim.Adam(self.q_net.parameters(), 1e-2)

    @torch.no_grad()
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        greedy = self.q_net(obs).argmax(-1)
        if not explore:
            return greedy
        random = torch.from_numpy(self.rng.integers(self.spec.num_actions, size=len(obs)))
        return torch.where(torch.from_numpy(self.rng.random(len(obs)) < 0.3), random, greedy)

    def observe(self, transition: Transition) -> None:
        self.newest = transition

    def update(self) -> dict[str, float]:
        obs, action, reward, next_obs, terminated, _ = self.newest
        with torch.no_grad():
            target = reward + 0.9 * ~terminated * self.q_net(next_obs).amax(-1)
        loss = (self.q_net(obs).gather(-1, action.unsqueeze(-1)).squeeze(-1) - target).square().mean()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self.updates += 1
        return {"loss": float(loss.detach())}

    def state_dict(self) -> dict[str, Any]:
        return {"q_net": dict(self.q_net.state_dict()), "adam": self.adam.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.q_net.load_state_dict(state["q_net"])
        self.adam.load_state_dict(copy.deepcopy(state["adam"]))
        self.updates = state["updates"]


@caught_by("loads-copies", "agent.learners[0].adam.state.0.step differs")
class WithTorchsOwnKept(WithTorchsOwn):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.q_net.load_state_dict(state["q_net"])
        self.adam.load_state_dict(state["adam"])
        self.updates = state["updates"]


@caught_by("every-env", "Expected what env 1 of 3 is paid to change what is learned")
class OfTheFirstEnv(Sound):
    def observe(self, transition: Transition) -> None:
        first = transition.reward[:, :1].expand_as(transition.reward)
        super().observe(transition._replace(reward=first))


CASES = [(name, cls, words) for name, some in BROKEN.items() for cls, words in some]


@pytest.mark.parametrize(("name", "cls", "words"), CASES, ids=[f"{name}-{cls.__name__}" for name, cls, _ in CASES])
def test_what_is_broken_is_caught(name: str, cls: Any, words: str) -> None:
    row = check(cls, rows=[name], quick=True).rows[-1]
    assert row.status == FAILS
    assert words in f"{row.evidence} {row.cause}"
    assert "It raised" not in row.evidence or name == "cut"


def test_every_row_has_caught_something() -> None:
    """Those that ask for learned values, and when what is due, are tried by mutations of the agents that come along."""
    elsewhere = {"values", "cadence", "chances", "continuous", "remembering", "heeding", "frozen", "cost"}
    asked = {name for name, one in ROWS.items() if one.ask.__module__.rpartition(".")[2] not in elsewhere}
    assert asked == BROKEN.keys()


class Learning(Learner):
    """A learner of one action's value, sound."""

    class Config(AgentConfig):
        rate: float = 0.1

    def __init__(self, spec: Spec, config: Any, rng: np.random.Generator) -> None:
        if spec.num_actions is None:
            raise UsageError("learning needs discrete actions")
        self.spec, self.config, self.rng = spec, config, rng
        self.q = torch.from_numpy(rng.normal(size=(spec.num_actions or 2,)))

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        if explore:
            return torch.from_numpy(self.rng.integers(len(self.q), size=len(obs)))
        return self.q.argmax().expand(len(obs))

    def observe(self, transition: Transition) -> None:
        self.newest = transition

    def update(self) -> dict[str, float]:
        for action, reward in zip(self.newest.action, self.newest.reward, strict=True):
            self.q[action] += self.config.rate * (float(reward) - self.q[action])
        self.updates += 1
        return {"value": float(self.q.mean())}

    def state_dict(self) -> dict[str, Any]:
        return {"q": self.q, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.q.copy_(state["q"])
        self.updates = state["updates"]


class GoesByTheHost(Sound):
    """Goes to the host and back, as told."""

    def explored(self, greedy: Tensor) -> Tensor:
        coins = self.stream.host(greedy.shape[1]) < self.epsilon()
        chosen = np.where(coins, self.num_actions - 1, greedy.cpu().numpy())
        return torch.from_numpy(chosen).to(self.spec.device) + greedy.new_zeros(greedy.shape)

    def observe(self, transition: Transition) -> None:
        super().observe(transition)
        here = torch.ones(self.spec.num_envs)
        self.paid = (transition.reward.cpu() * here).sum() * transition.reward[:, [0]]
        self.some = transition.reward[torch.tensor([0])]


def test_who_goes_by_the_host_and_says_so_is_no_failure() -> None:
    row = check(GoesByTheHost, rows=["device"], quick=True).rows[-1]
    assert (row.status, row.evidence) == (HOLDS, "")
    assert "Seen on a CPU" in row.told
    assert check(Learning, rows=["device"]).rows[-1].status == LEFT_OUT


SOUND = [Sound, WithTarget, Every, Remembers, Learning, WithTorchsOwn]


@pytest.mark.slow
@pytest.mark.parametrize("cls", SOUND)
def test_a_sound_agent_passes_every_row(cls: Any) -> None:
    found = check(cls, without=["cost", "values"])
    assert found.ok, found.text()
    assert sum(row.status == HOLDS for row in found.rows) > 20


@pytest.mark.slow
def test_a_sound_agent_passes_what_takes_little() -> None:
    found = check(Sound, without=["cost", "values"], seed=3, quick=True)
    assert found.ok, found.text()


@pytest.mark.slow
def test_what_cost_tells() -> None:
    row = check(Sound, rows=["cost"]).rows[-1]
    assert row.status == HOLDS
    lines = row.told.splitlines()
    assert lines[1].startswith("Sound")
    assert {line.split()[0] for line in lines[2:-1]} >= {"dqn", "ppo", "random"}


def test_what_cannot_be_asked_is_left_out_and_says_why() -> None:
    class Bare(Sound):
        class Config(AgentConfig):
            pass

        config: Any

        def __init__(self, spec: Spec, config: Any, streams: Any) -> None:
            super().__init__(spec, SoundConfig(learning_starts=10), streams)

    found = {row.name: row for row in check(Bare, rows=["by-env-steps", "explores-as-told", "replay-keeps"]).rows}
    assert [row.status for row in found.values()] == [HOLDS, *[LEFT_OUT] * 3]
    assert found["by-env-steps"].why == "it has no learning_starts, train_every or rollout_steps"
    assert found["explores-as-told"].why.startswith("it has no epsilon_end and epsilon_steps of its own")


def test_exploration_under_other_names_that_falls_is_taken_for_what_it_is() -> None:
    assert check(NamedByOthers, rows=["explores-as-told", "own-coins"]).ok
