"""A run in the hands of a program: what it prints, what a notebook shows of it, its records and its films."""

import base64
import csv
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlbench
from rlbench.runfolder.records import Records

KEYS: dict[str, Any] = {
    "seeds": 2, "num_envs": 2, "total_steps": 200, "eval_every": 100, "eval_episodes": 2, "final_eval_episodes": 2,
    "track": "none", "log_every": 40, "progress": "none",
    "dqn": {"hidden": [8], "batch_size": 8, "learning_starts": 20, "capacity": 100},
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> rlbench.Run:
    return rlbench.train("CartPole-v1", out=tmp_path_factory.mktemp("run") / "<one>", **KEYS)


def rows(run: rlbench.Run, name: str) -> list[dict[str, str]]:
    with (run.folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_is_short(run: rlbench.Run) -> None:
    text = repr(run)
    assert text.startswith("<run: dqn on CartPole-v1, 2 seeds, 200 env steps per seed, greedy return ")
    assert str(run.folder) in text
    assert len(text) < 120 + len(str(run.folder))


def test_a_notebook_shows_curve_and_scores(run: rlbench.Run) -> None:
    html = run._repr_html_()
    (code,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert base64.b64decode(code).startswith(b"\x89PNG")
    assert "greedy return, final weights" in html
    assert "greedy return, best weights" in html
    assert "0 of 2 seeds" in html
    assert "&lt;one&gt;" in html
    assert "<one>" not in html


def test_a_run_under_way_shows_what_there_is(tmp_path: Path) -> None:
    run = rlbench.train("CartPole-v1", out=tmp_path / "run", **KEYS)
    (run.folder / "summary.json").unlink()
    (run.folder / "episodes.csv").write_text(",".join(rows(run, "episodes.csv")[0]) + "\n")
    again = rlbench.Run.open(run.folder)
    assert again.summary == {}
    assert repr(again).startswith("<run: dqn on CartPole-v1, 2 seeds, not at its end; ")
    assert "<img" not in again._repr_html_()


@pytest.mark.parametrize("name", ["episodes", "evaluations", "updates"])
def test_records_are_the_tables(run: rlbench.Run, name: str) -> None:
    found, wanted = getattr(run, name)(), rows(run, f"{name}.csv")
    assert isinstance(found, Records)
    assert list(found.dtype.names or ()) == list(wanted[0])
    assert found.seed.dtype == np.int64
    assert len(found) == len(wanted) > 2
    assert (np.diff(found.env_steps) >= 0).all()
    for seed in (0, 1):
        mine = found[found.seed == seed]
        for column in wanted[0]:
            texts = [row[column] for row in wanted if row["seed"] == str(seed)]
            np.testing.assert_array_equal(mine[column], np.array([float(text or "nan") for text in texts]))


def test_records_of_an_empty_table(run: rlbench.Run, tmp_path: Path) -> None:
    quiet = rlbench.train("CartPole-v1", out=tmp_path / "run", **{**KEYS, "agent": "random", "dqn": {}})
    found = quiet.updates()
    assert found.dtype.names == ("seed", "env_steps", "updates")
    assert len(found) == 0


def test_a_damaged_table_is_told(run: rlbench.Run, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes((run.folder / "recipe.toml").read_bytes())
    (tmp_path / "episodes.csv").write_text((run.folder / "episodes.csv").read_text() + "1,2\n")
    with pytest.raises(rlbench.RlbenchError, match="damaged at line"):
        rlbench.Run.open(tmp_path).episodes()


@pytest.mark.slow
def test_to_pandas(run: rlbench.Run) -> None:
    pandas = pytest.importorskip("pandas")
    frame = run.evaluations().to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(run.evaluations().dtype.names or ())
    assert frame.groupby("seed").mean_return.count().to_dict() == {0: 2, 1: 2}


def test_without_pandas_it_says_what_to_install(run: rlbench.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(rlbench.UsageError, match=r"pip install 'rlbench\[notebook\]'"):
        run.episodes().to_pandas()


def test_it_films_what_was_learned_and_the_learning(run: rlbench.Run) -> None:
    best = run.play()
    assert "a greedy episode: return " in best.title
    both = run.play("first,last", seed=1)
    assert both.title.startswith("CartPole-v1, training, episode 0@")
    assert both.shape[1] > best.shape[1]  # side by side
    with pytest.raises(rlbench.UsageError, match="seed 7"):
        run.play(seed=7)
    with pytest.raises(rlbench.UsageError, match="seed 7"):
        run.play(0, seed=7)
    with pytest.raises(rlbench.UsageError, match="first,best,last"):
        run.play("first", episodes=2)


@pytest.mark.slow
def test_it_films_an_agent_of_ones_own_that_was_handed_over(tmp_path: Path) -> None:
    from rlbench.agents.random import Random

    class Mine(Random):
        pass

    keys = {key: value for key, value in KEYS.items() if key != "dqn"}
    run = rlbench.train("CartPole-v1", agent=Mine, out=tmp_path / "run", **keys)
    assert repr(run).startswith("<run: Mine on CartPole-v1")
    assert len(run.play()) > 5
    assert len(rlbench.Run.open(run.folder, agent=Mine).play()) > 5
    with pytest.raises(rlbench.UsageError, match="Hand it over again"):
        rlbench.Run.open(run.folder).play()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(rlbench.UsageError, match="is no run folder"):
        rlbench.Run.open(tmp_path)
