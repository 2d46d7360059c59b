"""Tests of stats.estimates and its neighbours: against published definitions written out as loops, and by hand."""

import itertools

import numpy as np
import pytest
import scipy.stats

from rlbench.judge.scales import KNOWN, reference
from rlbench.judge.verdict import interval, judge
from rlbench.stats.estimates import (
    Difference,
    Estimate,
    aggregate,
    difference,
    holm,
    improvement,
    optimality_gap,
    paired_difference,
    seeds_needed,
)
from rlbench.stats.intervals import bootstrap_interval, iqm
from rlbench.stats.resampling import counts_of, draw_counts, resampled_means, resampled_trimmed_means
from rlbench.stats.survival import kaplan_meier, median_time, wilson


def tasks(runs: int, count: int, seed: int = 0) -> np.ndarray:
    """Normalised scores (runs, tasks), of easy tasks and hard ones."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.gamma(1.5, 0.6, count) + rng.normal(0, 0.2, (runs, count)))


def columns(scores: np.ndarray) -> list[np.ndarray]:
    return list(scores.T)


@pytest.mark.parametrize(("runs", "count"), [(5, 26), (10, 55), (3, 57), (10, 1)])
def test_point_estimates_are_the_published_ones(runs: int, count: int) -> None:
    x = tasks(runs, count)
    found = aggregate(columns(x), reps=50)
    everything = sorted(x[i][j] for i in range(runs) for j in range(count))
    quarter = len(everything) // 4
    middle = everything[quarter : len(everything) - quarter]
    assert found.iqm.value == pytest.approx(sum(middle) / len(middle))
    assert found.iqm.value == pytest.approx(scipy.stats.trim_mean(x, 0.25, axis=None))
    per_task = [sum(x[i][j] for i in range(runs)) / runs for j in range(count)]
    assert found.mean.value == pytest.approx(sum(per_task) / count)
    assert found.median.value == pytest.approx(np.median(per_task if count > 1 else x))
    missed = [max(0.0, 1 - x[i][j]) for i in range(runs) for j in range(count)]
    assert optimality_gap(columns(x), reps=50).value == pytest.approx(sum(missed) / len(missed))


@pytest.mark.parametrize(("runs", "count"), [(5, 26), (10, 55)])
def test_probability_of_improvement_is_the_published_one(runs: int, count: int) -> None:
    x, y = tasks(runs, count).round(1), tasks(runs + 2, count).round(1)  # rounded: there are ties
    chances = []
    for j in range(count):
        wins = 0.0
        for a, b in itertools.product(x[:, j], y[:, j]):
            wins += 1.0 if a > b else 0.5 if a == b else 0.0
        chances.append(wins / (runs * (runs + 2)))
        u = scipy.stats.mannwhitneyu(x[:, j], y[:, j]).statistic
        assert chances[-1] == pytest.approx(u / (runs * (runs + 2)))
    assert improvement(columns(x), columns(y)).value == pytest.approx(sum(chances) / count)


@pytest.mark.parametrize(("runs", "count"), [(5, 26), (10, 55)])
def test_the_interval_is_a_stratified_bootstraps_taken_further_out(runs: int, count: int) -> None:
    x, rng = tasks(runs, count), np.random.default_rng(5)
    draws = []
    for _ in range(1200):
        resample = [[x[i][j] for i in rng.integers(0, runs, runs)] for j in range(count)]  # each task by itself
        draws.append(scipy.stats.trim_mean(np.array(resample), 0.25, axis=None))
    tail = scipy.stats.norm.cdf(-1.959964 * (runs / (runs - 1)) ** 0.5)
    expected = np.quantile(draws, [tail, 1 - tail])
    found = aggregate(columns(x)).iqm
    np.testing.assert_allclose([found.low, found.high], expected, atol=0.2 * (expected[1] - expected[0]))
    plain = np.quantile(draws, [0.025, 0.975])
    assert found.low < plain[0] < plain[1] < found.high


def test_the_mean_of_one_environment_has_a_students_width() -> None:
    x = np.random.default_rng(0).normal(size=10)
    found = aggregate([x]).mean
    low, high = scipy.stats.t.interval(0.95, 9, x.mean(), scipy.stats.sem(x))
    assert found.high - found.low == pytest.approx(high - low, rel=0.12)


def test_environments_count_the_same_however_many_seeds_they_have() -> None:
    many, few = np.full(40, 1.0), np.array([3.0, 3.0])
    found = aggregate([many, few], reps=100)
    assert found.iqm.value == pytest.approx(2)
    assert found.mean.value == pytest.approx(2)
    x = tasks(6, 4)
    twice = [np.repeat(column, 1 + j % 2 * 2) for j, column in enumerate(x.T)]  # each seed three times in some
    assert aggregate(twice, reps=10).mean.value == pytest.approx(aggregate(columns(x), reps=10).mean.value)
    assert aggregate(twice, reps=10).iqm.value == pytest.approx(aggregate(columns(x), reps=10).iqm.value, abs=0.03)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 11])
def test_resampling_by_counts_is_resampling(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.normal(size=(n, 3)).round(1)
    chosen = rng.integers(0, n, (40, n))
    counts = counts_of(chosen, n)
    drawn = values[chosen]  # (40, n, 3)
    np.testing.assert_allclose(resampled_means(values, counts), drawn.mean(1), atol=1e-12)
    np.testing.assert_allclose(resampled_trimmed_means(values, counts, n // 4), iqm(drawn, 1), atol=1e-12)
    np.testing.assert_allclose(
        resampled_trimmed_means(values, counts, (n - 1) // 2), np.median(drawn, axis=1), atol=1e-12
    )


def test_the_quick_bootstrap_gives_what_the_plain_one_gives() -> None:
    values = np.random.default_rng(2).normal(size=(9, 5))
    for statistic in (iqm, np.mean, np.median):
        quick = bootstrap_interval(values, statistic, reps=200)
        plain = bootstrap_interval(values, lambda x, axis, s=statistic: s(x, axis=axis), reps=200)
        np.testing.assert_allclose(quick, plain, atol=1e-12)


def test_draws_keep_strata_apart() -> None:
    counts = draw_counts([3, 5], 200, np.random.default_rng(0))
    assert counts.shape == (8, 200)
    assert (counts[:3].sum(0) == 3).all()
    assert (counts[3:].sum(0) == 5).all()
    assert (counts.sum(1) > 0).all()


def test_difference_by_hand() -> None:
    d = difference([np.array([5.0, 6, 7, 8])], [np.array([1.0, 2, 3, 4])])
    assert (d.iqm.value, d.mean.value, d.improvement.value) == (4, 4, 1)
    assert d.iqm.low > 0
    assert d.p < 0.01
    assert 0.4 < d.improvement.low < 0.9  # four seeds each: no bootstrap would say so
    assert d.improvement.high == 1
    same = difference([np.array([1.0, 2, 3, 4])], [np.array([1.0, 2, 3, 4])])
    assert same.improvement.value == 0.5
    assert same.p > 0.9


def test_the_p_value_says_what_the_interval_says() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        x, y = rng.normal(0.8, 1, 10), rng.normal(0, 1, 10)
        d = difference([x], [y], reps=2000)
        for confidence in (0.8, 0.95):
            inner = difference([x], [y], confidence, reps=2000).iqm
            if abs(d.p - (1 - confidence)) > 0.005:
                assert (inner.low > 0 or inner.high < 0) == (d.p < 1 - confidence)


def test_improvement_interval_solves_the_score_equation() -> None:
    x, y = np.arange(10.0), np.arange(10.0) + 2.5
    found = improvement([x], [y])
    for limit in (found.low, found.high):
        t = limit
        variance = t * (1 - t) * (1 + 9 * ((1 - t) / (2 - t) + t / (1 + t))) / 100
        assert abs(found.value - t) == pytest.approx(1.959964 * variance**0.5, abs=2e-4)


def test_seeds_needed_is_the_textbooks_number() -> None:
    # Two normal groups, sd 1, means half a unit apart, 80 % power at 5 %: 63 each (64 with Student's tails).
    d = Difference(Estimate(0.5, 0, 1), Estimate(0.5, 0, 1), Estimate(0.6, 0, 1), 0.1, error=(2 / 10) ** 0.5)
    assert seeds_needed(d, 10) == pytest.approx(62.8, abs=0.1)
    assert seeds_needed(d._replace(iqm=Estimate(0, -1, 1)), 10) == np.inf


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_wilson_by_hand() -> None:
    assert wilson(10, 10) == pytest.approx((1, 0.722467, 1), abs=1e-5)
    assert wilson(0, 10) == pytest.approx((0, 0, 0.277533), abs=1e-5)
    expected = scipy.stats.binomtest(3, 7).proportion_ci(method="wilson")
    assert wilson(3, 7)[1:] == pytest.approx((expected.low, expected.high))


def test_kaplan_meier_by_hand_and_as_scipy_has_it() -> None:
    # Remission under 6-mercaptopurine (Freireich et al. 1963): the median is 23 weeks.
    times = [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    happened = [True] * 9 + [False] * 12
    when, waiting = kaplan_meier(times, happened)
    assert when.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert waiting == pytest.approx([0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], abs=5e-4)
    assert median_time(times, happened) == 23
    data = scipy.stats.CensoredData(uncensored=times[:9], right=times[9:])
    assert waiting == pytest.approx(scipy.stats.ecdf(data).sf.evaluate(when))
    assert median_time([5, 7], [False, False]) == np.inf
    assert median_time([1, 2, 3, 4], [True] * 4) == 2


def test_one_seed_and_equal_seeds_give_no_warning_and_no_nonsense() -> None:
    one = aggregate([np.array([3.0])])
    assert one.iqm.value == one.mean.value == one.median.value == 3
    assert np.isnan([e.low for e in one]).all()
    assert np.isnan(optimality_gap([np.array([0.5])])[1:]).all()
    d = difference([np.array([3.0])], [np.array([1.0, 2.0])])
    assert np.isnan([d.iqm.low, d.mean.high, d.improvement.low, d.error]).all()
    assert d.p == 1
    flat = difference([np.full(10, 500.1)], [np.full(10, 500.1)])
    assert flat.iqm == flat.mean == (0, 0, 0)
    assert (flat.p, flat.error) == (1, 0)
    assert seeds_needed(flat, 10) == np.inf


@pytest.mark.parametrize("shape", ["normal", "skewed", "half fail"])
def test_the_decision_holds_its_error_rate(shape: str) -> None:
    from rlbench.experiments.studies.shapes import SHAPES

    rng, wrong = np.random.default_rng(0), 0
    for _ in range(500):
        x, y = SHAPES[shape](rng, (10,)), SHAPES[shape](rng, (10,))
        d = difference([x], [y], reps=500)
        wrong += judge(d, d.p, [x], [y], same=False, confidence=0.95, comparisons=1) in ("better", "worse")
    assert 0.02 < wrong / 500 < 0.08  # 0.05 ± 3 standard errors of the simulation


def test_references() -> None:
    scores = [np.array([3.0, 7.0]), np.array([5.0])]
    assert reference("X-v0", (0, 10), False, scores)[:2] == (0, 10)
    assert reference("CartPole-v1", None, False, scores)[:2] == KNOWN["CartPole-v1"]
    for env, changed in (("X-v0", False), ("CartPole-v1", True)):
        found = reference(env, None, changed, scores)
        assert found == (3, 7, "range")
        np.testing.assert_array_equal(found.normalise(scores[0]), [0, 1])
    assert all(low < high for low, high in KNOWN.values())


def test_numbers_as_text() -> None:
    assert interval(Estimate(41.26, 12.2, 66.4), signed=True) == "+41 [12, 66]"
    assert interval(Estimate(-0.5, -1.3, 0.0), signed=True) == "−0.5 [−1.3, 0.0]"
    assert interval(Estimate(-0.5, -1.3, -0.02), signed=True) == "−0.50 [−1.30, −0.02]"  # not "0.0": it leaves 0 out
    assert interval(Estimate(500, 500, 500)) == "500 [500, 500]"
    assert interval(Estimate(3.25, np.nan, np.nan)) == "3.25 (no interval)"
    assert interval(Estimate(-0.0001, -1, 1)) == "0.0 [−1.0, 1.0]"
    assert interval(Estimate(1e6, 9e5, 1.1e6)) == "1000000 [900000, 1100000]"


def test_a_paired_difference_is_that_of_pairs_drawn_anew() -> None:
    """Against resamples written out, by the same indices."""
    rng = np.random.default_rng(1)
    y = rng.normal(100, 30, 40)
    x = y + rng.normal(-2, 5, 40)
    found = paired_difference(x, y, reps=400)
    chosen = np.random.default_rng(0).integers(0, 40, (400, 40))
    draws = [scipy.stats.trim_mean(x[i], 0.25) - scipy.stats.trim_mean(y[i], 0.25) for i in chosen]
    tail = scipy.stats.norm.cdf(-scipy.stats.norm.ppf(0.975) * np.sqrt(40 / 39))
    assert found.iqm.value == pytest.approx(scipy.stats.trim_mean(x, 0.25) - scipy.stats.trim_mean(y, 0.25))
    assert (found.iqm.low, found.iqm.high) == pytest.approx(tuple(np.quantile(draws, [tail, 1 - tail])))
    assert found.error == pytest.approx(np.std(draws) * np.sqrt(40 / 39))
    assert found.mean.value == pytest.approx(np.mean(x - y))
    tail = scipy.stats.norm.cdf(-scipy.stats.t.ppf(0.975, 39) * np.sqrt(40 / 39))
    means = [np.mean((x - y)[i]) for i in chosen]
    assert (found.mean.low, found.mean.high) == pytest.approx(tuple(np.quantile(means, [tail, 1 - tail])))


def test_what_pairs_have_in_common_widens_no_interval() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(0, 100, 60)
    x = y + rng.normal(-3, 2, 60)
    paired, apart = paired_difference(x, y), difference([x], [y])
    assert paired.mean.high < 0 < apart.mean.high
    assert paired.iqm.high - paired.iqm.low < 0.5 * (apart.iqm.high - apart.iqm.low)


def test_equal_pairs_differ_by_nothing() -> None:
    x = np.random.default_rng(3).normal(size=30)
    found = paired_difference(x, x.copy())
    assert (*found.iqm, *found.mean, found.error) == (0,) * 7


def test_pairs_are_expected() -> None:
    with pytest.raises(ValueError, match="pairs are expected"):
        paired_difference(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="pairs are expected"):
        paired_difference(np.zeros(0), np.zeros(0))
    alone = paired_difference(np.ones(1), np.zeros(1))
    assert alone.mean.value == 1
    assert np.isnan([*alone.iqm[1:], *alone.mean[1:], alone.error]).all()
