"""Tests of training.narrow: seeds that have stopped cost nothing, and no bit of anything shows that they do not."""

import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import slow
from rlbench.agents.dqn import DQN, DQNConfig
from test_promises import EVALUATED, MORE, At, assert_same, opened, recipe, rows, rows_of_seeds
from test_resume_matrix import REINFORCE, TABULAR
from torch import Tensor

import rlbench
from rlbench import Agent, AgentConfig, Recipe, Spec, Streams, Transition, rng
from rlbench.agent_state import pick, same
from rlbench.errors import EnvError
from rlbench.record.watcher import Watcher
from rlbench.replay.packing import Packed
from rlbench.rollout.signals import Interrupted
from rlbench.runfolder.layout import worker_folders
from rlbench.training import session, stopped_seeds
from rlbench.training import train as training
from rlbench.types import NO_EXTRAS, Extras

TABLES = ("episodes.csv", "evaluations.csv", "updates.csv")
DIFFERING: dict[str, Any] = {"seeds": 4, "total_steps": 600, "max_episodes": 18, **EVALUATED, "final_eval_episodes": 2}
SOLVING = {"seeds": 4, "total_steps": 600, "stop_when_solved": True, "solved_at": 12.0, "eval_every": 40}
STOPS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (MORE, DIFFERING),
    ({"layer_norm": True, "capacity": 5000}, {**DIFFERING, "num_envs": 2, "total_steps": 900, "max_episodes": 30}),
    ({}, {**SOLVING, "eval_episodes": 3, "log_every": 20, "max_episodes": 20}),
]


class Notes(Watcher):
    """Keeps what is told, and how many seeds the agent computes, step by step."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def as_it_was(patch: pytest.MonkeyPatch) -> None:
    """From here on the agent computes seeds that have stopped, as before there was `narrow`."""

    def leave(running: Any) -> None:
        running.to_narrow = False

    patch.setattr(session, "leave_out", leave)


def train(made: Recipe, out: Path, watcher: Watcher | None = None) -> Any:
    return rlbench.train(recipe=made, out=out, watcher=watcher or Watcher())


def ends(run: Any) -> list[int]:
    return list(run.summary["env_steps_of_seed"].values())


def assert_same_but_for_idle_buffers(a: Path, b: Path) -> None:
    """All but the buffers of seeds that had stopped, which nobody reads any more."""
    for name in TABLES:
        assert rows(a, name=name) == rows(b, name=name)
    assert_same(opened(a)["agent"], opened(b)["agent"])
    ours, theirs = opened(a)["training"], opened(b)["training"]
    for part in ("streams", "scores", "best", "stopped"):
        assert_same(ours[part], theirs[part], part)
    if (b / "best.pth").exists():
        assert_same(opened(a, "best"), opened(b, "best"))
    for file in (b / "journal").iterdir():
        assert (a / "journal" / file.name).read_bytes() == file.read_bytes()
    held, were = opened(a, "replay")["replay"], opened(b, "replay")["replay"]
    assert held["cursor"] == were["cursor"]
    stopped = ours["scores"]["stopped"]
    for s, why in enumerate(stopped):
        assert held["rows"][s].shape == were["rows"][s].shape
        if why is None:
            assert_same(held["rows"][s], were["rows"][s])


@pytest.mark.slow
@pytest.mark.parametrize(("hyper", "keys"), STOPS)
def test_no_bit_differs_from_computing_all_seeds_to_the_end_or_one_alone(
    hyper: dict[str, Any], keys: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(hyper=hyper, **keys)
    run = train(made, tmp_path / "run")
    with monkeypatch.context() as patch:
        as_it_was(patch)
        wide = train(made, tmp_path / "wide")
    assert len(set(ends(run))) > 1, ends(run)
    assert_same_but_for_idle_buffers(run.folder, wide.folder)
    for figure in ("final_eval_return", "best_eval_return", "env_steps_of_seed", "updates"):
        assert run.summary[figure] == wide.summary[figure]
    n = made.seeds
    for k in range(n):
        alone = train(made.replace(seed=k, seeds=1), tmp_path / str(k)).folder
        one = rows_of_seeds(opened(alone)["agent"], 1)
        assert_same(pick(rows_of_seeds(opened(run.folder)["agent"], n), k, n), one)
        for name in TABLES:
            assert rows(run.folder, k, name) == rows(alone, k, name)
        held, was = opened(run.folder, "replay")["replay"]["rows"][k], opened(alone, "replay")["replay"]["rows"][0]
        assert torch.equal(held[: len(was)], was)  # what it held when it stopped
        assert not held[len(was) :].any()


@pytest.mark.slow
@pytest.mark.parametrize(("hyper", "keys"), STOPS[:2])
def test_stopped_anywhere_and_resumed_is_never_stopped(
    hyper: dict[str, Any], keys: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    made = recipe(hyper=hyper, **keys)
    whole = train(made, tmp_path / "whole")
    e, (first, second, *_) = made.num_envs, sorted(set(ends(whole)))
    assert second < max(ends(whole))  # seeds stop before the interruption, and after it
    for at in (first - 2 * e, first, first + e, second + e):
        cut = tmp_path / str(at)
        with pytest.raises(Interrupted):
            train(made, cut, At(at, signal.SIGTERM))
        done = training.resume(cut)
        assert_same_but_for_idle_buffers(done.folder, whole.folder)
        assert_same(opened(done.folder, "replay"), opened(whole.folder, "replay"))  # to the last idle bit
        assert done.summary["final_eval_return"] == whole.summary["final_eval_return"]


class Gates(gymnasium.Env[np.ndarray, int]):
    """Three gates, one of them closed, another at every step; who tries it is thrown out. Of 2 to 20 steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)
    metadata: dict[str, Any] = {"render_modes": []}

    def told(self) -> tuple[np.ndarray, dict[str, Any]]:
        self.closed = int(self.np_random.integers(3))
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {"action_mask": np.arange(3) != self.closed}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(2, 21))
        return self.told()

    def step(self, action: int) -> Any:
        if action == self.closed:
            raise RuntimeError("that gate is closed")
        self.left -= 1
        obs, info = self.told()
        return obs, float(action), self.left == 0, False, info


