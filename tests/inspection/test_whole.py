"""`inspect` on runs of all kinds of agents: what it finds, and that it leaves no trace."""

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from command import CARTPOLE, mistake, rlbench, succeeds
from rich.console import Console

from rlbench import train
from rlbench.errors import CheckpointError, UsageError
from rlbench.inspection.text import shown, tables
from rlbench.inspection.whole import Inspection, inspect

SMALL: dict[str, Any] = {
    "seeds": 2, "total_steps": 400, "eval_every": 0, "final_eval_episodes": 0, "log_every": 50, "device": "cpu",
    "track": (), "num_envs": 1,
}  # fmt: skip
DQN: dict[str, Any] = {"hidden": [16, 8], "batch_size": 8, "learning_starts": 50, "capacity": 300, "train_every": 4}

#: Env, agent, its hyper-parameters, networks with whether they are asked, layers of a seed.
AGENTS: dict[str, tuple[str, str, dict[str, Any], dict[str, bool], list[str]]] = {
    "dqn": (
        "CartPole-v1", "dqn", {**DQN, "layer_norm": False}, {"q_net": True, "target_net": False},
        ["layer 1 of q_net", "layer 2 of q_net", "the output of q_net"],
    ),
    "pixels": (
        "rlbench/Catch-v0", "dqn", {**DQN, "hidden": [8]}, {"q_net": True, "target_net": False}, [],
    ),
    "memory": (
        "CartPole-v1", "dqn", {**DQN, "memory": "gru", "memory_size": 6, "sequence_length": 4, "burn_in": 2},
        {"q_net": True, "target_net": False},
        ["layer 1 of q_net", "layer 2 of q_net", "layer 3 of q_net", "the output of q_net"],
    ),
    "ppo": (
        "CartPole-v1", "ppo", {"hidden": [8], "rollout_steps": 64, "batch_size": 32},
        {"policy_net": True, "value_net": True},
        ["layer 1 of policy_net", "the output of policy_net", "layer 1 of value_net", "the output of value_net"],
    ),
    "sac": (
        "Pendulum-v1", "sac", {"hidden": [8], "batch_size": 8, "learning_starts": 50, "capacity": 300},
        {"actor": True, "critics": True, "targets": False},
        ["layer 1 of actor", "the output of actor", "layer 1 of critics 1 of 2", "the output of critics 1 of 2",
         "layer 1 of critics 2 of 2", "the output of critics 2 of 2"],
    ),
    "reinforce": (
        "CartPole-v1", "reinforce", {"hidden": [8]}, {"policy": True, "value": True},
        ["layer 1 of policy", "the output of policy", "layer 1 of value", "the output of value"],
    ),
    "q_learning": ("FrozenLake-v1", "q_learning", {}, {}, []),
    "random": ("CartPole-v1", "random", {}, {}, []),
}  # fmt: skip


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def trained(folder: Path, env: str, agent: str, hyper: dict[str, Any], **more: Any) -> Path:
    return train(env, agent=agent, out=folder, **{**SMALL, **more, **({agent: hyper} if hyper else {})}).folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", AGENTS)
def test_every_kind_of_agent_is_looked_into_without_a_trace(kind: str, tmp_path: Path) -> None:
    env, agent, hyper, networks, layers = AGENTS[kind]
    run = trained(tmp_path / "run", env, agent, hyper)
    before, state = digests(run), torch.get_rng_state()
    found = inspect(run)
    assert digests(run) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert [one.seed for one in found.seeds] == [0, 1]
    assert "run again" in found.source
    json.dumps(found.content(), allow_nan=False)
    for one in found.seeds:
        assert {network.name: network.asked for network in one.networks} == networks
        if layers:
            assert [layer.title for layer in one.layers] == layers
        assert one.observations > 0
        assert (one.buffer is not None) == (agent in ("dqn", "sac"))
        if one.buffer:
            assert one.buffer.held == 300
        assert bool(one.ranks) == bool(networks) == (one.gradients is not None)
        assert (one.values is None) == (agent == "random")
        assert bool(one.tables) == (agent == "q_learning")
        whole_cells(found)
        if one.gradients:
            assert all(norm > 0 for norm in one.gradients.networks.values())
            asked = {name for name, yes in networks.items() if yes}
            assert set(one.gradients.networks) == asked


