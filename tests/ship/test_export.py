"""Every kind of agent and of space, in every format: the file does what the live agent does."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import registering, slow
from shipped import ENVS, GRU, Own, exported, opened
from torch import Tensor

from rlbench.errors import AgentError, RunFolderError, UsageError
from rlbench.proving import proof
from rlbench.proving.samples import random_inputs
from rlbench.ship.export import export
from rlbench.ship.text import lines
from rlbench.tracing.live import LivePolicy
from rlbench.tracing.policy import contract

_registered = registering(ENVS)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer observations than users get."""
    monkeypatch.setattr(proof, "RECORDED", 300)
    monkeypatch.setattr(proof, "RANDOM", 300)


SMALL: dict[str, Any] = {"hidden": (8,)}

CASES: list[Any] = [
    ("CartPole-v1", "dqn", SMALL, "onnx"),
    ("CartPole-v1", "dqn", {"hidden": (8,), "layer_norm": True}, "pt2"),
    ("CartPole-v1", "ppo", {**SMALL, "normalise_obs": True}, "torchscript"),
    slow("CartPole-v1", "ppo", {**SMALL, "normalise_obs": True}, "onnx"),
    slow("CartPole-v1", "pqn", {**SMALL, "num_envs": 8}, "onnx"),
    slow("CartPole-v1", "pqn", {**SMALL, "num_envs": 8}, "torchscript"),
    slow("CartPole-v1", "sac", SMALL, "onnx"),
    slow("CartPole-v1", "reinforce", {}, "onnx"),
    slow("rlbench/Catch-v0", "dqn", SMALL, "onnx"),
    slow("rlbench/Catch-v0", "ppo", SMALL, "torchscript"),
    slow("rlbench/Catch-v0", "dqn", SMALL, "pt2"),
    slow("FrozenLake-v1", "q_learning", {}, "onnx"),
    slow("FrozenLake-v1", "sarsa", {}, "torchscript"),
    slow("FrozenLake-v1", "q_learning", {}, "pt2"),
    slow("FrozenLake-v1", "dqn", SMALL, "onnx"),
    slow("Pendulum-v1", "sac", SMALL, "onnx"),
    slow("Pendulum-v1", "ppo", SMALL, "pt2"),
    slow("Pendulum-v1", "sac", SMALL, "torchscript"),
    ("rlbench/TMaze-v0", "dqn", GRU, "onnx"),
    slow("rlbench/TMaze-v0", "dqn", GRU, "torchscript"),
    slow("rlbench/TMaze-v0", "dqn", GRU, "pt2"),
    slow("rlbench/TMaze-v0", "ppo", GRU, "pt2"),
    slow("rlbench/TMaze-v0", "ppo", GRU, "onnx"),
    slow("ship/Everything-v0", "ppo", SMALL, "onnx"),
    slow("ship/Everything-v0", "ppo", GRU, "torchscript"),
    slow("ship/Everything-v0", "ppo", SMALL, "pt2"),
    slow("ship/Masked-v0", "dqn", SMALL, "onnx"),
    slow("ship/Masked-v0", "ppo", SMALL, "pt2"),
    slow("ship/Masked-v0", "dqn", GRU, "torchscript"),
    slow("ship/Whole-v0", "ppo", SMALL, "onnx"),
    slow("ship/Whole-v0", "sac", SMALL, "pt2"),
    ("ship/Numbered-v0", "q_learning", {"initial_value": 1.0}, "pt2"),
    slow("ship/Numbered-v0", "dqn", SMALL, "onnx"),
]
SUFFIX = {"onnx": ".onnx", "torchscript": ".ts", "pt2": ".pt2"}


