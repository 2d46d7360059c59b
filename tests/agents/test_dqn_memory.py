"""DQN with memory: it learns what cannot be known without, and resumes, plays and is scored as the promises say."""

import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import make_spec, registering
from rlbench.agents.dqn import DQN, DQNConfig, RecurrentDQN
from test_promises import EVALUATED, At, assert_same, assert_same_run, opened, recipe, rows, rows_of_seeds

import rlbench
from rlbench import Transition
from rlbench.agent_state import pick
from rlbench.errors import EnvError, UsageError
from rlbench.rng import Streams, episode_seed
from rlbench.rollout.signals import Interrupted
from rlbench.runfolder import checkpoint_file
from rlbench.trained.explain import Aloud
from rlbench.training import session
from rlbench.types import Extra, Spec

GRU = {
    "memory": "gru", "memory_size": 8, "hidden": (12,), "sequence_length": 6, "burn_in": 3, "batch_size": 8,
    "learning_starts": 40, "capacity": 200, "epsilon_steps": 300, "train_every": 2,
}  # fmt: skip
TMAZE = "rlbench/TMaze-v0"


def made(spec: Spec | None = None, seeds: tuple[int, ...] = (0, 1), **hyper: Any) -> Any:
    spec = spec or make_spec((2,), num_actions=2, num_seeds=len(seeds))
    return DQN(spec, DQNConfig(**{**GRU, **hyper}), Streams(seeds))


def test_memory_is_a_switch() -> None:
    assert type(made()) is RecurrentDQN
    assert type(made(memory="none")) is DQN
    with pytest.raises(UsageError, match="Own is a DQN without memory: derive it from RecurrentDQN"):
        type("Own", (DQN,), {})(make_spec(), DQNConfig(**GRU), Streams([0]))
    with pytest.raises(ValueError, match="memory takes at least one layer before it"):
        DQNConfig(memory="gru", hidden=())
    with pytest.raises(UsageError, match=r"holds 8 steps .* and a sequence has 9 .* raise capacity to 9 or more"):
        made(capacity=8)


