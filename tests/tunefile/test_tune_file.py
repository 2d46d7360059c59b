"""The file of a search: what it means, and what is said of one that cannot be."""

import tomllib
from pathlib import Path

import pytest

from rlbench.errors import UsageError
from rlbench.recipe import Recipe
from rlbench.recipe.find import recipe_names
from rlbench.tunefile.file import TuneFile, read_tune_file
from rlbench.tunefile.same import base_values
from rlbench.tunefile.space import Dimension, read_space, ready_space, space_names

BASE = '[base]\nenv = "CartPole-v1"\n'


def read(tmp_path: Path, text: str) -> TuneFile:
    path = tmp_path / "search.toml"
    path.write_text(text)
    return read_tune_file(path)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(UsageError) as e:
        read(tmp_path, text)
    said = str(e.value)
    assert "\n" not in said
    assert "search.toml" in said
    return said


def test_base_alone_is_a_search_over_the_space_of_its_agent(tmp_path: Path) -> None:
    found = read(tmp_path, f"{BASE}seeds = 7\nseed = 3\n")
    assert [one.key for one in found.space] == [
        f"dqn.{key}" for key in tomllib.loads(ready_space("dqn"))["space"]["dqn"]
    ]
    assert found.tuning_seeds == range(1_000_000, 1_000_003)
    assert found.final_seeds == range(3, 10)
    assert found.settings.trials == 50
    assert found.settings.pruner == "none"


def test_a_trial_has_its_values_and_the_tuning_seeds(tmp_path: Path) -> None:
    space = "[space]\ndqn.gamma = [0.9, 0.99]\n'dqn.n_step' = {low = 1, high = 4}\nnum_envs = [1, 2]\n"
    found = read(tmp_path, f"{BASE}{space}[search]\nseeds = 2\nfirst_seed = 500\n")
    recipe = found.trial_recipe({"dqn.gamma": 0.9, "dqn.n_step": 4, "num_envs": 2})
    assert (recipe.hyper["gamma"], recipe.hyper["n_step"], recipe.num_envs) == (0.9, 4, 2)
    assert recipe.seed_numbers == [500, 501]
    assert found.base.hyper["gamma"] == 0.99  # untouched


def test_keys_that_want_whole_numbers_get_them() -> None:
    table = {
        "dqn": {
            "n_step": {"low": 1, "high": 4},
            "gamma": {"low": 0, "high": 1},
            "tau": {"low": 1, "high": 3, "int": True},
        }
    }
    space = read_space(table, "x", frozenset({"dqn.n_step"}))
    assert [one.kind for one in space] == ["int", "float", "int"]
    assert type(space[0].value(3)) is int
    assert type(space[1].value(1)) is float


def test_values_go_to_the_storage_and_back() -> None:
    lists = Dimension("dqn.hidden", "choice", choices=([64], [128, 128], []))
    for one in lists.choices:
        assert isinstance(lists.store(one), str)
        assert lists.value(lists.store(one)) == one
    mixed = Dimension("a.b", "choice", choices=(1, True, "x"))
    assert mixed.value(mixed.store(True)) is True
    assert mixed.value(mixed.store(1)) == 1
    assert mixed.value(mixed.store(1)) is not True
    assert lists.store([3]) is None
    steps = Dimension("a.b", "int", 10, 50, step=20)
    assert [steps.store(x) for x in (10, 30, 31, 51, 20.5)] == [10, 30, None, None, None]
    assert Dimension("a.b", "float", 0.0, 0.99999).value(0.999985) == 0.99999  # rounding stays inside
    assert Dimension("a.b", "float", 1e-5, 1.0, log=True).value(0.00123456) == 0.001235


@pytest.mark.parametrize("agent", space_names())
def test_the_ready_spaces_hold_the_recipes_that_come_with_rlbench(agent: str, tmp_path: Path) -> None:
    """So that the base recipe is a trial, and the best is at least that good on the seeds that chose it."""
    envs = {"sac": "Pendulum-v1", "q_learning": "FrozenLake-v1", "sarsa": "FrozenLake-v1"}
    env = envs.get(agent, "CartPole-v1")
    names = [name for name in recipe_names()[agent] if name not in ("classic", "rlbench-TMaze-v0", "CliffWalking-v1")]
    for name in names:
        found = read(tmp_path, f'[base]\nrecipe = "{agent}/{name}"\nenv = "{env}"\nagent = "{agent}"\n')
        stored = base_values(found)
        assert stored is not None or name in ("Taxi-v4",), name
        assert found.base.agent == agent


