"""One row about a run: what its folder says of environment, agent, scores, steps and time, whatever state it is in.

Cheap to import and to read: a table of a thousand runs is made of it. Nothing here raises for a damaged run; the row
then says what is wrong.
"""

import datetime
from typing import Any, NamedTuple

from .documents import ended, finite, numbers_of
from .lock import holder
from .reader import Reader

#: The files that a row depends on.
FILES = ("recipe.toml", "run.json", "summary.json", "episodes.csv", "evaluations.csv")


class Facts(NamedTuple):
    """What a run folder says; None: not known."""

    env: str
    agent: str
    seeds: int
    steps: int  # env steps per seed, so far
    budget: int  # env steps per seed that were asked for
    seconds: float | None  # wall-clock time of the run, so far
    score: float | None  # interquartile mean over seeds of the final weights' greedy return, or newest evaluation
    best: float | None  # the same of each seed's best weights
    started: float | None  # seconds since 1970
    stopped: str  # why it ended; "": no summary.json
    damage: str  # what cannot be read, a line each; "" if all can
    episodes: float | None  # greedy ones that the score of the seed with the fewest rests on


def read_facts(reader: Reader) -> Facts:
    """What a run folder says that holds a recipe.toml.

    Of a run without a summary the evaluations are read, and of the episodes the last one alone: there may be millions.
    """
    recipe, about, summary = reader.recipe.value, reader.about.value, reader.summary.value
    damage = [reader.plan.problem, reader.about.problem, reader.summary.problem]
    started = None
    try:
        started = datetime.datetime.fromisoformat(about["started"]).timestamp()
    except (KeyError, TypeError, ValueError):
        try:
            started = (reader.folder / "recipe.toml").stat().st_mtime
        except OSError:
            damage.append(f"{reader.called(reader.folder / 'recipe.toml')} is gone")
    if summary:
        steps, seconds = finite(summary.get("env_steps")), finite(summary.get("wall_seconds"))
        score, best = (_typical(numbers_of(summary, key)) for key in ("final_eval_return", "best_eval_return"))
        episodes = _fewest(numbers_of(summary, "final_eval_episodes"))
    else:
        steps, seconds, score, best, episodes = _so_far(reader, damage)
    return Facts(
        env=_printable(recipe.get("env", "?")),
        agent=_printable(recipe.get("agent", "?")).rpartition(":")[2],
        seeds=int(finite(recipe.get("seeds")) or 0),
        steps=int(steps or 0),
        budget=int(finite(recipe.get("total_steps")) or 0),
        seconds=seconds,
        score=score,
        best=best,
        started=started,
        stopped=_printable(summary.get("stopped_because", "?")) if summary else "",
        damage="\n".join(dict.fromkeys(filter(None, map(_printable, damage)))),
        episodes=episodes,
    )


def status_of(reader: Reader, facts: Facts) -> str:
    """running, finished, interrupted, crashed (no summary, and nobody at work in the folder) or damaged."""
    if facts.damage:
        return "damaged"
    if ended({"stopped_because": facts.stopped} if facts.stopped else {}):
        return "finished"
    if holder(reader.folder):
        return "running"
    return "interrupted" if facts.stopped else "crashed"


def _so_far(reader: Reader, damage: list[str]) -> tuple[float | None, ...]:
    """(steps, seconds, score, best, episodes of the score) of a run without a summary, from its tables."""
    evaluations = reader.table("evaluations.csv")
    lasts = [reader.last_row(place, name) for place in reader.places for name in ("episodes.csv", "evaluations.csv")]
    damage += [evaluations.problem, *(last.problem for last in lasts)]
    newest = {seed: rows["mean_return"][-1] for seed, rows in evaluations.value.items()}
    best = {seed: max(rows["mean_return"]) for seed, rows in evaluations.value.items()}
    counts = {seed: rows["episodes"][-1] for seed, rows in evaluations.value.items()}
    steps, seconds = (
        max((last.value[key] for last in lasts if last.value), default=None) for key in ("env_steps", "wall_seconds")
    )
    return steps, seconds, _typical(newest), _typical(best), _fewest(counts)


def _printable(text: Any) -> str:
    """For a terminal, which would take control characters for commands."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def _typical(per_seed: dict[int, float]) -> float | None:
    """Interquartile mean over the seeds."""
    if not per_seed:
        return None
    from ..stats.intervals import iqm  # slow to import

    return float(iqm(list(per_seed.values())))


def _fewest(per_seed: dict[int, float]) -> float | None:
    """The least of the counts that are above 0."""
    return min((float(n) for n in per_seed.values() if n), default=None)
