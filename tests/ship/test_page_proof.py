"""A page's own JavaScript, before the page is kept: it is the policy, and its environments are Gymnasium's."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import policy_files
import pytest
from plainjs import BALANCE, FILES, greedy, needs_node, onnx, run, saved

from rlbench.border.make import env_maker
from rlbench.errors import UsageError
from rlbench.play.key_table import action_names
from rlbench.policyfile.metadata import PolicyFileError
from rlbench.policyfile.opened import PolicyFile, open_policy
from rlbench.ship import html, page_proof
from rlbench.ship.page import PHYSICS, POLICY, check_world, page, worlds
from rlbench.ship.plain_graph import plain_graph
from rlbench.ship.text import content, lines

node = onnx.helper.make_node


def opened(path: Path, content: bytes) -> tuple[PolicyFile, dict[str, Any]]:
    policy = open_policy(saved(path, content))
    return policy, plain_graph(content, policy.metadata)


@needs_node
@pytest.mark.parametrize("env_id", worlds())
def test_each_world_is_gymnasiums(env_id: str, tmp_path: Path) -> None:
    policy, graph = opened(tmp_path / "policy.onnx", FILES[env_id]())
    env = env_maker(env_id)()
    recorded = [[env.reset(seed=seed)[0]] for seed in range(1, 9)]
    proof = page_proof.prove(graph, policy, env, recorded)
    assert proof.observations == proof.steps + 8
    assert proof.states <= 1e-9
    assert proof.outputs <= 1e-5
    if env_id == "CartPole-v1":
        assert proof.steps == 500  # the whole of an episode, upright
    assert f"to {proof.observations:,} observations: all actions, numbers within" in proof.text()
    assert f"Gymnasium's {proof.steps:,} steps: " in proof.text()


@needs_node
def test_episodes_begin_as_gymnasiums_do() -> None:
    seeds = [0, 1, 7, 12345, 2**32 - 1, 2**32, 2**53 - 1]
    code = """
    console.log(JSON.stringify(Object.fromEntries(Object.entries(Worlds).map(([name, world]) => (
      [name, given.map((seed) => world.start(new Random(seed)))])))));"""
    found = run(PHYSICS, code, seeds)
    assert set(found) == set(worlds())
    for env_id, states in found.items():
        env = env_maker(env_id)()
        for seed, state in zip(seeds, states, strict=True):
            env.reset(seed=seed)
            assert state == page_proof._state(env), (env_id, seed)


@needs_node
def test_actions_have_the_names_that_they_have_elsewhere() -> None:
    code = "console.log(JSON.stringify(Object.fromEntries(Object.entries(Worlds).map(([k, w]) => [k, w.actions]))));"
    for env_id, names in run(PHYSICS, code, None).items():
        assert tuple(names) == action_names(env_id, None)


@needs_node
def test_random_numbers_are_numpys() -> None:
    code = """
    const random = new Random(given), found = [];
    for (let i = 0; i < 300; i++) found.push(random.uniform(-3, 5), random.below(7), random.below(3000000000));
    console.log(JSON.stringify(found));"""
    numpys = np.random.default_rng(99)
    expected = [
        float(x) for _ in range(300) for x in (numpys.uniform(-3, 5), numpys.integers(7), numpys.integers(3000000000))
    ]
    assert run(PHYSICS, code, 99) == expected


@needs_node
@pytest.mark.parametrize("name", ["q_values", "action"])
def test_a_page_that_is_not_the_policy_is_refused(name: str, tmp_path: Path) -> None:
    policy, graph = opened(tmp_path / "policy.onnx", greedy("CartPole-v1", BALANCE))
    swapped = json.loads(json.dumps(graph))
    if name == "action":
        swapped["nodes"][1]["op"] = "ArgMin"
    else:
        other = plain_graph(greedy("CartPole-v1", BALANCE * np.float32(1.0001)), policy.metadata)
        swapped["constants"] = other["constants"]
    with pytest.raises(
        PolicyFileError, match=f"at step 0 of the episode, .*{name} is .* by ONNX Runtime and .* by the page"
    ):
        page_proof.prove(swapped, policy, gym.make("CartPole-v1"))


@needs_node
def test_a_world_that_is_not_gymnasiums_is_refused(tmp_path: Path) -> None:
    policy, graph = opened(tmp_path / "policy.onnx", greedy("CartPole-v1", BALANCE))
    env = gym.make("CartPole-v1")
    env.unwrapped.gravity = 9.80001  # type: ignore[attr-defined]
    with pytest.raises(PolicyFileError, match=r"the page's CartPole-v1 is not Gymnasium's: .* difference of states is"):
        page_proof.prove(graph, policy, env)


@needs_node
def test_in_a_page_everything_is_legal_and_an_episode_begins_without_memory(tmp_path: Path) -> None:
    """Worlds in JavaScript forbid nothing: a policy that takes a mask gets one that allows all."""
    ask = """
    const [graph, all] = [new Graph(given[0]), given[1]];
    console.log(JSON.stringify([...all, null, ...all].map((obs) => (obs ? graph.ask({ obs }) : graph.begin()))));"""
    observations = [[1.0, 2.0, 4.0, 3.0], [5.0, 1.0, 0.0, -1.0]]
    file = policy_files.masked(tmp_path / "masked.onnx")
    graph = plain_graph(file.read_bytes(), open_policy(file).metadata)
    made = run(POLICY, ask, [graph, observations])
    assert [one and one["action"] for one in made] == [[2], [0], None, [2], [0]]
    assert made[0]["q_values"] == observations[0]
    file = policy_files.adding(tmp_path / "adding.onnx")
    made = run(POLICY, ask, [plain_graph(file.read_bytes(), open_policy(file).metadata), observations])
    assert [one and one["action"] for one in made] == [[2, 4], [3, 4], None, [2, 4], [3, 4]]


def test_an_operation_that_the_page_does_not_know_is_named(tmp_path: Path) -> None:
    content = greedy("CartPole-v1", BALANCE, [node("Hardmax", ["q_values"], ["unused"])])
    with pytest.raises(UsageError, match=r"computes Hardmax, which the page's JavaScript does not know.*--to onnx"):
        opened(tmp_path / "policy.onnx", content)


def test_numbers_that_the_page_does_not_know_are_named(tmp_path: Path) -> None:
    half = onnx.numpy_helper.from_array(np.zeros(2, np.float16), "half")
    content = greedy("CartPole-v1", BALANCE, [node("Constant", [], ["unused"], value=half)])
    with pytest.raises(UsageError, match="numbers of type float16"):
        opened(tmp_path / "policy.onnx", content)


def test_environments_without_physics_are_refused_with_those_that_have_it() -> None:
    with pytest.raises(UsageError, match=r"no physics of 'LunarLander-v3'.*CartPole-v1, MountainCar-v0.*--to onnx"):
        check_world("LunarLander-v3")
    with pytest.raises(UsageError, match=r"not the one .*: there is a wrapper around it\."):
        check_world("CartPole-v1", "there is a wrapper around it")
    check_world("CartPole-v1")


def test_a_page_needs_no_network_and_escapes_names(tmp_path: Path) -> None:
    policy, graph = opened(tmp_path / "policy.onnx", greedy("CartPole-v1", BALANCE))
    evil = "</script><script>alert(1)</script>"
    about = policy.metadata.model_copy(update={"agent": evil})
    graph["constants"][evil] = next(iter(graph["constants"].values()))
    text = page(graph, about, 500, "compared")
    assert evil not in text
    assert text.count("</script>") == 1 + text.count("<script>")  # the policy's JSON, and what is code
    assert "default-src 'none'" in text
    for start in ("http:", "https:", "//cdn", "import(", "fetch("):
        assert start not in text.replace("http://www.w3.org/2000/svg", "")
    for fact in ("CartPole-v1", "1,234", "ab" * 32, "rlbench 0.1.0", "compared"):
        assert fact in text


def test_without_node_the_page_is_kept_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rlbench.api.train import train
    from rlbench.trained.load import load

    keys = {"seeds": 1, "total_steps": 1500, "final_eval_episodes": 1, "eval_every": 0}
    train("CartPole-v1", out=tmp_path / "run", progress="none", **keys)
    trained = load(tmp_path / "run", seed="best", device="cpu")
    monkeypatch.setattr(html, "node", lambda: None)
    done = html.export_page(trained, tmp_path / "look.html", episodes=1)
    assert any("there is no Node.js here" in note for note in done.notes)
    assert done.tried == ""
    assert not any(line.startswith("  page") for line in lines(done))
    told = [*lines(done._replace(tried="one; other"))]
    assert told[-2:] == ["  page     one", "           other"]
    assert content(done._replace(tried="one; other"))["page"] == "one; other"
    assert done.nbytes == (tmp_path / "look.html").stat().st_size < 300_000
    with pytest.raises(UsageError, match="no name for a page"):
        html.export_page(trained, tmp_path / "look.onnx", episodes=1)
    wrapped = trained._replace(recipe=trained.recipe.replace(env_kwargs={"sutton_barto_reward": True}))
    with pytest.raises(UsageError, match="its constructor was given arguments"):
        html.export_page(wrapped, tmp_path / "other.html", episodes=1)
    assert not (tmp_path / "other.html").exists()
