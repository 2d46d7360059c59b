"""`rlbench.train` and `rlbench.resume`: with progress by default, and notes as warnings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..recipe import Recipe
from ..record.watcher import Watcher
from ..training import train as training
from ..training.run import Run
from .notes import telling


def train(
    env: str | None = None,
    *,
    agent: str | type | None = None,
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    imports: Sequence[str] = (),
    progress: str = "auto",
    watcher: Watcher | None = None,
    **overrides: Any,
) -> Run:
    """Train an agent and record the run.

    What the user should know is told as `RunWarning`s, by Python's `warnings`.

    Args:
        env: Gymnasium id, file.py:Class or package.module:Class; goes before the recipe's.
        agent: name, package.module:Class, file.py:Class, or the class itself; goes before the recipe's.
        recipe: a `Recipe`, the name of one that comes with rlbench, or a TOML file; default: the agent's for ``env``.
        out: run folder; default: runs/ENV/AGENT-DATE-TIME.
        imports: modules that register the environment.
        progress: "auto": a bar in a notebook or on a terminal, and a line now and then elsewhere; "plain": such lines;
            "none".
        watcher: told what happens, notes too, in place of all that.
        overrides: run keys, such as ``seeds=5``, and hyper-parameters, as ``dqn={"gamma": 0.98}``.

    Sets torch's number of CPU threads to the recipe's, 1 unless it says otherwise.

    Raises:
        RlbenchError: anything that the user has to mend, in one sentence.
        RunWarning: where the program makes errors of warnings; the run has ended then, and is saved.
    """
    with telling(watcher, progress) as told:
        return training.train(env, agent=agent, recipe=recipe, out=out, imports=imports, watcher=told, **overrides)


def resume(
    folder: str | Path,
    *,
    agent: str | type | None = None,
    imports: Sequence[str] = (),
    total_steps: int | None = None,
    on_nan: str | None = None,
    track: str | Sequence[str] | None = None,
    video_every: int | None = None,
    debug_every: int | None = None,
    device: str | None = None,
    progress: str = "auto",
    watcher: Watcher | None = None,
) -> Run:
    """Go on with a run that was interrupted, or whose ``total_steps`` is now higher.

    Args:
        folder: the run folder.
        agent: needed again where the run's agent is code of your own (file.py:Class).
        imports: likewise, modules that register the environment.
        total_steps: a new end.
        on_nan: "stop" or "skip-seed", where it is to change.
        track: trackers, where they are to change, as in a recipe.
        video_every: likewise, env steps between films.
        debug_every: likewise, env steps between looks inside the agent.
        device: where it goes on, if elsewhere; not exactly then.
        progress: as for `train`.
        watcher: likewise.

    Raises:
        RlbenchError: there is no usable checkpoint, or nothing is left to do.
        RunWarning: as from `train`.
    """
    with telling(watcher, progress) as told:
        return training.resume(
            folder,
            agent=agent,
            imports=imports,
            total_steps=total_steps,
            on_nan=on_nan,
            track=track,
            video_every=video_every,
            debug_every=debug_every,
            device=device,
            watcher=told,
        )
