"""`train --debug`: each warning triggered on purpose; nothing that is learned changes; resumed, on more processes."""

import csv
from pathlib import Path
from typing import Any

import pytest
from command import CARTPOLE, mistake, rlbench, timeless

from rlbench.agent_state import same
from rlbench.inspection import course
from rlbench.inspection.course import COLUMNS, Watched
from rlbench.inspection.findings import Finding
from rlbench.inspection.whole import inspect
from rlbench.record.watcher import Watcher
from rlbench.runfolder import checkpoint_file
from rlbench.runfolder.tables import read_table
from rlbench.runfolder.workers import join_workers
from rlbench.training.train import resume, train

SMALL: dict[str, Any] = {
    "seeds": 2, "eval_every": 0, "final_eval_episodes": 0, "log_every": 50, "device": "cpu", "track": (), "num_envs": 1,
}  # fmt: skip
DQN: dict[str, Any] = {"hidden": [16, 8], "batch_size": 8, "learning_starts": 50, "capacity": 300, "train_every": 4}


class Ears(Watcher):
    """Hears everything."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "debug.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(folder: Path) -> Any:
    return checkpoint_file.load(folder / "checkpoint.pth", "checkpoint")["agent"]


KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "dqn": ("CartPole-v1", "dqn", {"dqn": DQN}),
    "memory": ("CartPole-v1", "dqn", {"dqn": {**DQN, "memory": "gru", "memory_size": 6, "sequence_length": 4}}),
    "pixels": ("rlbench/Catch-v0", "dqn", {"dqn": DQN}),
    "ppo": ("CartPole-v1", "ppo", {"ppo": {"hidden": [8], "rollout_steps": 25, "batch_size": 25}, "num_envs": 2}),
    "sac": ("Pendulum-v1", "sac", {"sac": {"hidden": [8], "batch_size": 8, "learning_starts": 50, "capacity": 300}}),
    "reinforce": ("CartPole-v1", "reinforce", {}),
    "q_learning": ("FrozenLake-v1", "q_learning", {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_looking_changes_nothing_that_is_learned(kind: str, tmp_path: Path) -> None:
    env, agent, more = KINDS[kind]
    how = {**SMALL, "total_steps": 300, **more}
    quiet = train(env, agent=agent, out=tmp_path / "quiet", **how)
    looked = train(env, agent=agent, out=tmp_path / "looked", debug_every=100, **how)
    assert same(weights(quiet.folder), weights(looked.folder))
    for name in ("episodes.csv", "updates.csv"):
        assert timeless(quiet.folder, name) == timeless(looked.folder, name)
    assert not (quiet.folder / "debug.csv").exists()
    found = rows(looked.folder)
    assert [(row["seed"], row["env_steps"]) for row in found] == [
        (seed, str(at)) for at in range(100, 400, 100) for seed in ("0", "1")
    ]
    assert list(found[0]) == ["seed", "env_steps", "updates", *COLUMNS]
    assert all(row["value_mean"] for row in found)
    assert all(bool(row["rank"]) == (agent != "q_learning") for row in found)


SICK = '''
import numpy as np, torch
from rlbench import AgentConfig, Learner

class SickConfig(AgentConfig):
    illness: str = ""
    gamma: float = 0.9

class Sick(Learner):
    """Learns nothing, and has what its name says."""
    Config = SickConfig
    def __init__(self, spec, config, rng):
        self.spec, self.illness, self.rng, self.steps = spec, config.illness, rng, 0
        width = 1 if spec.num_obs is not None else spec.obs_shape[0]
        act = torch.nn.Tanh() if self.illness == "saturated" else torch.nn.ReLU()
        self.net = torch.nn.Sequential(torch.nn.Linear(width, 40), act, torch.nn.Linear(40, spec.num_actions or 2))
        self.net.requires_grad_(False)
        first, last = self.net[0], self.net[2]
        for p in self.net.parameters():
            p.copy_(torch.from_numpy(rng.normal(size=p.shape)))
        last.weight *= 0.1
        if self.illness == "dead":
            first.bias[:33] = -1e6
        if self.illness == "dormant":
            first.bias.abs_(); first.weight[5:] *= 1e-4; first.bias[5:] *= 1e-4; first.bias[:5] += 5
        if self.illness == "fallen":
            first.weight *= 5
        if self.illness == "saturated":
            first.bias.fill_(50.0)
        if self.illness == "values":
            last.bias.fill_(1e3)
        if self.illness == "same-greedy":
            last.bias[0] = 1e3
            last.weight *= 1e-3
    def q(self, obs):
        return self.net(obs.float().reshape(len(obs), -1))
    def act(self, obs, *, explore):
        if self.spec.num_actions is None:
            return torch.from_numpy(self.rng.normal(size=(len(obs), 1)).astype(np.float32))
        if self.illness == "same":
            return torch.zeros(len(obs), dtype=torch.int64)
        q = self.q(obs).argmax(-1)
        return torch.from_numpy(self.rng.integers(self.spec.num_actions, size=len(obs))) if explore else q
    def observe(self, t):
        self.steps += len(t.reward)
        if self.steps == 600 and self.illness == "fallen":
            self.net[0].weight[2:] = 0
            self.net[0].bias[2:] = -1
    def update(self):
        self.updates += 1
        exploded = self.illness == "exploded" and self.steps > 500
        return {"grad_norm": 1e6 if exploded else 1.0}
    def state_dict(self):
        return {"net": self.net.state_dict(), "steps": self.steps, "updates": self.updates}
    def load_state_dict(self, state):
        self.net.load_state_dict(state["net"])
        self.steps, self.updates = state["steps"], state["updates"]
    def explain(self, obs):
        n = len(obs)
        if self.illness == "broken" and self.steps > 150:
            raise ValueError("nothing to say")
        if self.illness == "leaves" and self.steps > 150:
            raise SystemExit(3)
        if self.illness == "sure":
            return {"probabilities": torch.tensor([[0.9999, 0.0001]]).expand(n, 2)}
        if self.illness == "narrow":
            return {"mean": torch.zeros(n, 1), "std": torch.full((n, 1), 1e-5)}
        return {"q_values": self.q(obs)} if self.spec.num_actions else {}
'''


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("sick") / "sick.py"
    file.write_text(SICK)
    return f"{file}:Sick"


def heard(sick: str, out: Path, illness: str, env: str = "CartPole-v1", **more: Any) -> list[str]:
    ears = Ears()
    how = {**SMALL, "total_steps": 1000, "debug_every": 100, "seeds": 1, **more}
    train(env, agent=sick, out=out, watcher=ears, Sick={"illness": illness}, **how)
    return [note for note in ears.notes if note.startswith("step ")]


@pytest.mark.parametrize(
    ("illness", "says"),
    [
        ("dead", "% of the units of layer 1 of net never fire."),
        ("saturated", "100 % of the units of layer 1 of net are saturated"),
        ("dormant", "88 % of the units of layer 1 of net are dormant"),
        (
            "values",
            "step 100: Q-values exceed the largest possible return, 10 by size, 100 times: overestimation, or",
        ),
        ("fallen", "the effective rank of the features of net has fallen from"),
        ("exploded", "step 600: the norm of the gradient is 1000000, and was 1: it explodes."),
        ("sure", "in 100 % of the states one action is certain: the policy explores no more."),
    ],
)
def test_each_illness_is_told_in_words_and_once(illness: str, says: str, sick: str, tmp_path: Path) -> None:
    notes = heard(sick, tmp_path / "run", illness)
    assert len([note for note in notes if says in note]) == 1, notes
    assert len(notes) <= 2, notes


def test_a_policy_that_has_stopped_exploring(sick: str, tmp_path: Path) -> None:
    notes = heard(sick, tmp_path / "run", "narrow", "Pendulum-v1")
    assert len(notes) == 1
    assert "the standard deviation of actions has fallen to 1e-5, of a width of 4" in notes[0]


def test_what_takes_a_long_time_to_see(sick: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same actions, no reward, the same greedy action, and rewards that tell nothing apart."""
    monkeypatch.setattr(course, "SAME", 1000)
    monkeypatch.setattr(course, "UNREWARDED", 500)
    long = {"total_steps": 1200}
    notes = heard(sick, tmp_path / "a", "same", "FrozenLake-v1", **long)
    assert any("step 1,000: all actions have been the same for 1,000 steps." in note for note in notes), notes
    assert any("step 500: no reward has come yet, in 500 steps: learning cannot begin." in note for note in notes)
    notes = heard(sick, tmp_path / "b", "same-greedy", "MountainCar-v0", **long)
    assert any("the greedy action has been the same in every state for 1,000 steps" in note for note in notes), notes
    assert any("every reward has been -1 so far, and no episode has ended by itself" in note for note in notes), notes
    assert not any("all actions" in note or "no reward" in note for note in notes)