def test_every_built_in_agent_has_a_space() -> None:
    from rlbench.recipe.registry import BUILT_IN

    assert set(space_names()) == set(BUILT_IN) - {"random"}
    assert "spaces" not in recipe_names()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("base = 1\n", "base must be a table, [base], not 1"),
        ("[bse]\n", "unknown key 'bse'. Did you mean [base]?"),
        ("[base]\n", "[base] names no environment"),
        ("[base]\nenv = 3\n", "[base] env must be a text, not 3"),
        (f"{BASE}sede = 1\n", "[base] unknown key 'sede'. Did you mean seed?"),
        (f"{BASE}[base.dqn]\ngama = 1\n", "[base] unknown key 'dqn.gama'. Did you mean dqn.gamma?"),
        (f"{BASE}[space]\ndqn.gama = [0.9]\n", "[space] unknown key 'dqn.gama'. Did you mean dqn.gamma?"),
        (f"{BASE}[space]\nppo.clip = [0.9]\n", "[space] unknown table 'ppo'; the agent's is 'dqn'"),
        (f"{BASE}[space]\ndqn.gamma = {{low = 0.9, high = 1.5}}\n", "dqn.gamma: Input should be less than"),
        (f"{BASE}[space]\ndqn.gamma = {{low = 0.9, high = 0.9}}\n", "[space] dqn.gamma: low is 0.9 and high is 0.9"),
        (f"{BASE}[space]\ndqn.tau = {{low = 0.0, high = 0.9, log = true}}\n", "dqn.tau: low is 0, and a range"),
        (f"{BASE}[space]\ndqn.tau = {{low = 0.1, high = 0.9, logg = true}}\n", "unknown key 'logg'. Did you mean log?"),
        (f"{BASE}[space]\ndqn.tau = {{low = 0.1}}\n", "[space] dqn.tau: high is missing"),
        (f"{BASE}[space]\ndqn.tau = {{low = 0.1, high = true}}\n", "[space] dqn.tau: high is True, and no number"),
        (f"{BASE}[space]\ndqn.tau = {{low = 0.1, high = 1, log = 1}}\n", "log is 1, and neither true nor false"),
        (f"{BASE}[space]\ndqn.tau = {{low = 0.1, high = 1, step = 2}}\n", "step is 2; it must be above 0"),
        (f"{BASE}[space]\ndqn.tau = 0.1\n", "[space] dqn.tau is 0.1, and no range or choice"),
        (f"{BASE}[space]\ndqn.gamma = []\n", "[space] dqn.gamma: the list of choices is empty"),
        (f"{BASE}[space]\ndqn.gamma = [0.9, 0.9]\n", "[space] dqn.gamma: 0.9 stands there twice"),
        (f"{BASE}[space]\ntotal_steps = [100, 200]\n", "[space] total_steps cannot be searched"),
        (f"{BASE}[space]\nenv = ['CartPole-v1']\n", "[space] env cannot be searched"),
        (f"{BASE}[space]\n", "[space] is empty"),
        (f"{BASE}[search]\ntrails = 3\n", "[search]: unknown key 'trails'. Did you mean trials?"),
        (f"{BASE}[search]\ntrials = 0\n", "[search]: trials: Input should be greater than or equal to 1, got 0"),
        (f"{BASE}[search]\nsampler = 'tep'\n", "unknown sampler 'tep'. Known: bruteforce, cmaes, gp,"),
        (f"{BASE}[search]\nseeds = 2\npruner = 'interval'\n", "needs 3 seeds a trial or more, not 2"),
        (f"{BASE}[search]\nfirst_seed = 9\n", "seeds 9 to 11 judge the trials, and the final report has 0 to 9"),
        (f"{BASE}[search]\nfinal_first_seed = 1000002\n", "the final report has 1000002 to 1000011"),
        (f"{BASE}seed = 1000001\n[search]\nfinal_first_seed = 0\n", "the base recipe has 1000001 to 1000010"),
        (f"{BASE}seeds = 1\n", "a verdict takes 2 seeds or more"),
        (f"{BASE}eval_every = 0\nfinal_eval_episodes = 0\n", "without evaluations nothing scores a trial"),
        ("[base\n", "is no valid TOML"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    assert said in refused(tmp_path, text)


def test_an_agent_without_a_ready_space_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no search space comes with rlbench for 'random', only for dqn, ppo, pqn"):
        read(tmp_path, f'{BASE}agent = "random"\n')


def test_values_that_do_not_go_together_are_named(tmp_path: Path) -> None:
    found = read(tmp_path, f"{BASE}[space]\ndqn.capacity = [100, 1000]\n")
    with pytest.raises(UsageError, match="capacity 10 is smaller than batch_size"):
        found.changed({"dqn.capacity": 10})
    assert isinstance(found.changed({"dqn.capacity": 1000}), Recipe)
