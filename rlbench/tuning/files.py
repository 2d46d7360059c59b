"""What a search leaves in its folder once it has ended: the best recipe, all trials, the report, two pictures."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from ..files import write_text
from ..numbers import exact
from ..plots.learning import save
from ..plots.tuning import KeyAxis, KeyBar, TrialLine, draw_importance, draw_parallel
from ..tunefile.space import Dimension
from .courses import estimate
from .finish import is_base, scores_of
from .report import SearchReport, recipe_text
from .study import SharedStudy

BEST, RESULTS, TRIALS_CSV = "best.toml", "results.json", "trials.csv"
IMPORTANCE, PARALLEL = "importance.png", "parallel.png"


def write_files(shared: SharedStudy, report: SearchReport) -> list[Path]:
    """Write all of them; gives their paths. There is no picture of what too few trials tell."""
    out = shared.out
    write_text(out / BEST, recipe_text(report, out))
    write_text(out / RESULTS, json.dumps(report.to_dict(), indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    write_text(out / TRIALS_CSV, trials_text(shared))
    written = [out / BEST, out / RESULTS, out / TRIALS_CSV]
    env, agent = shared.file.base.env, shared.file.base.agent.rpartition(":")[2]
    scored = report.counts.get("COMPLETE", 0)
    if report.importance:
        bars = [KeyBar(one.key, one.share, one.chance) for one in report.importance]
        caption = (
            f"Epsilon squared of the ranks of {scored} trials with a score, by each key alone. "
            "Chance: the same with ranks dealt out anew."
        )
        figure = draw_importance(bars, title=f"{agent} on {env}: what keys were worth", caption=caption)
        written.append(save(figure, out / IMPORTANCE))
    axes, lines = parallel(shared, report.best)
    seeds = len(shared.file.tuning_seeds)
    caption = f"{scored} trials with a score: IQM over {seeds} seed{'s' * (seeds > 1)} of the final greedy return."
    figure = draw_parallel(axes, lines, score="score", title=f"{agent} on {env}: all trials", caption=caption)
    written.append(save(figure, out / PARALLEL))
    return written


def parallel(shared: SharedStudy, best: int) -> tuple[list[KeyAxis], list[TrialLine]]:
    """The axes and lines of the picture of all trials with a score."""
    axes = [_axis(one) for one in shared.file.space]
    lines: list[TrialLine] = []
    for trial in shared.trials("COMPLETE"):
        values = tuple(_place(one, trial.params[one.key]) for one in shared.file.space)
        name = f"best, trial {trial.number}" if trial.number == best else ""
        if not name and is_base(shared, trial) and not any(line.name.startswith("base") for line in lines):
            name = f"base recipe, trial {trial.number}"
        lines.append(TrialLine(values, float(trial.value or 0.0), name))
    lines.sort(key=lambda line: not line.name.startswith("best"))  # whose name comes first
    return axes, lines


def trials_text(shared: SharedStudy) -> str:
    """trials.csv: a row for each trial."""
    keys = [one.key for one in shared.file.space]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["trial", "state", "score", "low", "high", "scores", "why", "host", "attempts", *keys])
    for trial in shared.trials():
        facts = trial.user_attrs
        known = trial.state.name == "COMPLETE"
        e = estimate(scores_of(trial)) if known else None
        numbers = [_number(x) for x in e] if e else [""] * 3
        each = " ".join(map(_number, scores_of(trial))) if known else ""
        values: list[Any] = [
            one.value(trial.params[one.key]) if one.key in trial.params else "" for one in shared.file.space
        ]
        told = [facts.get("why", ""), facts.get("host", ""), facts.get("attempts", "")]
        rows.writerow([trial.number, trial.state.name.lower(), *numbers, each, *told, *values])
    return text.getvalue()


def _axis(one: Dimension) -> KeyAxis:
    if one.kind == "choice":
        return KeyAxis(one.key, -0.5, len(one.choices) - 0.5, choices=tuple(map(_word, one.choices)))
    return KeyAxis(one.key, one.low, one.high, one.log, whole=one.kind == "int")


def _place(one: Dimension, stored: Any) -> float:
    return float(one.choices.index(one.value(stored))) if one.kind == "choice" else float(stored)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return exact(value) if isinstance(value, int | float) else str(value).replace(" ", "")


def _number(x: float) -> str:
    return "" if x != x else repr(float(x))