def test_nothing_is_told_of_an_agent_that_is_well(sick: str, tmp_path: Path) -> None:
    assert heard(sick, tmp_path / "run", "", total_steps=3000, debug_every=500) == []


@pytest.mark.parametrize(("illness", "why"), [("broken", "nothing to say"), ("leaves", "something called sys.exit(3)")])
def test_an_agent_that_cannot_be_looked_into_trains_on(illness: str, why: str, sick: str, tmp_path: Path) -> None:
    ears = Ears()
    run = train(
        "CartPole-v1", agent=sick, out=tmp_path / "run", watcher=ears, Sick={"illness": illness}, total_steps=600,
        debug_every=100, **SMALL,
    )  # fmt: skip
    assert run.summary["env_steps"] == 600
    assert len([note for note in ears.notes if f"is not looked at any more: {why}." in note]) == 1
    assert {row["env_steps"] for row in rows(run.folder)} == {"100"}


def test_of_several_seeds_the_worst_is_named(sick: str, tmp_path: Path) -> None:
    notes = heard(sick, tmp_path / "one", "values", seeds=3)
    assert len(notes) == 1
    assert ", the worst of seeds 0, 1, 2: Q-values" in notes[0]
    notes = heard(sick, tmp_path / "two", "values", seeds=2, workers=2)
    assert sorted(note.partition(": Q")[0] for note in notes) == ["step 100: seed 0", "step 100: seed 1"]
    assert [row["seed"] for row in rows(tmp_path / "two")[:4]] == ["0", "1", "0", "1"]


