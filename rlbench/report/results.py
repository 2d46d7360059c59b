"""The parts of a report that are about results: the verdict, and the numbers behind it. HTML, escaped."""

import math
from collections.abc import Sequence
from html import escape

from ..judge.results import AgentResult, Contrast, EnvTable
from ..judge.verdict import interval
from ..numbers import exact, number
from ..stats.estimates import Estimate
from .findings import Findings

_TONE = {"better": "good", "worse": "bad"}
_WORDS = {"better": "better", "worse": "worse", "same seeds": "the same seeds"}


def verdict(found: Findings) -> str:
    """What to say first: one sentence per contestant, or how good the only one is; and what weakens it."""
    if found.comparison:
        whole = found.comparison
        cards = [_contrast(c, sentence) for c, sentence in zip(whole.decisive.contrasts, whole.verdicts, strict=True)]
        if len(whole.tables) == 1:
            cards += [_alone(whole.tables[0], agent, agent.label, compared=True) for agent in whole.tables[0].agents]
    else:
        only = found.contestants[0].folders[0].facts.agent if len(found.contestants) == 1 else ""
        cards = [_alone(t, agent, only or agent.label) for t in found.tables for agent in t.agents]
    if not cards:
        cards = ['<div class="verdict"><p>There is no greedy evaluation yet, and without one no score.</p></div>']
    return "".join(cards) + listed("Read with care", found.warnings, "warning")