def whole_cells(found: Inspection, width: int = 80) -> None:
    """No line is longer than ``width``, and no number of a table is broken by that."""
    file = io.StringIO()
    Console(file=file, width=width).print(shown(found, width))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for _, (head, *rows) in tables(found.seeds):
        for i in (i for i in range(1, len(head)) if any(row[i] for row in rows)):
            for cell in (head[i], *(row[i] for row in rows)):
                assert any(cell in line for line in lines), (cell, file.getvalue())


USER = '''
import numpy as np, torch
from rlbench import AgentConfig, Learner
from rlbench.learner import Learner

class Deep:
    """Networks of ordinary torch, two objects down."""
    def __init__(self, n, a):
        self.body = torch.nn.Sequential(torch.nn.Linear(n, 8), torch.nn.ReLU())
        self.head = torch.nn.Linear(8, a)

class Mine(Learner):
    def __init__(self, spec, config, rng):
        self.parts = {"q": Deep(spec.obs_shape[0], spec.num_actions)}
        self.rng, self.steps = rng, 0
    def q(self, obs):
        return self.parts["q"].head(self.parts["q"].body(obs))
    @torch.no_grad()
    def act(self, obs, *, explore):
        return self.q(obs).argmax(-1)
    def observe(self, t):
        self.steps += 1
    def update(self):
        return {}
    def state_dict(self):
        return {"body": self.parts["q"].body.state_dict(), "head": self.parts["q"].head.state_dict()}
    def load_state_dict(self, state):
        self.parts["q"].body.load_state_dict(state["body"]); self.parts["q"].head.load_state_dict(state["head"])
'''


