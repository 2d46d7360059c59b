"""A policy as a module: what it says of its memory, votes, tables of answers, and what it leaves of the live agent."""

import logging
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import registering
from shipped import ENVS, GRU, Everything, Own, opened
from torch import Tensor

from rlbench.border.spaces import ActionCodec
from rlbench.errors import AgentError, UsageError
from rlbench.proving.samples import random_inputs
from rlbench.ship.export import export
from rlbench.tracing import tables
from rlbench.tracing.formats import quiet, traced
from rlbench.tracing.live import LivePolicy
from rlbench.tracing.policy import PolicyModule, anew, contract
from rlbench.tracing.tables import TableModule, is_numbered
from rlbench.tracing.votes import Vote


class Said(Everything):
    """Says in its info what an agent may want besides a mask."""

    def reset(self, **how: Any) -> Any:
        return super().reset(**how)[0], {"goal": np.ones(2, np.float32)}

    def step(self, action: Any) -> Any:
        return (*super().step(action)[:4], {"goal": np.ones(2, np.float32)})


_registered = registering({**ENVS, "ship/Said-v0": Said})
SMALL: dict[str, Any] = {"hidden": (8,)}


class Begun(Own):
    """Begins an episode with a memory that is not zero."""

    def begin(self, started: Tensor, *, explore: bool) -> None:
        super().begin(started, explore=explore)
        self.count = self.count + 1


class Wants(Own):
    """Wants to be told a goal."""

    wants = ("goal",)

    def __init__(self, spec: Any, config: Any, rng: Any) -> None: ...

    def act(self, obs: Tensor, *, explore: bool, extras: Any) -> Tensor:
        return torch.zeros(len(obs), 4, dtype=torch.int64)


def test_a_memory_is_zero_where_an_episode_begins(tmp_path: Path) -> None:
    trained = opened(tmp_path, "CartPole-v1", Begun)
    with pytest.raises(AgentError, match=r"recall gave memory of shape \(1, 1\) after begin; .* zero where"):
        PolicyModule(trained, anew(trained), contract(trained))


def test_an_agent_that_is_told_more_than_a_mask_is_refused(tmp_path: Path) -> None:
    trained = opened(tmp_path, "ship/Said-v0", Wants)
    with pytest.raises(UsageError, match=r"wants to be told info\['goal'\] of ship/Said-v0"):
        export(trained, "onnx", tmp_path / "a.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.onnx", "a.ts", "a.pt2"])
