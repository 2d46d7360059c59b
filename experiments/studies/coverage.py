"""How often intervals hold the truth: thousands of simulated experiments of 5, 10 and 30 seeds, of several shapes.

Beside every interval of `rlbench.stats.estimates` stands the plain percentile bootstrap, which it replaces.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import click
import numpy as np

from .shapes import PAIRS, SHAPES, Shape

TRUTH = 2_000_000  # seeds that the truth is computed from
GOOD = (0.93, 0.97)


class Row(NamedTuple):
    """Shares of intervals that hold the truth."""

    what: str
    shape: str
    seeds: int
    percentile: float
    ours: float


@click.command()
@click.option("--experiments", default=2000, show_default=True, help="Simulated for each line.")
@click.option("--reps", default=1000, show_default=True, help="Bootstrap draws of each.")
@click.option("--seeds", default="5,10,30", show_default=True, help="Seeds of an experiment.")
@click.option("--shape", "only", help="Only shapes whose name contains this.")
def coverage(experiments: int, reps: int, seeds: str, only: str | None) -> None:
    """Simulate how often 95 % intervals hold the truth.

    Lines marked * lie outside of 93 % to 97 %.
    """
    click.echo(f"{experiments:,} experiments a line: ± {196 * np.sqrt(0.95 * 0.05 / experiments):.1f} points")
    click.echo(f"{'interval of':<24}{'shape':<24}{'seeds':>6}{'percentile':>12}{'rlbench':>9}")
    for n in (int(text) for text in seeds.split(",")):
        for row in rows(n, experiments, reps, only or ""):
            marks = ["*" if not GOOD[0] <= x <= GOOD[1] else " " for x in (row.percentile, row.ours)]
            click.echo(
                f"{row.what:<24}{row.shape:<24}{row.seeds:>6}{100 * row.percentile:>11.1f}{marks[0]}"
                f"{100 * row.ours:>8.1f}{marks[1]}".rstrip()
            )


def rows(n: int, experiments: int, reps: int, only: str = "") -> Iterator[Row]:
    """The table's lines for experiments of n seeds."""
    for name, shape in SHAPES.items():
        if only in name:
            yield from _alone(name, shape, n, experiments, reps)
    for name, (x, y) in {**{name: (shape, shape) for name, shape in SHAPES.items()}, **PAIRS}.items():
        if only in name:
            yield from _between(name, [x], [y], n, experiments, reps)
    if only in "three environments":
        three = [SHAPES["normal"], SHAPES["skewed"], SHAPES["half fail"]]
        yield from _between("three environments", three, three, n, experiments, reps)


def _alone(name: str, shape: Shape, n: int, experiments: int, reps: int) -> Iterator[Row]:
    """Intervals of one agent's IQM, mean and median."""
    from rlbench.stats.estimates import aggregate
    from rlbench.stats.intervals import bootstrap_interval, iqm

    rng = np.random.default_rng(0)
    many = shape(rng, (TRUTH,))
    truths: dict[str, tuple[Callable[..., Any], float]] = {
        "IQM": (iqm, float(iqm(many))),
        "mean": (np.mean, float(many.mean())),
        "median": (np.median, float(np.median(many))),
    }
    plain, ours = (dict.fromkeys(truths, 0) for _ in range(2))
    for _ in range(experiments):
        x = shape(rng, (n,))
        found = aggregate([x], reps=reps)
        for (what, (statistic, truth)), own in zip(truths.items(), found, strict=True):
            low, high = bootstrap_interval(x, statistic, reps=reps)
            plain[what] += bool(low <= truth <= high)
            ours[what] += own.low <= truth <= own.high
    for what in truths:
        yield Row(what, name, n, plain[what] / experiments, ours[what] / experiments)


def _between(name: str, x: Sequence[Shape], y: Sequence[Shape], n: int, experiments: int, reps: int) -> Iterator[Row]:
    """Intervals of the differences of two agents, each with one shape per environment."""
    from rlbench.stats.estimates import difference
    from rlbench.stats.intervals import iqm

    rng = np.random.default_rng(1)
    many = [[shape(rng, (TRUTH // len(x),)) for shape in shapes] for shapes in (x, y)]
    middles = [float(iqm(np.concatenate(scores))) for scores in many]
    means = [float(np.mean(scores)) for scores in many]
    chances = [np.searchsorted(np.sort(b), a) / len(b) for a, b in zip(*many, strict=True)]  # of beating a seed of y
    truths = {
        "difference of IQMs": 0.0 if x == y else middles[0] - middles[1],
        "difference of means": 0.0 if x == y else means[0] - means[1],
        "P(improvement)": 0.5 if x == y else float(np.mean(chances)),
    }
    plain, ours = (dict.fromkeys(truths, 0) for _ in range(2))
    for _ in range(experiments):
        challenger, baseline = ([shape(rng, (n,)) for shape in shapes] for shapes in (x, y))
        found = difference(challenger, baseline, reps=reps)
        intervals = _percentile(challenger, baseline, reps)
        for (what, truth), own, (low, high) in zip(truths.items(), found[:3], intervals, strict=True):
            plain[what] += bool(low <= truth <= high)
            ours[what] += own.low - 1e-9 <= truth <= own.high + 1e-9
    for what in truths:
        yield Row(what, name, n, plain[what] / experiments, ours[what] / experiments)


def _percentile(x: Sequence[np.ndarray], y: Sequence[np.ndarray], reps: int) -> list[tuple[float, float]]:
    """Plain percentile intervals of the three differences."""
    from rlbench.stats.resampling import draw_counts, resampled_means, resampled_trimmed_means

    rng = np.random.default_rng(2)
    counts = [[draw_counts([len(a)], reps, rng) for a in scores] for scores in (x, y)]
    middles, means = [], []
    for scores, drawn in zip((x, y), counts, strict=True):
        pooled = np.concatenate(scores)
        middles.append(resampled_trimmed_means(pooled, np.concatenate(drawn), len(pooled) // 4))
        means.append(np.mean([resampled_means(a, c) for a, c in zip(scores, drawn, strict=True)], axis=0))
    chances = []
    for a, b, c, d in zip(x, y, *counts, strict=True):
        wins = (a[:, None] > b) + 0.5 * (a[:, None] == b)
        chances.append((c * (wins @ d)).sum(0) / (len(a) * len(b)))
    outcomes = (middles[0] - middles[1], means[0] - means[1], np.mean(chances, axis=0))
    return [(float(low), float(high)) for low, high in (np.quantile(draws, [0.025, 0.975]) for draws in outcomes)]
