"""What a recipe leaves out: the environment's budget and evaluations for all its agents, and what an agent runs by."""

import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from command import mistake, rlbench, succeeds
from rlbench.agents.random import Random

import rlbench as library
from rlbench import Recipe, UsageError
from rlbench.judge.evidence import CONDITIONS, read_run
from rlbench.recipe import recipe_names
from rlbench.recipe.find import env_settings
from rlbench.recipe.registry import AgentEntry
from rlbench.recipe.usual import run_defaults
from rlbench.training import train as training

FOLDER = resources.files("rlbench.experiments") / "envs"
ENVS = sorted(file.name.removesuffix(".toml").replace("rlbench-", "rlbench/") for file in FOLDER.iterdir())
OF_ENVIRONMENTS = {
    "total_steps", "max_episode_steps", "eval_every", "eval_episodes", "final_eval_episodes", "eval_share", "solved_at",
}  # fmt: skip
MINE = """
from rlbench import Learner
from rlbench.agents.random import Random

class Plain(Random):
    pass

class Mine(Random):
    run_defaults = {"num_envs": 8, "total_steps": 7, "log_every": 30}

class One(Learner):
    run_defaults = {"num_envs": 6}
    def __init__(self, spec, config, rng): self.n = spec.num_actions, rng
    def act(self, obs, *, explore):
        import torch
        return torch.zeros(len(obs), dtype=torch.int64)
    def observe(self, transition): pass
    def update(self): return {}
    def state_dict(self): return {}
    def load_state_dict(self, state): pass
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(MINE)
    return str(tmp_path / "mine.py")


def test_what_belongs_to_an_environment_is_that_alone() -> None:
    assert "CartPole-v1" in ENVS
    assert "envs" not in recipe_names()  # which are of agents
    for env in ENVS:
        assert env_settings(env)
        assert env_settings(env).keys() <= OF_ENVIRONMENTS
    for agent, names in recipe_names().items():
        for name in names:
            assert name in ("classic", "default") or name.replace("rlbench-", "rlbench/") in ENVS, (agent, name)
    assert env_settings("Blackjack-v1") == env_settings("../dqn/default") == {}


@pytest.mark.parametrize("env", [*ENVS, "Blackjack-v1"])
def test_all_agents_of_an_environment_are_trained_as_long_and_evaluated_alike(env: str, mine: str) -> None:
    by_agent = [Recipe.load(env=env, agent=agent).content() for agent in ("dqn", "random", f"{mine}:Plain")]
    for key in (*CONDITIONS, "eval_share", "solved_at", "solved_by", "seeds"):
        assert len({str(recipe.get(key)) for recipe in by_agent}) == 1, key


def test_compare_takes_what_comes_of_it(tmp_path: Path) -> None:
    quick: Any = {"seeds": 2, "total_steps": 60, "device": "cpu"}
    folders = [
        training.train("CartPole-v1", agent=agent, out=tmp_path / agent, **quick).folder for agent in ("dqn", "random")
    ]
    assert library.compare(folders).differences == ()
    assert read_run(folders[1]).conditions["eval_every"] == "2500"


def test_what_goes_before_what(mine: str, tmp_path: Path) -> None:
    plain, own = Recipe.load(env="Blackjack-v1", agent=f"{mine}:Plain"), f"{mine}:Mine"
    assert (plain.num_envs, plain.total_steps, plain.log_every) == (1, 100_000, 500)
    found = Recipe.load(env="Blackjack-v1", agent=own)  # of which nothing is known
    assert (found.num_envs, found.total_steps, found.log_every) == (8, 7, 30)
    found = Recipe.load(env="CartPole-v1", agent=own)  # whose budget is its own
    assert (found.num_envs, found.total_steps, found.log_every) == (8, 30_000, 30)
    file = tmp_path / "r.toml"
    file.write_text("env = 'CartPole-v1'\nnum_envs = 2\ntotal_steps = 40\n")
    found = Recipe.load(file, agent=own)
    assert (found.num_envs, found.total_steps, found.log_every, found.eval_every) == (2, 40, 30, 2_500)
    found = Recipe.load(file, agent=own, overrides=["num_envs=3", "eval_every=9"])
    assert (found.num_envs, found.total_steps, found.eval_every) == (3, 40, 9)
    assert Recipe.load("CartPole-v1").num_envs == Recipe.load(env="CartPole-v1").num_envs == 4  # dqn's there
    assert Recipe.load("CartPole-v1", env="Acrobot-v1").total_steps == 100_000  # the environment's that is trained on


def test_they_are_recorded_and_taken_by_what_opens_the_run(mine: str, tmp_path: Path) -> None:
    words = ("--agent", f"{mine}:One", "--seeds", "1", "--total-steps", "60", "--progress", "none", "--workers", "1")
    succeeds("train", "--env", "CartPole-v1", *words, "--set", "final_eval_episodes=1", "--out", tmp_path / "run")
    assert "num_envs = 6" in (tmp_path / "run" / "recipe.toml").read_text()
    (tmp_path / "mine.py").write_text(MINE.replace('"num_envs": 6', '"num_envs": 5'))
    again = rlbench("train", "--resume", tmp_path / "run", "--agent", f"{mine}:One", "--total-steps", "120")
    assert again.exit_code == 0
    assert "num_envs = 6" in (tmp_path / "run" / "recipe.toml").read_text()


def test_the_list_of_keys_shows_them(mine: str) -> None:
    def shown(*words: str) -> dict[str, str]:
        return dict(re.findall(r"^(\w+) +\[(.*?)\] ", succeeds("list", "keys", *words), re.MULTILINE))

    assert {shown()[key] for key in ("num_envs", "total_steps")} == {"1", "100000"}
    own = shown("--agent", f"{mine}:Mine")
    assert (own["num_envs"], own["total_steps"], own["seeds"]) == ("8", "7", "10")
    there = shown("--agent", f"{mine}:Mine", "--env", "CartPole")
    assert (there["num_envs"], there["total_steps"]) == ("8", "30000")
    assert (shown()["agent"], own["agent"], shown("--agent", "pqn")["agent"]) == ("dqn", "Mine", "pqn")


def test_the_list_of_keys_knows_environments(mine: str) -> None:
    said = mistake("list", "keys", "--env", "CartPol-v1")
    assert "unknown environment 'CartPol-v1'" in said
    assert "rlbench list envs" in said
    assert "total_steps" in succeeds(
        "list", "keys", "--env", f"{mine}:NoMatter"
    )  # a class of one's own is not looked up


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"num_env": 8}, "X.run_defaults: unknown key 'num_env'. Did you mean num_envs?"),
        ({"qqq": 8}, "X.run_defaults: unknown key 'qqq'. Known: seed, "),
        ({"env": "CartPole-v1"}, "X.run_defaults: 'env' is not for an agent to say"),
        ({"wrappers": ["a:B"]}, "X.run_defaults: 'wrappers' is not for an agent to say"),
        ({"imports": ["os"]}, "X.run_defaults: 'imports' is not for an agent to say"),
        ({"num_envs": 0}, "X.run_defaults: num_envs: Input should be greater than or equal to 1, got 0"),
        ({"num_envs": "many"}, "X.run_defaults: num_envs: Input should be a valid integer"),
        ([("num_envs", 8)], "X.run_defaults must be a dict of run keys, not [('num_envs', 8)]"),
        ({3: 8}, "X.run_defaults must be a dict of run keys, not {3: 8}"),
    ],
)
def test_what_an_agent_cannot_say_is_refused(given: Any, said: str) -> None:
    cls = type("X", (Random,), {"run_defaults": given})
    with pytest.raises(UsageError) as error:
        run_defaults(AgentEntry("X", "X", cls), Recipe)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_that_is_one_line_of_a_command_too(tmp_path: Path) -> None:
    (tmp_path / "typo.py").write_text(MINE.replace("num_envs", "num_env"))
    said = mistake("train", "--env", "CartPole-v1", "--agent", f"{tmp_path / 'typo.py'}:Mine")
    assert said == "Error: Mine.run_defaults: unknown key 'num_env'. Did you mean num_envs?"