def listed(title: str, lines: Sequence[str], kind: str) -> str:
    """A titled list, or nothing."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<div class="{kind}"><h3>{escape(title)}</h3><ul>{items}</ul></div>' if lines else ""


def numbers(found: Findings) -> str:
    """A table per environment, and over all."""
    return "".join(_numbers(found, table) for table in found.tables)


def estimate(e: Estimate | None, *, signed: bool = False, digits: int | None = None) -> str:
    """A number and its interval, which may go to a line of its own."""
    if e is None:
        return "–"
    if math.isnan(e.low) or math.isnan(e.high):
        return f"<b>{escape(score_cell(e.value))}</b>"
    value, _, limits = interval(e, signed=signed, digits=digits).partition(" ")
    return f'<b>{escape(value)}</b> <span class="limits">{escape(limits)}</span>'


def plural(n: int, thing: str) -> str:
    return f"{n:,} {thing}{'s' * (n != 1)}"


def score_cell(value: float | None) -> str:
    """A score for a table."""
    return "–" if value is None or not math.isfinite(value) else number(value).replace("-", "−")


def _contrast(contrast: Contrast, sentence: str) -> str:
    tone = _TONE.get(contrast.outcome, "open")
    mark = _WORDS.get(contrast.outcome, "cannot tell" if contrast.outcome == "undecided" else contrast.outcome)
    chance = contrast.difference.improvement
    bar = _bar(chance, f"Chance that a seed of {contrast.label} beats one of {contrast.baseline}")
    return f'<div class="verdict {tone}"><p><span class="mark">{escape(mark)}</span> {escape(sentence)}</p>{bar}</div>'


def _bar(chance: Estimate, name: str) -> str:
    """A probability with its interval, on a line from 0 to 1 whose middle says: no difference."""
    if math.isnan(chance.value):
        return ""
    low, high = (chance.low, chance.high) if not math.isnan(chance.low) else (chance.value, chance.value)
    style = f"--at:{chance.value:.4f};--low:{low:.4f};--high:{high:.4f}"
    text = interval(chance, digits=2)
    return (
        f'<figure class="chance"><div class="line" style="{style}" role="img" aria-label="{escape(f"{name}: {text}")}">'
        f"<i></i><b></b></div><figcaption><span>{escape(name)}: <b>{escape(text)}</b></span></figcaption></figure>"
    )


def _alone(table: EnvTable, agent: AgentResult, name: str, *, compared: bool = False) -> str:
    """How good one contestant is on one environment; where it is compared, its numbers stand in the table below."""
    found, reached = agent.aggregates.iqm, agent.attainment
    tone, mark, sentence = "open", "", f"{name} scores {interval(found)} on {table.env}"
    if math.isnan(found.low):
        mark, tail = "one seed", ": with one seed there is no interval, and no telling skill from luck."
    elif reached is None:
        tail = f", over {plural(agent.seeds, 'seed')}. No return counts as solved there."
    elif found.low >= reached.threshold:
        tone, mark, tail = "good", "solved", f", at or above {exact(reached.threshold)}, which counts as solved."
    elif found.high < reached.threshold:
        tone, mark, tail = "bad", "not solved", f", below {exact(reached.threshold)}, which counts as solved."
    else:
        mark = "cannot tell"
        tail = (
            f"; these {agent.seeds} seeds cannot tell whether it is {exact(reached.threshold)}, which counts as solved."
        )
    marked = f'<span class="mark">{mark}</span> ' if mark else ""
    tiles = [
        (estimate(found), "final score: interquartile mean of the seeds"),
        (estimate(agent.aggregates.mean), "mean of the seeds"),
    ]
    if reached:
        half = f"{reached.median_steps:,.0f}" if math.isfinite(reached.median_steps) else "–"
        share = f'<span class="limits">{escape(interval(reached.share, digits=2).partition(" ")[2])}</span>'
        tiles += [
            (f"<b>{reached.reached} of {reached.seeds}</b> {share}", f"seeds reached {exact(reached.threshold)}"),
            (f"<b>{half}</b>", f"env steps until half had reached {exact(reached.threshold)}"),
        ]
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for value, name in tiles)
    tiled = "" if compared else f'<dl class="tiles">{cells}</dl>'
    return f'<div class="verdict {tone}"><p>{marked}{escape(sentence + tail)}</p>{tiled}</div>'


def _numbers(found: Findings, of: EnvTable) -> str:
    """Agents side by side, then each against the first."""
    unit = "return" if of.reference else "normalised score"
    agents = of.agents
    rows = [
        ("seeds", [f"<b>{a.seeds}</b>" for a in agents]),
        (f"IQM of the final {unit}", [estimate(a.aggregates.iqm) for a in agents]),
        ("mean", [estimate(a.aggregates.mean) for a in agents]),
        ("median", [estimate(a.aggregates.median) for a in agents]),
        ("optimality gap", [estimate(a.optimality_gap, digits=2) for a in agents]),
    ]
    if of.reference:
        rows.append(("area under the curve", [estimate(a.auc) for a in agents]))
    if any(a.attainment for a in agents):
        level = next(a.attainment.threshold for a in agents if a.attainment)
        rows.append((f"reached {exact(level)}", [_reached(a) for a in agents]))
        rows.append((f"median steps to {exact(level)}", [_median(a) for a in agents]))
    if of.contrasts:
        rows += [
            ("difference of IQM", ["", *(estimate(c.difference.iqm, signed=True) for c in of.contrasts)]),
            ("probability of improvement", ["", *(estimate(c.difference.improvement, digits=2) for c in of.contrasts)]),
            ("p" + " (Holm)" * (len(of.contrasts) > 1), ["", *(f"<b>{_p(c.p_holm)}</b>" for c in of.contrasts)]),
            ("verdict", ["baseline", *(escape(c.outcome) for c in of.contrasts)]),
        ]
    head = "".join(f'<th scope="col">{escape(a.label)}</th>' for a in agents)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for name, cells in rows
    )
    return (
        f'<h3>{escape(of.env)}</h3><div class="scroll" tabindex="0" role="region" aria-label="numbers">'
        f'<table class="numbers"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _reached(agent: AgentResult) -> str:
    a = agent.attainment
    if a is None:
        return "–"
    limits = interval(a.share, digits=2).partition(" ")[2]
    return f'<b>{a.reached} of {a.seeds}</b> <span class="limits">{escape(limits)}</span>'


def _median(agent: AgentResult) -> str:
    a = agent.attainment
    if a is None:
        return "–"
    return f"<b>{a.median_steps:,.0f}</b>" if math.isfinite(a.median_steps) else "not half of them"


def _p(p: float) -> str:
    return "&lt; 0.001" if p < 0.001 else f"{p:.3f}"
