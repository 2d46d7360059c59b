"""Tests of rlbench.recipe: what is read, what is refused, and what each refusal says."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from rlbench.errors import UsageError
from rlbench.recipe import Recipe, recipe_names

BASE = 'env = "CartPole-v1"\n'
DEEP = ".".join("a" * 3000)
SHIPPED = [f"{agent}/{name}" for agent, names in recipe_names().items() for name in names]

AGENT = """
from typing import Any
from rlbench.agents.random import Random
from rlbench.agent import AgentConfig

class Mine(Random):
    class Config(AgentConfig):
        limit: float | None = None
        widths: tuple[int, ...] = (3, 4)
"""


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write_recipe(text: str) -> str:
        file = tmp_path / "mine.toml"
        file.write_text(text, encoding="utf-8")
        return str(file)

    return write_recipe


def refusal(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(UsageError) as caught:
        Recipe.load(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_there_are_shipped_recipes() -> None:
    assert SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_loads_and_goes_through_toml(name: str, tmp_path: Path) -> None:
    agent, _, short = name.partition("/")
    env = None if "env" in _raw(name) else "CartPole-v1"
    recipe = Recipe.load(name, env=env)
    assert recipe.agent == agent
    assert Recipe.load(short, env=env, agent=agent) == recipe  # with and without the agent's name
    copy = tmp_path / "copy.toml"
    copy.write_text(recipe.to_toml(), encoding="utf-8")
    assert Recipe.load(copy) == recipe
    assert Recipe.from_content(recipe.content(), "a checkpoint") == recipe


def _raw(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files("rlbench.experiments") / f"{name}.toml").read_text(encoding="utf-8"))


def test_a_full_recipe_goes_through_toml(write: Any) -> None:
    text = BASE + (
        "seed = 5\nseeds = 3\nsolved_at = -1.5\nsolved_by = 'training'\nstop_when_solved = true\ndevice = 'cuda:1'\n"
        "[env_kwargs]\nname = 'a\"b'\nsizes = [1, 2]\nnested = {x = 0.1, deep = [{y = false}]}\n"
        "[dqn]\nhidden = [8, 9]\ngamma = 0.5\nloss = 'squared'\n"
    )
    recipe = Recipe.load(write(text))
    assert recipe.seed_numbers == [5, 6, 7]
    assert recipe.env_kwargs == {"name": 'a"b', "sizes": [1, 2], "nested": {"x": 0.1, "deep": [{"y": False}]}}
    assert recipe.hyper["hidden"] == [8, 9]
    assert recipe.hyper["batch_size"] == 64  # defaults are written out
    assert "[dqn]" in recipe.to_toml()
    assert Recipe.load(write(recipe.to_toml())) == recipe
    assert recipe.replace(seeds=4).seed_numbers == [5, 6, 7, 8]
    assert Recipe.load(write("\ufeff" + text)) == recipe  # as some editors save it


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("totl_steps = 5", "unknown key 'totl_steps'. Did you mean total_steps?"),
        ("[dqn]\nlearning_rat = 0.1", "unknown key 'dqn.learning_rat'. Did you mean dqn.learning_rate?"),
        ("[dqn]\nxyz = 1", "unknown key 'dqn.xyz'. Known: dqn.hidden, "),
        ("[dqnn]\ngamma = 1", "unknown key 'dqnn'. Known: env, "),
        ("[hyper]\ngamma = 1", "unknown key 'hyper'"),
        ("agent = 'random'\n[random]\nx = 1", "unknown key 'random.x'. Known: none."),
        ("seeds = 0", "seeds: Input should be greater than or equal to 1, got 0"),
        ("seed = -1", "seed: "),
        ("[dqn]\ngamma = 1.5", "dqn.gamma: Input should be less than or equal to 1, got 1.5"),
        ("[dqn]\ngamma = nan", "dqn.gamma: "),
        ("[dqn]\nhidden = [0]", "dqn.hidden: every layer needs at least one unit"),
        ("[dqn]\ncapacity = 5", "dqn.capacity 5 is smaller than batch_size 64"),
        ("[dqn]\nloss = 'l1'", "dqn.loss: Input should be 'squared' or 'huber', got 'l1'"),
        ("seeds = 'many'", "seeds: Input should be a valid integer"),
        ("total_steps = 1.5", "total_steps: Input should be a valid integer"),
        ("device = 'gpu'", "device: "),
        ("solved_at = inf", "solved_at: "),
        ("env = 5", "is no valid TOML"),  # twice in the file
        ("agent = 5", "agent: must be a text, got 5"),
        ("agent = {x = 1}", "agent: must be a text"),
        ("imports = 5", "imports: must be a list of module names, got 5"),
        ("imports = 'os'", "imports: must be a list of module names, got 'os'"),
        ("env_kwargs = 5", "env_kwargs: must be a table, got 5"),
        (
            "env_kwargs.x = 1979-05-27",
            "env_kwargs: values must be",
        ),  # would come back as another thing
        ("env_kwargs.x = [inf]", "env_kwargs: values must be"),
        ("dqn = 3", "dqn must be a table, [dqn], not 3"),
        ("seeds =\nseed = 1", "is no valid TOML: Invalid value (at line 2"),
        ("[dqn]\n[dqn]", "is no valid TOML"),
        ("seed = " + "9" * 5000, "is no valid TOML"),
        ("seed = 0x" + "f" * 5000, "seed: Input should be less than"),
        ("x = " + "[" * 100_000, "is no valid TOML"),
        ("x = " + "{a=" * 100_000, "is no valid TOML"),
        (f"seeds.{DEEP} = 1", "seeds: Input should be a valid integer, got "),
        (f"env_kwargs.{DEEP} = 1", "env_kwargs: tables and lists are nested too deeply"),
        (f"dqn.gamma.{DEEP} = 1", "dqn.gamma: Input should be a valid number"),
        (f"{DEEP} = 1", "unknown key 'a'"),
    ],
    ids=lambda value: value[:40],
)
def test_what_is_wrong_is_named_with_file_and_key(write: Any, text: str, says: str) -> None:
    file = write(BASE + text)
    message = refusal(file)
    assert says in message
    assert message.startswith(("dqn must be", file))
    assert len(message) < 1000


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    assert refusal("nowhere/x.toml") == "there is no recipe file nowhere/x.toml."
    (tmp_path / "latin.toml").write_bytes(b'env = "\xe9"')
    assert "latin.toml is no valid TOML" in refusal(tmp_path / "latin.toml")
    (tmp_path / "folder.toml").mkdir()
    assert "there is no recipe file" in refusal(tmp_path / "folder.toml")


def test_unknown_names_list_the_known_ones() -> None:
    assert "unknown recipe 'nosuch'. Known: dqn/" in refusal("nosuch")
    message = refusal(env="CartPole-v1", agent="dqm")
    assert "unknown agent 'dqm'. Known: dqn, " in message
    assert "name an environment" in refusal()
    assert "names no environment" in refusal("dqn/default")


def test_overrides_go_before_the_file(write: Any) -> None:
    file = write(BASE + "seeds = 3\nenv_kwargs.a = 1\n[dqn]\ngamma = 0.5\n")
    texts = ["seeds=4", "dqn.gamma = 0.25", "dqn.hidden=[5]", "dqn.loss=squared", "env_kwargs.b=8x8", "device='cpu'"]
    recipe = Recipe.load(file, overrides=texts)
    assert (recipe.seeds, recipe.device, recipe.env_kwargs) == (4, "cpu", {"a": 1, "b": "8x8"})
    assert (recipe.hyper["gamma"], recipe.hyper["hidden"], recipe.hyper["loss"]) == (0.25, [5], "squared")
    mapping = {
        "seeds": 4,
        "dqn.gamma": 0.25,
        "dqn.hidden": (5,),
        "dqn.loss": "squared",
        "env_kwargs.b": "8x8",
        "device": "cpu",
    }
    assert Recipe.load(file, overrides=mapping) == recipe
    assert Recipe.load(file, overrides=["env=Acrobot-v1", "agent=random"]).env == "Acrobot-v1"
    assert Recipe.load(file, env="Acrobot-v1", overrides=["env=Pendulum-v1"]).env == "Acrobot-v1"
    both = Recipe.load(file, agent="dqn", overrides=["agent=random"])  # one agent, with its own table
    assert (both.agent, both.hyper["gamma"]) == ("dqn", 0.5)
    assert Recipe.load(file, agent="random").hyper == {}  # the other agent's table is left out


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seeds", "not of the form key=value"),
        ("=3", "not of the form key=value"),
        ("sedes=3", "unknown key 'sedes'. Did you mean seeds?"),
        ("dqn.gama=0.9", "unknown key 'dqn.gama'. Did you mean dqn.gamma?"),
        ("ppo.gamma=0.9", "unknown table 'ppo'; the agent's is 'dqn'"),
        ("hyper={}", "unknown key 'hyper'"),
        ("env_kwargs=3", "env_kwargs: must be a table"),
        ("agent=5", "unknown agent '5'"),
        ("seeds=" + "9" * 5000, "seeds: "),
        ("seeds=" + "[" * 100_000, "seeds: "),
        ("seeds=1\nseed=2", "seeds: "),
        ("dqn.gamma=high", "dqn.gamma: Input should be a valid number"),
    ],
    ids=lambda value: value[:30],
)
def test_overrides_are_checked(override: str, says: str) -> None:
    assert says in refusal(env="CartPole-v1", overrides=[override])


def test_what_was_said_besides_a_recipe_is_not_laid_to_it(write: Any) -> None:
    file = write("env = 'CartPole-v1'\nseeds = 0\n[dqn]\ngamma = 2")
    assert refusal(file, overrides=["seeds=1"]).startswith(f"{file}: dqn.gamma: ")
    assert refusal(file, overrides=["dqn.gamma=0.9"]).startswith(f"{file}: seeds: ")
    assert refusal(file, overrides=["dqn.gamma=3"]).startswith(
        "dqn.gamma: Input should be less than or equal to 1, got 3"
    )
    assert refusal(env="CartPole-v1", overrides=["seeds=-1"]).startswith("seeds: ")
    assert refusal(env="CartPole-v1", overrides=["dqn.gama=1"]).startswith("unknown key 'dqn.gama'. Did you mean")


def test_a_recipe_runs_no_code_that_was_not_confirmed(write: Any, tmp_path: Path) -> None:
    sentinel, code = tmp_path / "sentinel", tmp_path / "code.py"
    code.write_text(f"from pathlib import Path\nPath({str(sentinel)!r}).write_text('ran')\n{AGENT}", encoding="utf-8")
    for ref in (f"{code}:Mine", "os:system"):
        assert f"--agent {ref}" in refusal(write(f"{BASE}agent = '{ref}'\n"))
    file = write(f"imports = ['antigravity', 'this']\n{BASE}")
    assert "--import antigravity" in refusal(file)
    assert "--import this" in refusal(file, imports=["antigravity"])
    assert Recipe.load(file, imports=["this", "antigravity"]).imports == ("this", "antigravity")
    assert not sentinel.exists()
    file = write(f"{BASE}agent = '{code}:Mine'\n[Mine]\nlimit = 2.5\n")
    recipe = Recipe.load(file, agent=f"{code}:Mine")
    assert sentinel.read_text() == "ran"
    assert recipe.hyper == {"limit": 2.5, "widths": [3, 4]}


def test_what_a_file_says_of_code_is_confirmed_when_it_is_opened(tmp_path: Path) -> None:
    recipe = Recipe.from_content({"env": "X-v0", "agent": "a.py:Mine", "imports": ["x"]}, "best.pth")
    assert recipe.agent == "a.py:Mine"  # reading is free
    for agent, imports, says in (
        (None, ["x"], "--agent a.py:Mine"), ("a.py:Mine", [], "--import x"), ("a.py:Other", ["x"], "not 'a.py:Other'"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=r"best\.pth") as caught:
            recipe.trusting(agent, imports, "best.pth")
        assert says in str(caught.value)
    moved = recipe.trusting("elsewhere/b.py:Mine", ["x", "y"], "best.pth")
    assert (moved.agent, moved.imports) == (f"{Path.cwd()}/elsewhere/b.py:Mine", ("y", "x"))


def test_a_hyper_parameter_may_be_none(write: Any, tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text(AGENT, encoding="utf-8")
    recipe = Recipe.load(env="CartPole-v1", agent=f"{code}:Mine")
    assert recipe.hyper["limit"] is None
    assert Recipe.load(write(recipe.to_toml()), agent=f"{code}:Mine") == recipe
    assert Recipe.from_content(recipe.content(), "a checkpoint") == recipe


def test_a_recipe_is_frozen_and_checked_on_replacing() -> None:
    recipe = Recipe.load(env="CartPole-v1")
    with pytest.raises(Exception, match="frozen"):
        recipe.seeds = 3
    with pytest.raises(UsageError, match="seeds"):
        recipe.replace(seeds=0)
    with pytest.raises(UsageError, match=r"best\.pth: unknown key 'sedes'"):
        Recipe.from_content({"env": "X", "sedes": 1}, "best.pth")
