"""An ablation: a sweep of one recipe with each of its switches left out in turn, and what each of them is worth."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from ..errors import RlbenchError, UsageError
from ..files import unwritable, write_text
from ..judge.comparison import Comparison
from ..judge.fairness import FEW, UNRELIABLE
from ..judge.results import Contrast
from ..judge.verdict import interval
from ..process.places import shown
from ..recipe import Recipe
from ..stats.estimates import Estimate
from ..sweep.file import SweepFile, parse_file
from ..sweep.folder import CELLS, FILE, PLAIN, SweepFolder, is_sweep
from .contest import contest_of, judge_contest
from .switches import Switch, value_word

WHOLE, BARE = "everything", "plain"
VERDICTS = {
    "undecided": "cannot tell",
    "same seeds": "changes nothing here",
    "no difference": "no difference",
    "too few seeds": "too few seeds",
}


class Ablation(NamedTuple):
    """What is asked.

    Attributes:
        recipe: with everything.
        switches: that are left out in turn, or put in.
        put_in: each is put into the plain agent, which has none of them, instead of left out of the whole one.
        out: the sweep folder.
    """

    recipe: Recipe
    switches: tuple[Switch, ...]
    put_in: bool
    out: Path

    @property
    def baseline(self) -> str:
        """The cell that the others are compared with."""
        return BARE if self.put_in else WHOLE

    def cell(self, switch: Switch) -> str:
        """Name of a switch's cell."""
        return f"{'with' if self.put_in else 'without'}-{switch.name}"


class Worth(NamedTuple):
    """What one switch is worth.

    Attributes:
        switch: which.
        score: IQM of the cell in which it alone is another than in the baseline; None: that has not finished.
        worth: IQM with it minus without it.
        p: adjusted for the number of switches (Holm).
        verdict: "helps", "hurts", or why that cannot be said.
    """

    switch: Switch
    score: Estimate | None = None
    worth: Estimate | None = None
    p: float | None = None
    verdict: str = "not finished"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""

        def plain(e: Estimate | None) -> dict[str, float | None] | None:
            return None if e is None else {k: None if x != x else x for k, x in e._asdict().items()}

        return {
            "key": self.switch.key,
            "on": self.switch.on,
            "off": self.switch.off,
            "score": plain(self.score),
            "worth": plain(self.worth),
            "p_holm": self.p,
            "verdict": self.verdict,
        }


class AblationResult(NamedTuple):
    """What came of an ablation.

    Attributes:
        baseline: IQM of the baseline's final greedy returns; None: nothing can be compared yet.
        worths: of every switch, the most worth first.
        seeds: of the baseline.
        warnings: what weakens it.
        comparison: that it rests on.
        confidence: of all intervals.
    """

    baseline: Estimate | None
    worths: tuple[Worth, ...]
    seeds: int
    warnings: tuple[str, ...]
    comparison: Comparison | None
    confidence: float = 0.95


def file_of(ablation: Ablation) -> SweepFile:
    """The sweep that answers it: a cell for each switch, and the baseline first."""
    recipe = ablation.recipe
    base: dict[str, Any] = {"recipe": str(ablation.out / PLAIN), "env": recipe.env, "agent": recipe.agent}
    if recipe.imports:
        base["imports"] = list(recipe.imports)
    base |= {"seeds": recipe.seeds, "total_steps": recipe.total_steps}
    cells = [_cell(ablation.baseline, ablation.switches, None, put_in=ablation.put_in)]
    cells += [_cell(ablation.cell(s), ablation.switches, s, put_in=ablation.put_in) for s in ablation.switches]
    return parse_file(tomli_w.dumps({"base": base, "cell": cells}), shown(ablation.out / FILE))


def write_plain(ablation: Ablation) -> None:
    """Write the recipe without the switches where the sweep's cells find it.

    Raises:
        UsageError: the folder holds something else, or an ablation of another recipe.
        RunFolderError: it cannot be written.
    """
    out = ablation.out
    keys = [*(switch.key for switch in ablation.switches), "seeds", "total_steps"]
    text = ablation.recipe.to_toml(without=keys)
    if out.is_dir() and (inside := set(os.listdir(out))):
        mine, begun = PLAIN in inside, is_sweep(out)
        rest = inside - {".lock", PLAIN}
        if (begun and not mine) or (not begun and rest and not {FILE, CELLS} <= rest):  # else one that lost its index
            what = "another sweep" if begun else "other things than a sweep"
            raise UsageError(f"{shown(out)} holds {what}. Give another folder: --out DIR")
        if mine and (out / PLAIN).read_text(encoding="utf-8", errors="replace") != text:
            raise UsageError(
                f"{shown(out)} is the ablation of another recipe or of other switches. Give another folder: --out DIR"
                if begun
                else f"there is a {shown(out / PLAIN)} already, and of another recipe. Give another folder: --out DIR"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / PLAIN, text)
    except OSError as e:
        raise unwritable(shown(out), e, "Give another place: --out DIR") from e


