"""The studies run, and find what is planted: in pools made by hand, and in shapes whose truth is simple."""

import numpy as np
import pytest
from click.testing import CliRunner
from rlbench.experiments.studies.__main__ import studies
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