@pytest.mark.parametrize(("env", "agent", "hyper", "kind"), CASES)
def test_a_file_is_the_live_agent(env: str, agent: str, hyper: dict[str, Any], kind: str, tmp_path: Path) -> None:
    trained = opened(tmp_path, env, agent, **hyper)
    done, file = exported(trained, tmp_path / f"policy{SUFFIX[kind]}", kind)
    assert file.metadata == done.metadata
    assert done.metadata.proof["episodes"] == done.metadata.proof["equal_returns"] == 3
    assert done.proof is not None
    assert done.proof.answers.random == done.proof.answers.recorded == 300

    # once more, and by this test's own means
    agreed = contract(trained)
    live = LivePolicy(trained, agreed.obs)
    for batch in (1, 7, 256, 1000):
        rng = np.random.default_rng(batch)
        inputs = random_inputs(agreed.obs, file.metadata.inputs, batch, rng, agreed.codec.sizes)
        live.begin(np.ones(batch, bool))
        expected, given = live(inputs), file(inputs)
        assert given["action"].dtype == expected.action.dtype
        np.testing.assert_allclose(given["action"], expected.action, 1e-4, 1e-4)
        for name, numbers in expected.shown.items():
            assert given[name].dtype == np.float32
            np.testing.assert_allclose(given[name], numbers, 1e-4, 1e-4)
        assert {*given} == {"action", *expected.shown, *(["next_memory"] if file.metadata.recurrent else [])}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pth", done.path.name]


@pytest.mark.parametrize(
    ("env", "agent", "hyper"),
    [
        slow("CartPole-v1", "dqn", SMALL),
        slow("Pendulum-v1", "sac", SMALL),
        slow("rlbench/TMaze-v0", "dqn", GRU),
        slow("ship/Everything-v0", "ppo", SMALL),
        slow("ship/Numbered-v0", "q_learning", {}),
    ],
)
def test_all_seeds_vote(env: str, agent: str, hyper: dict[str, Any], tmp_path: Path) -> None:
    trained = opened(tmp_path, env, agent, seeds=3, **hyper)
    done, file = exported(trained, tmp_path / "all.onnx", episodes=12)
    assert file.metadata.seeds == [0, 1, 2]
    assert file.metadata.vote == ("mean" if env == "Pendulum-v1" else "majority")
    assert done.gain is not None
    assert done.gain.best == 2  # its evaluation was the best
    assert done.gain.ensemble - np.mean([*done.gain.singles.values()]) == pytest.approx(done.gain.over_one.value)
    assert done.gain.over_one.low <= done.gain.over_one.value <= done.gain.over_one.high


class Silent(Own):
    """The same, which does not say that it remembers."""

    says = False


class Half(Own):
    """Says something of what it remembers, and not all."""

    def recall(self) -> dict[str, Tensor]:
        return {"other": torch.zeros_like(self.count)}


class Counts(Own):
    """Acts by Python's numbers."""

    def begin(self, started: Tensor, *, explore: bool) -> None: ...

    def recall(self) -> dict[str, Tensor]:
        return {}

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        return torch.tensor([int(sum(row) > 0) for row in obs.tolist()])


class Draws(Counts):
    """Draws its actions, whatever it is asked."""

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        return (self.weight.uniform_()[0, 0] + obs[:, 0] > 0.5).long()


class Counter(Counts):
    """Remembers how often it was asked."""

    asked = 0

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        self.asked += 1
        return (obs[:, 0] > 1e9).long() + self.asked % 2


class Previous(Counts):
    """Adds what it saw before."""

    seen: Any = 0.0

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        both, self.seen = obs + self.seen, obs
        return (both @ self.weight[:4]).argmax(-1)


class OneSize(Previous):
    """Remembers what makes no difference to its actions, of as many rows as there were."""

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        self.seen = obs if isinstance(self.seen, float) else self.seen
        return ((obs + 0 * self.seen if len(obs) == len(self.seen) else obs)[:, 0] > 0).long()


class Centred(Counts):
    """Sees an observation beside the mean of the batch."""

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        return ((obs - obs.mean(0)) @ self.weight[:4]).argmax(-1)


HIDDEN = r"answers otherwise the second time: it draws random numbers, or remembers something .*`recall` and `remember`"


