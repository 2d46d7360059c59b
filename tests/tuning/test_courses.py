"""When a trial is stopped: by its interval, at an evaluation that others have had."""

from pathlib import Path

import pytest
from stub_engine import write_run

from rlbench.errors import RunFolderError
from rlbench.recipe import Recipe
from rlbench.stats.estimates import Estimate
from rlbench.tuning.courses import CoursePoint, TrialCourse, course, estimate, final_scores, hopeless


def at(*scores: tuple[float, float, float]) -> TrialCourse:
    """A course with these evaluations (low, value, high), each 100 steps on."""
    return tuple(CoursePoint(100 * k, Estimate(v, low, high)) for k, (low, v, high) in enumerate(scores, 1))


OTHERS = [at((0, x, 99), (0, 10 * x, 99)) for x in (1.0, 2.0, 3.0, 4.0, 5.0)]


def test_a_trial_is_stopped_where_its_interval_lies_below_the_median() -> None:
    assert (
        hopeless(at((0, 1, 2.9)), OTHERS, 1000)
        == "at step 100 its interval ends at 2.9, below 3, the median of 5 others"
    )
    assert hopeless(at((0, 1, 3.0)), OTHERS, 1000) == ""
    assert hopeless(at((0, 1, 2.9), (0, 1, 29)), OTHERS, 1000).startswith(
        "at step 200 its interval ends at 29, below 30"
    )
    assert hopeless(at((0, 1, 2.9), (0, 1, 31)), OTHERS, 1000) == ""  # the newest counts


def test_an_unlucky_seed_stops_nothing() -> None:
    """The IQM of (0, 0, 9) lies far below 5, its interval does not."""
    unlucky = (CoursePoint(100, estimate([0.0, 0.0, 9.0])),)
    others = [at((0, 5.0, 9))] * 9
    assert unlucky[0].score.value < 5
    assert hopeless(unlucky, others, 1000) == ""
    assert hopeless((CoursePoint(100, estimate([0.0, 0.1, 0.2])),), others, 1000) != ""


def test_too_few_others_and_the_last_evaluation_stop_nobody() -> None:
    assert hopeless((), OTHERS, 1000) == ""
    assert hopeless(at((0, 1, 2.0)), OTHERS, 1000) != ""
    assert hopeless(at((0, 1, 2.0)), OTHERS[:4], 1000) == ""  # though it lies below their median too
    assert hopeless(at((0, 1, 2.9)), OTHERS, 100) == ""
    assert hopeless(at((0, 1, 1), (0, 1, 1), (0, 1, 1)), OTHERS, 1000) == ""  # nobody else came so far
    one_seed = (CoursePoint(100, estimate([0.0])),)
    assert hopeless(one_seed, OTHERS, 1000) == ""  # it has no interval


def test_what_is_read_of_a_run(tmp_path: Path) -> None:
    recipe = Recipe.load(None, env="CartPole-v1").replace(seed=5, seeds=3, total_steps=400)
    write_run(tmp_path, recipe, lambda hyper, seed: float(seed), evaluations=4)
    assert final_scores(tmp_path, range(5, 8)) == (5.0, 6.0, 7.0)
    found = course(tmp_path, range(5, 8))
    assert [point.env_steps for point in found] == [100, 200, 300, 400]
    assert [point.score.value for point in found] == [1.5, 3.0, 4.5, 6.0]
    with pytest.raises(RunFolderError, match="seed 8 has no score"):
        final_scores(tmp_path, range(5, 9))
    assert course(tmp_path, range(5, 9)) == ()
    lines = (tmp_path / "evaluations.csv").read_text().splitlines()
    (tmp_path / "evaluations.csv").write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:9])  # being written
    assert len(course(tmp_path, range(5, 8))) == 3
    assert course(tmp_path / "nowhere", range(5, 8)) == ()