def test_a_finding_is_told_again_only_when_it_has_become_worse() -> None:
    watched = Watched([3, 4])

    def told(kind: str, level: float, seed: int = 3) -> bool:
        return bool(watched.news({seed: [Finding(kind, "layer 1", level, "text")]}))

    assert [told("dead", x) for x in (0.7, 0.75, 0.5, 0.8, 0.91, 0.95)] == [True, False, False, False, True, False]
    assert [told("values", x) for x in (10, 39, 41, 100, 1e6)] == [True, False, True, False, True]
    assert not told("values", 1e6, seed=4)  # of another seed it is no worse
    again = Watched([3, 4])
    again.load_state_dict(watched.state_dict())
    watched = again
    assert not told("dead", 0.95)


def test_a_resumed_run_goes_on_looking_and_repeats_nothing(sick: str, tmp_path: Path) -> None:
    ears, how = Ears(), {**SMALL, "Sick": {"illness": "values"}, "checkpoint_every": 0}
    folder = train("CartPole-v1", agent=sick, out=tmp_path / "run", total_steps=300, debug_every=100, **how).folder
    resume(folder, agent=sick, total_steps=600, watcher=ears)
    assert not any("Q-values" in note for note in ears.notes)
    assert [row["env_steps"] for row in rows(folder)[::2]] == ["100", "200", "300", "400", "500", "600"]
    whole = train("CartPole-v1", agent=sick, out=tmp_path / "whole", total_steps=600, debug_every=100, **how).folder
    assert rows(folder) == rows(whole)
    resume(folder, agent=sick, total_steps=700, debug_every=0)  # no more
    assert rows(folder) == rows(whole)
    resume(folder, agent=sick, total_steps=800, debug_every=50, watcher=ears)
    assert [row["env_steps"] for row in rows(folder)[12::2]] == ["750", "800"]
    assert not any("Q-values" in note for note in ears.notes)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dqn", "memory", "pixels"])
def test_a_run_that_was_stopped_between_two_looks_sees_what_it_would_have_seen(kind: str, tmp_path: Path) -> None:
    env, agent, more = KINDS[kind]
    steady = {"learning_rate": 1e-3, "learning_rate_end": 1e-3}  # whatever total_steps is
    how = {**SMALL, "debug_every": 100, "dqn": {**more["dqn"], **steady}}
    whole = train(env, agent=agent, out=tmp_path / "whole", total_steps=300, **how)
    cut = train(env, agent=agent, out=tmp_path / "cut", total_steps=170, **how)
    resume(cut.folder, total_steps=300)
    assert rows(cut.folder) == rows(whole.folder)