def test_a_file_tells_nothing_of_the_machine_that_wrote_it(name: str, tmp_path: Path) -> None:
    """No place of code, and none of its lines, as the libraries note them for those who look for a mistake."""
    kinds = {".onnx": "onnx", ".ts": "torchscript", ".pt2": "pt2"}
    path = export(opened(tmp_path, "CartPole-v1", **SMALL), kinds[Path(name).suffix], tmp_path / name, episodes=1).path
    parts = [path.read_bytes()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            parts = [archive.read(part) for part in archive.namelist()]
    for part in parts:
        assert b".py" not in part
        assert str(Path(__file__).parents[2]).encode() not in part
    if name == "a.ts":
        with quiet():
            assert torch.jit.load(path)(torch.zeros(2, 4))[0].shape == (2,)


@pytest.mark.parametrize("before", [logging.NOTSET, logging.ERROR])
def test_what_is_kept_quiet_speaks_again(before: int) -> None:
    logging.disable(before)
    try:
        with quiet():
            warnings.warn("advice", DeprecationWarning, stacklevel=1)
            assert logging.root.manager.disable == logging.WARNING
        assert logging.root.manager.disable == before
        with pytest.raises(ZeroDivisionError), quiet():
            _ = 1 / 0
        assert logging.root.manager.disable == before
    finally:
        logging.disable(logging.NOTSET)
    with pytest.warns(DeprecationWarning, match="advice"):
        warnings.warn("advice", DeprecationWarning, stacklevel=1)


def test_the_live_agent_is_left_as_it_was(tmp_path: Path) -> None:
    """Tracing lets numbers that are none into what an agent keeps: into an agent of its own."""
    trained = opened(tmp_path, "rlbench/TMaze-v0", "dqn", **GRU)
    live: Any = trained.agent
    before = {name: x.clone() for name, x in live.q_net.state_dict().items()}
    trained.reset()
    played = live.played
    policy = PolicyModule(trained, anew(trained), contract(trained))
    agreed = contract(trained)
    inputs = random_inputs(agreed.obs, policy.inputs, 3, np.random.default_rng(0), agreed.codec.sizes)
    traced(policy, [torch.from_numpy(x) for x in inputs.values()])
    assert live.played is played
    after = live.q_net.state_dict()
    assert all(x.equal(after[name]) for name, x in before.items())
    mine = {p.data_ptr() for p in live.q_net.parameters()}
    agent: Any = policy.agent
    assert not mine & {p.data_ptr() for p in agent.q_net.parameters()}
    assert all(p.untyped_storage().nbytes() == p.nbytes for p in agent.q_net.parameters())


ONE = ActionCodec(True, 0, 3, (), np.dtype(np.int64))
SEVERAL = ActionCodec(False, 0, 0, (2,), np.dtype(np.int64), (3, 2), (0, 0))
NUMBERS = ActionCodec(False, 0, 0, (2,), np.dtype(np.float32))


def test_votes() -> None:
    votes = torch.tensor([[0, 2, 1, 2], [1, 2, 0, 2], [2, 1, 0, 0], [1, 1, 2, 0]])  # (S, B)
    assert Vote(ONE, 1)(votes).tolist() == [1, 2, 0, 2]
    assert Vote(ONE, 2)(votes).tolist() == [1, 1, 0, 0]
    none_of_them = torch.tensor([[0], [0], [1], [1], [2]])
    assert Vote(ONE, 4)(none_of_them).tolist() == [0]
    several = torch.tensor([[[2, 0]], [[2, 1]], [[0, 1]]])  # (S, B, K)
    assert Vote(SEVERAL, 0)(several).tolist() == [[2, 1]]
    assert Vote(NUMBERS, 0)(torch.tensor([[[1.0, -1.0]], [[2.0, 1.0]]])).tolist() == [[1.5, 0.0]]


def test_a_table_holds_the_answers_of_all_seeds(tmp_path: Path) -> None:
    trained = opened(tmp_path, "ship/Numbered-v0", "q_learning", seeds=3)
    agent: Any = trained.agent
    for one in agent.learners:
        one.q[:] = one.rng.normal(size=one.q.shape)
    agreed = contract(trained)
    table = TableModule(LivePolicy(trained, agreed.obs), agreed)
    assert table.count == 9
    obs, mask = torch.arange(-4, 5), torch.tensor([True, True, True]).expand(9, 3)
    action, q_values = table(obs, mask)
    expected = np.mean([one.q for one in agent.learners], 0)
    np.testing.assert_allclose(q_values.numpy(), expected, 1e-6)
    votes = np.stack([one.q.argmax(1) for one in agent.learners])
    assert action.tolist() == Vote(agreed.codec, 2)(torch.from_numpy(votes)).tolist()


def test_what_makes_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = opened(tmp_path, "ship/Numbered-v0", "q_learning")
    agreed = contract(trained)
    live = LivePolicy(trained, agreed.obs)
    monkeypatch.setattr(type(trained.agent), "explain", lambda self, obs, extras=None: {})
    with pytest.raises(AgentError, match="explain gives no q_values to choose by under it"):
        TableModule(live, agreed)
    monkeypatch.setattr(tables, "MOST", 5)
    with pytest.raises(AgentError, match="there are 9 observations, and a table is made of 5 at most"):
        TableModule(live, agreed)
    assert is_numbered(agreed)
    assert not is_numbered(contract(opened(tmp_path, "CartPole-v1", **SMALL)))
    assert not is_numbered(contract(opened(tmp_path, "ship/Everything-v0", "ppo", **SMALL)))
