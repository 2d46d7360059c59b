"""Sweep files: what they may hold, and what is said of those that are none."""

from pathlib import Path

import pytest

from rlbench.errors import UsageError
from rlbench.sweep.file import parse_file, read_file

GRID = '[grid]\nagent = ["dqn", "pqn"]\n'


def test_keys_are_the_same_with_and_without_quotes() -> None:
    plain = parse_file("[base]\ndqn.gamma = 0.9\n[base.env_kwargs]\nmap.size = 4\n" + GRID, "x.toml")
    quoted = parse_file('[base]\n"dqn.gamma" = 0.9\n"env_kwargs.map.size" = 4\n' + GRID, "x.toml")
    assert plain.base == quoted.base == {("dqn", "gamma"): 0.9, ("env_kwargs", "map", "size"): 4}


def test_a_list_is_one_value_of_a_list_of_lists() -> None:
    assert parse_file("[grid]\ndqn.hidden = [[64], [64, 64]]", "x").grid == {("dqn", "hidden"): [[64], [64, 64]]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[gird]\nx = [1]", "x.toml: unknown table 'gird'. Did you mean [grid]?"),
        ('env = "CartPole-v1"\n' + GRID, "x.toml: unknown table 'env'. A key of all runs goes into [base]"),
        ("[grid]\nseed = 3", "x.toml: [grid] seed: must be a list of values"),
        ("[grid]\nseed = [1, 2, 1.0]", "x.toml: [grid] seed: 1 and 1.0 are one value. Leave one out."),
        ("[grid]\nseed = []", "x.toml: [grid] seed: the list is empty"),
        ("[zip]\nseed = [1, 2]\nseeds = [1]", "side by side, and they differ in length: seed has 2, seeds has 1."),
        ("[grid]\nseed = [1]\n[zip]\nseed = [1]", "x.toml: seed varies in [grid] and in [zip]"),
        ("[base]\nseed = 1", "x.toml: nothing varies. Add [grid], [zip] or [[cell]]"),
        ("[resources]\ngpu = 1\n" + GRID, "x.toml: [resources] knows no 'gpu'. Did you mean gpus?"),
        ("cell = 3\n" + GRID, "x.toml: cell: each cell is a table of its own, [[cell]]."),
        ("grid = 3", "x.toml: grid: must be a table, [grid], not 3"),
        ("[[cell]]\nname = 3", "x.toml: [[cell]] name: must be a text, got 3"),
        ("[grid", "x.toml is no valid TOML"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_key(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_file(text, "x.toml")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no sweep file"):
        read_file(tmp_path / "none.toml")
    with pytest.raises(UsageError, match=r"is a folder, and no sweep was begun in it"):
        read_file(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    with pytest.raises(UsageError, match="cannot read"):
        read_file(tmp_path / "latin.toml")


def test_true_is_not_one_and_side_by_side_a_value_may_stand_twice() -> None:
    assert parse_file("[grid]\nx = [1, true]\n[zip]\ny = [1, 1.0]\nz = [1, 2]", "x").zip["y",] == [1, 1.0]
