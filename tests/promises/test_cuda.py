"""What holds on a CUDA device. Every test runs on the CPU too, to be known as right before it meets a card.

Those of a card are skipped, and counted, where there is none: ``pytest -m cuda tests`` runs them alone.
"""

import collections
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import make_spec, random_transitions
from rlbench.agents.dqn import DQN, DQNConfig
from test_learning import GAMMA, HYPER, PROBES
from test_promises import At, assert_same, assert_same_run, opened, recipe, rows
from test_resume_matrix import keep_every_checkpoint

import rlbench
from rlbench import functional, nn
from rlbench.cuda import graphs as graphs_of
from rlbench.errors import UsageError
from rlbench.nn import products
from rlbench.optim import Adam
from rlbench.recipe import Recipe
from rlbench.recipe.build import build, make_envs
from rlbench.recipe.card_memory import card_need, free_on
from rlbench.replay import ring
from rlbench.rng import Stream, Streams
from rlbench.rollout import env_batch
from rlbench.rollout.loop import run
from rlbench.rollout.signals import Interrupted
from rlbench.training import train as training

CARDS = torch.cuda.device_count() if torch.cuda.is_available() else 0
NO_CARD = pytest.mark.skipif(not CARDS, reason="no CUDA device")
CARD = pytest.param("cuda", marks=[pytest.mark.cuda, NO_CARD])
#: Of what other tests show of the CPU: there it is slow, and for the code of these tests alone.
FOR_A_CARD = pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.rehearsal), CARD], indirect=True)
USERS = Path(__file__).parents[1] / "user_agents"
AGENTS = [
    ("dqn", "CartPole-v1"),
    ("dqn", "FrozenLake-v1"),
    ("dqn", "rlbench/Catch-v0"),
    ("random", "Pendulum-v1"),
    (f"{USERS / 'reinforce.py'}:Reinforce", "CartPole-v1"),
    (f"{USERS / 'tabular_q.py'}:TabularQ", "FrozenLake-v1"),
    (f"{USERS / 'dueling.py'}:Dueling", "CartPole-v1"),
    ("ppo", "CartPole-v1"),
    ("ppo", "Pendulum-v1"),
    ("ppo", "Taxi-v4"),  # masked
    ("pqn", "Taxi-v4"),  # masked
    ("pqn", "CartPole-v1"),
    ("sac", "Pendulum-v1"),
    ("sac", "CartPole-v1"),
    ("q_learning", "FrozenLake-v1"),
    ("sarsa", "Taxi-v4"),
    ("dqn", "Taxi-v4"),  # masked
    ("dqn with memory", "rlbench/TMaze-v0"),
]
MEMORY = {"memory": "gru", "memory_size": 8, "sequence_length": 6, "burn_in": 3, "double": True, "n_step": 2}
TINY: dict[str, dict[str, Any]] = {
    "ppo": {"hidden": [16], "rollout_steps": 16, "batch_size": 16, "epochs": 2},
    "pqn": {"hidden": [16], "rollout_steps": 16, "batch_size": 16, "epochs": 2},
    "sac": {"hidden": [16], "learning_starts": 40, "batch_size": 16},
}
KEYS: dict[str, Any] = {
    "seeds": 3, "num_envs": 2, "total_steps": 480, "eval_every": 160, "eval_episodes": 1, "log_every": 40,
    "checkpoint_every": 100, "max_episode_steps": 60, "final_eval_episodes": 2,
}  # fmt: skip


@pytest.fixture(params=["cpu", CARD])
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def small(agent: str, env: str, device: str, **keys: Any) -> Recipe:
    """A tiny recipe, with small networks."""
    made = {**KEYS, **keys, "device": device}
    if agent == "dqn with memory":
        return recipe(env, MEMORY, **made)
    kin = agent == "dqn" or agent.endswith("Dueling")
    if kin:
        return recipe(env, **{"agent": agent, **made})
    return Recipe(env=env, agent=agent, hyper=TINY.get(agent, {}), **made)


