"""A sweep folder beside a file that has changed: cells come and go, and no name stands for two things."""

from pathlib import Path

import pytest
from test_driver import TEXT, Scripted, drive

from rlbench.cells.order import Order
from rlbench.driving.prepare import Recipes, Trust
from rlbench.driving.reconcile import check_folder
from rlbench.driving.run import plan_sweep
from rlbench.engines.engine import Needs
from rlbench.errors import RunFolderError, UsageError
from rlbench.recipe import Recipe
from rlbench.sweep.file import parse_file
from rlbench.sweep.folder import open_sweep
from rlbench.sweep.plan import Cell


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A sweep whose three cells are done, as far as their folders say."""
    _, _, end = drive(tmp_path, Scripted(lambda order: (0, 100)))
    recipes = Recipes(parse_file(TEXT, "x.toml"), Trust())
    for cell in end.cells:
        (tmp_path / "cells" / cell.name / "recipe.toml").write_text(recipes.recipe(cell).to_toml())
    return tmp_path


def begun(out: Path, text: str) -> list[str]:
    engine = Scripted(lambda order: (0, 100))
    drive(out, engine, text)
    return [name.removeprefix("FrozenLake-v1_random_") for name, _ in engine.begun]


def test_cells_are_added_and_left_out_and_the_others_are_not_touched(done: Path) -> None:
    assert begun(done, TEXT.replace("[0, 1, 2]", "[1, 2, 7]")) == ["seed=7"]
    engine = Scripted(lambda order: (0, 100))
    _, quiet, _ = drive(done, engine, TEXT.replace("[0, 1, 2]", "[1]"))
    assert engine.begun == []
    assert ["3 runs in" in note and "left as they are" in note for note in quiet.notes] == [True]
    assert len(list((done / "cells").iterdir())) == 4


def test_more_steps_let_finished_cells_go_on_and_fewer_leave_them(done: Path) -> None:
    assert begun(done, TEXT.replace("total_steps = 100", "total_steps = 90")) == []
    assert begun(done, TEXT.replace("total_steps = 100", "total_steps = 200")) == ["seed=0", "seed=1", "seed=2"]


def test_more_steps_are_not_forgotten_where_the_driver_dies_before_a_cell_goes_on(done: Path) -> None:
    class Dying(Scripted):
        def begin(self, order: Order, needs: Needs) -> None:
            raise RunFolderError("killed")

    text = TEXT.replace("total_steps = 100", "total_steps = 200")
    with pytest.raises(RunFolderError, match="killed"):
        drive(done, Dying(lambda order: (0, 100)), text)
    assert begun(done, text) == ["seed=0", "seed=1", "seed=2"]


def test_what_changes_no_result_may_change(done: Path) -> None:
    assert begun(done, TEXT.replace("seeds = 1\n", 'seeds = 1\ntrack = "none"\ncheckpoint_every = 5\n')) == []


def test_a_recipe_file_that_has_changed_is_told_with_its_key(tmp_path: Path) -> None:
    base, out = tmp_path / "base.toml", tmp_path / "out"
    text = f'[base]\nrecipe = "{base}"\n[grid]\nseed = [0]\n'
    settings = 'env = "FrozenLake-v1"\nagent = "dqn"\ntotal_steps = 100\n'
    base.write_text(settings + "[dqn]\ngamma = 0.5\n")
    _, _, end = drive(out, Scripted(lambda order: (0, 100)), text)
    recipes = Recipes(parse_file(text, "x.toml"), Trust())
    for cell in end.cells:
        (out / "cells" / cell.name / "recipe.toml").write_text(recipes.recipe(cell).to_toml())
    more = text.replace("[0]", "[0, 1]")
    base.write_text(settings + "# the same\n[dqn]\ngamma = 0.5\n")
    assert [name[-6:] for name in begun(out, more)] == ["seed=1"]
    base.write_text(settings + "[dqn]\ngamma = 0.7\n")
    with pytest.raises(UsageError, match=r"x\.toml with .*base\.toml: cell .*dqn\.gamma = 0\.5, .* says 0\.7\. Give"):
        begun(out, more)


def test_what_changes_a_result_is_refused(done: Path) -> None:
    with pytest.raises(
        UsageError, match=r"seed=0 was run with num_envs = \d+, and the file now says 7. Give the sweep"
    ):
        begun(done, TEXT.replace("seeds = 1\n", "seeds = 1\nnum_envs = 7\n"))


def test_a_cell_whose_folder_was_removed_is_run_again(done: Path) -> None:
    import shutil

    shutil.rmtree(done / "cells" / "FrozenLake-v1_random_seed=1")
    assert begun(done, TEXT) == ["seed=1"]


def test_a_sweep_whose_own_file_is_lost_or_damaged_goes_on_with_its_sweep_file(done: Path) -> None:
    for harm in (lambda: (done / "sweep.json").write_text("{"), (done / "sweep.json").unlink):
        harm()
        plan_sweep(parse_file(TEXT, "x.toml"), done)
        assert begun(done, TEXT) == []
        assert len(open_sweep(done).cells) == 3


def test_the_folder_of_something_else_is_refused(done: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    cells = (Cell("x", "x", "A-v0", {}),)
    with pytest.raises(UsageError, match="holds another sweep, of 3 cells such as FrozenLake-v1_random_seed=0; none"):
        check_folder(done, cells, "x.toml")
    run = tmp_path_factory.mktemp("run")
    check_folder(run, cells, "x.toml")  # empty
    (run / "recipe.toml").write_text(Recipe.load(None, env="FrozenLake-v1").to_toml())
    with pytest.raises(UsageError, match="holds other things than a sweep"):
        check_folder(run, cells, "x.toml")
    with pytest.raises(UsageError, match="is a file"):
        check_folder(run / "recipe.toml", cells, "x.toml")
