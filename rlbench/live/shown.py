"""A run that a program or a notebook trains, as a `gauge` shows it: how far it is, what it scores, its curve so far."""

import time

import numpy as np

from ..record.watcher import Status, Watcher
from ..runfolder.documents import ended
from ..units import duration
from ..user_code.commands import ref
from .gauge import Gauge
from .recent_curve import RecentCurve, recent_means
from .words import Clock, mean_text, score_text, seeds_text

WIDTH, HEIGHT = 320, 56  # of the curve, in pixels


class ShownRun(Watcher):
    """Draws a run on a gauge, not more often than that wants it.

    Args:
        gauge: to draw on.
    """

    def __init__(self, gauge: Gauge) -> None:
        self._gauge, self._clock, self._curve = gauge, Clock(), RecentCurve()
        self._next = 0.0

    def tick(self, status: Status) -> None:
        if time.perf_counter() >= self._next:
            self._draw(status)
            self._next = time.perf_counter() + self._gauge.seldom

    def done(self, status: Status) -> None:
        summary = status.summary
        known = [x for x in summary["final_eval_return"].values() if x is not None]
        words = f"{summary['env_steps']:,} env steps per seed, {duration(summary['wall_seconds'])}"
        words += f", greedy return {score_text(np.array(known))}" if known else ""
        share = 1.0 if ended(summary) else min(status.env_steps / status.recipe.total_steps, 1.0)
        self._gauge.show(_title(status), share, words)

    def close(self) -> None:
        """Whatever happened, nothing more is drawn."""
        self._gauge.close()

    def _draw(self, status: Status) -> None:
        self._clock.tick(status)
        recent = recent_means(status.scores)
        self._curve.add(status.env_steps, recent)
        total = status.recipe.total_steps
        pace = f"  {self._clock.left(status)} left" if self._clock.rate else ""
        state = f"  {status.evaluating}" if status.evaluating else ""
        words = f"{status.env_steps:,} of {total:,}  return {mean_text(recent)}{pace}{state}"
        self._gauge.show(_title(status), min(status.env_steps / total, 1.0), words, svg(self._curve, total))


def _title(status: Status) -> str:
    recipe = status.recipe
    return f"{ref(recipe.agent).rpartition(':')[2]} on {recipe.env}, {seeds_text(recipe.seeds)}"


def svg(curve: RecentCurve, end: int) -> str:
    """Mean return over env steps, up to ``end``, with its range; nothing before there are two points."""
    limits = curve.limits()
    if limits is None or len(curve.steps) < 2:
        return ""
    low, high = limits
    x = np.array(curve.steps) / max(end, curve.steps[-1]) * WIDTH

    def y(values: list[float]) -> np.ndarray:
        share = (np.array(values) - low) / (high - low) if high > low else np.full(len(values), 0.5)
        return HEIGHT - 2 - np.clip(share, 0, 1) * (HEIGHT - 4)

    known = np.isfinite(curve.low)
    band = [*_points(x[known], y(curve.high)[known]), *_points(x[known], y(curve.low)[known])[::-1]]
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="Mean return so far" '
        f'style="display:block;border-bottom:1px solid #8888"><polygon points="{" ".join(band)}" fill="#1f77b4" '
        f'fill-opacity="0.2"/><polyline points="{" ".join(_points(x, y(curve.mean)))}" fill="none" stroke="#1f77b4" '
        'stroke-width="1.5"/></svg>'
    )


def _points(x: np.ndarray, y: np.ndarray) -> list[str]:
    return [f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True)]
