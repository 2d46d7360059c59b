"""Tests of rlbench.plots.curves: curves worked by hand out of small run folders, and what is said of damaged ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlbench.errors import RunFolderError, UsageError
from rlbench.plots.curves import group_runs, learning_curve
from rlbench.stats import intervals

HEADER = "seed,env,episode,env_steps,episode_return,episode_length,wall_seconds\n"
# What happened to a seed: (env_steps, episode_return) of each episode.
Story = list[tuple[int, float]]


def write_run(
    run: Path,
    seeds: dict[int, Story],
    *,
    env: str = "CartPole-v1",
    agent: str = "dqn",
    keys: str = "",
    hyper: str = "learning_rate = 0.001",
    summary: dict[str, Any] | None = None,
) -> Path:
    """A run folder with the given episodes; ten steps take a second. ``summary`` {}: no summary.json."""
    run.mkdir(parents=True)
    recipe = f"env = '{env}'\nagent = '{agent}'\nseed = {min(seeds, default=0)}\nseeds = {len(seeds)}\n{keys}\n"
    (run / "recipe.toml").write_text(f"{recipe}[{agent.rpartition(':')[2]}]\n{hyper}\n")
    if summary is None:
        summary = {"solved_at": None, "stopped_because": "total_steps"}
    if summary:
        (run / "summary.json").write_text(json.dumps(summary))
    rows = [(steps, seed, i, value) for seed, story in seeds.items() for i, (steps, value) in enumerate(story)]
    text = "".join(f"{seed},0,{i},{steps},{value},1,{steps / 10:.3f}\n" for steps, seed, i, value in sorted(rows))
    (run / "episodes.csv").write_text(HEADER + text)
    return run


TWO = {3: [(10, 1.0), (20, 3.0), (40, 5.0)], 4: [(20, 10.0), (30, 20.0)]}  # seed 4 stopped at 30


def test_curve_by_hand(tmp_path: Path) -> None:
    curve = learning_curve(write_run(tmp_path / "r", TWO), window=2, points=4)
    np.testing.assert_array_equal(curve.x, [10, 20, 30, 40])
    np.testing.assert_array_equal(curve.per_seed, [[1, 2, 2, 4], [np.nan, 10, 15, 15]])
    np.testing.assert_array_equal(curve.middle, [np.nan, 6, 8.5, 9.5])
    np.testing.assert_array_equal(curve.ends, [40, 30])
    np.testing.assert_array_equal([curve.low, curve.high], intervals.mean_interval(curve.per_seed))
    assert (curve.label, curve.env, curve.agent, curve.seeds) == ("dqn", "CartPole-v1", "dqn", (3, 4))
    assert (curve.axis, curve.window, curve.planned, curve.solved_at) == ("steps", 2, 2, None)
    half = 12.706205 * 5.5  # t(1, 0.975) * s / sqrt(2), of 4 and 15
    assert curve.final() == pytest.approx((40, 9.5, 9.5 - half, 9.5 + half))


def test_the_other_axes_by_hand(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", TWO)
    curve = learning_curve(run, "episodes", window=2, points=3)
    np.testing.assert_array_equal(curve.x, [1, 2, 3])
    np.testing.assert_array_equal(curve.per_seed, [[1, 2, 4], [10, 15, 15]])
    curve = learning_curve(run, "time", window=1, points=4)
    np.testing.assert_array_equal(curve.x, [1, 2, 3, 4])
    np.testing.assert_array_equal(curve.per_seed, [[1, 3, 3, 5], [np.nan, 10, 20, 20]])


@pytest.mark.parametrize("window", [1, 7, 100])
def test_curve_against_a_plain_loop(tmp_path: Path, window: int) -> None:
    rng = np.random.default_rng(window)
    seeds = {
        s: [(int(t), float(r)) for t, r in zip(rng.integers(1, 30, 80).cumsum(), rng.normal(size=80), strict=True)]
        for s in range(3)
    }
    curve = learning_curve(write_run(tmp_path / "r", seeds), window=window, points=50)
    for i, story in seeds.items():
        for x, value in zip(curve.x, curve.per_seed[i], strict=True):
            past = [r for t, r in story if t <= x][-window:]
            assert value == pytest.approx(np.mean(past), abs=1e-12) if past else np.isnan(value)


def test_episodes_of_several_copies_end_at_the_same_step(tmp_path: Path) -> None:
    curve = learning_curve(write_run(tmp_path / "r", {0: [(8, 1.0), (8, 2.0), (8, 6.0)]}), window=2)
    np.testing.assert_array_equal(curve.x, [8])
    np.testing.assert_array_equal(curve.per_seed, [[4]])


def test_one_seed_has_a_mean_and_no_interval(tmp_path: Path) -> None:
    curve = learning_curve(write_run(tmp_path / "r", {7: [(5, 1.0), (10, 2.0)]}), window=1)
    np.testing.assert_array_equal(curve.middle, curve.per_seed[0])
    assert curve.middle[-1] == 2.0
    assert np.isnan([curve.low, curve.high]).all()


def test_a_run_under_way(tmp_path: Path) -> None:
    """No summary, a seed without an episode, a last line cut short."""
    run = write_run(tmp_path / "r", {0: [(10, 1.0)], 1: [(20, 5.0)], 2: []}, summary={}, keys="solved_at = 100")
    whole = (run / "episodes.csv").read_text()
    for cut in ("0", "0,0,1,30,9", "0,0,1,30,9.0,1,3.0", "0,0,1,30,9.0,1,3.0\r"):
        (run / "episodes.csv").write_text(whole + cut, newline="")
        curve = learning_curve(run, points=2)
        np.testing.assert_array_equal(curve.per_seed, [[1, 1], [np.nan, 5]])
    assert (curve.seeds, curve.planned, curve.solved_at) == ((0, 1), 3, 100.0)
    (run / "episodes.csv").write_text(whole.replace("\n", "\r\n"), newline="")
    assert learning_curve(run).seeds == (0, 1)


def test_runs_of_one_experiment_are_pooled_and_others_named_apart(tmp_path: Path) -> None:
    story = {0: [(10, 1.0), (20, 2.0)], 1: [(10, 3.0), (20, 4.0)]}
    other = {2: [(10, 5.0), (20, 6.0)], 3: [(10, 7.0), (20, 8.0)]}
    runs = [
        write_run(tmp_path / "a", story),
        write_run(tmp_path / "fast", story, hyper="learning_rate = 0.01"),
        write_run(tmp_path / "b", other),
        write_run(tmp_path / "mine", story, agent="mine.py:DQN", hyper=""),
        write_run(tmp_path / "theirs", story, agent="theirs.py:DQN", hyper=""),
        write_run(tmp_path / "catch", story, env="rlbench/Catch-v0"),
    ]
    curves = group_runs([*runs, runs[0], str(runs[1])], window=1)  # a run named twice counts once
    assert [(c.label, c.env, c.seeds) for c in curves] == [
        ("dqn, learning_rate=0.001", "CartPole-v1", (0, 1, 2, 3)),
        ("dqn, learning_rate=0.01", "CartPole-v1", (0, 1)),
        ("DQN (mine)", "CartPole-v1", (0, 1)),
        ("DQN (theirs)", "CartPole-v1", (0, 1)),
        ("dqn", "rlbench/Catch-v0", (0, 1)),
    ]
    np.testing.assert_array_equal(curves[0].per_seed[:, -1], [2, 4, 6, 8])
    assert (curves[0].middle[-1], curves[0].planned) == (5.0, 4)


def test_a_repeated_history_is_no_new_evidence(tmp_path: Path) -> None:
    longer = {0: [(10, 1.0), (20, 2.0), (30, 9.0)], 1: [(10, 3.0), (30, 4.0)]}
    killed = {0: longer[0][:2], 1: longer[1][:1]}
    runs = [write_run(tmp_path / "killed", killed, summary={}), write_run(tmp_path / "whole", longer)]
    for order in (runs, runs[::-1]):
        (curve,) = group_runs(order, window=1)
        assert (curve.seeds, curve.planned, curve.final()[:2]) == ((0, 1), 2, (30, 6.5))


@pytest.mark.parametrize("summary", [{}, {"stopped_because": "interrupted"}])
def test_the_mean_ends_where_a_killed_run_ends(tmp_path: Path, summary: dict[str, Any]) -> None:
    whole = write_run(tmp_path / "whole", {0: [(10, 1.0), (20, 2.0), (40, 3.0)]})
    killed = write_run(tmp_path / "killed", {1: [(10, 1.0), (20, 4.0)], 2: [(10, 6.0)]}, summary=summary)
    (curve,) = group_runs([whole, killed], window=1, points=4)
    np.testing.assert_array_equal(curve.x, [10, 20, 30, 40])
    np.testing.assert_array_equal(curve.middle, [8 / 3, 4, np.nan, np.nan])
    np.testing.assert_array_equal(curve.per_seed[2], [6, 6, np.nan, np.nan])
    assert curve.final()[:2] == (20, 4)


def test_pooled_runs_that_never_met_have_no_final_value(tmp_path: Path) -> None:
    early = write_run(tmp_path / "early", {0: [(10, 1.0)]}, summary={})
    late = write_run(tmp_path / "late", {1: [(50, 1.0)]})
    (curve,) = group_runs([early, late])
    assert np.isnan(curve.final()).all()


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (HEADER.replace(",wall_seconds", "") + "0,0,0,10,1.0,10\n", 1, "no column 'wall_seconds'"),
        (HEADER + "0,0,0,10,1.0,10,1.0\n0,0,1,20\n", 3, "4 fields instead of 7"),
        (HEADER + "\n0,0,0,10,1.0,10,1.0\n", 2, "1 fields instead of 7"),
        (HEADER + "0,0,0,10,one,10,1.0\n", 2, "'one'"),
        (HEADER + "0,0,0,1e1,1.0,10,1.0\n", 2, "'1e1'"),
        (HEADER + "0,0,0,10,nan,10,1.0\n", 2, "not finite"),
        (HEADER + "0,0,0,10,1.0,10,1.0\n1,0,0,5,1.0,5,1.0\n0,0,1,9,1.0,9,1.0\n", 4, "env_steps of seed 0 goes back"),
    ],
)
def test_a_damaged_csv_is_named_with_its_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    run = write_run(tmp_path / "r", {0: []})
    (run / "episodes.csv").write_text(text)
    with pytest.raises(RunFolderError, match=f"episodes.csv is damaged at line {line}: .*{reason}"):
        learning_curve(run)


def test_bytes_that_are_no_text_are_damage_too(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", {0: [(10, 1.0)]})
    with (run / "episodes.csv").open("ab") as file:
        file.write(b"\xff\x00\xfe\n")
    with pytest.raises(RunFolderError, match=r"episodes\.csv is damaged at line 3: "):
        learning_curve(run)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("recipe.toml", "env = "),
        ("recipe.toml", "agent = 'dqn'\nseeds = 1"),
        ("summary.json", "{"),
        ("summary.json", "[1]"),
        ("summary.json", "3"),
    ],
)
def test_damaged_facts_name_the_file(tmp_path: Path, name: str, content: str) -> None:
    run = write_run(tmp_path / "r", {0: [(10, 1.0)]})
    (run / name).write_text(content)
    with pytest.raises(RunFolderError, match=f"{name} is damaged: "):
        learning_curve(run)


def test_no_episode_yet(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", {0: []})
    for text in (HEADER, "seed,env,epi", ""):
        (run / "episodes.csv").write_text(text)
        with pytest.raises(UsageError, match=r"no episode finished yet in .*r;"):
            learning_curve(run)
    (run / "episodes.csv").unlink()
    with pytest.raises(UsageError, match="no episode finished yet"):
        learning_curve(run)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "r", {0: [(10, 1.0)]})
    with pytest.raises(UsageError, match="no such folder"):
        learning_curve(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"holds no recipe.toml\. It holds runs, though: name .*runs/\*"):
        learning_curve(run.parent)
    with pytest.raises(UsageError, match="unknown x 'updates': choose one of steps, episodes, time"):
        learning_curve(run, "updates")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="window must be at least 1"):
        learning_curve(run, window=0)


@pytest.mark.parametrize(("episodes", "window"), [(40, 10), (400, 40), (3000, 100)])
def test_the_window_goes_by_how_many_episodes_there_are(episodes: int, window: int, tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", {s: [(5 * i, 1.0) for i in range(1, episodes + 1)] for s in (0, 1)})
    assert learning_curve(run).window == window
    assert learning_curve(run, window=7).window == 7
