"""The end of a search: the best trial and the base recipe trained again, on seeds that no trial has seen.

    OUT/final/default/    the base recipe on the fresh seeds
    OUT/final/trial-N/    the best trial's recipe on the same ones

Each is an ordinary run folder. Processes of one search share them as they share trials.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RunFolderError
from ..process.places import shown
from ..recipe import Recipe
from ..rollout.signals import Interrupts
from ..runfolder.documents import ended
from ..runfolder.lock import Lock, holder
from ..runfolder.reader import Reader
from .crew import Crew, Retry
from .same import check_same
from .study import FINAL, SharedStudy

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

DEFAULT = "default"


def best_trial(shared: SharedStudy) -> "FrozenTrial":
    """The trial with the highest score; of equal ones that with the highest mean over its seeds, then the first.

    Raises:
        RunFolderError: no trial has one.
    """
    done = shared.trials("COMPLETE")
    if not done:
        trials = shared.trials()
        said = [trial.user_attrs.get("why") for trial in trials if trial.user_attrs.get("why")]
        last = f" The last said: {said[-1]}." if said else ""
        raise RunFolderError(
            f"none of the {len(trials)} trials of {shown(shared.out)} has a score.{last} See log.txt in its folders. "
            f"What has failed is not tried again: once that is mended, ask for more, with --trials {2 * len(trials)}"
        )
    return max(done, key=lambda trial: (float(trial.value or 0.0), statistics.mean(scores_of(trial)), -trial.number))


def scores_of(trial: "FrozenTrial") -> tuple[float, ...]:
    """The scores of a finished trial's seeds."""
    return tuple(float(x) for x in trial.user_attrs.get("scores", [trial.value]))


def values_of(shared: SharedStudy, trial: "FrozenTrial") -> dict[str, object]:
    """Dotted key -> value, as a recipe has it."""
    return {one.key: one.value(trial.params[one.key]) for one in shared.file.space}


def final_runs(shared: SharedStudy) -> dict[str, tuple[Path, Recipe]]:
    """What is trained on fresh seeds: name -> run folder and recipe; the base recipe alone, where no trial beats it."""
    best = best_trial(shared)
    base = shared.file.base.replace(workers=1)
    runs = {DEFAULT: (shared.out / FINAL / DEFAULT, base)}
    if not is_base(shared, best):
        name = f"trial-{best.number}"
        recipe = shared.file.changed(values_of(shared, best)).replace(workers=1)
        runs[name] = (shared.out / FINAL / name, recipe)
    return runs


def is_base(shared: SharedStudy, trial: "FrozenTrial") -> bool:
    """Whether a trial has the base recipe's own values."""
    return shared.begins_with is not None and all(
        trial.params.get(key) == value for key, value in shared.begins_with.items()
    )


def train_finals(shared: SharedStudy, crew: Crew, interrupts: Interrupts, tell: Callable[[str], None]) -> None:
    """Train what is compared in the end, so far as it is not there; until a signal comes.

    Raises:
        RunFolderError: one of the runs failed, or lies there from other settings.
    """
    runs = final_runs(shared)
    for folder, recipe in runs.values():
        _check_seeds(folder, recipe)
        if not holder(folder):  # of a run that has just begun elsewhere, files are still missing
            check_same(folder, recipe)
    mine: dict[str, Lock] = {}
    told = False
    try:
        while not interrupts.signal:
            left = [name for name, (folder, _) in runs.items() if not is_done(folder)]
            if not left and not mine:
                return
            for name in left:
                folder, recipe = runs[name]
                if name in mine or holder(folder) or not crew.room() or (claim := _claim(shared, name)) is None:
                    continue
                mine[name] = claim
                tell(f"{name}: {recipe.seeds} fresh seeds, {recipe.seed} to {recipe.seed + recipe.seeds - 1}")
                crew.begin(name, folder, recipe)
            if not mine:
                if not told:
                    tell(f"waiting for {' and '.join(left)}, which others train")
                told = True
                time.sleep(0.5)
                continue
            for outcome in crew.wait():
                if isinstance(outcome, Retry):
                    tell(f"{outcome.name}: {outcome.why}; it goes on from its checkpoint")
                    continue
                if outcome.state != "done":
                    raise RunFolderError(
                        f"{outcome.name}: its run in {shown(runs[outcome.name][0])} failed: {outcome.why}."
                    )
                mine.pop(outcome.name).release()
    finally:
        if mine:
            crew.stop()
            for claim in mine.values():
                claim.release()


def is_done(folder: Path) -> bool:
    """Whether the run in ``folder`` has come to its end."""
    return ended(Reader(folder).summary.value) and not holder(folder)


def _claim(shared: SharedStudy, name: str) -> Lock | None:
    with shared.alone():
        return shared.claim(f"{FINAL}-{name}")


def _check_seeds(folder: Path, recipe: Recipe) -> None:
    """Refuse a run of other seeds, as of a report that was made before final_seeds was changed."""
    plan = Reader(folder).plan.value
    if plan.seeds and (plan.seed, plan.seeds) != (recipe.seed, recipe.seeds):
        raise RunFolderError(
            f"{shown(folder)} has seeds {plan.seed} to {plan.seed + plan.seeds - 1}, and the file asks for "
            f"{recipe.seed} to {recipe.seed + recipe.seeds - 1}. Ask for the same again, or move that folder away."
        )