def near(a: Any, b: Any, tolerance: float = 1e-4) -> None:
    """Nested states that agree but for rounding, wherever they lie."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            near(a[key], b[key], tolerance)
    elif isinstance(a, torch.Tensor):
        torch.testing.assert_close(a.cpu(), b.cpu(), atol=tolerance, rtol=tolerance)


@FOR_A_CARD
@pytest.mark.parametrize(("agent", "env"), AGENTS)
def test_an_agent_trains_evaluates_and_resumes_in_the_middle_of_an_episode(
    agent: str, env: str, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_every_checkpoint(monkeypatch)
    made = small(agent, env, device)
    whole = rlbench.train(recipe=made, out=tmp_path / "whole")
    assert whole.summary["env_steps"] == 480
    assert np.isfinite([*whole.summary["final_eval_return"].values()]).all()
    with pytest.raises(Interrupted):
        rlbench.train(recipe=made, out=tmp_path / "cut", watcher=At(278, signal.SIGTERM))
    done = training.resume(tmp_path / "cut", agent=agent if ":" in agent else None)
    assert_same(opened(done.folder)["agent"], opened(whole.folder)["agent"])
    if (whole.folder / "replay.pth").exists():
        assert_same(opened(done.folder, "replay"), opened(whole.folder, "replay"))
    for name in ("episodes.csv", "updates.csv", "evaluations.csv"):
        assert rows(done.folder, name=name) == rows(whole.folder, name=name)
    assert done.summary["final_eval_return"] == whole.summary["final_eval_return"]


@FOR_A_CARD
def test_the_same_run_twice_is_the_same_and_evaluations_leave_no_trace(device: str, tmp_path: Path) -> None:
    first, second = (rlbench.train(recipe=small("dqn", "CartPole-v1", device), out=tmp_path / x).folder for x in "ab")
    assert_same(opened(first)["agent"], opened(second)["agent"])
    assert rows(first) == rows(second)
    blind = small("dqn", "CartPole-v1", device, eval_every=0, final_eval_episodes=0, checkpoint_every=0)
    third = rlbench.train(recipe=blind, out=tmp_path / "c").folder
    assert_same(opened(first)["agent"], opened(third)["agent"])
    assert rows(first) == rows(third)


def test_widths_agree(device: str, tmp_path: Path) -> None:
    """To rounding: bit for bit it is promised on the CPU alone. Few updates, so that rounding has not grown."""
    keys = {"total_steps": 160, "eval_every": 0}
    wide = rlbench.train(recipe=small("dqn", "CartPole-v1", device, **keys), out=tmp_path / "wide").folder
    alone = rlbench.train(
        recipe=small("dqn", "CartPole-v1", device, **keys, seed=1).replace(seeds=1), out=tmp_path / "1"
    )
    state = opened(wide)["agent"]
    near({name: x[1:2] for name, x in state["q_net"].items()}, opened(alone.folder)["agent"]["q_net"], 1e-3)
    assert state["updates"] > 20


@pytest.mark.parametrize("kind", ["mlp", "norm", "pixels", "indices"])
def test_the_device_computes_what_the_cpu_does(kind: str, device: str) -> None:
    """One gradient step of DQN from the same batch: every number but for rounding."""
    spaces: dict[str, Any] = {
        "mlp": {}, "norm": {}, "pixels": {"obs_shape": (2, 10, 10), "obs_dtype": torch.uint8}, "indices": {"num_obs": 9}
    }  # fmt: skip
    config = DQNConfig(
        hidden=(33, 20), layer_norm=kind == "norm", batch_size=16, learning_starts=1, n_step=3, double=True
    )
    agents = []
    for place in ("cpu", device):
        spec = make_spec(num_seeds=3, num_envs=2, device=torch.device(place), **spaces[kind])
        agent = DQN(spec, config, Streams([0, 1, 2], place))
        for t in random_transitions(spec._replace(device=torch.device("cpu")), 40):
            agent.observe(rlbench.Transition(*(leaf.to(place) for leaf in t)))
        before = agent.online.data.clone()
        metrics = agent.update()
        assert ((agent.online.data != before).sum(1) > 20).all()
        agents.append((agent, dict(metrics)))
    (ours, said), (theirs, heard) = agents
    near(said, heard)
    near({"grad": ours.online.grad}, {"grad": theirs.online.grad})
    assert theirs.online.data.device.type == device


@FOR_A_CARD
@pytest.mark.parametrize("env", PROBES)
def test_the_known_values_are_learned(env: str, device: str, tmp_path: Path) -> None:
    made = Recipe(
        env=env, device=device, seeds=3, total_steps=1_200, eval_every=0, final_eval_episodes=0, hyper=dict(HYPER)
    )
    rlbench.train(recipe=made, out=tmp_path / "run")
    agent: Any = rlbench.load(tmp_path / "run" / "checkpoint.pth", device=device).agent
    obs, q = gymnasium.make(env).unwrapped.true_q(GAMMA)  # type: ignore[attr-defined]
    with torch.no_grad():
        learned = agent.q_net(torch.from_numpy(obs).to(device).expand(3, -1, -1)).double().cpu()
    torch.testing.assert_close(learned, torch.from_numpy(q).expand_as(learned), atol=0.1, rtol=0)


@FOR_A_CARD
@pytest.mark.parametrize(("agent", "env"), [row for row in AGENTS if row[0] != "random"])
def test_a_checkpoint_opens_on_the_other_device(agent: str, env: str, device: str, tmp_path: Path) -> None:
    run = rlbench.train(recipe=small(agent, env, device), out=tmp_path / "run")
    others = list(dict.fromkeys(["cpu", device]))
    how = {"agent": agent} if ":" in agent else {}
    states = [rlbench.load(run.folder, device=other, **how).agent.state_dict() for other in others]
    for state in states[1:]:
        near(states[0], state, 0)
    for other in others:
        returns = rlbench.evaluate(run.folder, 3, device=other, **how)
        assert returns.shape == (3, 3)
        assert np.isfinite(returns).all()
    for steps, other in zip((600, 720), others, strict=False):
        more = training.resume(run.folder, total_steps=steps, agent=how.get("agent"), device=other)
        assert more.summary["env_steps"] == steps


def test_what_is_saved_lies_on_the_cpu(device: str, tmp_path: Path) -> None:
    """A checkpoint of a card opens anywhere with plain torch."""
    run = rlbench.train(recipe=small("dqn", "CartPole-v1", device), out=tmp_path / "run")

    def leaves(value: Any) -> Any:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, (list, tuple)):
            return [leaf for inner in value for leaf in leaves(inner)]
        return [value] if isinstance(value, torch.Tensor) else []

    for name in ("checkpoint.pth", "best.pth", "replay.pth"):
        found = leaves(torch.load(run.folder / name, weights_only=True))
        assert found
        assert {x.device.type for x in found} == {"cpu"}


def test_seeds_that_stop_leave_the_others_as_they_were(device: str, tmp_path: Path) -> None:
    keys = {"seeds": 4, "num_envs": 1, "total_steps": 600, "max_episodes": 12, "eval_every": 0}
    wide = rlbench.train(recipe=small("dqn", "CartPole-v1", device, **keys), out=tmp_path / "wide")
    assert len(set(wide.summary["env_steps_of_seed"].values())) > 1
    again = rlbench.train(recipe=small("dqn", "CartPole-v1", device, **keys), out=tmp_path / "again")
    assert_same(opened(wide.folder)["agent"], opened(again.folder)["agent"])


def test_seeds_dealt_out_to_processes(device: str, tmp_path: Path) -> None:
    two = rlbench.train(recipe=small("dqn", "CartPole-v1", device, workers=2, eval_every=0), out=tmp_path / "two")
    assert two.summary["env_steps"] == 480
    assert {row["seed"] for row in rows(two.folder)} == {"0", "1", "2"}


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("env", ["CartPole-v1", "FrozenLake-v1", "rlbench/Catch-v0", "Acrobot-v1", "Taxi-v4"])
def test_what_is_sent_to_a_device_is_what_stays_on_the_cpu(
    env: str, n_step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way to a device and back, taken on the CPU, changes no bit of a run."""
    keys = {"hyper": {"n_step": n_step}, "total_steps": 320, "eval_every": 160}
    plain = rlbench.train(recipe=small("dqn", env, "cpu", **keys), out=tmp_path / "plain").folder
    monkeypatch.setattr(env_batch, "away", lambda device: True)
    monkeypatch.setattr(ring, "away", lambda device: True)
    there = rlbench.train(recipe=small("dqn", env, "cpu", **keys), out=tmp_path / "there").folder
    assert_same_run(there, plain)


