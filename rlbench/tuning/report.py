"""What a search found, in numbers: the best recipe, its verdict on fresh seeds, what of its gain was selection."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..judge.comparison import Comparison, compare
from ..numbers import interval
from ..process.places import shown
from ..recipe import Recipe
from ..stats.estimates import Estimate, difference
from ..user_code.commands import code, command
from .courses import estimate, final_scores
from .finish import DEFAULT, best_trial, final_runs, is_base, scores_of, values_of
from .importance import KeyImportance, importance
from .study import SharedStudy

FEW = 5  # seeds, below which intervals hold less than they say


class Selection(NamedTuple):
    """What choosing the best of many trials made of its score.

    Attributes:
        tuning: the best trial's IQM over the seeds that chose it.
        fresh: over seeds that no trial has seen.
        selected: tuning minus fresh: what it owes to luck with the former, with its interval.
        gain_tuning: over the base recipe, on the tuning seeds; None where the base was no trial.
        gain_fresh: likewise on the fresh ones.
    """

    tuning: Estimate
    fresh: Estimate
    selected: Estimate
    gain_tuning: Estimate | None
    gain_fresh: Estimate | None


class SearchReport(NamedTuple):
    """What a search found.

    Attributes:
        counts: trials by how they ended: COMPLETE, PRUNED, FAIL.
        best: number of the best trial.
        values: its values, by dotted key.
        recipe: its recipe, with the base's seeds.
        unbeaten: no trial scored above the base recipe.
        comparison: of the base recipe with the best, on fresh seeds; None where they are the same.
        selection: what of the best's score was selection.
        importance: of the keys; () where there are too few trials.
        tuning_seeds: first and last.
        fresh_seeds: likewise.
    """

    counts: dict[str, int]
    best: int
    values: dict[str, Any]
    recipe: Recipe
    unbeaten: bool
    comparison: Comparison | None
    selection: Selection
    importance: tuple[KeyImportance, ...]
    tuning_seeds: tuple[int, int]
    fresh_seeds: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; None for what is no number."""
        return {
            "trials": self.counts,
            "best": {"trial": self.best, "values": self.values},
            "unbeaten": self.unbeaten,
            "verdict": self.comparison.verdicts[0] if self.comparison else None,
            "comparison": self.comparison.to_dict() if self.comparison else None,
            "selection": {key: _plain(e) for key, e in self.selection._asdict().items()},
            "importance": [one._asdict() for one in self.importance],
            "tuning_seeds": list(self.tuning_seeds),
            "fresh_seeds": list(self.fresh_seeds),
        }


def make_report(shared: SharedStudy) -> SearchReport:
    """The report of a search whose trials and final runs have ended."""
    best = best_trial(shared)
    runs = final_runs(shared)
    unbeaten = is_base(shared, best)
    fresh = {name: final_scores(folder, shared.file.final_seeds) for name, (folder, _) in runs.items()}
    challenger = DEFAULT if unbeaten else f"trial-{best.number}"
    tuned = scores_of(best)
    base = next((scores_of(one) for one in shared.trials("COMPLETE") if is_base(shared, one)), None)
    selection = Selection(
        tuning=estimate(tuned),
        fresh=estimate(fresh[challenger]),
        selected=_minus(tuned, fresh[challenger]),
        gain_tuning=None if base is None or unbeaten else _minus(tuned, base),
        gain_fresh=None if unbeaten else _minus(fresh[challenger], fresh[DEFAULT]),
    )
    tuning, final = shared.file.tuning_seeds, shared.file.final_seeds
    values = values_of(shared, best)
    return SearchReport(
        counts=dict(Counter(trial.state.name for trial in shared.trials())),
        best=best.number,
        values=values,
        recipe=shared.file.changed(values),
        unbeaten=unbeaten,
        comparison=None if unbeaten else compare({name: str(folder) for name, (folder, _) in runs.items()}),
        selection=selection,
        importance=key_importance(shared),
        tuning_seeds=(tuning.start, tuning.stop - 1),
        fresh_seeds=(final.start, final.stop - 1),
    )


def key_importance(shared: SharedStudy) -> tuple[KeyImportance, ...]:
    """What the searched keys were worth, by all trials with a score."""
    trials = shared.trials("COMPLETE")
    scores = [float(trial.value or 0.0) for trial in trials]
    return importance(scores, {one.key: [trial.params[one.key] for trial in trials] for one in shared.file.space})