def test_an_agent_of_a_user_with_networks_in_nested_objects(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(USER)
    run = train("CartPole-v1", agent=f"{file}:Mine", out=tmp_path / "run", **SMALL).folder
    with pytest.raises(UsageError, match="say so"):
        inspect(run)
    found = inspect(run, agent=f"{file}:Mine")
    assert [one.name for one in found.seeds[0].networks] == ["parts.q.body", "parts.q.head"]
    assert [layer.title for layer in found.seeds[0].layers] == ["layer 1 of parts.q.body", "the output of parts.q.head"]
    assert found.seeds[0].values is None  # it explains nothing
    assert found.seeds[0].gradients is None  # and does not learn
    long = [
        one._replace(layers=[layer._replace(network=f"learner.{'helper.' * 8}q") for layer in one.layers])
        for one in found.seeds
    ]
    whole_cells(found)
    whole_cells(found._replace(seeds=long))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspect") / "run"
    succeeds(*CARTPOLE, "--total-steps", "300", "--out", folder)
    return folder


def test_a_seed_alone_and_among_others_looks_the_same(run: Path) -> None:
    together, alone = inspect(run), inspect(run, seed=1)
    assert [one.seed for one in alone.seeds] == [1]
    assert alone.seeds[0] == together.seeds[1]
    with pytest.raises(UsageError, match="has no seed 7"):
        inspect(run, seed=7)


def test_seeds_of_several_processes_have_buffers_of_their_own(run: Path, tmp_path: Path) -> None:
    split = tmp_path / "split"
    succeeds(*CARTPOLE, "--total-steps", "300", "--workers", "2", "--out", split)
    assert inspect(split).seeds == inspect(run).seeds


def test_without_a_journal_greedy_episodes_are_played(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.pth"
    shutil.copy(run / "checkpoint.pth", alone)
    found = inspect(alone)
    assert "greedy" in found.source
    assert [one.buffer for one in found.seeds] == [None, None]
    assert "what the buffer held is not known" in found.notes[0]
    assert found.seeds[0].layers


def test_recorded_norms_stand_in_where_there_is_no_update(run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("rlbench.inspection.gradients.STEPS", 0)
    monkeypatch.setattr("rlbench.inspection.whole.learn_once", lambda *given: None)
    gradients = inspect(run).seeds[0].gradients
    assert gradients is not None
    assert gradients.source == "the last row of updates.csv"
    assert gradients.norm is not None


def test_a_file_that_would_run_code_is_refused(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    torch.save({"rlbench": "checkpoint", "format": 1, "agent": inspect}, copy / "checkpoint.pth")
    with pytest.raises(CheckpointError, match="was refused"):
        inspect(copy)


def test_a_damaged_buffer_is_told_and_the_rest_is_there(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "replay.pth").write_bytes(b"\0" * 100)
    found = inspect(copy)
    assert [one.buffer for one in found.seeds] == [None, None]
    assert any("is damaged" in note for note in found.notes)
    assert found.seeds[0].layers


def test_weights_that_have_died_are_found(run: Path, tmp_path: Path) -> None:
    from rlbench.runfolder import checkpoint_file

    copy = Path(shutil.copytree(run, tmp_path / "run"))
    content = checkpoint_file.load(copy / "checkpoint.pth", "checkpoint")
    net = content["agent"]["q_net"]
    biases = [name for name in net if name.endswith("bias")]
    net[biases[1]][1] = -1e3  # of the first LayerNorm of seed 1: nothing fires after it
    net[biases[-1]][0] += 1e5  # of seed 0: values beyond all returns
    kept = {key: value for key, value in content.items() if key not in ("rlbench", "format")}
    checkpoint_file.save(copy / "checkpoint.pth", "checkpoint", kept)
    found = inspect(copy)
    assert {one.kind for one in found.findings[0]} >= {"values"}
    assert {one.kind for one in found.findings[1]} >= {"dead", "policy"}
    said = rlbench("inspect", copy).stdout
    assert "! seed 1: 100 % of the units of layer 1 of q_net never fire." in said
    assert "! seed 0: Q-values exceed the largest possible return" in said


def test_the_command_prints_tables_json_and_a_page(run: Path, tmp_path: Path) -> None:
    said = succeeds("inspect", run)
    for words in ("Networks", "q_net, layer 1", "returns that are possible", "effective rank", "distinct observations"):
        assert words in said
    content = json.loads(succeeds("inspect", run, "--json", "--seed", "1"))
    assert [one["seed"] for one in content["seeds"]] == [1]
    assert content["seeds"][0]["layers"][0]["counts"]
    succeeds("inspect", run, "--out", tmp_path / "deep" / "a.json")
    assert json.loads((tmp_path / "deep" / "a.json").read_text())["env"] == "CartPole-v1"
    assert "b.html: " in succeeds("inspect", run, "--html", tmp_path / "b.html")
    page = (tmp_path / "b.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") >= 7
    assert "Layer 1 of q_net" in page
    assert "Expected against what came" in page
    assert 'src="http' not in page
    assert page.count('id="') == len({part.split('"')[0] for part in page.split('id="')[1:]})  # none twice


def test_mistakes_are_one_line(run: Path, tmp_path: Path) -> None:
    assert "--seed takes a number from 0 on, or all" in mistake("inspect", run, "--seed", "first")
    assert "has no seed 9" in mistake("inspect", run, "--seed", "9")
    assert "is no name for a page" in mistake("inspect", run, "--html", tmp_path / "a.png")
    assert "must end in .json or .html" in mistake("inspect", run, "--out", tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--html", "--out"])
def test_a_page_that_cannot_be_written_is_one_line_that_names_the_option(
    option: str, run: Path, tmp_path: Path
) -> None:
    succeeds("inspect", run, option, tmp_path / "not" / "there" / "a.html")  # its folder is made, as everywhere
    (tmp_path / "file").write_text("")
    result = rlbench("inspect", run, option, tmp_path / "file" / "a.html")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: cannot write {tmp_path / 'file' / 'a.html'}: ")
    assert line.endswith(f"Give another place: {option} FILE")


def test_best_weights_by_their_path(run: Path) -> None:
    found: Inspection = inspect(run / "best.pth")
    assert found.path.name == "best.pth"
    assert inspect(run).path.name == "checkpoint.pth"