def test_what_is_remembered_is_sent_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = small("dqn with memory", "rlbench/TMaze-v0", "cpu", total_steps=320)
    plain = rlbench.train(recipe=made, out=tmp_path / "plain").folder
    monkeypatch.setattr(env_batch, "away", lambda device: True)
    monkeypatch.setattr(ring, "away", lambda device: True)
    there = rlbench.train(recipe=made, out=tmp_path / "there").folder
    assert_same_run(there, plain)


@pytest.mark.cuda
@NO_CARD
@pytest.mark.parametrize(
    ("env", "keys"),
    [
        ("CartPole-v1", {}),
        ("CartPole-v1", {"double": True, "n_step": 3}),
        ("CartPole-v1", {"learning_rate_end": 1e-5, "epsilon_decay": 0.99}),
        ("Taxi-v4", {"double": True}),
        ("rlbench/TMaze-v0", MEMORY),
    ],
)
def test_a_graph_computes_what_its_operations_do(
    env: str, keys: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    made = recipe(env, keys, **{**KEYS, "device": "cuda", "eval_every": 0, "final_eval_episodes": 0})
    graphs = rlbench.train(recipe=made, out=tmp_path / "graphs").folder
    monkeypatch.setattr(graphs_of, "EAGER", 10**9)
    single = rlbench.train(recipe=made, out=tmp_path / "single").folder
    assert_same(opened(graphs)["agent"], opened(single)["agent"])
    assert rows(graphs, name="updates.csv") == rows(single, name="updates.csv")


@FOR_A_CARD
@pytest.mark.parametrize(
    ("agent", "env"), [row for row in AGENTS if row[0].split()[0] in ("dqn", "sac") or row[0].endswith("Dueling")]
)
def test_where_a_buffer_lies_changes_no_bit(agent: str, env: str, device: str, tmp_path: Path) -> None:
    made = small(agent, env, device, eval_every=0, replay="host")
    here = rlbench.train(recipe=made, out=tmp_path / "host").folder
    there = rlbench.train(recipe=made.replace(replay="device"), out=tmp_path / "device").folder
    assert_same_run(there, here)
    assert_same(opened(there, "replay"), opened(here, "replay"))


@pytest.mark.cuda
@NO_CARD
@pytest.mark.parametrize(
    ("agent", "env", "keys"),
    [
        ("ppo", "CartPole-v1", {"normalise_obs": True, "normalise_rewards": True, "clip_end": 0.05}),
        ("ppo", "Pendulum-v1", {"value_clip": 0.2}),
        ("ppo", "Taxi-v4", {"memory": "gru", "memory_size": 8, "sequence_length": 4}),
        ("pqn", "CartPole-v1", {"batch_size": 12, "learning_rate_end": 1e-5}),
        ("pqn", "Taxi-v4", {}),
    ],
)
def test_graphs_of_a_rollout_compute_what_their_operations_do(
    agent: str, env: str, keys: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    usual = small(agent, env, "cuda", eval_every=0, final_eval_episodes=0)
    made = usual.replace(hyper={**TINY[agent], **keys})
    graphs = rlbench.train(recipe=made, out=tmp_path / "graphs").folder
    monkeypatch.setattr(graphs_of, "EAGER", 10**9)
    single = rlbench.train(recipe=made, out=tmp_path / "single").folder
    assert_same(opened(graphs)["agent"], opened(single)["agent"])
    assert rows(graphs, name="updates.csv") == rows(single, name="updates.csv")


@pytest.mark.parametrize("agent", ["dqn", "ppo", "pqn"])
def test_bfloat16_trains_and_goes_on_in_the_middle_of_a_run(agent: str, device: str, tmp_path: Path) -> None:
    made = small(agent, "rlbench/Catch-v0", device, precision="bf16", eval_every=0, total_steps=320)
    whole = rlbench.train(recipe=made, out=tmp_path / "whole")
    with pytest.raises(Interrupted):
        rlbench.train(recipe=made, out=tmp_path / "cut", watcher=At(202, signal.SIGTERM))
    done = training.resume(tmp_path / "cut")
    assert opened(whole.folder)["agent"]["updates"] > 10
    assert_same(opened(done.folder)["agent"], opened(whole.folder)["agent"])


@pytest.mark.cuda
@NO_CARD
@pytest.mark.parametrize("where", ["host", "device"])
@pytest.mark.parametrize("agent", ["dqn", "sac"])
def test_a_step_waits_for_the_card_once(agent: str, where: str) -> None:
    """When the actions are fetched; nothing else in a step stands still."""
    made = small(agent, "CartPole-v1", "cuda", total_steps=10**6, replay=where)
    parts = build(made, [0, 1, 2], "cuda")
    envs = make_envs(parts, made)
    loop = run(parts.agent, envs)
    for _ in range(200):
        next(loop)
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            for _ in range(100):
                next(loop)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = collections.Counter(Path(w.filename).name for w in caught if "called a synchronizing" in str(w.message))
    assert waits.pop("env_batch.py") == 100
    assert not waits


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 1, 4, 2), (3, 64, 64, 64), (2, 5, 1, 7), (10, 64, 64, 1)])
def test_products_agree_with_plain_arithmetic(shape: tuple[int, int, int, int], device: str) -> None:
    s, n, k, m = shape
    draw = np.random.default_rng(0).normal
    x, w, b = (torch.from_numpy(draw(size=size)).float().to(device) for size in ((s, n, k), (s, k, m), (s, 1, m)))
    want = (x.double() @ w.double() + b.double()).float()
    torch.testing.assert_close(products.affine(x, w, b), want, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(products.product(x, w), want - b, atol=1e-4, rtol=1e-4)


def test_random_numbers_are_the_same_on_every_device(device: str) -> None:
    ours, theirs = Stream([3, 4], "explore", device), Stream([3, 4], "explore")
    assert torch.equal(ours.permutation(300).cpu(), theirs.permutation(300))
    assert torch.equal(ours.uniform(5000).cpu(), theirs.uniform(5000))
    assert torch.equal(ours.integers(50, 7).cpu(), theirs.integers(50, 7))
    torch.testing.assert_close(ours.normal(50).cpu(), theirs.normal(50), atol=1e-6, rtol=1e-6)


def test_adam_and_clipping_agree_with_torchs(device: str) -> None:
    draw = np.random.default_rng(1).normal
    params = torch.from_numpy(draw(size=(3, 128))).float().to(device)
    mirror = torch.nn.Parameter(params.clone())
    ours, theirs = Adam(params, 1e-2), torch.optim.Adam([mirror], 1e-2)
    for _ in range(20):
        grad = torch.from_numpy(draw(size=(3, 128))).float().to(device)
        mirror.grad = grad.clone()
        ours.step(grad)
        theirs.step()
    torch.testing.assert_close(params, mirror.data, atol=1e-5, rtol=1e-5)
    grad = torch.full((2, 4), 3.0, device=device)
    norm = functional.clip_norm_(grad, 1.0)
    assert norm.tolist() == pytest.approx([6.0, 6.0])
    torch.testing.assert_close(grad, torch.full_like(grad, 0.5), atol=1e-4, rtol=1e-4)


def test_a_networks_own_derivative_is_autograds(device: str) -> None:
    spec = make_spec((4, 12, 12), torch.uint8, num_seeds=2, device=torch.device(device))
    net = nn.network(spec, (16,), 3, Streams([0, 1], device)["init"], layer_norm=True)
    flat = nn.Flat(net)
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 5, 4, 12, 12), dtype=np.uint8)).to(device)
    want = flat.gradient(net(x).square().sum()).clone()
    with torch.no_grad():
        y, pull = net.vjp(x)
        pull(2 * y, flat.grads)
    torch.testing.assert_close(flat.grad, want, atol=1e-4, rtol=1e-4)


