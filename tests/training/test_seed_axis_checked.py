"""A state whose seeds nobody could find again is refused before a run begins; optimisers, and what is shared, go on."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import mistake
from test_promises import opened, recipe, rows
from torch import Tensor

import rlbench
from rlbench import Agent, AgentConfig, Shared, Spec, Streams, Transition, UsageError
from rlbench.agent_state import same
from rlbench.recipe import axes as looking
from rlbench.record.watcher import Watcher
from rlbench.runfolder import checkpoint_file
from rlbench.training import train as training

KEYS: dict[str, Any] = {
    "seeds": 4, "total_steps": 60, "eval_every": 30, "eval_episodes": 2, "final_eval_episodes": 2, "device": "cpu",
    "track": "none", "checkpoint_every": 30,
}  # fmt: skip


class Notes(Watcher):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Fits(Agent):
    """Fits the reward of CartPole's two actions, with as many parameters of torch's optimiser as there are seeds."""

    Config = AgentConfig
    built: list[int] = []

    def __init__(self, spec: Spec, config: Any, streams: Streams) -> None:
        self.built.append(spec.num_seeds)
        init, seeds = streams["init"], spec.num_seeds
        self.spec, self.explore = spec, streams["explore"]
        shapes = ((4, 8), (1, 8), (8, 2), (1, 2))
        self.params = [torch.nn.Parameter(0.3 * init.normal(a * b).view(seeds, a, b)) for a, b in shapes]
        self.opt = torch.optim.Adam(self.params, 0.01)
        self.bound = torch.tensor([4.8, 5.0, 0.42, 5.0])  # (O,), and O = S

    def values(self, obs: Tensor) -> Tensor:  # (S, N, O) -> (S, N, A)
        first, bias, second, shift = self.params
        hidden = torch.tanh((obs / self.bound).unsqueeze(-1).mul(first.unsqueeze(1)).sum(2) + bias)
        return hidden.unsqueeze(-1).mul(second.unsqueeze(1)).sum(2) + shift

    @torch.no_grad()
    def act(self, obs: Tensor, *, explore: bool) -> Tensor:
        greedy = self.values(obs).argmax(-1)
        return self.explore.integers(obs.shape[1], 2) if explore else greedy

    def observe(self, transition: Transition) -> None:
        self.newest = transition

    def update(self) -> dict[str, Tensor]:
        t = self.newest
        chosen = self.values(t.obs).gather(-1, t.action.unsqueeze(-1)).squeeze(-1)
        loss = (chosen - t.reward * ~t.terminated).square().mean(1)
        self.opt.zero_grad()
        loss.sum().backward()  # type: ignore[no-untyped-call]
        self.opt.step()
        self.updates += 1
        return {"loss": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        params = [param.detach() for param in self.params]
        return {"params": params, "opt": self.opt.state_dict(), "updates": self.updates, "bound": Shared(self.bound)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for param, saved in zip(self.params, state["params"], strict=True):
            param.data.copy_(saved)
        self.opt.load_state_dict(state["opt"])
        self.updates = int(state["updates"])
        self.bound.copy_(state["bound"].value)


class Unmarked(Fits):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "bound": self.bound}


class TimeFirst(Fits):
    """With a rollout that has its steps before its seeds."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "rollout": torch.zeros(128, self.spec.num_seeds, self.spec.num_envs)}