def harmed(content: str) -> dict[str, str]:
    lines = content.splitlines(keepends=True)
    return {
        "gone": "",
        "torn": "".join(lines[:2]) + lines[2][:20],
        "another version": "".join(
            ",".join([*line.rstrip().split(",")[:3], line.split(",")[7], "7" if i else "new"]) + "\n"
            for i, line in enumerate(lines)
        ),
    }


@pytest.mark.parametrize("harm", ["gone", "torn", "another version"])
def test_a_table_that_was_harmed_goes_on_soundly(harm: str, tmp_path: Path) -> None:
    how = {**SMALL, "debug_every": 100, "dqn": DQN}
    folder = train("CartPole-v1", agent="dqn", out=tmp_path / "run", total_steps=300, **how).folder
    (folder / "debug.csv").write_text(harmed((folder / "debug.csv").read_text())[harm])
    resume(folder, total_steps=400)
    table, problem = read_table(folder / "debug.csv", "debug.csv")
    assert problem == ""
    assert set(table) == {0, 1}
    assert [table[seed]["env_steps"][-1] for seed in (0, 1)] == [400, 400]
    assert table[1]["value_mean"][-1] == table[1]["value_mean"][-1]  # is a number


def test_a_worker_that_stopped_before_its_first_look_keeps_nobody_out(tmp_path: Path) -> None:
    """The table of the whole run is there all the same."""
    run = train(
        "CartPole-v1", agent="random", out=tmp_path / "run", workers=2, total_steps=400, debug_every=100, **SMALL
    ).folder
    whole = (run / "debug.csv").read_text()
    (run / "debug.csv").unlink()
    (run / "workers" / "1" / "debug.csv").unlink()
    join_workers(run)
    left = [row for row in whole.splitlines() if not row.startswith("1,")]
    assert (run / "debug.csv").read_text().splitlines() == left
    assert len(left) == 5


EVERY: dict[str, tuple[str, str, dict[str, Any]]] = {
    "pqn": ("CartPole-v1", "pqn", {"num_envs": 4}),
    "sarsa": ("Taxi-v4", "sarsa", {}),
    "random": ("CartPole-v1", "random", {}),
    "ppo with memory": (
        "CartPole-v1", "ppo",
        {"ppo": {"hidden": [8], "rollout_steps": 32, "batch_size": 64, "memory": "gru"}, "num_envs": 4},
    ),
    "sac of choices": (
        "CartPole-v1", "sac", {"sac": {"hidden": [8], "batch_size": 8, "learning_starts": 50, "capacity": 300}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", EVERY)
def test_every_agent_is_looked_into(kind: str, tmp_path: Path) -> None:
    env, agent, more = EVERY[kind]
    ears = Ears()
    how = {**SMALL, "total_steps": 300, "debug_every": 100, "eval_every": 150, "eval_episodes": 1, **more}
    looked = train(env, agent=agent, out=tmp_path / "run", watcher=ears, **how)
    assert not any("not looked at" in note for note in ears.notes)
    assert len(rows(looked.folder)) == 6
    found = inspect(looked.folder)
    assert [one.seed for one in found.seeds] == [0, 1]


def test_seeds_that_have_stopped_are_not_looked_at(tmp_path: Path) -> None:
    how = {**SMALL, "total_steps": 1500, "max_episodes": 20, "seeds": 3, "dqn": DQN}
    run = train("CartPole-v1", agent="dqn", out=tmp_path / "run", debug_every=50, **how)
    ends = {int(seed): at for seed, at in run.summary["env_steps_of_seed"].items()}
    assert len(set(ends.values())) > 1
    for row in rows(run.folder):
        assert int(row["env_steps"]) <= ends[int(row["seed"])]


def test_the_option(tmp_path: Path) -> None:
    result = rlbench(*CARTPOLE, "--debug", "40", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert [row["env_steps"] for row in rows(tmp_path / "run")[::2]] == ["40", "80", "120"]
    result = rlbench("train", "--resume", tmp_path / "run", "--total-steps", "200", "--debug", "--progress", "none")
    assert result.exit_code == 0, result.output
    assert "debug_every = 5000" in (tmp_path / "run" / "recipe.toml").read_text()
    assert "debug_every" in mistake(*CARTPOLE, "--set", "debug_every=-3", "--out", tmp_path / "other")
    assert rlbench("verify", tmp_path / "run").exit_code == 0
