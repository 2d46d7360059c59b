"""`rlbench compare`: which agent is better, how sure that is, and how many more seeds it would take."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options

if TYPE_CHECKING:
    from ..judge.comparison import Comparison
    from ..plots.heatmap import HeatMap

ENDINGS = (".json", ".tex", ".txt")


@click.command()
@click.argument("agents", nargs=-1, required=True, metavar="A B [C...] | SWEEP")
@click.option(
    "--score",
    type=click.Choice(["final", "best", "auc"]),
    default="final",
    show_default=True,
    help="What stands for a seed: greedy return of its final weights, or of those that did best in an evaluation "
    "(selected, so it flatters agents that vary), or its mean greedy return while learning.",
)
@click.option(
    "--reference",
    "references",
    metavar="ENV=LOW,HIGH",
    multiple=True,
    help="Scores that become 0 and 1.  [default: random actions and solved, where known; else the seeds' range]",
)
@click.option(
    "--threshold", "thresholds", metavar="ENV=RETURN", multiple=True, help="Return to reach.  [default: as recorded]"
)
@click.option(
    "--baseline", metavar="NAME", type=options.Word(), help="Compare the others with this one.  [default: first]"
)
@click.option("--confidence", default=0.95, show_default=True, help="Of all intervals, and of the verdict.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON instead of the tables.")
@click.option("--latex", "as_latex", is_flag=True, help="Print a table for LaTeX instead.")
@options.out(
    "Write everything as JSON (.json), a table for LaTeX (.tex), or the tables (.txt). May be repeated.", multiple=True
)
@click.option(
    "--plot",
    type=options.Place(),
    metavar="FILE",
    help="Draw a heat map of agents by environments: .png, .svg or .pdf.  [default of a sweep: SWEEP/compare.png]",
)
def compare(
    agents: tuple[str, ...],
    score: Any,
    references: tuple[str, ...],
    thresholds: tuple[str, ...],
    baseline: str | None,
    confidence: float,
    as_json: bool,
    as_latex: bool,
    out: tuple[Path, ...],
    plot: Path | None,
) -> None:
    """Say which agent is better, and how sure that is. The first is the baseline of the others.

    Each of A, B, C... is a run folder, several joined with commas, a folder that holds runs, or a quoted pattern: the
    same agent with more seeds, or on several environments. NAME= in front names it. The folder of a sweep alone has its
    agents compared by the cells that are finished, and says what is missing.

    \b
    rlbench compare runs/dqn runs/mine
    rlbench compare dqn=runs/dqn-cartpole,runs/dqn-catch mine='runs/mine-*'
    rlbench compare sweeps/agents --baseline dqn
    """
    import json

    from ..errors import UsageError
    from ..judge.text import latex, text
    from ..process.places import shown
    from ..sweep.folder import is_sweep

    if as_json and as_latex:
        raise UsageError("--json and --latex both print: give one of the two, and --out FILE for the other.")
    _check_written(agents, as_json, as_latex, out)
    if plot:
        from ..plots.learning import check_format

        check_format(plot)
    how: dict[str, Any] = {
        "score": score,
        "references": {env: (low, high) for env, (low, high) in _numbers("--reference", references, 2).items()},
        "thresholds": {env: number for env, (number,) in _numbers("--threshold", thresholds, 1).items()},
        "confidence": confidence,
    }
    sweep = Path(agents[0]) if len(agents) == 1 and is_sweep(agents[0]) else None
    found, heat = _of_sweep(sweep, baseline, how) if sweep else _of_runs(agents, baseline, how, drawn=plot is not None)
    make = {
        ".json": lambda: json.dumps(found.to_dict(), indent=2, allow_nan=False, ensure_ascii=False),
        ".tex": lambda: latex(found),
        ".txt": lambda: text(found),
    }
    for path in out:
        options.write(path, make[path.suffix.lower()]())
    if as_json or as_latex:
        click.echo(make[".json" if as_json else ".tex"]())
    else:
        click.echo(text(found, click.style))
    if heat:
        drawn = _draw(heat, plot or (sweep or Path()) / "compare.png", shown(sweep) if sweep else None)
        if not (as_json or as_latex):
            click.echo(f"\nHeat map: {drawn}")


def _of_sweep(sweep: Path, baseline: str | None, how: dict[str, Any]) -> "tuple[Comparison, HeatMap]":
    """The agents of a sweep, by its finished cells."""
    from ..outcome.contest import contest_of, judge_contest
    from ..sweep.folder import open_sweep

    judged = judge_contest(contest_of(open_sweep(sweep), baseline=baseline or ""), **how)
    return judged.comparison, judged.heat


def _of_runs(
    agents: tuple[str, ...], baseline: str | None, how: dict[str, Any], *, drawn: bool
) -> "tuple[Comparison, HeatMap | None]":
    """Agents by their run folders."""
    from ..judge.comparison import compare as judge

    found = judge(agents, baseline=baseline or "", **how)
    if not drawn:
        return found, None
    from ..report.heat import heat_map

    envs = [table.env for table in found.tables]
    return found, heat_map(found.tables, found.overall, labels=found.labels, envs=envs, score=found.score)


def _draw(heat: "HeatMap", out: Path, title: str | None) -> str:
    """Draw a heat map into a file; its name is returned."""
    from ..plots.heatmap import draw_heat_map
    from ..plots.learning import save
    from ..process.places import shown

    return shown(save(draw_heat_map(heat, title=title), out, "--plot FILE"))


def _check_written(agents: tuple[str, ...], as_json: bool, as_latex: bool, outs: tuple[Path, ...]) -> None:
    """Refuse names of files that cannot be written, or that stand where an older version took them."""
    from ..errors import UsageError
    from ..process.places import shown

    for path in outs:
        if path.suffix.lower() not in ENDINGS:
            raise UsageError(f"--out {shown(path)}: the name must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}.")
    for name in agents:
        if (as_json or as_latex) and (name == "-" or name.endswith(ENDINGS)):
            flag = "--json" if as_json else "--latex"
            raise UsageError(f"{flag} prints, and takes no file. To write one: --out {shlex.quote(name)}".rstrip(" -"))


def _numbers(option: str, given: tuple[str, ...], count: int) -> dict[str, list[float]]:
    """ENV=NUMBER[,NUMBER] texts as a table."""
    from ..errors import UsageError

    table = {}
    for entry in given:
        env, equals, rest = entry.rpartition("=")
        try:
            numbers = [float(part) for part in rest.split(",")]
        except ValueError:
            numbers = []
        if not equals or not env or len(numbers) != count or not all(abs(x) < float("inf") for x in numbers):
            example = "CartPole-v1=22,500" if count == 2 else "CartPole-v1=475"
            raise UsageError(f"{option} {entry!r} is not of the form {example}.")
        table[env] = numbers
    return table
