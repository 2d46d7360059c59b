"""What `rlbench.load` and `rlbench.evaluate` give: an agent that shows itself, and returns that print their means."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rlbench
from rlbench.play.greedy import play_returns

KEYS: dict[str, Any] = {
    "seeds": 3, "num_envs": 2, "total_steps": 200, "eval_every": 100, "eval_episodes": 2, "final_eval_episodes": 1,
    "track": "none", "progress": "none",
    "dqn": {"hidden": [8], "batch_size": 8, "learning_starts": 20, "capacity": 100},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rlbench.train("CartPole-v1", out=tmp_path_factory.mktemp("trained") / "run", **KEYS).folder


def test_it_is_short(folder: Path) -> None:
    text = repr(rlbench.load(folder))
    assert text == f"<trained: dqn on CartPole-v1, 3 seeds, after 200 env steps; {folder / 'best.pth'}>"
    assert "seed 1, after" in repr(rlbench.load(folder, seed=1))


def test_a_notebook_shows_its_seeds(folder: Path) -> None:
    html = rlbench.load(folder)._repr_html_()
    assert html.count("<tr><td>") == 3
    assert "dqn on CartPole-v1" in html


def test_one_of_its_seeds_is_as_load_opens_it(folder: Path) -> None:
    whole = rlbench.load(folder)
    for seed in (1, "best"):
        one, direct = whole.only(seed), rlbench.load(folder, seed=seed)  # type: ignore[arg-type]
        assert one.seeds == direct.seeds
        mine, other = (t.agent.state_dict()["q_net"] for t in (one, direct))
        assert all(torch.equal(mine[name], other[name]) for name in mine)
    assert whole.seeds == [0, 1, 2]
    with pytest.raises(rlbench.UsageError, match="no seed 7"):
        whole.only(7)


def test_it_films_the_episodes_that_an_evaluation_counts(folder: Path) -> None:
    trained = rlbench.load(folder)
    returns = rlbench.evaluate(trained, 2)
    film = trained.film(2, seed=1)
    assert film.title == (f"CartPole-v1, seed 1, 2 greedy episodes: return {returns[1, 0]:.0f}, {returns[1, 1]:.0f}")
    assert [one.episode_return for one in play_returns(trained.only(1), 2)] == returns[1].tolist()
    assert len(film) > returns[1].sum()
    with pytest.raises(rlbench.UsageError, match="one episode or more"):
        trained.film(0)


def test_returns_print_their_means_and_are_an_array(folder: Path) -> None:
    returns = rlbench.evaluate(folder, 4)
    assert repr(returns).startswith("<returns of 4 greedy episodes per seed: means ")
    assert returns.seeds == (0, 1, 2)
    assert returns.dtype == np.float64
    part = returns[:, :2]
    assert repr(part) == repr(np.asarray(part))
    assert repr(returns.mean(1)) == repr(np.asarray(returns).mean(1))
    for computed in (returns.mean(1), returns + 1, returns > 0, returns.T @ returns):
        assert type(computed) is np.ndarray
    for number in (returns.mean(), returns.std(), returns.max(), np.median(returns), returns[0, 0]):
        assert isinstance(number, float)
        assert f"{number:.1f}"
