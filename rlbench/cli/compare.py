"""`rlbench compare`: which agent is better, how sure that is, and how many more seeds it would take."""

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("agents", nargs=-1, required=True, metavar="A B [C...]")
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
@click.option("--confidence", default=0.95, show_default=True, help="Of all intervals, and of the verdict.")
@click.option("--json", "json_out", metavar="FILE", help="Write everything as JSON; - prints it instead of the tables.")
@click.option(
    "--latex", "latex_out", metavar="FILE", help="Write a table for LaTeX; - prints it instead of the tables."
)
def compare(
    agents: tuple[str, ...],
    score: Any,
    references: tuple[str, ...],
    thresholds: tuple[str, ...],
    confidence: float,
    json_out: str | None,
    latex_out: str | None,
) -> None:
    """Say which agent is better, and how sure that is. The first is the baseline of the others.

    Each of A, B, C... is a run folder, several joined with commas, a folder that holds runs, or a quoted pattern: the
    same agent with more seeds, or on several environments. NAME= in front names it.

    \b
    rlbench compare runs/dqn runs/mine
    rlbench compare dqn=runs/dqn-cartpole,runs/dqn-catch mine='runs/mine-*'
    """
    import json

    from ..comparison import compare as judge
    from ..errors import UsageError
    from ..verdict_tables import latex, text

    if json_out and json_out == latex_out:
        raise UsageError("--json and --latex cannot both go to the same place: write them to two files.")
    found = judge(
        agents,
        score=score,
        references={env: (low, high) for env, (low, high) in _numbers("--reference", references, 2).items()},
        thresholds={env: number for env, (number,) in _numbers("--threshold", thresholds, 1).items()},
        confidence=confidence,
    )
    made: dict[str, str] = {}
    if json_out:
        made[json_out] = json.dumps(found.to_dict(), indent=2, allow_nan=False, ensure_ascii=False)
    if latex_out:
        made[latex_out] = latex(found)
    for target, content in made.items():
        if target == "-":
            click.echo(content)
        else:
            _write(Path(target), content)
    if "-" not in made:
        click.echo(text(found, click.style))


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


def _write(path: Path, content: str) -> None:
    from ..errors import RunFolderError

    try:
        path.write_text(content + "\n", encoding="utf-8")
    except OSError as e:
        raise RunFolderError(f"cannot write {path}: {e.strerror or e}.") from e