gymnasium.register("test/Gates-v0", entry_point=Gates)
GRU = {"memory": "gru", "memory_size": 6, "burn_in": 2, "sequence_length": 5, "batch_size": 4}


@pytest.mark.parametrize(
    ("agent", "env", "hyper"),
    [
        slow(REINFORCE, "CartPole-v1", {}),
        slow(TABULAR, "FrozenLake-v1", {}),
        ("ppo", "test/Gates-v0", {"rollout_steps": 13, "batch_size": 6, "epochs": 2, "hidden": [9]}),
        slow("sac", "test/Gates-v0", {"hidden": [9], "learning_starts": 20, "batch_size": 7}),
        slow("q_learning", "FrozenLake-v1", {}),
        ("dqn", "test/Gates-v0", {"hidden": [9], "learning_starts": 20, "n_step": 3}),
        slow("dqn", "test/Gates-v0", {"hidden": [9], "learning_starts": 20, **GRU}),
        slow("dqn", "CartPole-v1", {"hidden": [9], "learning_starts": 20, **GRU}),
    ],
    ids=[
        "reinforce",
        "tabular",
        "ppo, masked",
        "sac, masked",
        "q_learning",
        "dqn, masked",
        "dqn, masked, with memory",
        "dqn with memory",
    ],
)
def test_agents_of_every_kind(
    agent: str, env: str, hyper: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    keys = {**DIFFERING, "num_envs": 2, "max_episodes": 14}
    made = Recipe(env=env, agent=agent, device="cpu", hyper=hyper, **keys)
    told = Notes()
    run = train(made, tmp_path / "run", told)
    assert not [note for note in told.notes if "still computed" in note]
    stopped = sorted({end for end in ends(run) if end < 600})
    assert len(stopped) > 1, ends(run)
    with monkeypatch.context() as patch:
        as_it_was(patch)
        wide = train(made, tmp_path / "wide").folder
    with pytest.raises(Interrupted):
        train(made, tmp_path / "cut", At(stopped[0] + 2, signal.SIGTERM))
    done = training.resume(tmp_path / "cut", agent=agent if ":" in agent else None).folder
    for other in (wide, done):
        assert_same(opened(other)["agent"], opened(run.folder)["agent"])
        assert rows(other) == rows(run.folder)
        assert rows(other, name="evaluations.csv") == rows(run.folder, name="evaluations.csv")


@pytest.mark.slow
def test_several_processes_each_leave_out_their_own(tmp_path: Path) -> None:
    made = recipe(hyper=MORE, **{**DIFFERING, "seeds": 3})
    run, two = train(made, tmp_path / "one"), train(made.replace(workers=2), tmp_path / "two").folder
    one = run.folder
    assert len(set(ends(run))) > 1
    for name in ("checkpoint", "best"):
        assert_same(*(rows_of_seeds(opened(folder, name)["agent"], 3) for folder in (two, one)))
    held = [x for place in worker_folders(two) for x in opened(place, "replay")["replay"]["rows"]]
    for ours, theirs in zip(held, opened(one, "replay")["replay"]["rows"], strict=True):
        both = min(len(ours), len(theirs))
        assert torch.equal(ours[:both], theirs[:both])
    for name in TABLES[:2]:
        assert sorted(map(str, rows(two, name=name))) == sorted(map(str, rows(one, name=name)))


def test_networks_buffers_and_optimisers_get_only_rows_of_seeds_that_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acted: list[int] = []
    learned: list[tuple[int, int, int]] = []
    act, learn = DQN.act, DQN._learn

    def counting(self: DQN, obs: Tensor, *, explore: bool, extras: Extras = NO_EXTRAS) -> Tensor:
        if explore:
            acted.append(len(obs))
        return act(self, obs, explore=explore, extras=extras)

    def counted(self: DQN) -> dict[str, Tensor]:
        metrics = learn(self)
        learned.append((len(metrics["loss"]), len(self.online.data), len(self.replay._rows)))
        return metrics

    monkeypatch.setattr(DQN, "act", counting)
    monkeypatch.setattr(DQN, "_learn", counted)
    run = train(recipe(hyper=MORE, **DIFFERING), tmp_path / "run")
    last = ends(run)
    training_at = [sum(end > step for end in last) for step in range(max(last))]
    assert len(set(training_at)) > 2
    assert acted == training_at
    assert learned == [(n, n, n) for n in training_at[-len(learned) :]]


def test_a_run_of_before_with_seeds_that_have_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    made = recipe(hyper=MORE, **DIFFERING)
    whole = train(made, tmp_path / "whole")
    at = sorted(ends(whole))[1] + 3
    with monkeypatch.context() as patch:
        as_it_was(patch)
        with pytest.raises(Interrupted):
            train(made, tmp_path / "cut", At(at, signal.SIGTERM))
    cut = tmp_path / "cut"
    assert any(opened(cut)["training"]["scores"]["stopped"])
    assert_same_but_for_idle_buffers(training.resume(cut).folder, whole.folder)


SLOW = {rng.episode_seed(2, "env", 0, episode) for episode in range(10)}


class Flaky(gymnasium.Env[np.ndarray, int]):
    """Long episodes in the training copy of seed 2, short ones elsewhere; that copy raises once."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    metadata: dict[str, Any] = {"render_modes": []}
    taken, fails_at = 0, -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        assert seed is not None
        self.slow = seed in SLOW
        self.steps, self.length = 0, 40 if self.slow else 8 + seed % 3
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> Any:
        if self.slow:
            Flaky.taken += 1
            if Flaky.taken == Flaky.fails_at:
                raise OSError("the line is dead")
        self.steps += 1
        return np.full(2, self.steps / 40, np.float32), float(action), self.steps == self.length, False, {}


gymnasium.register("test/FlakyNarrow-v0", Flaky)


def test_an_environment_that_fails_where_others_have_stopped_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe("test/FlakyNarrow-v0", MORE, **{**DIFFERING, "seeds": 3, "max_episodes": 5})
    whole = train(made, tmp_path / "whole")
    assert max(ends(whole)[:2]) < 130 < ends(whole)[2] == 200
    monkeypatch.setattr(Flaky, "taken", 0)
    monkeypatch.setattr(Flaky, "fails_at", 130)  # in the middle of its fourth episode
    with pytest.raises(EnvError, match=r"the line is dead.*Go on, when it is mended"):
        train(made, tmp_path / "cut")
    monkeypatch.setattr(Flaky, "fails_at", -1)
    done = training.resume(tmp_path / "cut")
    assert_same_but_for_idle_buffers(done.folder, whole.folder)
    assert done.summary["exact"]


def test_a_seed_that_is_skipped_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: dict[str, Any] = {"seeds": 3, "total_steps": 400, **EVALUATED, "checkpoint_every": 50}
    clean = train(recipe(**keys), tmp_path / "clean").folder
    widths: list[int] = []
    update = DQN.update

    def spoiled(self: DQN) -> dict[str, Tensor]:
        metrics = update(self)
        widths.append(self.spec.num_seeds)
        if self.updates == 60 and metrics and self.spec.num_seeds == 3:
            self.online.data[1] = math.nan
        return metrics

    monkeypatch.setattr(DQN, "update", spoiled)
    monkeypatch.setattr(session, "TICK_SECONDS", -1.0)
    seen: list[dict[str, list[float]]] = []

    class Looks(Watcher):
        def tick(self, status: Any) -> None:
            seen.append(status.numbers)

    run = train(recipe(**keys, on_nan="skip-seed"), tmp_path / "run", Looks())
    stopped_at = run.summary["env_steps_of_seed"]["1"]
    assert widths == [3] * stopped_at + [2] * (400 - stopped_at)
    for k in (0, 2):
        for name in TABLES:
            assert rows(run.folder, k, name) == rows(clean, k, name)
        ours, theirs = (pick(rows_of_seeds(opened(f)["agent"], 3), k, 3) for f in (run.folder, clean))
        assert_same(ours, theirs)
        assert_same(*(opened(f, "replay")["replay"]["rows"][k] for f in (run.folder, clean)))
    told = rows(run.folder, 1, "updates.csv")
    assert int(told[-1]["env_steps"]) <= stopped_at
    losses = [numbers["loss"] for numbers in seen if "loss" in numbers]
    assert all(math.isfinite(loss[k]) for loss in losses for k in (0, 2))
    assert math.isnan(losses[-1][1])


class Plain(Agent):
    """Counts, and acts by it."""

    Config = AgentConfig

    def __init__(self, spec: Spec, config: Any, streams: Streams) -> None:
        self.spec, self.stream = spec, streams["explore"]
        self.count = torch.zeros(spec.num_seeds)

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        if not explore:
            return torch.zeros(obs.shape[:2], dtype=torch.int64)
        return self.stream.integers(obs.shape[1], 2)

    def observe(self, transition: Transition) -> None:
        self.count += transition.reward.sum(1)

    def update(self) -> dict[str, Tensor]:
        self.updates += 1
        return {"count": self.count.clone(), "whole": self.count.long()}

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count.copy_(state["count"])
        self.updates = int(state["updates"])


class Folded(Plain):
    """Two numbers of each seed stand one after the other: nobody can tell whose they are."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "pairs": self.count.repeat_interleave(2)}


class Layers(Plain):
    """A list, of as many layers as there are seeds, each with a row for each of them."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "layers": [self.count.clone() for _ in range(4)]}


class Refuses(Plain):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise RuntimeError("never loaded before.")


class Forgets(Plain):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = int(state["updates"])


class Once(Plain):
    """Can be made once."""

    made = 0

    def __init__(self, spec: Spec, config: Any, streams: Streams) -> None:
        super().__init__(spec, config, streams)
        if spec.num_seeds < 4:
            raise ZeroDivisionError("no fewer")


@pytest.mark.parametrize(
    ("agent", "why"),
    [
        (Folded, "neither shared nor has a row for each seed"),
        (Refuses, "never loaded before"),
        (Forgets, "does not give back"),
        (Once, "no fewer"),
    ],
)
def test_an_agent_that_cannot_be_taken_apart_goes_on_and_a_note_says_so_once(
    agent: type[Plain], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "looked_at", lambda parts, recipe: None)  # as where a seed is too large to look
    keys: dict[str, Any] = {**DIFFERING, "device": "cpu", "final_eval_episodes": 0, "eval_every": 0}
    told, plain = Notes(), Notes()
    run = rlbench.train("CartPole-v1", agent=agent, out=tmp_path / "run", watcher=told, **keys)
    other = rlbench.train("CartPole-v1", agent=Plain, out=tmp_path / "plain", watcher=plain, **keys)
    notes = [note for note in told.notes if "still computed beside the others" in note]
    assert len(notes) == 1
    assert why in notes[0]
    assert not [note for note in plain.notes if "still computed" in note]
    assert len(set(ends(run))) > 2
    assert rows(run.folder) == rows(other.folder)
    assert rows(run.folder, name="updates.csv") == rows(other.folder, name="updates.csv")
    assert torch.equal(opened(run.folder)["agent"]["count"], opened(other.folder)["agent"]["count"])


def test_a_list_of_layers_is_taken_apart_layer_by_layer(tmp_path: Path) -> None:
    keys: dict[str, Any] = {**DIFFERING, "device": "cpu", "final_eval_episodes": 0, "eval_every": 0}
    told = Notes()
    run = rlbench.train("CartPole-v1", agent=Layers, out=tmp_path / "run", watcher=told, **keys)
    assert not [note for note in told.notes if "still computed" in note]
    state = opened(run.folder)["agent"]
    assert len(state["layers"]) == 4
    assert all(torch.equal(layer, state["count"]) for layer in state["layers"])


def test_buffers_that_do_not_fit_into_memory_twice_stay_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(hyper=MORE, **DIFFERING)
    run = train(made, tmp_path / "run").folder
    monkeypatch.setattr(stopped_seeds, "free_memory", lambda: 20_000)
    told = Notes()
    wide = train(made, tmp_path / "wide", told).folder
    notes = [note for note in told.notes if "still computed" in note]
    assert len(notes) == 1
    assert "the buffers are too large to be copied" in notes[0]
    assert "20 KiB free" in notes[0]
    assert_same_but_for_idle_buffers(run, wide)


def made_of(spec: Spec, config: DQNConfig) -> Callable[[Any], tuple[Agent, Streams]]:
    def made(seeds: Any) -> tuple[Agent, Streams]:
        streams = Streams(seeds)
        return DQN(spec._replace(num_seeds=len(seeds)), config, streams), streams

    return made


def test_what_stands_for_all_seeds() -> None:
    """Every method by itself: the rows of those that train, and what stands in place of the others."""
    spec = Spec((4,), torch.float32, None, 2, num_seeds=4, num_envs=2)
    made = made_of(spec, DQNConfig(hidden=(8,), learning_starts=0, batch_size=4, epsilon_decay=0.9))
    whole, streams = made([5, 6, 7, 8])
    two, drawn = stopped_seeds.narrow(whole, made, streams, [5, 6, 7, 8], [1, 3])
    obs = torch.rand(4, 3, 4)
    values = two.explain(obs)["q_values"]
    assert values.shape == (4, 3, 2)
    assert torch.equal(values[[1, 3]], whole.explain(obs)["q_values"][[1, 3]])
    assert values[[0, 2]].isnan().all()
    action = two.act(obs, explore=False)
    assert torch.equal(action[[1, 3]], whole.act(obs, explore=False)[[1, 3]])
    assert (action.shape, action.dtype) == ((4, 3), torch.int64)
    assert torch.equal(two.act(obs[:, :2], explore=True)[[1, 3]], whole.act(obs[:, :2], explore=True)[[1, 3]])
    assert drawn.state_dict() == streams.state_dict()

    row = torch.rand(4, 2, 12)
    row[..., 0], row[..., 2:4] = 1.0, 0.0
    ended = torch.zeros(4, 2, dtype=torch.bool)
    ended[:, 0] = True
    packed = Packed(row[..., 4:8], row[..., 0].long(), row[..., 1], row[..., 8:], ended, ended & False)
    packed.row = row.numpy()
    for agent in (whole, two):
        agent.observe(packed)
        agent.observe(Transition(*packed))
        agent.cut(ended)
    ours, theirs = two.update(), whole.update()
    assert ours.keys() == theirs.keys()
    for name, numbers in ours.items():
        assert torch.equal(numbers[[1, 3]], theirs[name][[1, 3]])
        assert numbers[[0, 2]].isnan().all()
    seen = two.diagnostics()
    assert whole.diagnostics()["q_values"].shape == seen["q_values"].shape
    assert seen["epsilon"].isnan().tolist() == [True, False, True, False]
    assert seen["q_values"].shape[0] == seen["gradients"].shape[0] == 4
    assert two.updates == whole.updates == 2
    assert two.replay is not None
    assert whole.replay is not None
    held, were = two.replay.state_dict(), whole.replay.state_dict()
    for s in (1, 3):
        assert torch.equal(held["rows"][s], were["rows"][s])
        assert_same(pick(two.state_dict()["q_net"], s, 4), pick(whole.state_dict()["q_net"], s, 4))

    one, _ = stopped_seeds.narrow(two, made, drawn, [5, 6, 7, 8], [3])
    assert isinstance(one, stopped_seeds.Narrowed)
    assert isinstance(one.inner, DQN)  # not one around another
    assert same(one.state_dict(), two.state_dict())
    assert same(one.replay.state_dict(), held)  # type: ignore[union-attr]
    again, _ = made([5, 6, 7, 8])
    again.load_state_dict(one.state_dict())
    again.replay.load_state_dict(held)  # type: ignore[union-attr]
    one.load_state_dict(whole.state_dict())
    one.replay.load_state_dict(were)  # type: ignore[union-attr]
    assert same(one.state_dict(), whole.state_dict())
    assert same(one.replay.state_dict(), were)  # type: ignore[union-attr]
