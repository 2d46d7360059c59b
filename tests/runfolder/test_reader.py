"""A reader of a run folder: what it gives of files that are whole, missing or damaged, and that it reads them once."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlbench.errors import NoRun, RunFolderError
from rlbench.recipe import Recipe
from rlbench.runfolder.documents import MOST_SEEDS, ended, numbers_of
from rlbench.runfolder.reader import Reader, no_run, readers_of, resume_of, sound
from rlbench.runfolder.tables import COLUMNS

EPISODES = ",".join(COLUMNS["episodes.csv"]) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.toml").write_text(Recipe(env="CartPole-v1", seeds=2, hyper={"gamma": 0.9}).to_toml())
    (run / "run.json").write_text('{"host": "here"}')
    (run / "summary.json").write_text('{"env_steps": 5, "final_eval_return": {"0": 1.5, "1": null}}')
    (run / "episodes.csv").write_text(EPISODES + "1,0,0,8,1.5,8,0.1\n0,0,0,9,2,9,0.2\n")
    return run


def test_each_file_is_read_when_it_is_asked_for_first_and_kept(folder: Path) -> None:
    reader = Reader(folder)
    assert reader.plan.value.numbers == range(2)
    assert reader.summary.value["env_steps"] == 5
    assert list(reader.table("episodes.csv").value) == [0, 1]
    for path in folder.iterdir():
        path.write_text("something else")
    assert reader.recipe.value["dqn"] == reader.plan.value.hyper == {"gamma": 0.9}
    assert reader.summary.value["env_steps"] == 5
    assert reader.last_row(folder, "episodes.csv").value["env_steps"] == 9
    assert reader.problems == []
    reader.forget_tables()
    assert reader.table("episodes.csv").value == {}
    assert "run.json is damaged" in Reader(folder).about.problem


def test_files_that_are_not_there_hold_nothing_and_are_no_damage(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    assert (reader.recipe, reader.about, reader.summary) == (({}, ""), ({}, ""), ({}, ""))
    assert reader.plan.problem == ""
    assert reader.table("updates.csv") == ({}, "")
    with pytest.raises(NoRun, match=r"is no run folder: it holds no recipe\.toml\. Runs lie under runs/\."):
        reader.check()


def test_while_a_run_of_several_processes_is_under_way_their_tables_count(folder: Path) -> None:
    (folder / "summary.json").unlink()
    for k in (0, 1):
        place = folder / "workers" / str(k)
        place.mkdir(parents=True)
        (place / "episodes.csv").write_text(EPISODES + f"{k},0,0,{50 + k},1,9,0.2\n" + "oops\n" * k)
    reader = Reader(folder, "")
    table, problem = reader.table("episodes.csv")
    assert {seed: list(rows["env_steps"]) for seed, rows in table.items()} == {0: [50], 1: [51]}
    assert problem == "workers/1/episodes.csv is damaged at line 3: 1 fields instead of 7"
    assert reader.problems == [problem]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "there is no 'env'"),
        ("env = 3\nagent = 'dqn'\nseeds = 1", "env is '3'"),
        ("env = 'x'\nseeds = 1", "there is no 'agent'"),
        ("env = 'x'\nagent = 'dqn'\nseeds = 'many'", "seeds is 'many'"),
        ("env = 'x'\nagent = 'dqn'\nseeds = 0", "seeds is 0"),
        (f"env = 'x'\nagent = 'dqn'\nseeds = {MOST_SEEDS + 1}", "seeds is 10001"),
        ("env = 'x'\nagent = 'dqn'\nseeds = 1\nseed = -1", "seed is -1"),
        ("env = 'x'\nagent = 'dqn'\nseeds = 1\ntotal_steps = 1.5", "total_steps is 1.5"),
        ("a = " + "[" * 9999, "it is nested too deeply"),
    ],
)
def test_a_recipe_that_asks_for_nothing_sensible(content: str, why: str, folder: Path) -> None:
    (folder / "recipe.toml").write_text(content)
    reader = Reader(folder)
    assert reader.plan.problem == f"{folder / 'recipe.toml'} is damaged: {why}"
    for use in (lambda: sound(reader.plan), reader.model):
        with pytest.raises(RunFolderError) as told:
            use()
        assert str(told.value) == f"{reader.plan.problem}."


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "recipe.toml").write_bytes(b"env = '\xff'")
    assert "recipe.toml is damaged: 'utf-8' codec can't decode byte 0xff" in Reader(folder).recipe.problem


@pytest.mark.parametrize(
    ("summary", "why"),
    [
        ({"env_steps": "many"}, "env_steps has 'many' where a number is expected"),
        ({"final_eval_return": [1]}, "final_eval_return is no table"),
        ({"best_eval_return": {"0": float("nan")}}, "best_eval_return has 'nan' where a number is expected"),
        ({"episodes": {"first": 1}}, "episodes has '1' where a number is expected"),
    ],
)
def test_a_summary_whose_numbers_are_none(summary: dict[str, Any], why: str, folder: Path) -> None:
    (folder / "summary.json").write_text(json.dumps(summary))
    assert Reader(folder).summary == ({}, f"{folder / 'summary.json'} is damaged: {why}")


def test_what_a_summary_says() -> None:
    assert numbers_of({"x": {"0": 1.5, "1": None}}, "x") == {0: 1.5}
    assert numbers_of({}, "x") == {}
    reasons = {"total_steps": True, "solved, total_steps": True, "interrupted": False, "interrupted, solved": False}
    assert {why: ended({"stopped_because": why}) for why in reasons} == reasons
    assert not ended({})


def test_a_folder_named_twice_has_one_reader(folder: Path) -> None:
    one, two = Reader(folder), folder.parent / "run" / ".." / "run"
    assert readers_of([one, two, str(folder)]) == [one]


def test_where_runs_are_said_to_be(folder: Path) -> None:
    assert no_run(folder.parent).endswith(f"It holds runs, though: name {folder.parent}/*")
    assert no_run(folder / "run.json").endswith(f"run.json is no run folder: it is a file. Its run may be {folder}.")
    (folder.parent / "policy.bin").touch()
    assert no_run(folder.parent / "policy.bin").endswith("is no run folder: it is a file. Runs lie under runs/.")
    assert no_run(folder / "none").endswith("none is no run folder: there is no such folder. Runs lie under runs/.")


def test_how_to_go_on_needs_no_recipe_that_is_whole(folder: Path) -> None:
    text = (folder / "recipe.toml").read_text().replace('agent = "dqn"', 'agent = "mine.py:Mine"')
    (folder / "recipe.toml").write_text(text)
    assert resume_of(folder / "workers" / "3") == f"rlbench train --resume {folder} --agent mine.py:Mine"
    (folder / "recipe.toml").write_text("env = [")
    assert resume_of(folder) == f"rlbench train --resume {folder}"


def test_what_is_not_known_of_code_is_said(folder: Path) -> None:
    (folder / "run.json").write_text("{")
    reader = Reader(folder)
    assert reader.code_notes([]) == []
    assert reader.code_notes(["json"]) == [f"{reader.about.problem}: whether code has changed since is not known"]