class Ring:
    """A buffer that has its steps before its seeds."""

    def __init__(self, seeds: int) -> None:
        self.seeds = seeds

    def state_dict(self) -> dict[str, Any]:
        return {"rows": torch.zeros(100, self.seeds, 3)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise NotImplementedError


class Buffered(Fits):
    def __init__(self, spec: Spec, config: Any, streams: Streams) -> None:
        super().__init__(spec, config, streams)
        self.replay = Ring(spec.num_seeds)


class Growing(Fits):
    """Remembers something without a row for each seed, which is not there at first."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **({"trace": torch.zeros(9)} if self.updates else {})}


class Drawing(Fits):
    """Draws from the generators of the process, which it should leave alone."""

    def __init__(self, spec: Spec, config: Any, streams: Streams) -> None:
        super().__init__(spec, config, streams)
        self.drawn = [random.random(), np.random.rand(), torch.rand(1).item()]  # noqa: NPY002


class NeverAlone(Fits):
    def __init__(self, spec: Spec, config: Any, streams: Streams) -> None:
        if spec.num_seeds == 1:
            raise ZeroDivisionError("one is too few")
        super().__init__(spec, config, streams)


def train(agent: type[Agent], out: Path, **more: Any) -> rlbench.Run:
    return rlbench.train("CartPole-v1", agent=agent, out=out, **{**KEYS, **more})


@pytest.fixture(autouse=True)
def _nobody_was_built() -> None:
    Fits.built.clear()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("agent", "text"),
    [
        (
            Unmarked,
            r"Unmarked: state_dict\(\)\['bound'\] of shape \(4,\) has no seed axis.*rlbench\.Shared\(value\) if",
        ),
        (TimeFirst, r"TimeFirst: state_dict\(\)\['rollout'\] of shape \(128, [41], 1\) has its seed axis in place 1"),
        (
            Buffered,
            r"Buffered: replay\.state_dict\(\)\['rows'\] of shape \(100, [41], 3\) has its seed axis in place 1",
        ),
    ],
)
def test_it_is_refused_by_name_before_anything_is_written(
    agent: type[Agent], text: str, workers: int, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=text) as e:
        train(agent, tmp_path / "run", workers=workers)
    assert "\n" not in str(e.value)
    assert not (tmp_path / "run").exists()


def test_the_command_says_it_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom rlbench.agents.random import Random\n\n\nclass Mine(Random):\n"
        "    def state_dict(self):\n        return {**super().state_dict(), 'mean': torch.zeros(3)}\n"
    )
    said = mistake("train", "--env", "CartPole-v1", "--agent", tmp_path / "mine.py:Mine", "--out", tmp_path / "run")
    assert "mine.py:Mine: state_dict()['mean'] of shape (3,) has no seed axis" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_torchs_optimiser_and_what_is_shared_are_there_again_for_each_seed(workers: int, tmp_path: Path) -> None:
    """Groups, betas and parameters of the optimiser are as many as there are seeds, somewhere or other."""
    run = train(Fits, tmp_path / "run", workers=workers)
    assert run.summary["updates"] == 60
    whole = rlbench.load(run.folder / "checkpoint.pth", agent=Fits)
    assert isinstance(whole.agent, Fits)
    for s in range(4):
        one = rlbench.load(run.folder / "checkpoint.pth", agent=Fits, seed=s).agent
        same_one = whole.only(s).agent  # picked from the agent of all seeds
        assert isinstance(one, Fits)
        assert isinstance(same_one, Fits)
        assert same(one.state_dict(), same_one.state_dict())
        assert one.bound.tolist() == whole.agent.bound.tolist()
        assert all(torch.equal(a[0], b[s]) for a, b in zip(one.params, whole.agent.params, strict=True))
        for index, held in one.opt.state_dict()["state"].items():
            assert torch.equal(held["exp_avg"][0], whole.agent.opt.state_dict()["state"][index]["exp_avg"][s])
            assert held["step"] == 60
    assert rlbench.evaluate(rlbench.load(run.folder, agent=Fits, seed="best"), 2).shape == (1, 2)
    if workers > 1:
        return
    alone = train(Fits, tmp_path / "alone", seeds=1, seed=2)
    assert rows(run.folder, 2) == rows(alone.folder, 2)
    assert torch.equal(opened(alone.folder)["agent"]["params"][0][0], opened(run.folder)["agent"]["params"][0][2])


@pytest.mark.parametrize(("seeds", "groups"), [(2, 1), (2, 2), (4, 1)])
def test_neither_two_betas_nor_two_groups_are_taken_for_two_seeds(seeds: int, groups: int, tmp_path: Path) -> None:
    class Grouped(Fits):
        def __init__(self, spec: Spec, config: Any, streams: Streams) -> None:
            super().__init__(spec, config, streams)
            if groups == 2:
                self.opt = torch.optim.Adam([{"params": self.params[:2]}, {"params": self.params[2:], "lr": 0.1}])

    run = train(Grouped, tmp_path / "run", seeds=seeds)
    one = rlbench.load(run.folder, agent=Grouped, seed=1).agent
    assert isinstance(one, Fits)
    found = one.opt.state_dict()["param_groups"]
    assert [group["params"] for group in found] == ([[0, 1], [2, 3]] if groups == 2 else [[0, 1, 2, 3]])
    assert tuple(found[0]["betas"]) == (0.9, 0.999)


def test_what_is_shared_is_plain_in_the_file_and_itself_for_the_agent(tmp_path: Path) -> None:
    run = train(Fits, tmp_path / "run")
    for name in ("checkpoint.pth", "best.pth"):
        plain = torch.load(run.folder / name, weights_only=True)
        assert plain["agent"]["bound"]["rlbench.Shared"].tolist() == pytest.approx([4.8, 5.0, 0.42, 5.0])
        content = checkpoint_file.load(run.folder / name, "checkpoint")
        assert isinstance(content["agent"]["bound"], Shared)
        assert content["axes"]["bound"] == "shared"
    checkpoint_file.save(tmp_path / "again.pth", "checkpoint", {"agent": content["agent"]})
    assert checkpoint_file.digest_of(content["agent"]) == checkpoint_file.digest_of(plain["agent"])
    again = checkpoint_file.load(tmp_path / "again.pth", "checkpoint")["agent"]["bound"]
    assert torch.equal(again.value, content["agent"]["bound"].value)


@pytest.mark.slow
def test_the_best_weights_of_each_seed_are_its_own(tmp_path: Path) -> None:
    keys = {**KEYS, "eval_every": 5, "total_steps": 40}
    run = rlbench.train("CartPole-v1", agent=Fits, out=tmp_path / "run", **keys)
    whole = opened(run.folder, "best")["agent"]["params"]
    at = set()
    for k in range(4):
        alone = rlbench.train("CartPole-v1", agent=Fits, out=tmp_path / str(k), **{**keys, "seed": k, "seeds": 1})
        best = opened(alone.folder, "best")
        at.add(best["agent"]["updates"])
        for mine, own in zip(whole, best["agent"]["params"], strict=True):
            assert torch.equal(mine[k : k + 1], own)
    assert len(at) > 1


def test_seeds_that_stop_leave_the_others_what_is_shared(tmp_path: Path) -> None:
    told = Notes()
    run = train(Fits, tmp_path / "run", max_episodes=4, total_steps=200, watcher=told)
    assert len(set(run.summary["env_steps_of_seed"].values())) > 1
    assert not [note for note in told.notes if "still computed" in note]
    best = rlbench.load(run.folder, agent=Fits, seed="best").agent
    assert isinstance(best, Fits)
    assert best.bound.tolist() == pytest.approx([4.8, 5.0, 0.42, 5.0])


def test_only_a_run_of_several_seeds_that_begins_builds_its_agent_once_more(tmp_path: Path) -> None:
    train(Fits, tmp_path / "one", seeds=1)
    assert set(Fits.built) == {1}
    Fits.built.clear()
    run = train(Fits, tmp_path / "four", final_eval_episodes=0)
    assert Fits.built == [4, 1]
    training.resume(run.folder, agent=Fits, total_steps=80)
    assert Fits.built == [4, 1, 4]
    assert opened(run.folder)["axes"]["opt"]["param_groups"][0]["betas"] == "shared"  # known from before
    rlbench.load(run.folder, agent=Fits, seed=3)
    assert Fits.built == [4, 1, 4, 1]


def test_looking_disturbs_no_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def state() -> list[Any]:
        return [random.random(), np.random.rand(), torch.rand(1).item()]  # noqa: NPY002

    def seeded(action: Callable[[], object]) -> list[Any]:
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002
        torch.manual_seed(5)
        action()
        return state()

    with_it = seeded(lambda: train(Drawing, tmp_path / "with", total_steps=20))
    monkeypatch.setattr(training, "looked_at", lambda parts, recipe: None)
    assert seeded(lambda: train(Drawing, tmp_path / "without", total_steps=20)) == with_it
    assert Drawing.built == [4, 1, 4]
    assert rows(tmp_path / "with") == rows(tmp_path / "without")


def test_an_agent_that_cannot_be_built_for_another_number_is_not_looked_at(tmp_path: Path) -> None:
    run = train(NeverAlone, tmp_path / "run")
    assert run.summary["updates"] == 60
    assert opened(run.folder)["axes"] is None


def test_very_large_seeds_are_not_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(looking, "free_memory", lambda: 500)
    train(Unmarked, tmp_path / "run", total_steps=20, final_eval_episodes=0, eval_every=0)
    assert Fits.built == [4]


def test_what_comes_later_without_a_seed_axis_is_told_once_with_the_first_checkpoint(tmp_path: Path) -> None:
    told = Notes()
    run = train(Growing, tmp_path / "run", watcher=told)
    found = [note for note in told.notes if "no seed axis" in note]
    assert len(found) == 1
    assert "state_dict()['trace'] of shape (9,) came into being while it trained" in found[0]
    assert isinstance(rlbench.load(run.folder, agent=Growing, seed=1).agent, Growing)


def test_our_own_agents_know_their_seeds() -> None:
    from rlbench.recipe.build import build

    made = recipe(seeds=3)
    parts = build(made, made.seed_numbers, "cpu", train=3)
    axes = looking.looked_at(parts, made)
    assert set(axes["q_net"].values()) == set(axes["target_net"].values()) == {"seeds"}
    assert axes["adam"] == {"steps": "shared", "first": "seeds", "second": "seeds"}
    assert axes["episodes"] == "seeds"
