"""Every value of a sweep file is checked before a cell begins, few cells or many."""

import shlex
from pathlib import Path

import pytest

from rlbench.driving import prepare
from rlbench.driving.prepare import Recipes, Trust
from rlbench.driving.run import SweepPlan
from rlbench.driving.telling import steps_of
from rlbench.engines.engine import Needs
from rlbench.errors import UsageError
from rlbench.sweep.file import parse_file

BASE = '[base]\nenv = "FrozenLake-v1"\n'


def checked(text: str, trust: Trust | None = None) -> Recipes:
    recipes = Recipes(parse_file(text, "x.toml"), trust or Trust())
    recipes.check()
    return recipes


@pytest.fixture(params=["few", "many"])
def count(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many":
        monkeypatch.setattr(prepare, "FEW", 0)


@pytest.mark.usefixtures("count")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BASE + "[grid]\nseedz = [1]", "x.toml: unknown key 'seedz'. Did you mean seed"),
        (BASE + "[grid]\ndqn.gama = [0.9]", "unknown key 'dqn.gama'. Did you mean dqn.gamma?"),
        (BASE + "dqm.gamma = 0.9\n[grid]\nseed = [1]", "x.toml: dqm.gamma: unknown table 'dqm'"),
        (BASE + "[grid]\nseed = [1]\nppo.clip = [0.1]", "x.toml: ppo.clip: no cell's agent is 'ppo'; here it is dqn."),
        (BASE + "[grid]\nseed = [1, 2, -3]", "x.toml: seed"),
        (BASE + "[grid]\ndqn.gamma = [0.9, 2.0]", "gamma"),
        (BASE + '[grid]\nseeds = [1, "two"]', "x.toml: seeds"),
        ('[base]\nenv = "Nowhere-v9"\n[grid]\nseed = [1]', "Nowhere-v9"),
        (BASE + '[grid]\nagent = ["dqn", "dqm"]', "dqm"),
        (BASE + "[grid]\nagent = [3]", "x.toml: agent: must be a text, got 3"),
        (BASE + "[grid]\nagent = [2024-01-01]", "x.toml: agent: must be a text, got 2024-01-01"),
        ("[base]\nenv = 2024-01-01\n[grid]\nseed = [1]", "x.toml: env: must be a text, got 2024-01-01"),
        (BASE + "recipe = 07:32:00\n[grid]\nseed = [1]", "x.toml: recipe: must be a text, got 07:32:00"),
        ("[grid]\nseed = [1]", "x.toml: name an environment"),
    ],
)
def test_what_is_wrong_is_told_before_anything_begins(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        checked(text)
    assert said in str(raised.value)
    assert str(raised.value).startswith("x.toml: ")
    assert "--set" not in str(raised.value)


def test_a_value_is_refused_that_only_a_late_one_of_many_cells_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "FEW", 3)
    with pytest.raises(UsageError, match=r"x.toml: .*num_envs.*got 0"):
        checked(BASE + f"[grid]\nseed = {list(range(50))}\n[[cell]]\nnum_envs = 0")


def test_code_to_name_is_told_as_a_shell_takes_it() -> None:
    for key, option, named in (
        ("agent", "--agent", "a b/ag.py:MyAgent"),
        ("env", "--env", "my cödé/my ënv.py:MyEnv"),
        ("imports", "--import", "a b/ag.py"),
    ):
        value = f'["{named}"]' if key == "imports" else f'"{named}"'
        env = "" if key == "env" else 'env = "FrozenLake-v1"\n'
        with pytest.raises(UsageError) as raised:
            checked(f"[base]\n{env}{key} = {value}\n[grid]\nseed = [1]")
        _, found, said = str(raised.value).partition("say so: ")
        assert found
        assert shlex.split(said) == [option, named]


def test_steps_are_each_cells_own_whatever_the_first_one_says() -> None:
    text = BASE + "[[cell]]\ntotal_steps = 100\nseeds = 2\n[[cell]]\nname = 'b'\n[[cell]]\nname = 'c'\nseeds = 3\n"
    recipes = checked(text)
    plan = SweepPlan(recipes, Path("x"), None, Needs(0), ())  # type: ignore[arg-type]
    own = [recipes.recipe(cell) for cell in recipes.cells]
    assert steps_of(plan) == [recipe.total_steps * recipe.seeds for recipe in own]
    assert steps_of(plan)[0] == 200 < steps_of(plan)[1]


def test_a_recipe_is_what_the_file_says_over_the_agents_own() -> None:
    recipes = checked('[base]\nseeds = 3\nrecipe = "classic"\n[grid]\nnum_envs = [1, 4]\ndqn.gamma = [0.5]')
    recipe = recipes.recipe(recipes.cells[1])
    assert (recipe.env, recipe.seeds, recipe.num_envs, recipe.hyper["gamma"]) == ("CartPole-v1", 3, 4, 0.5)
    assert recipe.workers == 1  # the machine is filled by cells
    assert recipes.cells[1].env == "CartPole-v1"


def test_code_runs_only_where_the_command_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "import gymnasium as gym\nfrom rlbench.agents.random import Random as Mine\n"
        "class World(gym.Env):\n"
        "    observation_space = gym.spaces.Discrete(2)\n    action_space = gym.spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None):\n        return 0, {}\n"
        "    def step(self, action):\n        return 0, 1.0, True, False, {}\n"
    )
    text = '[grid]\nseed = [1]\nagent = ["mine.py:Mine"]\nenv = ["mine.py:World"]'
    with pytest.raises(UsageError, match=r"x.toml names (env|agent) code to run. If you trust it, say so: --"):
        checked(text)
    with pytest.raises(UsageError, match=r"names env code to run\. If you trust it, say so: --env mine\.py:World"):
        checked(text, Trust(agents=["mine.py:Mine"]))
    recipes = checked(text, Trust(["mine.py:Mine"], ["./mine.py:World"]))
    assert recipes.cells[0].name == "World_Mine_seed=1"
    recipe = recipes.recipe(recipes.cells[0])
    assert (recipe.env, recipe.agent) == ("World", f"{tmp_path}/mine.py:Mine")
    with pytest.raises(UsageError, match=r"names code to import\. If you trust it, say so: --import"):
        checked('[base]\nimports = ["mine.py"]\nenv = "FrozenLake-v1"\n[grid]\nseed = [1]')
    with pytest.raises(UsageError, match=r"names code to import\. If you trust it, say so: --import mine\.py"):
        checked('[base]\nwrappers = ["mine.py:Wrap"]\nenv = "FrozenLake-v1"\n[grid]\nseed = [1]')
