"""A `Comparison` as text for a terminal, and as LaTeX for a paper."""

import math
import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..numbers import exact
from ..stats.estimates import Estimate
from .results import AgentResult, Compared, EnvTable
from .verdict import interval

LINE_LENGTH = 100  # of wrapped sentences


class Style(Protocol):
    """`click.style`, as far as it is used here."""

    def __call__(self, text: str, *, fg: str | None = None, bold: bool | None = None) -> str: ...


def plain(text: str, *, fg: str | None = None, bold: bool | None = None) -> str:
    """No colours."""
    return text


def text(comparison: Compared, style: Style = plain) -> str:
    """What has to be said first, the verdicts, a table over all environments and one for each, and notes."""
    parts = []
    if comparison.differences:
        listed = _listed("These runs are not comparable as they stand:", comparison.differences)
        parts.append(style(listed, fg="yellow"))
    if comparison.warnings:
        parts.append(style(_listed("Beware:", comparison.warnings), fg="yellow"))
    parts.append(style("\n".join(_wrapped(verdict) for verdict in comparison.verdicts), bold=True))
    tables = [comparison.overall, *comparison.tables] if comparison.overall else comparison.tables
    parts += [_table(comparison, table) for table in tables]
    if comparison.notes:
        parts.append(_listed("Notes:", comparison.notes))
    return "\n\n".join(parts)


def latex(comparison: Compared) -> str:
    """A ``tabular`` of all environments; needs the package booktabs. The verdicts and warnings stand in comments."""
    sentences = [*comparison.differences, *comparison.warnings, *comparison.verdicts]
    lines = [f"% {line}" for line in sentences]
    lines += [r"\begin{tabular}{llrllll}", r"\toprule"]
    percent = f"{100 * comparison.confidence:g}"
    lines += [
        rf"Environment & Agent & Seeds & IQM [{percent}\,\%] & Mean & Median & Probability of improvement \\",
        r"\midrule",
    ]
    tables = [*comparison.tables, comparison.overall] if comparison.overall else list(comparison.tables)
    for i, table in enumerate(tables):
        if i:
            lines.append(r"\midrule")
        for j, agent in enumerate(table.agents):
            found = agent.aggregates
            chance = interval(table.contrasts[j - 1].difference.improvement, digits=2) if j else "--"
            cells = [
                table.env if j == 0 else "",
                agent.label,
                f"{agent.seeds}",
                *(interval(e) for e in (found.iqm, found.mean, found.median)),
                chance,
            ]
            lines.append(" & ".join(_escaped(cell) for cell in cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


class Block(NamedTuple):
    """A table: a title, or none; its header and its rows, the first cell of each of which names it."""

    title: str
    header: list[str]
    rows: list[list[str]]


def blocks(comparison: Compared, table: EnvTable) -> list[Block]:
    """Agents side by side, then each against the first."""
    unit = "return" if table.reference else "normalised score"
    what = {
        "final": f"greedy {unit} of the final weights",
        "best": f"greedy {unit} of the best weights",
        "auc": f"mean greedy {unit} while learning",
    }[comparison.score]
    percent = f"{100 * comparison.confidence:g} %"
    rows = [
        ["seeds", *(f"{agent.seeds}" for agent in table.agents)],
        *_counts(table.agents),
        ["IQM", *(interval(agent.aggregates.iqm) for agent in table.agents)],
        ["mean", *(interval(agent.aggregates.mean) for agent in table.agents)],
        ["median", *(interval(agent.aggregates.median) for agent in table.agents)],
        ["optimality gap", *(_gap(agent) for agent in table.agents)],
    ]
    if table.reference:
        rows.append(["area under curve", *(_or_dash(agent.auc) for agent in table.agents)])
        rows += _attainments(table.agents)
    found = [Block(f"{table.env}: {what}, {percent} intervals", ["", *comparison.labels], rows)]
    if table.contrasts:
        header = ["against " + table.contrasts[0].baseline, *(c.label for c in table.contrasts)]
        contrasts = [
            ["difference of IQM", *(interval(c.difference.iqm, signed=True) for c in table.contrasts)],
            ["difference of mean", *(interval(c.difference.mean, signed=True) for c in table.contrasts)],
            ["P(improvement)", *(interval(c.difference.improvement, digits=2) for c in table.contrasts)],
            ["p" + " (Holm)" * (len(table.contrasts) > 1), *(_p(c.p_holm) for c in table.contrasts)],
            ["verdict", *(c.outcome for c in table.contrasts)],
        ]
        found.append(Block("", header, contrasts))
    return found


def _table(comparison: Compared, table: EnvTable) -> str:
    lines: list[str] = []
    for block in blocks(comparison, table):
        lines += [block.title, *_aligned([block.header, *block.rows])]
    return "\n".join(lines)


def _counts(agents: Sequence[AgentResult]) -> list[list[str]]:
    """How many greedy episodes the score of a seed rests on."""
    if not any(agent.episodes for agent in agents):
        return []
    known = [(min(agent.episodes), max(agent.episodes)) if agent.episodes else None for agent in agents]
    return [
        ["episodes per seed", *("-" if n is None else f"{n[0]:,}" + f" to {n[1]:,}" * (n[0] < n[1]) for n in known)]
    ]


def _attainments(agents: Sequence[AgentResult]) -> list[list[str]]:
    """Who got to the threshold, and when."""
    found = [agent.attainment for agent in agents if agent.attainment]
    if not found:
        return []
    return [
        [f"reached {exact(found[0].threshold)}", *(f"{a.reached} of {a.seeds}" for a in found)],
        ["  share", *(interval(a.share, digits=2) for a in found)],
        ["  median steps", *(_steps(a.median_steps) for a in found)],
    ]


def _steps(steps: float) -> str:
    return f"{steps:,.0f}" if math.isfinite(steps) else "not half of them"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _gap(agent: AgentResult) -> str:
    """What is missing to 1; nothing can be told of it where there is no scale."""
    return "-" if agent.optimality_gap is None else interval(agent.optimality_gap, digits=2)


def _or_dash(e: Estimate | None) -> str:
    return "-" if e is None else interval(e)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell, the first to the left; those beyond `LINE_LENGTH` below the others."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines: list[str] = []
    first = 1
    while first < len(widths):
        last, used = first + 1, 2 + widths[0] + 3 + widths[first]
        while last < len(widths) and used + 3 + widths[last] <= LINE_LENGTH:
            used += 3 + widths[last]
            last += 1
        block = range(first, last)
        lines += [""] * bool(lines)
        lines += ["  " + row[0].ljust(widths[0]) + "".join(f"   {row[i]:>{widths[i]}}" for i in block) for row in rows]
        first = last
    return lines


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *(_wrapped(line, "- ", "  ") for line in lines)])


def _wrapped(line: str, first: str = "", rest: str = "") -> str:
    """Lines of `LINE_LENGTH`, none of which ends inside an interval."""
    held = re.sub(r" (?=[^\[\]]*\])|(?<=\d) (?=\[)", "\0", line)
    made = textwrap.fill(
        held, LINE_LENGTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return made.replace("\0", " ")


def _escaped(cell: str) -> str:
    """Text for LaTeX: its own characters escaped, and minus signs as mathematics."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in cell)
