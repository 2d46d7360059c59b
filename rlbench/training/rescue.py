"""What becomes of a run whose environment or agent fails: what there is is saved, and a command goes on from there."""

import contextlib
from pathlib import Path

from ..cuda.failure import CardFailure
from ..errors import AgentError, DivergedError, EnvError, NotFiniteError, RlbenchError
from ..process.places import shown
from ..runfolder.checkpoints import newest
from ..runfolder.layout import whole_run, worker_folders
from ..user_code.commands import begin_command, resume_command
from .faults import dump
from .underway import Underway


def rescued(run: Underway, e: EnvError | AgentError) -> RlbenchError:
    """Save what can be saved of a run in which ``e`` was raised; the error to raise instead, with what to do next.

    A step in which an environment failed counts for none of the copies, and what the agent had chosen is kept with it:
    going on from there is exact. So is going on with an evaluation. After an error of the agent itself there is no
    telling what it holds, so the newest checkpoint stays as it is; training on from it comes to the same step again.
    """
    whole, recipe = whole_run(run.folder), run.recipe
    dumped = e.dump if isinstance(e, DivergedError) else _dump(run, e)
    with contextlib.suppress(RlbenchError, OSError):
        run.recorder.flush()
    saved = _save(run, e)
    text = str(e).rstrip(". ")
    held = f" What the agent held is in {shown(dumped)}." if dumped else ""
    if not any((place / "checkpoint.pth").exists() for place in (whole, *worker_folders(whole))):
        do = f" No checkpoint was written yet: mend it, and begin again with: {begin_command(whole, recipe)}"
    elif isinstance(e, DivergedError | NotFiniteError):
        rate = " Lower the learning rate, or leave" if isinstance(e, DivergedError) else " Mend it, or leave"
        do = f"{rate} such seeds behind: {resume_command(whole, recipe, '--on-nan', 'skip-seed')}"
    else:
        until = f"Everything until step {run.env_steps:,} is saved" if saved else "The last checkpoint is kept"
        do = f" {until}. Go on, when it is mended, with: {resume_command(whole, recipe)}"
    error = type(e)(text + "." + held + do) if type(e) in (EnvError, AgentError) else _like(e, text + "." + held + do)
    error.exit_code, error.short = e.exit_code, text
    return error


def without_card(run: Underway, said: CardFailure) -> RlbenchError:
    """What to raise where the card of a run failed; nothing is asked of it any more.

    A card tells of what went wrong when it gets to it, so what the agent holds may have been wrong for some steps. What
    the newest checkpoint holds was read from the card whole, and before.
    """
    whole, recipe = whole_run(run.folder), run.recipe
    with contextlib.suppress(Exception):
        run.recorder.flush()
    text = f"the card {run.parts.device} failed after step {run.env_steps:,}: {said}."
    if (saved := _newest_step(run)) is None:
        least = " With fewer seeds, or --device cpu, begin" if said.full else " Begin"
        do = f"No checkpoint was written yet.{least} again with: {begin_command(whole, recipe)}"
        return _short(RlbenchError(f"{text} {do}"), text)
    go = "With more of its memory free, or elsewhere by --device, go on" if said.full else "Go on"
    do = f"The newest checkpoint holds step {saved:,} and is whole. {go} with: {resume_command(whole, recipe)}"
    return _short(RlbenchError(f"{text} {do}"), text)


def _short(error: RlbenchError, text: str) -> RlbenchError:
    error.short = text
    return error


def _newest_step(run: Underway) -> int | None:
    """Env steps of the newest checkpoint that loads; None where there is none."""
    try:
        return int(newest(run.folder, wants_replay=False).content["env_steps"])
    except RlbenchError:
        return None


def saved_before_step(run: Underway) -> bool:
    """Write a checkpoint of before the step that an environment did not bring to its end, if it was one's."""
    if run.envs.asked is None and run.state.pending is None:
        return False
    run.save()
    return True


def _like(e: RlbenchError, message: str) -> RlbenchError:
    """An error of the nearest plain kind."""
    return EnvError(message) if isinstance(e, EnvError) else AgentError(message)


def _save(run: Underway, e: EnvError | AgentError) -> bool:
    """Write a checkpoint, if the run stands at one that can be gone on from."""
    stands = run.state.pending is not None or (run.envs.asked is not None and isinstance(e, EnvError))
    if not stands or not isinstance(e, EnvError | DivergedError):
        return False
    if isinstance(e, DivergedError) and (run.folder / "checkpoint.pth").exists():
        return False  # the weights of before, all of them finite, are worth more
    try:
        run.save()
    except Exception:  # the agent's own code may fail at it, or the disk be full; what is told is the first error
        return False
    return True


def _dump(run: Underway, e: EnvError | AgentError) -> Path | None:
    """Write what the agent held, if it can tell."""
    numbers, seed = run.recipe.seed_numbers, getattr(e, "seed", None)
    seeds = [numbers[s] for s in ([seed] if seed is not None else run.state.training)]
    try:
        return dump(run.folder, run.env_steps, seeds, run.agent_state(), run.state.metrics, str(e))
    except Exception:  # as above
        return None