@pytest.mark.cuda
@NO_CARD
def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=rf"cuda:{CARDS + 6}.*sees {CARDS} CUDA device"):
        build(Recipe(env="CartPole-v1"), [0], f"cuda:{CARDS + 6}")


@pytest.mark.cuda
@NO_CARD
def test_a_card_without_memory_left_is_one_line(tmp_path: Path) -> None:
    code = (
        "import sys, torch\n"
        "free, total = torch.cuda.mem_get_info()\n"
        "torch.cuda.set_per_process_memory_fraction(2**30 / total)\n"
        "torch.cuda.mem_get_info = lambda device=None: (2**30, total)\n"
        "from rlbench.cli import main\n"
        "sys.argv[1:] = ['train', '--env', 'CartPole-v1', '--seeds', '400', '--set', 'dqn.hidden=[512,512]',\n"
        "    '--set', 'dqn.capacity=100', '--set', 'dqn.batch_size=32', '--device', 'cuda', '--total-steps', '3000',\n"
        f"    '--out', {str(tmp_path / 'run')!r}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert done.returncode
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "memory" in last
    assert "--seeds" in last


@pytest.mark.cuda
@NO_CARD
def test_a_checkpoint_of_a_card_opens_where_there_is_none(tmp_path: Path) -> None:
    run = rlbench.train(recipe=small("dqn", "CartPole-v1", "cuda"), out=tmp_path / "run").folder
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    commands = [["eval", run, "--episodes", "2"], ["train", "--resume", run, "--total-steps", "600", "--device", "cpu"]]
    for command in commands:
        words = [sys.executable, "-m", "rlbench", *map(str, command)]
        done = subprocess.run(words, capture_output=True, text=True, env=hidden)
        assert done.returncode == 0, done.stderr
    assert "not exact" in done.stdout + done.stderr


@pytest.mark.cuda
@pytest.mark.skipif(CARDS < 2, reason="fewer than two CUDA devices")
def test_seeds_are_dealt_out_to_two_cards_and_go_on_on_one(tmp_path: Path) -> None:
    run = rlbench.train(recipe=small("dqn", "CartPole-v1", "cuda:0,cuda:1", eval_every=0), out=tmp_path / "run")
    assert run.summary["device"] == "cuda:0,cuda:1"
    more = training.resume(run.folder, total_steps=600, device="cuda:0")
    assert (more.summary["env_steps"], more.summary["device"]) == (600, "cuda:0")


@pytest.mark.cuda
@NO_CARD
def test_what_learners_take_of_a_card_is_counted_before_they_train() -> None:
    parts = build(small("dqn", "CartPole-v1", "cuda", replay="device"), [0, 1, 2], "cuda")
    need = card_need(parts.agent, parts.spec, 3, torch.device("cuda"), {"batch_size": 16})
    assert 0 < need.networks + need.replay <= torch.cuda.memory_reserved()
    assert free_on(torch.device("cuda:0")) > 0
