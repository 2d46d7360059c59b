"""The studies run, and find what is planted: in pools made by hand, and in shapes whose truth is simple."""

import numpy as np
import pytest
from click.testing import CliRunner
from rlbench.experiments.studies.__main__ import studies
from rlbench.experiments.studies.cards import bytes_of, recorded
from rlbench.experiments.studies.coverage import rows
from rlbench.experiments.studies.planted import experiment


def test_coverage_prints_a_line_per_interval() -> None:
    arguments = ["coverage", "--experiments", "20", "--reps", "100", "--seeds", "4", "--shape", "wide"]
    result = CliRunner().invoke(studies, arguments)
    assert result.exit_code == 0, result.output
    lines = [line.split("  ")[0] for line in result.output.splitlines()[2:]]
    assert lines == ["difference of IQMs", "difference of means", "P(improvement)"]


@pytest.mark.slow
def test_coverage_sees_that_plain_percentiles_are_too_narrow() -> None:
    found = {row.what: row for row in rows(5, 250, 300, "normal") if row.shape == "normal"}
    assert found["mean"].percentile < 0.89
    assert found["mean"].ours > found["mean"].percentile + 0.03
    assert 0.91 < found["difference of IQMs"].ours < 0.99


@pytest.mark.slow
def test_experiments_find_what_is_planted() -> None:
    rng = np.random.default_rng(0)
    pool = {"A": rng.normal(0, 1, 100), "B": rng.normal(5, 1, 100)}
    worse = {env: scores - 3 for env, scores in pool.items()}
    found = experiment(worse, pool, ("A", "B"), 10, 30)
    assert found.outcomes == {"worse": 30}
    assert found.truth == pytest.approx(-3, abs=0.1)
    same = experiment(pool, pool, ("A",), 10, 200)
    assert same.outcomes["undecided"] >= 180
    assert same.truth == 0
    # Half a unit at sd 1 takes 63 seeds by the mean, somewhat more by the IQM.
    close = experiment({"A": pool["A"] + 0.5}, pool, ("A",), 10, 5)
    assert 40 < close.needed < 110
    assert close.guesses


def test_many_cards_are_reckoned_from_the_tensors_of_agents() -> None:
    arguments = ["cards", "--cards", "4", "--seeds", "1000", "--total-steps", "1000000", "--episodes", "300"]
    result = CliRunner().invoke(studies, arguments)
    assert result.exit_code == 0, result.output
    assert "1,000 seeds on 4 cards, 250 each" in result.output
    assert "688,804 env steps/s; 1.0 billion steps take 0.4 h" in result.output
    assert "episodes.csv: 5 million rows" in result.output
    of = bytes_of("dqn", {"hidden": [64, 64], "batch_size": 64, "capacity": 1_000, "layer_norm": False})
    params = 4 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2
    assert of.params == 2 * params
    assert of.networks >= 4 * 5 * params  # online, target, gradients and two moments
    assert of.replay == 1_000 * 48
    assert bytes_of("dqn", {"hidden": [64, 64], "capacity": 2_000}).replay == 2 * of.replay


def test_what_the_record_costs_is_measured() -> None:
    seconds, table, journal = recorded(3, 40, 60)
    assert seconds > 0
    assert 15 < table < 80
    assert 40 < journal < 40 + 120  # a byte for each action, a head and two checksums, and a share of the first line
