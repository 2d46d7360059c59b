"""Environments on the device: the same episodes, records and resumes, whatever the host knows and when."""

import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from cards import Recorded, never_waiting
from rlbench.agents.random import Random
from test_promises import assert_same, assert_same_run, opened, recipe, rows

import rlbench
from rlbench.border.make import env_maker
from rlbench.border.spaces import action_codec
from rlbench.errors import AgentError, EnvError, UsageError
from rlbench.play.recorded import pictures
from rlbench.recipe import Recipe, build
from rlbench.recipe.build import settled
from rlbench.record.watcher import Watcher
from rlbench.replay.packing import layout
from rlbench.rng import episode_seed
from rlbench.rollout import device_envs
from rlbench.rollout.device_envs import DeviceEnvs
from rlbench.rollout.env_batch import EnvBatch, Episode
from rlbench.rollout.ledger import Ledger
from rlbench.rollout.signals import Interrupted
from rlbench.runfolder import journal
from rlbench.runfolder.checkpoints import Pace
from rlbench.trained.recording import Chosen, open_recording
from rlbench.trained.rerun import Replayed, check, replay_returns
from rlbench.trained.verify import check_seeds, read_tables
from rlbench.training import train as training
from rlbench.worlds.known import world_of

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
    ),
]
EXACT = ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4", "rlbench/Catch-v0"]
ALL = [*EXACT, "CartPole-v1", "MountainCar-v0", "Acrobot-v1", "Pendulum-v1"]
KEYS: dict[str, Any] = {"seeds": 3, "num_envs": 2, "total_steps": 480, "eval_every": 160, "eval_episodes": 1}
KEYS |= {"log_every": 40, "checkpoint_every": 100, "max_episode_steps": 60, "final_eval_episodes": 2}


class KeepsAll(Random):
    """Somebody's."""


def made_envs(
    env: str, seeds: Any = (3, 5), num_envs: int = 2, page: int = 4, limit: int = 20, **kwargs: Any
) -> DeviceEnvs:
    maker = env_maker(env, kwargs, limit)
    world = world_of(maker)
    assert world is not None
    return DeviceEnvs(world, maker, seeds, num_envs, page=page)


def actions(envs: DeviceEnvs | EnvBatch, steps: int, seed: int = 0) -> list[torch.Tensor]:
    rng, spec = np.random.default_rng(seed), envs.spec
    lead = (len(envs.seeds), envs.num_envs)
    if spec.num_actions is not None:
        return [torch.from_numpy(rng.integers(0, spec.num_actions, lead)) for _ in range(steps)]
    return [torch.from_numpy(rng.uniform(-2, 2, (*lead, *spec.action_shape))).float() for _ in range(steps)]


def played(envs: Any, taken: list[torch.Tensor]) -> tuple[list[list[torch.Tensor]], list[tuple[int, Episode]]]:
    """Every leaf of every transition, and what follows; the episodes, each with the step that it ended in."""
    leaves, ended = [], []
    for t, action in enumerate(taken):
        step, obs = envs.step(action)
        leaves.append([x.clone() for x in (*step, obs)])
        ended += [(t - episode.late, episode) for episode in envs.finished]
    ended += [(len(taken) - 1 - episode.late, episode) for episode in envs.drain()]
    return leaves, ended


def plain(ended: list[tuple[int, Episode]]) -> list[Any]:
    return [(t, *e._replace(late=0, actions=np.array(e.actions).tolist())) for t, e in ended]


@pytest.mark.parametrize("env", EXACT)
def test_copies_of_an_exact_world_do_what_gymnasiums_do(env: str) -> None:
    ours = made_envs(env)
    theirs = EnvBatch(ours.maker, ours.seeds, 2)
    assert torch.equal(ours.reset(), theirs.reset())
    taken = actions(ours, 150)
    (mine, ended), (leaves, want) = played(ours, taken), played(theirs, taken)
    for here, there in zip(mine, leaves, strict=True):
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(here, there, strict=True))
    assert plain(ended) == plain(want)
    assert len(ended) > 4
    assert_same(ours.state_dict(), {k: v for k, v in theirs.state_dict().items() if k != "sums"})