def report_lines(report: SearchReport, out: Path) -> list[str]:
    """The report, to print; ``out`` is the folder of the search."""
    chosen = report.selection
    counts = ", ".join(
        f"{report.counts[state]} {name}"
        for state, name in (("COMPLETE", "with a score"), ("PRUNED", "stopped early"), ("FAIL", "failed"))
        if report.counts.get(state)
    )
    lines = [f"{sum(report.counts.values())} trials: {counts}"]
    seeds = report.tuning_seeds[1] - report.tuning_seeds[0] + 1
    lines.append(
        f"Best: trial {report.best}, IQM {interval(*chosen.tuning)} over {_seeds(report.tuning_seeds)}"
        + (", the base recipe's own values: no trial scored above it" if report.unbeaten else "")
    )
    lines += [f"  {key} = {_toml(value)}" for key, value in report.values.items()]
    if report.comparison is not None:
        lines.append(f"On fresh seeds, {_seeds(report.fresh_seeds)}, beside the base recipe (default):")
        for agent in report.comparison.decisive.agents:
            lines.append(f"  {agent.label:<12} IQM {interval(*agent.aggregates.iqm)}")
        lines.append(f"Verdict: {report.comparison.verdicts[0]}".replace("−", "-"))
    else:
        lines.append(f"On fresh seeds, {_seeds(report.fresh_seeds)}: IQM {interval(*chosen.fresh)}")
    lines += selection_lines(report)
    if seeds < FEW:
        lines.append(f"  (with {seeds} tuning seeds, the intervals over them hold less than 95 %)")
    if report.importance:
        lines.append("What each key explains of the trials' ranks, and what one without worth stays below in 95 %:")
        width = max(len(one.key) for one in report.importance)
        for one in report.importance:
            more = "" if one.share > one.chance else "   not beyond chance"
            lines.append(f"  {one.key:<{width}}  {one.share:>4.0%}  ({one.chance:.0%}){more}")
    else:
        lines.append("What keys were worth cannot be told: too few trials have a score, or all the same.")
    lines.append(f"Train it: {command('train', '--recipe', out / 'best.toml', *code(report.recipe))}")
    return lines


def selection_lines(report: SearchReport) -> list[str]:
    """How much of the gain was selection, in words."""
    found, scored = report.selection, report.counts.get("COMPLETE", 0)
    lines = [
        f"Selection: the best of {scored} scored {interval(*found.tuning)} on the seeds that chose it, "
        f"{interval(*found.fresh)} on fresh ones: {interval(*found.selected, signed=True)} of it was selection"
        + _sure(found.selected)
    ]
    if found.gain_tuning is not None and found.gain_fresh is not None:
        lines.append(
            f"  of a gain of {interval(*found.gain_tuning, signed=True)} over the base recipe on the tuning seeds, "
            f"{interval(*found.gain_fresh, signed=True)} is left on fresh seeds"
        )
    return lines


def recipe_text(report: SearchReport, out: Path) -> str:
    """best.toml: the best recipe, and where it comes from."""
    where = report.comparison.verdicts[0] if report.comparison else "No trial scored above the base recipe: this is it."
    head = [
        f"# The best of {sum(report.counts.values())} trials in {shown(out)}: trial {report.best}.",
        f"# On seeds {report.fresh_seeds[0]} to {report.fresh_seeds[1]}, which no trial has seen: {where}",
        *(f"# {line.strip()}" for line in selection_lines(report)),
    ]
    return "\n".join(head) + "\n" + report.recipe.to_toml()


def _minus(a: tuple[float, ...], b: tuple[float, ...]) -> Estimate:
    return difference([np.array(a)], [np.array(b)]).iqm


def _sure(e: Estimate) -> str:
    if e.low != e.low:
        return ""
    return "" if e.low > 0 or e.high < 0 else ", which may as well be none"


def _seeds(ends: tuple[int, int]) -> str:
    return f"seed {ends[0]}" if ends[0] == ends[1] else f"seeds {ends[0]} to {ends[1]}"


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def _plain(e: Estimate | None) -> dict[str, float | None] | None:
    return None if e is None else {key: x if x == x else None for key, x in e._asdict().items()}
