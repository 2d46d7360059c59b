"""How a trial stands: its score in the end, its evaluations on the way, and whether there is hope for it.

A number over a trial's seeds is their IQM, with the interval of `stats.estimates`.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import RunFolderError
from ..judge.evidence import read_run
from ..numbers import number
from ..process.places import shown
from ..runfolder.reader import Reader
from ..stats.estimates import Estimate, aggregate

AT_LEAST = 5  # others that a trial is measured by


class CoursePoint(NamedTuple):
    """An evaluation of all seeds of a trial."""

    env_steps: int  # per seed
    score: Estimate


TrialCourse = tuple[CoursePoint, ...]


def estimate(scores: Sequence[float]) -> Estimate:
    """The IQM of seeds' scores; without an interval where there is one seed."""
    return aggregate([np.asarray(scores, np.float64)]).iqm


def final_scores(folder: Path, seeds: range) -> tuple[float, ...]:
    """The greedy return of the final weights of each seed of a run that has ended.

    Raises:
        RlbenchError: not all seeds have one, or the folder cannot be read.
    """
    found = {seed.number: seed.final for seed in read_run(folder).seeds}
    if missing := [seed for seed in seeds if seed not in found]:
        raise RunFolderError(f"{shown(folder)}: seed {missing[0]} has no score.")
    return tuple(found[seed] for seed in seeds)


def course(folder: Path, seeds: range) -> TrialCourse:
    """The evaluations that all seeds of a run have, so far as evaluations.csv is whole."""
    table = Reader(folder).table("evaluations.csv").value
    if any(seed not in table for seed in seeds):
        return ()
    columns = [table[seed] for seed in seeds]
    points = []
    for k in range(min(len(one["env_steps"]) for one in columns)):
        steps = max(int(one["env_steps"][k]) for one in columns)
        points.append(CoursePoint(steps, estimate([float(one["mean_return"][k]) for one in columns])))
    return tuple(points)


def hopeless(own: TrialCourse, others: Sequence[TrialCourse], total_steps: int) -> str:
    """Why a trial need not go on; "" where it may yet be good.

    It is measured by its newest evaluation: the upper end of its interval lies below the median of what the others had
    at theirs of the same number. One unlucky seed widens the interval, and stops nothing. At least `AT_LEAST` others
    have to have come so far, those that were stopped there included; the last evaluation stops nobody, as there is
    nothing left to save.
    """
    if not own or own[-1].env_steps >= total_steps:
        return ""
    k = len(own) - 1
    at = [one[k].score.value for one in others if len(one) > k]
    middle = statistics.median(at) if at else 0.0
    high = own[k].score.high
    if len(at) < AT_LEAST or not high < middle:
        return ""
    return (
        f"at step {own[k].env_steps:,} its interval ends at {number(high)}, below {number(middle)}, the median of "
        f"{len(at)} others"
    )
