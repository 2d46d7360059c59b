"""``--set key=value``: what is meant is taken, what is nearly TOML is refused with the spelling that works."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from command import mistake

from rlbench import UsageError
from rlbench.recipe import Recipe


def kwargs(*sets: str, env: str = "FrozenLake-v1") -> dict[str, Any]:
    return Recipe.load(env=env, overrides=sets).env_kwargs


def refused(text: str, env: str = "FrozenLake-v1") -> str:
    with pytest.raises(UsageError) as caught:
        Recipe.load(env=env, overrides=[text])
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("true", True), ("false", False), ("5", 5), (" 5 ", 5), ("1_000", 1000), ("-0.5", -0.5), ("1e3", 1000.0),
        ("[1, 2]", [1, 2]), ("[[1], [2]]", [[1], [2]]), ("{a = 1}", {"a": 1}), ('"False"', "False"), ("'x y'", "x y"),
        ('""', ""), ("4x4", "4x4"), ("human", "human"), ("rgb_array", "rgb_array"), ("Some-v1", "Some-v1"),
        ("a/b.txt", "a/b.txt"), ("a b", "a b"), ("127.0.0.1", "127.0.0.1"), ("5m", "5m"), ("a#b", "a#b"),
        ("truest", "truest"), ("Nonesuch", "Nonesuch"), ("a=b", "a=b"),
    ],
)  # fmt: skip
def test_values_of_an_environments_arguments(value: str, meant: Any) -> None:
    found = kwargs(f"env_kwargs.x={value}")
    assert found == {"x": meant}
    assert type(found["x"]) is type(meant)


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("True", "true"), ("False", "false"), ("TRUE", "true"), ("yes", "true"), ("No", "false"), ("off", "false"),
        (".5", "0.5"), ("5.", "5.0"), ("007", "7"), ("-05", "-5"), ("1 000", "1000"), ("1,000", "1000"),
        ("1 000 000", "1000000"), ("0,5", "0.5"), ("1__000", "1000"), ("1.e-3", "0.001"),
        ("[True, False]", "[true, false]"),
        ("(1, 2)", "[1, 2]"), ('{"a": 1}', '{"a" = 1}'), ("[(1)]", None), ("[human]", None), ("{a: 1", None),
        ("'half", None), ("1/3", None), ("2**10", None), ("64*64", None), ("None", None), ("null", None),
        ("NaN", None), ("Infinity", None), ("-Inf", None), ("", None), ("   ", None), ('"a" b"', None),
    ],
)  # fmt: skip
def test_what_is_nearly_toml_is_refused_with_what_works(value: str, right: str | None) -> None:
    said = refused(f"env_kwargs.x={value}")
    assert said.startswith("--set ")
    assert "\n" not in said
    if right is not None:
        say = f"--set {shlex.quote(f'env_kwargs.x={right}')}"
        assert f"is no TOML. Write {say}." in said
        kwargs(f"env_kwargs.x={right}")
    if "As a text: " in said:
        words = shlex.split(said.partition("As a text: ")[2])
        assert kwargs(words[1]) == {"x": value.strip()}


def test_a_comment_swallows_nothing() -> None:
    assert kwargs("env_kwargs.x=5#x") == {"x": "5#x"}
    assert kwargs("env_kwargs.x=a\ny = 3") == {"x": "a\ny = 3"}


def test_keys_with_dots_are_tables() -> None:
    assert kwargs("env_kwargs.a.b=1", "env_kwargs.a.c=2", "env_kwargs.d=3") == {"a": {"b": 1, "c": 2}, "d": 3}
    assert kwargs('env_kwargs."a.b"=1', "env_kwargs.'x=y'=2") == {"a.b": 1, "x=y": 2}
    assert kwargs("env_kwargs={a = {b = 1}}", "env_kwargs.a.c=2") == {"a": {"b": 1, "c": 2}}
    assert kwargs("env_kwargs . a = 1") == {"a": 1}
    with pytest.raises(UsageError, match=r"env_kwargs\.a is 1, and no table"):
        kwargs("env_kwargs.a=1", "env_kwargs.a.b=2")
    given = {"env_kwargs.a.b": 1, ("env_kwargs", "c.d"): 2}
    assert Recipe.load(env="FrozenLake-v1", overrides=given).env_kwargs == {"a": {"b": 1}, "c.d": 2}


def test_a_recipes_own_tables_are_added_to(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text('env = "FrozenLake-v1"\n[env_kwargs]\nmap_name = "4x4"\n[dqn]\ngamma = 0.5\n')
    recipe = Recipe.load(file, overrides=["env_kwargs.is_slippery=false", "dqn.n_step=2"])
    assert recipe.env_kwargs == {"map_name": "4x4", "is_slippery": False}
    assert (recipe.hyper["gamma"], recipe.hyper["n_step"]) == (0.5, 2)


@pytest.mark.parametrize("key", ["", "a b", "a..b", ".a", "a.", "=5", "[a]", "a\nb"])
def test_what_is_no_key(key: str) -> None:
    assert "is not of the form key=value" in refused(f"{key}=5" if key != "=5" else key)
    assert "is not of the form key=value" in refused("dqn.gamma")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stop_when_solved=True", "Write --set stop_when_solved=true."),
        ("dqn.double=False", "Write --set dqn.double=false."),
        ("dqn.gamma=.9", "Write --set dqn.gamma=0.9."),
        ("total_steps=1 000", "Write --set total_steps=1000."),
        ("total_steps=", "has no value"),
        ("solved_at=None", "leave solved_at out"),
        ("dqn.gamma=high", "dqn.gamma: "),
        ("gamma=0.9", "unknown key 'gamma'. Did you mean dqn.gamma?"),
        ("gama=0.9", "unknown key 'gama'. Did you mean dqn.gamma?"),
        ("total_step=5", "Did you mean total_steps?"),
        ("nonsense=5", "unknown key 'nonsense'"),
        ("env.size=5", "For the environment's constructor: env_kwargs.size."),
        ("DQN.gamma=0.9", "unknown table 'DQN'; the agent's is 'dqn'"),
    ],
)
def test_keys_whose_kind_is_known(text: str, words: str) -> None:
    said = refused(text)
    assert words in said
    assert "As a text" not in said


def test_texts_need_no_quotes_where_texts_are_wanted() -> None:
    overrides = ["device=cpu", "on_nan=skip-seed", "track=none", "solved_by=training"]
    recipe = Recipe.load(env="CartPole-v1", overrides=overrides)
    assert (recipe.device, recipe.on_nan, recipe.track, recipe.solved_by) == ("cpu", "skip-seed", (), "training")


def test_the_slippery_lake(tmp_path: Path) -> None:
    said = mistake(
        "train", "--env", "FrozenLake-v1", "--set", "env_kwargs.is_slippery=False", "--out", tmp_path / "run"
    )
    assert "Write --set env_kwargs.is_slippery=false." in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("value", "right"), [("128,128", "[128, 128]"), ("64 64 64", "[64, 64, 64]")])
def test_entries_without_their_brackets_are_a_list_where_one_is_wanted(value: str, right: str) -> None:
    with pytest.raises(UsageError) as told:
        Recipe.load(env="CartPole-v1", overrides=[f"dqn.hidden={value}"])
    assert f"is no TOML. Write --set {shlex.quote(f'dqn.hidden={right}')}." in str(told.value)
    assert Recipe.load(env="CartPole-v1", overrides=[f"dqn.hidden={right}"]).hyper["hidden"] == json.loads(right)