def found_in(ablation: Ablation, sweep: SweepFolder, confidence: float = 0.95) -> AblationResult:
    """What the cells say that have finished."""
    contest = contest_of(sweep)
    try:
        contest = contest_of(sweep, baseline=ablation.baseline)
        comparison = judge_contest(contest, confidence=confidence).comparison
    except RlbenchError as e:
        return AblationResult(
            None, tuple(map(Worth, ablation.switches)), 0, (*contest.missing, str(e)), None, confidence
        )
    table = comparison.tables[0]
    scores = {agent.label: agent.aggregates.iqm for agent in table.agents}
    contrasts = {contrast.label: contrast for contrast in table.contrasts}
    worths = [
        _worth(switch, contrasts[name], scores[name], put_in=ablation.put_in)
        if (name := ablation.cell(switch)) in contrasts
        else Worth(switch)
        for switch in ablation.switches
    ]
    worths.sort(key=lambda one: -one.worth.value if one.worth else float("inf"))
    seeds = [agent.seeds for agent in table.agents]
    few = f"{min(seeds)} seeds each: {UNRELIABLE}" if min(seeds) < FEW else ""
    others = [text for text in comparison.warnings if UNRELIABLE not in text]
    warnings = (*comparison.differences, *others, *filter(None, [few]))
    return AblationResult(table.agents[0].aggregates.iqm, tuple(worths), seeds[0], warnings, comparison, confidence)


def worth_table(ablation: Ablation, found: AblationResult) -> list[str]:
    """Lines of text: what each switch is worth, the most first."""
    cell = "with it alone" if ablation.put_in else "without it"
    head = ["switch", "off", cell, "worth", "p (Holm)" if len(ablation.switches) > 1 else "p", "verdict"]
    rows = [
        [
            one.switch.title,
            value_word(one.switch.off),
            "-" if one.score is None else interval(one.score),
            "-" if one.worth is None else interval(one.worth, signed=True),
            "-" if one.p is None else "< 0.001" if one.p < 0.001 else f"{one.p:.3f}",
            one.verdict,
        ]
        for one in found.worths
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    left = (0, 1, 5)
    lines = []
    for row in [head, *rows]:
        cells = [text.ljust(widths[i]) if i in left else text.rjust(widths[i]) for i, text in enumerate(row)]
        lines.append(("  " + "   ".join(cells)).rstrip())
    what = "each put in alone" if ablation.put_in else "each left out in turn"
    score = "-" if found.baseline is None else interval(found.baseline)
    return [
        f"{ablation.recipe.agent.rpartition(':')[2]} on {ablation.recipe.env}, {what}: IQM of final greedy returns, "
        f"{100 * found.confidence:g} % intervals",
        f"{ablation.baseline}: {score}, {found.seeds} seeds",
        *lines,
    ]


def verdict_lines(found: AblationResult) -> list[str]:
    """A sentence for each switch of which something can be said, and one for all the others."""
    lines = [
        f"{one.switch.title} {one.verdict}: {interval(one.worth, signed=True)}."
        for one in found.worths
        if one.worth and one.verdict in ("helps", "hurts")
    ]
    open_ = [one for one in found.worths if one.verdict == "cannot tell"]
    if open_ and found.comparison:
        names = ", ".join(one.switch.title for one in open_)
        lines.append(f"Whether {names} {'helps' if len(open_) == 1 else 'help'}, {found.seeds} seeds cannot tell.")
    return lines


def _cell(name: str, switches: Sequence[Switch], changed: Switch | None, *, put_in: bool) -> dict[str, Any]:
    """A cell: all switches on save the changed one, or off save that one. What is None is not set."""
    values = {switch.key: switch.on if put_in == (switch is changed) else switch.off for switch in switches}
    return {"name": name, **{key: value for key, value in values.items() if value is not None}}


def _worth(switch: Switch, contrast: Contrast, score: Estimate, *, put_in: bool) -> Worth:
    d = contrast.difference.iqm  # of the changed cell minus the baseline
    worth = d if put_in else Estimate(-d.value, -d.high, -d.low)
    verdict = VERDICTS.get(contrast.outcome) or ("helps" if (contrast.outcome == "better") == put_in else "hurts")
    return Worth(switch, score, worth, contrast.p_holm, verdict)
