"""What `rlbench sweep` says before it begins and after it has ended."""

from collections import Counter
from collections.abc import Iterator

from ..process.places import shown
from ..sweep.index import CellState
from ..sweep.plan import axes
from ..units import duration
from ..user_code.commands import command
from .run import SweepEnd, SweepPlan, failed

MOST_CELLS, MOST_FAILED = 12, 10  # that are named, one to a line


def plan_lines(plan: SweepPlan) -> Iterator[str]:
    """What will be run."""
    file, cells = plan.recipes.file, plan.cells
    parts = [f"{count} x {key}" for key, count in axes(file)]
    parts += [f"{len(file.cells)} of [[cell]]"] if file.cells else []
    steps = sum(steps_of(plan))
    yield f"{file.name}: {_count(len(cells), 'cell')} ({', '.join(parts)}), {steps:,} env steps in all"
    names = [cell.name for cell in cells]
    for name in names if len(names) <= MOST_CELLS else names[: MOST_CELLS - 2]:
        yield f"  {name}"
    if len(names) > MOST_CELLS:
        yield f"  ... and {len(names) - MOST_CELLS + 2:,} more, to {names[-1]}"


def steps_of(plan: SweepPlan) -> list[int]:
    """Env steps of every cell, over all its seeds. A recipe is loaded for each environment and agent alone.

    And for each of those by itself that say how long and how often they run: what one says is no other's default.
    """
    known: dict[tuple[object, ...], tuple[int, int]] = {}
    found = []
    for cell in plan.cells:
        said = [key for key in ("total_steps", "seeds") if key in cell.settings]
        mark = (cell.env, cell.settings.get("agent"), cell.settings.get("recipe"), *said)
        if mark not in known:
            recipe = plan.recipes.recipe(cell)
            known[mark] = recipe.total_steps, recipe.seeds
        steps, seeds = known[mark]
        found.append(int(cell.settings.get("total_steps", steps)) * int(cell.settings.get("seeds", seeds)))
    return found


def closing_lines(end: SweepEnd) -> Iterator[str]:
    """What became of it."""
    counts = Counter(state.state for state in end.states.values())
    states = ", ".join(f"{counts[name]:,} {name}" for name in ("done", "failed", "stopped", "waiting") if counts[name])
    seconds = sum(state.seconds for state in end.states.values())
    yield f"{_count(len(end.cells), 'cell')}: {states}; {duration(seconds)} of their time together"
    wrong = failed(end)
    for cell, state in wrong[:MOST_FAILED]:
        yield from _failure(cell.name, state)
    if len(wrong) > MOST_FAILED:
        yield f"... and {len(wrong) - MOST_FAILED:,} more that failed"
    if wrong:
        again = f"Try again, from their checkpoints: {end.again}" if end.again else "The same command tries them again."
        yield f"What each said is in {shown(end.out / 'cells')}/CELL/log.txt. {again}"
    yield f"Everything is in {shown(end.out)}"
    if counts["done"] and len({cell.label for cell in end.cells}) > 1:
        yield f"Which is better:  {command('compare', end.out)}"
    yield f"Look at it:       {command('watch', end.out)}"


def _failure(name: str, state: CellState) -> Iterator[str]:
    attempts = "at once" if state.attempt <= 1 else f"{state.attempt} times"
    yield f"failed {attempts}: {name}: {state.message}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
