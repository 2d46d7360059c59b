"""One row about a run: what its folder says of environment, agent, scores, steps and time, whatever state it is in.

Cheap to import and to read: a table of a thousand runs is made of it. Nothing here raises for a damaged run; the row
then says what is wrong.
"""

import csv
import datetime
import json
import os
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from .layout import WORKERS, under_way
from .lock import holder
from .values import finite

#: The files that a row depends on.
FILES = ("recipe.toml", "run.json", "summary.json", "episodes.csv", "evaluations.csv")
_TAIL = 4096  # bytes; far more than a line of a CSV file


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
    damage: str  # what cannot be read; "" if all can
    episodes: float | None  # greedy ones that the score of the seed with the fewest rests on


def read_facts(run: Path) -> Facts:
    """Read one run folder; it holds a recipe.toml."""
    damage: list[str] = []
    recipe = _parsed(run / "recipe.toml", damage)
    about = _parsed(run / "run.json", damage)
    summary = _parsed(run / "summary.json", damage)
    started = None
    try:
        started = datetime.datetime.fromisoformat(about["started"]).timestamp()
    except (KeyError, TypeError, ValueError):
        try:
            started = (run / "recipe.toml").stat().st_mtime
        except OSError:
            damage.append("recipe.toml: gone")
    if summary:
        steps, seconds = finite(summary.get("env_steps")), finite(summary.get("wall_seconds"))
        score, best = (_typical(summary.get(key)) for key in ("final_eval_return", "best_eval_return"))
        episodes = _fewest(summary.get("final_eval_episodes"))
    else:
        steps, seconds, score, best, episodes = _so_far(run, damage)
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
        damage="; ".join(damage),
        episodes=episodes,
    )


def status_of(run: Path, facts: Facts) -> str:
    """running, finished, interrupted, crashed (no summary, and nobody at work in the folder) or damaged."""
    if facts.damage:
        return "damaged"
    if facts.stopped and "interrupted" not in facts.stopped:
        return "finished"
    if holder(run):
        return "running"
    return "interrupted" if facts.stopped else "crashed"


def _parsed(path: Path, damage: list[str]) -> dict[str, Any]:
    """What a TOML or JSON file holds; {} where there is none, or where it is damaged, which is noted."""
    try:
        text = path.read_text(encoding="utf-8")
        found = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("not a table")
        return found
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as e:
        damage.append(f"{path.name}: {str(e).splitlines()[0] if str(e) else type(e).__name__}")
        return {}


def _so_far(run: Path, damage: list[str]) -> tuple[float | None, ...]:
    """(steps, seconds, score, best, episodes of the score) of a run without a summary, from its tables."""
    steps, seconds = [], []
    newest: dict[str, float] = {}
    episodes: dict[str, float | None] = {}
    best: dict[str, float] = defaultdict(lambda: float("-inf"))
    for place in under_way(run) or [run]:
        try:
            for row in _rows(place / "evaluations.csv"):
                newest[row["seed"]] = value = float(row["mean_return"])
                best[row["seed"]] = max(best[row["seed"]], value)
                episodes[row["seed"]] = finite(float(row.get("episodes") or "nan"))
            for name in ("episodes.csv", "evaluations.csv"):
                for row in _rows(place / name, only_last=True):
                    steps.append(float(row["env_steps"]))
                    seconds.append(float(row["wall_seconds"]))
        except (OSError, KeyError, TypeError, ValueError, csv.Error) as e:
            where = place.name if place.parent.name == WORKERS else ""
            damage.append(f"tables{f' of worker {where}' if where else ''}: {_told(e)}")
    scores = _typical(newest), _typical(best), _fewest(episodes)
    return max(steps, default=None), max(seconds, default=None), *scores


def _told(e: Exception) -> str:
    """What is wrong with a table, for its reader."""
    if isinstance(e, KeyError):
        return f"there is no column {e}"
    return "a row is cut short" if isinstance(e, TypeError) else str(e) or type(e).__name__


def _rows(path: Path, *, only_last: bool = False) -> list[dict[str, str]]:
    """The rows of a CSV file, or the last one; a line that was cut short does not count."""
    try:
        with path.open("rb") as file:
            header = file.readline()
            if only_last:
                file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, len(header)))
            body = file.read()
    except FileNotFoundError:
        return []
    lines = body.decode("utf-8", errors="replace").split("\n")[:-1]
    names = header.decode("utf-8", errors="replace").rstrip("\r\n")
    return list(csv.DictReader([names, *(lines[-1:] if only_last else lines)]))


def _printable(text: Any) -> str:
    """For a terminal, which would take control characters for commands."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def _typical(per_seed: Any) -> float | None:
    """Interquartile mean over the seeds that have a number, out of {seed: number or None}."""
    values = [v for v in map(finite, per_seed.values()) if v is not None] if isinstance(per_seed, dict) else []
    if not values:
        return None
    from ..stats.intervals import iqm  # slow to import

    return float(iqm(values))


def _fewest(per_seed: Any) -> float | None:
    """The least of {seed: count}, of those that are above 0."""
    known = [n for n in map(finite, per_seed.values()) if n] if isinstance(per_seed, dict) else []
    return min(known, default=None)
