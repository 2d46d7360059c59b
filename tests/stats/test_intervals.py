"""Tests of stats.intervals: numbers worked by hand, scipy as the oracle, and whether intervals cover what they say."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.stats

from rlbench.stats import intervals as stats
from rlbench.stats.student import t_quantile


def test_iqm_by_hand() -> None:
    assert stats.iqm([1, 2, 3, 100]) == 2.5  # one of each end left out
    assert stats.iqm([100, 1, 3, 2, 4]) == 3.0  # floor(5 / 4) = 1: the mean of 2, 3 and 4
    assert stats.iqm([7, 1, 100]) == 36.0  # nothing left out
    assert stats.iqm([5]) == 5.0


@pytest.mark.parametrize("n", range(1, 18))
def test_iqm_is_scipys_trimmed_mean(n: int) -> None:
    x = np.random.default_rng(n).normal(size=(3, n, 2))
    np.testing.assert_allclose(stats.iqm(x, 1), scipy.stats.trim_mean(x, 0.25, axis=1), rtol=1e-12)
    np.testing.assert_allclose(stats.iqm(x, -2), stats.iqm(x, 1), rtol=0)
    np.testing.assert_allclose(stats.iqm(x), scipy.stats.trim_mean(x, 0.25, axis=None), rtol=1e-12)


def test_iqm_does_not_trim_nan_away() -> None:
    np.testing.assert_array_equal(stats.iqm([[1, 2, 3, np.nan], [1, 2, 4, 9]], 1), [np.nan, 3.0])


def test_mean_interval_by_hand() -> None:
    low, high = stats.mean_interval([1.0, 2.0, 3.0])  # s = 1, t(2, 0.975) = 4.302653
    assert (float(low), float(high)) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-6)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 5, 30])
def test_mean_interval_is_scipys(n: int, confidence: float) -> None:
    x = np.random.default_rng(n).normal(3, 2, size=(4, n, 6))
    low, high = stats.mean_interval(x, axis=1, confidence=confidence)
    assert low.shape == high.shape == (4, 6)
    expected = scipy.stats.t.interval(confidence, n - 1, x.mean(1), scipy.stats.sem(x, axis=1))
    np.testing.assert_allclose([low, high], expected, rtol=1e-9)


def test_mean_interval_of_one_seed_and_of_a_missing_one_is_nan() -> None:
    low, high = stats.mean_interval([[1.0, 2.0]])
    np.testing.assert_array_equal([low, high], np.full((2, 2), np.nan))
    low, high = stats.mean_interval([[1.0, np.nan], [1.0, 2.0]])
    np.testing.assert_array_equal([low, high], [[1.0, np.nan], [1.0, np.nan]])


def test_mean_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for x, tolerance in (
        (rng.normal(100, 30, size=(4000, 10)), 0.012),  # 0.95 ± 3.5 standard errors of the simulation
        (100 * rng.uniform(size=(4000, 10)) + 50, 0.02),  # not normal: nearly as good
    ):
        low, high = stats.mean_interval(x, axis=1)
        assert np.mean((low < 100) & (high > 100)) == pytest.approx(0.95, abs=tolerance)
    # What it is there for: a bootstrap of ten seeds' mean promises 95 % and holds less.
    intervals = [stats.bootstrap_interval(row, np.mean, reps=300) for row in rng.normal(100, 30, size=(1000, 10))]
    assert np.mean([low < 100 < high for low, high in intervals]) < 0.93


def test_bootstrap_by_hand() -> None:
    # Two draws of 0 or 1: their mean is 0, 0.5 and 1 with chances 1/4, 1/2 and 1/4.
    assert stats.bootstrap_interval([0, 1], np.mean, confidence=0.95) == (0.0, 1.0)
    assert stats.bootstrap_interval([0, 1], np.mean, confidence=0.40) == (0.5, 0.5)
    assert stats.bootstrap_interval([3, 3, 3]) == (3.0, 3.0)


def test_bootstrap_keeps_the_number_of_seeds_per_stratum() -> None:
    values, tasks = [0, 10, 0, 10, 0], ["easy", "hard", "easy", "hard", "easy"]
    assert stats.bootstrap_interval(values, np.mean, strata=tasks) == (4.0, 4.0)
    low, high = stats.bootstrap_interval(values, np.mean)
    assert low < 4 < high


def test_bootstrap_of_curves_draws_whole_seeds() -> None:
    values = np.array([[0.0, 5.0, 0.0], [1.0, 5.0, -1.0]])  # (S, N)
    low, high = stats.bootstrap_interval(values, np.mean)
    np.testing.assert_array_equal([low, high], [[0, 5, -1], [1, 5, 0]])


def test_bootstrap_agrees_with_scipy() -> None:
    x = np.random.default_rng(1).gamma(2.0, size=40)
    theirs = scipy.stats.bootstrap(
        (x,), stats.iqm, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    np.testing.assert_allclose(stats.bootstrap_interval(x, reps=4000), theirs, atol=0.05)


def test_bootstrap_is_repeatable_and_touches_no_global_generator() -> None:
    x = np.random.default_rng(0).normal(size=10)
    before: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    assert stats.bootstrap_interval(x) == stats.bootstrap_interval(x)
    assert stats.bootstrap_interval(x) != stats.bootstrap_interval(x, seed=1)
    after: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    np.testing.assert_equal(after, before)


def test_summary_by_hand() -> None:
    assert stats.summary([1, 2, 3, 4, 100]) == {"mean": 22.0, "median": 3.0, "iqm": 3.0, "min": 1.0, "max": 100.0}


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        stats.iqm([])
    with pytest.raises(ValueError, match="nothing"):
        stats.mean_interval(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="nothing"):
        stats.bootstrap_interval([])
    with pytest.raises(ValueError, match="confidence"):
        stats.mean_interval([1, 2], confidence=95)
    with pytest.raises(ValueError, match="one label per seed"):
        stats.bootstrap_interval([1, 2], strata=[1, 2, 3])


@pytest.mark.parametrize("df", [*range(1, 40), 99, 100, 998, 999])
def test_students_t_is_scipys(df: int) -> None:
    for p in (0.01, 0.3, 0.5, 0.6, 0.9, 0.95, 0.975, 0.995, 0.9999):
        assert t_quantile(df, p) == pytest.approx(scipy.stats.t.ppf(p, df), rel=1e-11, abs=1e-11)


@pytest.mark.parametrize(("df", "p"), [(0, 0.9), (1.5, 0.9), (3, 0.0), (3, 1.0), (3, float("nan"))])
def test_what_has_no_quantile_is_said(df: float, p: float) -> None:
    with pytest.raises(ValueError, match="Student's t has 1 degree of freedom or more"):
        t_quantile(df, p)  # type: ignore[arg-type]


def test_intervals_import_no_scipy() -> None:
    """It takes longer to import than all of a short run's intervals take."""
    use = "from rlbench.stats.intervals import mean_interval; mean_interval([1, 2, 4])"
    code = f"import sys; {use}; print('scipy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
