"""The table of planted bugs: each is asked by the row that is to catch it, and what came is written down."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import click

from .mechanism import Mutant, plant
from .plants_blind import Blind
from .table import BLINDLY, MUTANTS

PAGE = Path(__file__).with_name("TABLE.md")
MOST = 160  # characters of evidence
INTRODUCTION = """\
Written by `python -m rlbench.experiments.mutations table --out {page}`, with seed {seed}. Each line is an agent of
rlbench's own with one mistake; the row is the one that is to name it. Published catalogues of such mistakes: *Nikanjam*
et al. 2021, "Faults in deep reinforcement learning programs", arXiv:2101.00135; *RLMutation*, Tambon et al. 2023,
arXiv:2301.05651 (MTS missing terminal state, NDF no discount factor, NR no reverse, MSU missing state update, ILF
incorrect loss function, PAC policy activation change, POC policy optimiser change, RN reward noise, M mangled, Ra
random, R repeat); *muPRL*, arXiv:2408.15150 (the hyper-parameter that is not heeded); *classic*: in no catalogue, and
made by everybody once. What they list of faults of the loop, such as an environment that is not reset, no agent can
have here: the loop is rlbench's.
"""
BLIND = """\
These were written down by somebody who had read the agents, and neither the rows nor what they ask, before any of them
was run. *At first* is the row that failed first when all rows were asked of each, with the rows as they were then, and
whether what it said leads to the mistake, comes near it, or misleads; a *false alarm* is one that a sound agent with
the same hyper-parameters raised as well, and catches nothing. *Now* is what the row says that was found, or made,
since: its score is blind no more.
"""


class Answer(NamedTuple):
    """What the named row said of a mutant."""

    mutant: Mutant
    status: str  # "fails" where it is caught
    said: str
    seconds: float

    @property
    def caught(self) -> bool:
        return self.status == "fails"


def ask(mutant: Mutant, seed: int = 0) -> Answer:
    """Ask the row that is to catch it; one that gives up, or in which something is raised, catches nothing."""
    from rlbench.checks import check

    began = time.perf_counter()
    row = check(plant(mutant), rows=[mutant.row], overrides=dict(mutant.given), seed=seed).rows[-1]
    status, said = row.status, row.evidence or row.why
    if status == "fails" and said.startswith(("It raised", "Gave up")):
        status = "gave up"
    return Answer(mutant, status, said, time.perf_counter() - began)


@click.command()
@click.option("--seed", default=0, show_default=True, help="Of all random numbers.")
@click.option("--only", default="*", show_default=True, help="Mutants, or rows, by a pattern.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Write the page there.")
def table(seed: int, only: str, out: Path | None) -> None:
    """Plant every bug, and ask the row that is to catch it."""
    import torch

    torch.set_num_threads(1)
    answers, blind = (
        [*_asked(mutants, only, seed)] for mutants in (MUTANTS.values(), (b.mutant for b in BLINDLY.values()))
    )
    if answers:
        click.echo(score(answers))
    if blind:
        click.echo(blind_score(blind))
    if out:
        out.write_text(page(answers, seed, blind), "utf-8")


def _asked(mutants: Iterable[Mutant], only: str, seed: int) -> Iterator[Answer]:
    for mutant in mutants:
        if not (fnmatchcase(mutant.title, only) or fnmatchcase(mutant.row, only)):
            continue
        answer = ask(mutant, seed)
        mark = "caught" if answer.caught else answer.status.upper()
        click.echo(f"{mark:8} {mutant.title:26} {mutant.row:20} {answer.seconds:5.1f} s  {_short(answer.said)}")
        yield answer


def score(answers: Sequence[Answer]) -> str:
    caught = sum(answer.caught for answer in answers)
    return f"{caught} of {len(answers)} caught by the row that names them: {caught / max(len(answers), 1):.0%}."


def blind_score(answers: Sequence[Answer]) -> str:
    first = [BLINDLY[answer.mutant.title] for answer in answers]
    caught, now = sum(one.caught_at_first for one in first), sum(answer.caught for answer in answers)
    of = len(answers)
    return f"Blind: {caught} of {of} caught at first: {caught / of:.0%}; {now} now."


def page(answers: Sequence[Answer], seed: int, blind: Sequence[Answer] = ()) -> str:
    """The table in Markdown."""
    lines = [
        "# Planted bugs, and what `rlbench check` says of them",
        "",
        *INTRODUCTION.format(page=PAGE.name, seed=seed).splitlines(),
        "",
        f"**{score(answers)}**",
        "",
        "| agent | mistake | stands for | row | caught | what it said | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for m, _, said, seconds in answers:
        caught = "yes" if (answer := Answer(m, _, said, seconds)).caught else f"**no**: {answer.status}"
        cells = (
            m.agent,
            m.fault,
            m.published,
            f"`{m.row}`",
            caught,
            _short(said).replace("|", "\\|"),
            f"{seconds:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    missed = [answer for answer in answers if not answer.caught]
    if missed:
        lines += ["", "Not caught: " + "; ".join(f"{a.mutant.agent}, {a.mutant.fault}" for a in missed) + "."]
    return "\n".join([*lines, *_blind_page(blind)]) + "\n"


def _blind_page(answers: Sequence[Answer]) -> list[str]:
    if not answers:
        return []
    head = "| agent | mistake | what is worse | at first | row now | caught now | what it says | s |"
    lines = [
        "",
        "## Planted blind",
        "",
        *BLIND.splitlines(),
        "",
        f"**{blind_score(answers)}**",
        "",
        head,
        f"|{'---|' * 8}",
    ]
    for answer in answers:
        one = BLINDLY[answer.mutant.title]
        caught = "yes" if answer.caught else "**no**"
        said = _short(answer.said).replace("|", "\\|") if answer.caught else ""
        cells = (
            one.mutant.agent, one.mutant.fault, one.worse, _at_first(one), f"`{one.mutant.row}`", caught, said,
            f"{answer.seconds:.1f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    judged = Counter(one.judged for answer in answers if (one := BLINDLY[answer.mutant.title]).caught_at_first)
    told = ", ".join(f"{judged[word]} {words}" for word, words in JUDGED.items() if judged[word])
    return [*lines, "", f"Of those that were caught at first, what was said: {told}.", *_missed(answers)]


JUDGED = {"leads": "lead to the mistake", "near": "come near", "misleads": "mislead"}


def _at_first(one: Blind) -> str:
    if not one.first:
        return "**no**"
    return f"**no**: false alarm of `{one.first}`" if one.judged == "alarm" else f"`{one.first}`, {one.judged}"


def _missed(answers: Sequence[Answer]) -> list[str]:
    missed = [BLINDLY[answer.mutant.title] for answer in answers if not answer.caught]
    return (
        ["", "Not caught now:", "", *[f"- {b.mutant.agent}, {b.mutant.fault}: {b.why}." for b in missed]]
        if missed
        else []
    )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MOST else f"{text[: MOST - 3]}..."
