"""From a sweep file to cells: which there are, and what they are called."""

import itertools

import pytest

from rlbench.errors import UsageError
from rlbench.sweep.file import SweepFile, parse_file
from rlbench.sweep.plan import Cell, Names, cells_of, combinations, digest, source_key


def names(file: SweepFile, env: str = "A-v0", agent: str = "dqn") -> Names:
    """As recipes would say: ``env`` and ``agent`` where the file says nothing."""
    recipes = {}
    for _, _, settings in combinations(file):
        recipes[source_key(settings)] = settings.get(("env",), env), settings.get(("agent",), agent)
    return Names(recipes, {}, ("dqn", "ppo", "pqn"))


def cells(text: str) -> tuple[Cell, ...]:
    file = parse_file(text, "x.toml")
    return cells_of(file, names(file))


def test_a_grid_is_every_combination_named_by_what_varies() -> None:
    found = cells('[base]\nseeds = 3\n[grid]\nenv = ["A-v0", "my/B-v1"]\nseed = [0, 5]\ndqn.gamma = [0.9, 1]')
    assert [cell.name for cell in found] == [
        f"{env}_dqn_seed={seed}_gamma={gamma}"
        for env, seed, gamma in itertools.product(("A-v0", "my-B-v1"), (0, 5), (0.9, 1))
    ]
    assert {cell.label for cell in found} == {"dqn gamma=0.9", "dqn gamma=1"}  # neither environment nor first seed
    assert found[-1].env == "my/B-v1"
    assert found[-1].settings == {"seeds": 3, "env": "my/B-v1", "seed": 5, "dqn.gamma": 1}


def test_a_zip_goes_side_by_side_and_with_a_grid_each_of_its_rows() -> None:
    found = cells("[grid]\nseed = [0, 1]\n[zip]\nnum_envs = [1, 8]\ntotal_steps = [10, 80]")
    assert [(c.settings["seed"], c.settings["num_envs"], c.settings["total_steps"]) for c in found] == [
        (0, 1, 10), (0, 8, 80), (1, 1, 10), (1, 8, 80),
    ]  # fmt: skip


def test_a_key_of_an_agents_table_varies_the_cells_of_that_agent_alone() -> None:
    found = cells('[base]\nppo.clip = 0.3\n[grid]\nagent = ["dqn", "ppo"]\nppo.epochs = [1, 2, 3]\ndqn.n_step = [1, 3]')
    assert [cell.name for cell in found] == [
        "A-v0_dqn_n_step=1", "A-v0_dqn_n_step=3",
        *(f"A-v0_ppo_epochs={n}" for n in (1, 2, 3)),
    ]  # fmt: skip
    assert "ppo.clip" not in found[0].settings
    assert found[-1].settings == {"ppo.clip": 0.3, "agent": "ppo", "ppo.epochs": 3}


def test_cells_of_their_own() -> None:
    found = cells('[base]\nseeds = 2\n[[cell]]\nname = "plain"\n[[cell]]\nagent = "ppo"\nseeds = 5')
    assert [(cell.name, cell.label) for cell in found] == [("plain", "plain"), ("A-v0_ppo_seeds=5", "ppo seeds=5")]
    assert found[0].settings == {"seeds": 2}


def test_a_name_tells_two_keys_with_one_ending_apart() -> None:
    (cell, *_) = cells("[grid]\nenv_kwargs.size = [3]\nwrapper_kwargs.size = [4]")
    assert cell.name == "A-v0_dqn_env_kwargs.size=3_wrapper_kwargs.size=4"


def test_values_become_words_of_a_path() -> None:
    found = cells('[grid]\nMine.hidden = [[64, 64], []]\ndouble = [true]\nagent = ["dir/my.py:Mine"]')
    assert [cell.name for cell in found] == ["A-v0_Mine_hidden=64x64_double=true", "A-v0_Mine_hidden=none_double=true"]


def test_a_long_name_is_cut_and_still_its_own() -> None:
    found = cells(f'[grid]\nenv_kwargs.text = ["{"a" * 300}", "{"a" * 301}"]')
    assert len({cell.name for cell in found}) == 2
    assert max(len(cell.name.encode()) for cell in found) <= 150


@pytest.mark.parametrize(
    "text",
    [
        "[grid]\ndqn.gamma = [0.9, 0.9]",
        '[grid]\nenv = ["a/b", "a-b"]',
        '[[cell]]\nname = "x"\n[[cell]]\nname = "x"\nseed = 1',
        "[[cell]]\nseed = 1\n[[cell]]\nseed = 1",
        '[[cell]]\nname = "A-v0_dqn_seed=1"\n[[cell]]\nseed = 1',
    ],
)
def test_two_cells_with_one_name_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"x\.toml: two cells have the name"):
        cells(text)


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "", "a b"])
def test_a_name_is_that_of_one_folder(name: str) -> None:
    if name:
        with pytest.raises(UsageError, match="is no name of a folder"):
            cells(f'[[cell]]\nname = "{name}"')
    else:
        assert cells('[[cell]]\nname = ""\nseed = 1')[0].name == "A-v0_dqn_seed=1"


def test_a_digest_is_of_all_that_is_set_and_of_nothing_else() -> None:
    one, two = (cells(f"[base]\nseeds = {n}\n[grid]\nseed = [1]")[0] for n in (2, 3))
    assert one.name == two.name
    assert digest(one) != digest(two)
    assert digest(one) == digest(cells("[base]\nseed = 1\n[grid]\nseeds = [2]")[0])
