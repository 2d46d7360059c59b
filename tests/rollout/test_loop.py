"""The one loop, on tape: a dummy agent and a dummy environment write every call down, and the tape is compared."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from rlbench import Agent, Transition
from rlbench.border.make import EnvMaker, env_maker
from rlbench.rng import episode_seed
from rlbench.rollout.env_batch import EnvBatch
from rlbench.rollout.loop import Step, run

TAPE: list[str] = []


class TapeEnv(gymnasium.Env[Any, Any]):
    """Sees 10, then counts up by one a step; terminates at the third. Reward is the action."""

    observation_space = spaces.Box(0, 100, (1,), np.float32)
    action_space = spaces.Discrete(10)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        assert seed is not None
        TAPE.append("reset")
        self.seen = 10
        return np.array([self.seen], np.float32), {}

    def step(self, action: int) -> Any:
        TAPE.append(f"step {action}")
        self.seen += 1
        return np.array([self.seen], np.float32), float(action), self.seen == 13, False, {}


class TapeAgent(Agent):
    """Its action is the number of times it has acted."""

    def __init__(self) -> None:
        self.acted = 0

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        self.acted += 1
        TAPE.append(f"act {obs.tolist()} {explore}")
        return torch.full(obs.shape[:2], self.acted)

    def observe(self, t: Transition) -> None:
        leaves = (leaf.flatten().tolist() for leaf in t)
        TAPE.append("observe " + " ".join(str(leaf[0]) for leaf in leaves))

    def update(self) -> dict[str, Tensor]:
        TAPE.append("update")
        return {"acted": torch.tensor([float(self.acted)])}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


@pytest.fixture
def maker() -> EnvMaker:
    if "test/Tape-v0" not in gymnasium.registry:
        gymnasium.register("test/Tape-v0", entry_point=TapeEnv)
    made = env_maker("test/Tape-v0", max_episode_steps=50)
    TAPE.clear()
    return made


def take(n: int, envs: EnvBatch, **how: Any) -> list[Step]:
    """The first ``n`` steps of a fresh agent."""
    steps = run(TapeAgent(), envs, **how)
    return [next(steps) for _ in range(n)]


def test_the_tape_across_an_episodes_end(maker: EnvMaker) -> None:
    steps = take(4, EnvBatch(maker, [0]))
    assert TAPE == [
        "reset",
        "act [[[10.0]]] True", "step 1", "observe 10.0 1 1.0 11.0 False False", "update",
        "act [[[11.0]]] True", "step 2", "observe 11.0 2 2.0 12.0 False False", "update",
        # the agent observes the true last observation, 13, and acts next on the first one of a new episode, 10
        "act [[[12.0]]] True", "step 3", "reset", "observe 12.0 3 3.0 13.0 True False", "update",
        "act [[[10.0]]] True", "step 4", "observe 10.0 4 4.0 11.0 False False", "update",
    ]  # fmt: skip
    assert [len(s.finished) for s in steps] == [0, 0, 1, 0]
    done = steps[2].finished[0]
    assert tuple(done)[:6] == (0, 0, 0, 6.0, 3, True)
    assert (done.reset_seed, done.actions) == (episode_seed(0, "env", 0, 0), [1, 2, 3])
    assert [s.metrics["acted"].item() for s in steps] == [1, 2, 3, 4]
    assert [s.transition.reward.item() for s in steps] == [1, 2, 3, 4]


def test_a_generator_does_nothing_ahead_of_its_consumer(maker: EnvMaker) -> None:
    envs = EnvBatch(maker, [0])
    steps = run(TapeAgent(), envs)
    assert TAPE == []
    next(steps)
    assert len(TAPE) == 5


@pytest.mark.parametrize("explore", [True, False])
@pytest.mark.parametrize("learn", [True, False])
def test_explore_and_learn_are_separate_switches(maker: EnvMaker, explore: bool, learn: bool) -> None:
    steps = take(3, EnvBatch(maker, [0]), explore=explore, learn=learn)
    kinds = [line.split()[0] for line in TAPE]
    assert kinds.count("act") == 3
    assert kinds.count("observe") == kinds.count("update") == (3 if learn else 0)
    assert all(line.endswith(str(explore)) for line in TAPE if line.startswith("act"))
    assert all(bool(s.metrics) == learn for s in steps)


def test_going_on_from_given_observations_resets_nothing(maker: EnvMaker) -> None:
    envs = EnvBatch(maker, [0])
    first = envs.reset()
    _, obs = envs.step(torch.zeros(first.shape[:2], dtype=torch.int64))
    TAPE.clear()
    take(1, envs, obs=obs)
    assert TAPE[:2] == ["act [[[11.0]]] True", "step 1"]


def test_it_ends_when_no_copy_runs(maker: EnvMaker) -> None:
    envs = EnvBatch(maker, [0, 1], num_envs=2)
    taken = 0
    for taken, step in enumerate(run(TapeAgent(), envs), 1):
        assert step.transition.reward.shape == (2, 2)
        if taken == 2:
            envs.stop(0)
        if taken == 4:
            envs.stop(1, 0)
        if taken == 5:
            envs.stop(1, 1)
    assert taken == 5
    assert sum(line.startswith("step") for line in TAPE) == 2 * 4 + 2 * 2 + 1