@pytest.mark.parametrize("hyper", [{}, {"double": True, "n_step": 3}, {"burn_in": 0, "tau": 1.0, "layer_norm": True}])
@pytest.mark.parametrize("num_envs", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_resumed_at_any_step_it_is_the_same_run(
    hyper: Any, num_envs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    keys: dict[str, Any] = {"seeds": 2, "num_envs": num_envs, "total_steps": 150 * num_envs, **EVALUATED}
    made = recipe(TMAZE, {**GRU, **hyper}, env_kwargs={"length": 2}, **keys)
    whole = rlbench.train(recipe=made, out=tmp_path / "whole").folder
    assert opened(whole)["agent"]["updates"] > 40
    assert len(rows(whole)) > 8
    for at in (7 * num_envs, 77 * num_envs):
        with pytest.raises(Interrupted):
            rlbench.train(recipe=made, out=tmp_path / str(at), watcher=At(at, signal.SIGINT))
        rlbench.resume(tmp_path / str(at))
        assert_same_run(tmp_path / str(at), whole)


@pytest.mark.parametrize("num_envs", [1, 2])
def test_width_with_memory(num_envs: int, tmp_path: Path) -> None:
    keys: dict[str, Any] = {
        "num_envs": num_envs,
        "total_steps": 160 * num_envs,
        "env_kwargs": {"length": 2},
        **EVALUATED,
    }
    wide = rlbench.train(recipe=recipe(TMAZE, GRU, seed=4, seeds=3, **keys), out=tmp_path / "wide").folder
    alone = rlbench.train(recipe=recipe(TMAZE, GRU, seed=5, seeds=1, **keys), out=tmp_path / "5").folder
    assert_same(pick(opened(wide)["agent"], 1, 3), opened(alone)["agent"])
    one = rows_of_seeds(opened(alone, "best")["agent"], 1)
    assert_same(pick(rows_of_seeds(opened(wide, "best")["agent"], 3), 1, 3), one)
    for name in ("episodes.csv", "evaluations.csv", "updates.csv"):
        assert rows(wide, 5, name) == rows(alone, 5, name)


class Breaks(gymnasium.Env[np.ndarray, int]):
    """Random places, of 3 to 8 steps, with a mask; its copy of seed 1 raises once."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)
    metadata: dict[str, Any] = {"render_modes": []}
    fails: int | None = None

    def look(self) -> tuple[np.ndarray, dict[str, Any]]:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {"action_mask": self.np_random.permutation(3) > 0}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.seed, self.left = seed, int(self.np_random.integers(3, 9))
        return self.look()

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self.seed == Breaks.fails and self.left == 2:
            raise RuntimeError("the network is down")
        self.left -= 1
        obs, info = self.look()
        return obs, float(action), self.left == 0, False, info


_registered = registering({"memory/Breaks-v0": Breaks})


def test_what_it_remembered_is_kept_with_a_step_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe("memory/Breaks-v0", GRU, **{"seeds": 2, "num_envs": 2, "total_steps": 240, **EVALUATED})
    whole = rlbench.train(recipe=made, out=tmp_path / "whole").folder
    with monkeypatch.context() as patch:
        patch.setattr(Breaks, "fails", episode_seed(1, "env", 1, 12))
        with pytest.raises(EnvError, match="the network is down"):
            rlbench.train(recipe=made, out=tmp_path / "cut")
    action, said = checkpoint_file.load(tmp_path / "cut" / "checkpoint.pth", "checkpoint")["training"]["asked"]
    assert action.shape == (2, 2)
    assert said["memory"].any()
    rlbench.resume(tmp_path / "cut")
    assert_same_run(tmp_path / "cut", whole)


def test_playing_leaves_no_trace_and_knows_nothing_of_training() -> None:
    agent = made()
    obs = torch.randn(2, 1, 2, generator=torch.Generator().manual_seed(0))
    everywhere = torch.ones(2, 1, dtype=torch.bool)
    agent.begin(everywhere, explore=True)
    for _ in range(5):
        agent.act(obs, explore=True)
    before = agent.memory.clone()
    wide = obs.expand(2, 4, 2)
    agent.begin(torch.ones(2, 4, dtype=torch.bool), explore=False)
    first = agent.explain(wide)["q_values"]
    agent.act(wide, explore=False)
    later = agent.explain(wide)["q_values"]
    assert not torch.equal(first, later)  # it remembers
    some = torch.tensor([[True, False, False, False], [False] * 4])
    agent.begin(some, explore=False)
    again = agent.explain(wide)["q_values"]
    assert torch.equal(again[0, 0], first[0, 0])
    assert torch.equal(again[0, 1:], later[0, 1:])
    assert torch.equal(again[1], later[1])
    assert torch.equal(agent.memory, before)
    agent.begin(torch.tensor([[True], [False]]), explore=True)
    assert not agent.memory[0].any()
    assert torch.equal(agent.memory[1], before[1])


@pytest.mark.parametrize(("mask", "value"), [(None, 7.0), ([True, False], 5.0)])
def test_the_target_by_hand(mask: list[bool] | None, value: float) -> None:
    """Values that no observation and no memory changes: [2, 1] online, [5, 7] by the target. The episode is cut off at
    the last of three steps, terminates at the second, and goes on after the first."""
    said = {} if mask is None else {"action_mask": torch.tensor([[mask]])}
    spec = make_spec((1,), num_actions=2, extras={name: Extra((2,), torch.bool) for name in said})
    agent = made(spec, (0,), sequence_length=3, burn_in=0, batch_size=4, gamma=0.5, loss="squared")
    for net, values in ((agent.q_net, [2.0, 1.0]), (agent.target_net, [5.0, 7.0])):
        net.head.weight.data.zero_()
        net.head.bias.data.copy_(torch.tensor(values))
    no, yes = (torch.full((1, 1), x) for x in (False, True))
    see, zero = torch.ones(1, 1, 1), torch.zeros(1, 1, dtype=torch.int64)
    for over, cut in ((no, no), (yes, no), (no, yes)):
        memory = {"memory": torch.zeros(1, 1, 8)}
        agent.observe(Transition(see, zero, see[..., 0], see, over, cut, extras={**memory, **said}, next_extras=said))
    with torch.inference_mode():
        metrics = agent._learn()
    targets = [1 + 0.5 * value, 1.0, 1 + 0.5 * value]
    assert metrics["loss"].item() == pytest.approx(sum((2 - y) ** 2 for y in targets) / 3)


@pytest.mark.slow
def test_values_are_those_of_a_memory_that_the_steps_before_brought_up_to_date() -> None:
    agent = made(make_spec((2,), num_actions=2), (0,), sequence_length=3, burn_in=2, batch_size=4)
    no, one, drawn = torch.zeros(1, 1, dtype=torch.bool), torch.ones(1, 1), torch.Generator().manual_seed(0)
    for _ in range(20):
        see, memory = torch.randn(1, 1, 2, generator=drawn), torch.randn(1, 1, 8, generator=drawn)
        agent.observe(Transition(see, no.long(), one, see, no, no, extras={"memory": memory}))
    *leaves, _ = agent.replay.sequences(4)
    with torch.inference_mode():
        whole, _ = agent.q_net.unroll(leaves[0], leaves[7], leaves[6])  # (S, L, B, A), from what was stored
        *_, learned_from = agent.gradient_step(*leaves)
    torch.testing.assert_close(learned_from, whole[:, 2:].flatten(1, 2))


def test_it_is_asked_what_it_thinks_before_it_acts() -> None:
    aloud = Aloud(made(seeds=(0,)))
    obs, first = torch.ones(1, 3, 2), torch.ones(1, 3, dtype=torch.bool)
    aloud.begin(first, explore=False)
    thoughts = []
    for _ in range(2):
        fresh = aloud.agent.explain(obs)["q_values"][0, 0]
        aloud.act(obs, explore=False)
        thoughts.append(aloud.thought.q_values)
        assert thoughts[-1] == pytest.approx(fresh.tolist(), rel=1e-4)
    assert thoughts[0] != thoughts[1]  # it remembers that it acted


@pytest.mark.slow
@pytest.mark.parametrize(("memory", "least", "most"), [("gru", 0.95, 1.0), ("none", -2.0, 0.5)])
def test_it_takes_memory_to_find_out_of_a_t_maze(memory: Any, least: float, most: float, tmp_path: Path) -> None:
    hyper = {
        "memory": memory, "memory_size": 24, "hidden": (24,), "sequence_length": 10, "burn_in": 4, "batch_size": 32,
        "learning_starts": 500, "capacity": 20_000, "epsilon_steps": 6_000, "train_every": 4, "learning_rate": 3e-3,
        "gamma": 0.95, "double": True, "tau": 0.05,
    }  # fmt: skip
    keys: dict[str, Any] = {"seeds": 3, "total_steps": 16_000, "final_eval_episodes": 50, "env_kwargs": {"length": 3}}
    run = rlbench.train(recipe=recipe(TMAZE, hyper, **keys), out=tmp_path / "run")
    scores = list(run.summary["final_eval_return"].values())
    assert least <= min(scores)
    assert max(scores) <= most
