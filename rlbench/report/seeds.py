"""The part of a report with every seed: scores, steps, and why it stopped. HTML, escaped."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ..judge.evidence import SeedEvidence, time_to
from ..numbers import exact
from ..runfolder.documents import finite
from .findings import ContestantRuns, Findings, Folder, of_seed, threshold
from .results import score_cell


def seeds(found: Findings) -> str:
    """A table per environment with every seed."""
    parts = []
    for env in found.envs:
        lowest = min((n for f in found.folders for n in _planned(f.recipe)[:1]), default=0)
        level = threshold([c.scored for c in found.contestants if c.scored], env)
        rows = [
            row
            for contestant in found.contestants
            for folder in contestant.folders
            if folder.facts.env == env
            for row in _seed_rows(found, contestant, folder, level, lowest)
        ]
        reach = [f"steps to {exact(level)}"] if level is not None else []
        head = ["seed", "final", "best", *reach, "env steps", "episodes", "stopped because"]
        if len(found.folders) > 1:
            head.insert(0, "run")
        if rows:
            parts.append(f"<h3>{escape(env)}</h3>" + _table(head, rows, "seeds sortable"))
    return "".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[tuple[str, float | None]]], kind: str) -> str:
    """A table of at least one row; a cell is (text, number to sort by), and one with a number stands at the right."""
    side = ["" if value is None else ' class="n"' for _, value in rows[0]]
    top = "".join(f'<th scope="col"{at}>{escape(name)}</th>' for name, at in zip(head, side, strict=True))
    body = "".join(f"<tr>{''.join(_cell(text, value) for text, value in row)}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="table">'
        f'<table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _seed_rows(
    found: Findings, contestant: ContestantRuns, folder: Folder, level: float | None, lowest: int
) -> list[list[tuple[str, float | None]]]:
    group, path = contestant.scored, folder.path
    known = {s.number: s for run in (group.runs if group else ()) if run.path == path for s in run.seeds}
    histories = [h for h in contestant.histories["returns"] if h.run == path]
    episodes = {s.number: len(s.steps) for h in histories for s in h.seeds}
    ends = {s.number: float(s.steps[-1]) for h in histories for s in h.seeds}
    counting = {(s.run, s.number) for s in (group.seeds.get(folder.facts.env, ()) if group else ())}
    elsewhere = "; not counted here, as another run trained it too"
    rows = []
    for seed in sorted({*known, *episodes, *_planned(folder.recipe)}):
        one = known.get(seed)
        steps = of_seed(folder, "env_steps_of_seed", seed) or ends.get(seed)
        count = of_seed(folder, "episodes", seed) or episodes.get(seed)
        row: list[tuple[str, float | None]] = [
            (str(seed), float(seed - lowest)),  # a browser's numbers end at 2**53
            _score(one, "final"),
            _score(one, "best"),
            *([] if level is None else [_reached(one, level)]),
            ("–", -1.0) if steps is None else (f"{steps:,.0f}", steps),
            ("–", -1.0) if count is None else (f"{count:,.0f}", float(count)),
            (_why(folder, seed) + elsewhere * (one is not None and (path, seed) not in counting), None),
        ]
        if len(found.folders) > 1:
            row.insert(0, (contestant.label if len(contestant.folders) == 1 else f"{contestant.label}: {path}", None))
        rows.append(row)
    return rows


def _planned(recipe: Mapping[str, Any]) -> list[int]:
    """The numbers of all seeds that were asked for. Whole numbers: a float does not hold those above 2**53."""
    first, count = recipe.get("seed"), recipe.get("seeds")
    if type(first) is not int or type(count) is not int:
        return []
    return list(range(first, first + min(count, 1000)))


def _score(one: SeedEvidence | None, which: str) -> tuple[str, float]:
    value = (one.final if which == "final" else one.best) if one else None
    return score_cell(value), -math.inf if value is None else value


def _reached(one: SeedEvidence | None, level: float) -> tuple[str, float]:
    if one is None:
        return "–", math.inf
    when, got = time_to(one, level)
    return (f"{when:,.0f}", when) if got else ("not reached", math.inf)


def _why(folder: Folder, seed: int) -> str:
    """Why a seed stopped; summary.json names the reasons of all seeds together."""
    reasons = [reason for reason in str(folder.summary.get("stopped_because", "")).split(", ") if reason]
    if not reasons:
        return {"running": "still training", "crashed": "broke off"}.get(folder.status, "unknown")
    taken, budget = of_seed(folder, "env_steps_of_seed", seed), finite(folder.recipe.get("total_steps"))
    if len(reasons) > 1 and "total_steps" in reasons and taken is not None and budget is not None:
        reasons = ["total_steps"] if taken >= budget else [reason for reason in reasons if reason != "total_steps"]
    return {"total_steps": "all steps taken"}.get(" or ".join(reasons), " or ".join(reasons))


def _cell(text: str, value: float | None) -> str:
    sort = f' data-v="{value:.10g}" class="n"' if value is not None else ""
    return f"<td{sort}>{escape(text)}</td>"