class Branches(Counts):
    """Decides by an `if` on what is in a tensor."""

    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        return torch.stack([torch.tensor(1) if row.sum() > 0 else torch.tensor(0) for row in obs])


def test_an_agent_of_ones_own_says_what_it_remembers(tmp_path: Path) -> None:
    _, file = exported(opened(tmp_path, "CartPole-v1", Own), tmp_path / "own.onnx")
    assert [(port.name, port.shape) for port in file.metadata.inputs] == [("obs", (4,)), ("memory", ())]
    assert [(port.name, port.of) for port in file.metadata.outputs] == [("action", ""), ("next_memory", "memory")]


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (Silent, r"^Silent remembers something: .* recall\(\), and takes it back with remember\(memory\)"),
        (Half, r"^Half remembers more of an episode than its recall\(\) says: "),
        (Counts, r"^what Counts does cannot be written down as a graph: .*operations on tensors alone"),
        (Draws, f"^Draws {HIDDEN}"),
        (Counter, f"^Counter {HIDDEN}"),
        (Previous, f"^Previous {HIDDEN}"),
        (OneSize, r"it answers for batches of one size alone: .* remembers something .*md\)\. Its act"),
        (Centred, r"^Centred .* its answer to an observation depends on the others of the batch"),
    ],
)
def test_what_cannot_be_exported_says_why(agent: type, said: str, tmp_path: Path) -> None:
    trained = opened(tmp_path, "CartPole-v1", agent)
    with pytest.raises(AgentError, match=said) as e:
        export(trained, "onnx", tmp_path / "own.onnx", episodes=2)
    assert not re.search(r"\n|\.\.|TORCH_LOGS", str(e.value))
    assert [path.name for path in tmp_path.iterdir()] == ["best.pth"]


def test_nothing_is_printed_of_a_graph_that_comes_to_an_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained = opened(tmp_path, "CartPole-v1", Branches)
    with pytest.raises(AgentError, match=r"^what Branches does cannot be written down as a graph: "):
        export(trained, "onnx", tmp_path / "own.onnx", episodes=2)
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_wrong_request_is_said_before_anything_is_done(tmp_path: Path) -> None:
    trained = opened(tmp_path, "CartPole-v1", **SMALL)
    with pytest.raises(UsageError, match="'tflite' is no format of policies; there are onnx, torchscript, pt2"):
        export(trained, "tflite", tmp_path / "a.onnx")
    with pytest.raises(UsageError, match=r"the name of a policy in pt2 ends with \.pt2"):
        export(trained, "pt2", tmp_path / "a.onnx")
    rounds = opened(tmp_path, "rlbench/Catch-v0", **SMALL)
    rounds = rounds._replace(recipe=rounds.recipe.replace(precision="bf16"))
    with pytest.raises(UsageError, match=r"multiplies in bf16 .* no file can be proved"):
        export(rounds, "onnx", tmp_path / "a.onnx")
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.onnx").mkdir()
    for place in (tmp_path / "file" / "a.onnx", tmp_path / "folder.onnx"):
        with pytest.raises(RunFolderError, match=r"cannot write .*Give another place: --out FILE"):
            export(trained, "onnx", place)


@pytest.mark.slow
def test_what_an_environment_was_made_with_is_told(tmp_path: Path) -> None:
    slides = opened(tmp_path, "FrozenLake-v1", "q_learning", env_kwargs={"is_slippery": False})
    done, file = exported(slides, tmp_path / "a.onnx", episodes=1)
    assert file.metadata.env_kwargs == {"is_slippery": False}
    assert "  around   FrozenLake-v1: is_slippery=False" in list(lines(done))
    stacks = "gymnasium.wrappers:FrameStackObservation(stack_size=4)"
    done, file = exported(opened(tmp_path, "CartPole-v1", wrappers=[stacks], **SMALL), tmp_path / "b.onnx", episodes=1)
    assert file.metadata.wrappers == [stacks]
    assert file.metadata.inputs[0].shape == (4, 4)
    assert f"  around   CartPole-v1: {stacks}" in list(lines(done))