@pytest.mark.parametrize("env", ["CartPole-v1", "MountainCar-v0", "Acrobot-v1", "Pendulum-v1"])
def test_the_others_stay_within_rounding_of_gymnasiums(env: str) -> None:
    ours = made_envs(env)
    theirs = EnvBatch(ours.maker, ours.seeds, 2)
    assert torch.equal(ours.reset(), theirs.reset())
    taken = actions(ours, 45)
    (mine, ended), (leaves, want) = played(ours, taken), played(theirs, taken)
    for here, there in zip(mine, leaves, strict=True):
        for a, b in zip(here, there, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    assert [(t, *e[:3], *e[4:7]) for t, e in ended] == [(t, *e[:3], *e[4:7]) for t, e in want]


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1"])
def test_how_much_is_read_at_once_changes_nothing(env: str) -> None:
    taken = actions(made_envs(env), 131)
    found = []
    for page in (1, 7, 32):
        envs = made_envs(env, page=page)
        envs.reset()
        leaves, ended = played(envs, taken)
        found.append((torch.cat([x.double().flatten() for step in leaves for x in step]), plain(ended)))
    for numbers, ended in found[1:]:
        assert torch.equal(numbers, found[0][0])
        assert ended == found[0][1]
    assert found[0][1]


def test_a_seed_is_the_same_alone_and_among_others() -> None:
    wide, alone = made_envs("CartPole-v1", (3, 4, 5)), made_envs("CartPole-v1", (4,))
    assert torch.equal(wide.reset()[1:2], alone.reset())
    taken = actions(wide, 100)
    leaves, ended = played(wide, taken)
    mine, own = played(alone, [action[1:2] for action in taken])
    assert all(torch.equal(a[1:2], b) for x, y in zip(leaves, mine, strict=True) for a, b in zip(x, y, strict=True))
    assert plain([(t, e._replace(seed=0)) for t, e in ended if e.seed == 1]) == plain(own)


def test_copies_that_are_stopped_stand_still() -> None:
    envs = made_envs("CartPole-v1", (3, 4))
    envs.reset()
    envs.step(actions(envs, 1)[0])
    envs.drain()
    envs.stop(0)
    before = envs.obs[0].clone()
    leaves, ended = played(envs, actions(envs, 60, 1))
    assert all(torch.equal(step[0][0], before) and torch.equal(step[-1][0], before) for step in leaves)
    assert not any(step[2][0].any() or step[4][0].any() or step[5][0].any() for step in leaves)
    assert {e.seed for _, e in ended} == {1}
    assert envs.running
    assert envs.moving == 2


@pytest.mark.parametrize("env", ALL)
def test_copies_come_back_to_where_they_stood(env: str) -> None:
    envs = made_envs(env)
    envs.reset()
    taken = actions(envs, 90)
    played(envs, taken[:47])
    state, obs = envs.state_dict(), envs.obs.clone()
    rest, ended = played(envs, taken[47:])
    other = made_envs(env)
    found, strayed = other.load_state_dict(state)
    assert not strayed
    assert torch.equal(found, obs)
    assert_same(other.state_dict(), state)
    again, own = played(other, taken[47:])
    assert all(torch.equal(a, b) for x, y in zip(rest, again, strict=True) for a, b in zip(x, y, strict=True))
    assert plain(own) == plain(ended)


def test_copies_that_do_not_come_back_begin_their_next_episode() -> None:
    envs = made_envs("CartPole-v1")
    envs.reset()
    played(envs, actions(envs, 12))
    state = envs.state_dict()
    state["obs"][2, 0] += 1
    other = made_envs("CartPole-v1")
    obs, strayed = other.load_state_dict(state)
    assert strayed == [2]
    fresh = made_envs("CartPole-v1").reset(int(state["episodes"].flatten()[2]) + 1)
    assert torch.equal(obs[1, 0], fresh[1, 0])
    assert torch.equal(obs.view(4, -1)[[0, 1, 3]], state["obs"][[0, 1, 3]])
    assert other.started.flatten().tolist()[2]


def test_a_checkpoint_does_not_forget_episodes_that_nobody_was_told_of() -> None:
    envs = made_envs("CartPole-v1", page=8)
    envs.reset()
    envs.step(actions(envs, 1)[0])
    with pytest.raises(RuntimeError, match="drain"):
        envs.state_dict()
    envs.drain()
    assert [len(x) for x in envs.state_dict()["actions"]] == [1, 1, 1, 1]


def test_actions_that_are_none_are_told_of() -> None:
    envs = made_envs("CartPole-v1", page=2)
    envs.reset()
    good = actions(envs, 1)[0]
    for action, what in ((good[:, :1], "shape"), (good.float(), "float32"), ("left", "str")):
        with pytest.raises(AgentError, match=what):
            envs.step(action)  # type: ignore[arg-type]
    with pytest.raises(AgentError, match=r"the actions \[7, -1\], expected integers from 0 to 1"):
        played(envs, [good, torch.tensor([[0, 7], [-1, 1]]), good, good, good])
    swinging = made_envs("Pendulum-v1", page=2)
    swinging.reset()
    with pytest.raises(AgentError, match="not finite"):
        played(swinging, [torch.full((2, 2, 1), float("nan"))])


@pytest.mark.parametrize("env", ["CartPole-v1", "FrozenLake-v1", "Pendulum-v1"])
def test_a_step_is_a_graph_and_waits_for_nothing(env: str, monkeypatch: pytest.MonkeyPatch) -> None:
    direct = made_envs(env, page=64)
    monkeypatch.setattr(device_envs, "Graph", Recorded)
    graph = made_envs(env, page=64)
    assert torch.equal(direct.reset(), graph.reset())
    taken = actions(direct, 60)
    want, ended = played(direct, taken)
    with never_waiting():
        found = [[x.clone() for x in (*step, obs)] for step, obs in map(graph.step, taken)]
    for a, b in zip(want, found, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert plain(ended) == plain([(59 - e.late, e) for e in graph.drain()])
    assert ended


@pytest.mark.parametrize("env", ["CartPole-v1", "Taxi-v4"])
def test_what_was_given_stays_as_it_is_unless_it_is_lent(env: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent of somebody's may keep what it sees and not a copy, where a graph writes over what it gave."""
    monkeypatch.setattr(device_envs, "Graph", Recorded)
    found = {}
    for lends in (False, True):
        maker = env_maker(env, {}, 20, wants=("action_mask",))
        world = world_of(maker)
        assert world is not None
        envs = DeviceEnvs(world, maker, (3, 5), 2, lends=lends)
        kept, copies = [], []
        envs.reset()
        for action in actions(envs, 12):
            before = [envs.obs, envs.started, *envs.extras.values()]
            step, obs = envs.step(action)
            kept.append([*before, *step, *step.extras.values(), *step.next_extras.values(), obs])
            copies.append([x.clone() for x in kept[-1]])
        pairs = [pair for both in zip(kept, copies, strict=True) for pair in zip(*both, strict=True)]
        found[lends] = [torch.equal(a, b) for a, b in pairs]
    assert all(found[False])
    assert not all(found[True])


def test_an_agent_of_somebodys_is_lent_nothing(tmp_path: Path) -> None:
    for agent, lends in (("dqn", True), (f"{KeepsAll.__module__}:KeepsAll", False), ("sarsa", False)):
        made = Recipe(env="CliffWalking-v1", agent=agent, envs_on="device", seeds=1, num_envs=1)
        parts = build.build(made, [0], "cpu")
        assert build.make_envs(parts, made)._lends == lends  # type: ignore[union-attr]


@pytest.mark.parametrize("page", [1, 3])
def test_an_episode_may_end_with_every_step(page: int) -> None:
    """More cannot end before the host has laid ready the next ones."""
    envs, gym = made_envs("Taxi-v4", page=page, limit=1), EnvBatch(env_maker("Taxi-v4", {}, 1), (3, 5), 2)
    assert torch.equal(envs.reset(40), gym.reset(40))
    for action in actions(envs, 24):
        assert torch.equal(envs.step(action)[1], gym.step(action)[1])


def test_whose_episode_begins_is_said_after_time_limits_and_resumes_too() -> None:
    envs, gym = made_envs("CliffWalking-v1", limit=7), EnvBatch(env_maker("CliffWalking-v1", {}, 7), (3, 5), 2)
    envs.reset(), gym.reset()
    envs.stop(1, 0), gym.stop(1, 0)
    for t, action in enumerate(actions(envs, 21)):
        envs.step(action), gym.step(action)
        begun = torch.zeros(2, 2, dtype=torch.bool) if gym.started is None else gym.started
        assert torch.equal(envs.started, begun)
        if t in (9, 13):
            envs.drain()
            again = made_envs("CliffWalking-v1", limit=7)
            again.load_state_dict(envs.state_dict())
            assert torch.equal(again.started, begun)
            assert begun.any() == (t == 13)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "rlbench/Catch-v0"])
def test_agents_of_others_may_view_what_they_are_given_as_they_like(env: str) -> None:
    envs = made_envs(env)
    envs.reset()
    transition, obs = envs.step(actions(envs, 1)[0])
    for leaf in (*transition, obs):
        leaf.view(2, -1)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_the_row_that_a_buffer_keeps_is_the_transition(env: str) -> None:
    envs, ends = made_envs(env, limit=12), torch.zeros(2)
    at = layout(envs.spec)
    envs.reset()
    for action in actions(envs, 40):
        step, _ = envs.step(action)
        row = step.there
        parts = [
            row[..., : at.reward], row[..., at.reward], row[..., at.flags], row[..., at.flags + 1],
            row[..., at.obs : at.next_obs], row[..., at.next_obs :],
        ]  # fmt: skip
        want = [action, step.reward, step.terminated, step.truncated, step.obs, step.next_obs]
        for part, leaf in zip(parts, want, strict=True):
            assert torch.equal(part.flatten(), leaf.float().flatten())
        ends += torch.stack([step.terminated.sum(), step.truncated.sum()])
    assert ends[1] > 0
    assert env == "Pendulum-v1" or ends[0] > 0


def test_begun_anew_in_the_middle_of_a_page_all_is_told_as_at_first() -> None:
    envs = made_envs("CartPole-v1")
    taken = actions(envs, 30)
    envs.reset()
    first = plain(played(envs, taken)[1])
    assert len(first) > 2
    envs.step(taken[0])
    envs.reset()
    assert plain(played(envs, taken)[1]) == first


def test_what_was_wrong_is_forgotten_when_all_begin_anew() -> None:
    envs = made_envs("CartPole-v1", page=2)
    envs.reset()
    with pytest.raises(AgentError, match="expected integers"):
        played(envs, [torch.full((2, 2), 2)] * 4)  # there are 0 and 1
    envs.reset()
    played(envs, [torch.zeros(2, 2, dtype=torch.int64)] * 6)


def test_actions_are_written_down_as_the_environment_counts_them() -> None:
    ledger = Ledger([0], 2, "env", action_codec(gymnasium.spaces.Discrete(3, start=5), "it"), ahead=1)
    ledger.begin_all(0)
    ledger.clock = 2
    page = np.zeros((2, 2, 3))
    page[:, 0, 0], page[:, 1, 0] = [0, 2], [1, 1]
    assert not ledger.read(page)
    assert [taken.tolist() for taken in ledger.under_way()] == [[5, 7], [6, 6]]
    assert ledger.aligned().tolist() == [[0, 1], [2, 1]]


@pytest.mark.parametrize("pages", [[40], [3, 1, 20, 16]])
def test_a_page_tells_of_every_episode_that_ended_in_it(pages: list[int]) -> None:
    """Several of one copy among them; one that goes on over pages, and one that ends with a page."""
    draw = np.random.default_rng(0)
    ends = draw.random((40, 6)) < [0, 0.02, 0.1, 0.3, 1, 0.5]
    codec = action_codec(gymnasium.spaces.Discrete(9), "it")
    ledger, done, number = Ledger([4, 2**40, 0], 2, "env", codec, ahead=40), draw.integers(0, 9, (40, 6)), [30] * 6
    ledger.begin_all(30)
    told, since, t = [], [0] * 6, 0
    for steps in pages:
        rows = np.stack([done, np.where(ends, 2, 0), done / 2], -1)[t : t + steps]
        t = ledger.clock = t + steps
        told += ledger.read(rows)
    for i, copy in zip(*np.nonzero(ends), strict=True):
        episode = told.pop(0)
        assert (episode.seed, episode.env, episode.episode) == (copy // 2, copy % 2, number[copy])
        assert episode.actions.tolist() == done[since[copy] : i + 1, copy].tolist()
        assert (episode.episode_length, episode.episode_return) == (len(episode.actions), done[i, copy] / 2)
        assert episode.terminated
        assert episode.reset_seed == episode_seed([4, 2**40, 0][copy // 2], "env", copy % 2, number[copy])
        number[copy], since[copy] = number[copy] + 1, i + 1
    assert not told
    assert ledger.numbers.tolist() == number
    assert [len(taken) for taken in ledger.under_way()] == [40 - begin for begin in since]


def small(env: str, agent: str = "dqn", device: str = "cpu", **keys: Any) -> Recipe:
    more = {**KEYS, "device": device, **keys}
    if agent == "dqn":
        return recipe(env, **more)
    hyper = {"hidden": [16], "rollout_steps": 16, "batch_size": 16, "epochs": 2} if agent in ("ppo", "pqn") else {}
    return Recipe(env=env, agent=agent, hyper=hyper, **more)


@pytest.mark.parametrize(
    ("env", "agent"),
    [("FrozenLake-v1", "dqn"), ("Taxi-v4", "dqn"), ("rlbench/Catch-v0", "dqn"), ("CliffWalking-v1", "sarsa"),
     ("Taxi-v4", "ppo"), ("FrozenLake-v1", "pqn")],
)  # fmt: skip
def test_a_run_on_an_exact_world_is_the_one_on_gymnasiums(env: str, agent: str, tmp_path: Path) -> None:
    here = rlbench.train(recipe=small(env, agent, envs_on="device"), out=tmp_path / "here").folder
    there = rlbench.train(recipe=small(env, agent, envs_on="host"), out=tmp_path / "there").folder
    if agent == "sarsa":
        assert_same(opened(here)["agent"], opened(there)["agent"])
        assert rows(here) == rows(there)
    else:
        assert_same_run(here, there)
    for path in sorted((here / "journal").iterdir()):
        assert path.read_bytes() == (there / "journal" / path.name).read_bytes()


class Sent(Watcher):
    """Sends this process a signal at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def tick(self, status: Any) -> None:
        if status.env_steps >= self.step:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("env", "agent"), [("CartPole-v1", "dqn"), ("Pendulum-v1", "ppo"), ("FrozenLake-v1", "dqn")])
def test_a_run_resumes_in_the_middle(
    env: str, agent: str, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlbench.training.session.TICK_SECONDS", 0.0)
    made = small(env, agent, device, envs_on="device")
    whole = rlbench.train(recipe=made, out=tmp_path / "whole").folder
    with pytest.raises(Interrupted):
        rlbench.train(recipe=made, out=tmp_path / "cut", watcher=Sent(278))
    assert 278 <= opened(tmp_path / "cut")["env_steps"] < 480
    done = training.resume(tmp_path / "cut")
    assert_same_run(done.folder, whole)
    for path in sorted((whole / "journal").iterdir()):
        assert path.read_bytes() == (done.folder / "journal" / path.name).read_bytes()


def test_seeds_that_stop_by_episodes_stop_with_them(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"max_episodes": 5, "total_steps": 600, "eval_every": 0}
    here = rlbench.train(recipe=small("FrozenLake-v1", envs_on="device", **keys), out=tmp_path / "here")
    there = rlbench.train(recipe=small("FrozenLake-v1", envs_on="host", **keys), out=tmp_path / "there")
    assert_same_run(here.folder, there.folder, evaluated=False)
    assert here.summary["env_steps_of_seed"] == there.summary["env_steps_of_seed"]
    assert len(set(here.summary["env_steps_of_seed"].values())) > 1


def test_a_checkpoint_by_the_clock_may_come_in_the_middle_of_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "due", lambda self, minutes: True)
    monkeypatch.setattr(Pace, "affords", lambda self, steps: True)
    made = small("CartPole-v1", envs_on="device", eval_every=0, checkpoint_every=0, log_every=480, total_steps=240)
    often = rlbench.train(recipe=made, out=tmp_path / "often").folder
    monkeypatch.setattr(Pace, "due", lambda self, minutes: False)
    once = rlbench.train(recipe=made, out=tmp_path / "once").folder
    assert sorted(map(str, rows(often))) == sorted(map(str, rows(once)))


def test_where_they_are_stepped_is_written_down(tmp_path: Path) -> None:
    run = rlbench.train(recipe=small("CartPole-v1", total_steps=160), out=tmp_path / "run")
    assert run.recipe.envs_on == "host"
    assert 'envs_on = "host"' in (run.folder / "recipe.toml").read_text()


def test_an_environment_that_is_not_there_in_torch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"MountainCarContinuous-v0.*--set envs_on=host"):
        rlbench.train(recipe=small("MountainCarContinuous-v0", "ppo", envs_on="device"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_two_processes_write_the_same(tmp_path: Path) -> None:
    made = small("CartPole-v1", envs_on="device", eval_every=0)
    two = rlbench.train(recipe=made.replace(workers=2), out=tmp_path / "two").folder
    one = rlbench.train(recipe=made, out=tmp_path / "one").folder
    assert sorted(map(str, rows(two))) == sorted(map(str, rows(one)))


@pytest.mark.slow
@pytest.mark.parametrize(("env", "agent"), [("Pendulum-v1", "ppo"), ("CartPole-v1", "dqn"), ("Taxi-v4", "dqn")])
def test_its_episodes_run_again_and_are_filmed(env: str, agent: str, tmp_path: Path) -> None:
    """To the bit, which Gymnasium's own steps would not give."""
    run = rlbench.train(recipe=small(env, agent, envs_on="device", max_episode_steps=200), out=tmp_path / "run")
    recording = open_recording(run.folder)
    reports = list(check_seeds(recording, [0, 1, 2], read_tables(recording.reader)[0]))
    assert all(report.agree == report.replayed > 0 and not report.problems for report in reports)
    entries = [entry for seed in (0, 1, 2) for entry in recording.entries(seed)]
    chosen = [Chosen(entry) for entry in entries[:4]]
    found: list[Replayed] = []
    replay_returns(recording, chosen, found.append)
    check(recording, found)
    list(pictures(recording, chosen[:1], lambda one: check(recording, [one])))
    told = [entry._replace(episode_return=entry.episode_return + 1) for entry in entries[:1]]
    with pytest.raises(EnvError, match="did not repeat itself"):
        replay_returns(recording, [Chosen(told[0])], lambda one: check(recording, [one]))
    recording.journals[0].close()


def test_a_damaged_journal_of_a_world_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = rlbench.train(recipe=small("Pendulum-v1", "ppo", envs_on="device"), out=tmp_path / "run")
    recording = open_recording(run.folder)
    monkeypatch.setattr(journal, "actions", lambda entry: [x + 0.25 for x in entry.place[0].actions(entry)])
    (report,) = check_seeds(recording, [1], None)
    assert report.agree == 0
    assert "gave return" in report.problems[0]


def test_a_run_of_an_earlier_version_stays_with_gymnasiums(tmp_path: Path) -> None:
    """Wherever it goes on: on a card, too, where a new run would have them in torch."""
    content = small("CartPole-v1").content()
    assert content.pop("envs_on") == "auto"
    maker = env_maker("CartPole-v1")
    assert settled(Recipe.from_content(content, "it"), maker, on_card=True).envs_on == "host"
    assert settled(small("CartPole-v1"), maker, on_card=True).envs_on == "device"
    assert settled(small("CartPole-v1"), maker, on_card=False).envs_on == "host"
    other = env_maker("MountainCarContinuous-v0")
    assert settled(small("MountainCarContinuous-v0", "ppo"), other, on_card=True).envs_on == "host"


def test_what_was_done_is_kept_as_long_as_it_matters() -> None:
    """Long after the room for it was full, and beside copies that stand still."""
    envs = made_envs("CartPole-v1", (3, 4), page=3, limit=500)
    envs.reset()
    envs.stop(0, 1)
    taken = actions(envs, 700)
    _, ended = played(envs, taken)
    assert len(ended) > 40
    for t, episode in ended:
        done = [int(action[episode.seed, episode.env]) for action in taken[t + 1 - episode.episode_length : t + 1]]
        assert episode.actions.tolist() == done  # type: ignore[union-attr]
    lengths = [len(x) for x in envs.state_dict()["actions"]]
    assert lengths[1] == 0
    assert max(lengths) < 200


@pytest.mark.parametrize(("env", "n_step"), [("CartPole-v1", 3), ("FrozenLake-v1", 1)])
def test_a_buffer_takes_what_they_give_wherever_it_lies(env: str, n_step: int, tmp_path: Path) -> None:
    """Steps that come as one row on the device, and steps that do not."""
    keys: dict[str, Any] = {"envs_on": "device", "eval_every": 0}
    found = []
    for where in ("host", "device"):
        made = small(env, **keys, replay=where)
        made = made.replace(hyper={**made.hyper, "n_step": n_step})
        found.append(rlbench.train(recipe=made, out=tmp_path / where).folder)
    assert_same_run(*found, evaluated=False)
    envs = made_envs(env)
    envs.reset()
    transition, _ = envs.step(actions(envs, 1)[0])
    row = getattr(transition, "there", None)
    assert (row is not None) == (env == "CartPole-v1")
    if row is not None:
        obs, action, reward, next_obs, terminated, truncated = transition
        parts = [x.reshape(2, 2, -1).float() for x in (action, reward, terminated, truncated, obs, next_obs)]
        assert torch.equal(row, torch.cat(parts, 2))
