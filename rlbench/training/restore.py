"""A run is brought back to where its checkpoint was written; what keeps it from being exact is said."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..cuda.failure import card_failure
from ..errors import CheckpointError, EnvError, RlbenchError, first_line
from ..recipe.width import mkl_mode, name_of
from ..rollout.env_batch import Asked
from ..runfolder.checkpoints import Kept
from ..runfolder.journal import advice, earlier
from ..runfolder.layout import whole_run
from ..user_code.commands import changed_words, resume_command
from .underway import Underway


def stand(run: Underway, kept: Kept) -> tuple[Tensor, dict[str, int], float]:
    """Bring ``run`` to where the checkpoint ``kept`` was written.

    Returns:
        What to act on next, (S, E, *O), the lengths of the record's files then, and how long the run had been under
        way, in seconds.

    Raises:
        CheckpointError: its content does not fit the agent or the environment.
        EnvError: an environment's code failed at it.
    """
    content, state = kept.content, run.state
    try:
        training: dict[str, Any] = content["training"]
        state.env_steps = int(content["env_steps"])
        run.agent.load_state_dict(content["agent"])
        run.parts.streams.load_state_dict(training["streams"])
        state.restore(state.env_steps, training)
        asked = training.get("asked")  # earlier versions kept none
        if run.agent.replay is not None:
            if kept.replay is None:
                raise ValueError("it was written without a replay buffer")
            run.agent.replay.load_state_dict(kept.replay)
        if kept.mismatched:
            state.inexact.append(state.env_steps)
        _tell_other_machine(run, training)
        obs, strayed = run.envs.load_state_dict(training["envs"], partial(earlier, run.folder))
        run.envs.asked = None if asked is None or strayed else _asked(asked, run.parts.device)
        sizes, wall_seconds = training["sizes"], float(training["wall_seconds"])
    except EnvError as e:  # nothing has been written yet
        now, before = run.recipe.content(), content["recipe"]
        words = changed_words({key: value for key, value in now.items() if value != before.get(key)})
        raise EnvError(
            f"{str(e).rstrip('. ')}. The checkpoint of step {state.env_steps:,} is kept as it is. Go on, when the "
            f"environment is mended, with: {resume_command(whole_run(run.folder), run.recipe, *words)}"
        ) from e
    except RlbenchError:
        raise
    except Exception as e:  # an agent may check its state as it likes, by assert too
        if card_failure(e):
            raise
        raise CheckpointError(
            f"{run.folder / 'checkpoint.pth'} does not fit its agent or environment: {first_line(e)}"
        ) from e
    broken_off = torch.full((run.recipe.seeds, run.recipe.num_envs), kept.mismatched)
    broken_off.view(-1)[strayed] = True
    if broken_off.any():  # the newest transitions are not followed by what comes now
        run.agent.cut(broken_off)
    if strayed:
        state.inexact.append(state.env_steps)
        run.watcher.note(
            f"{run.recipe.env} did not come back to where it stood: it is not deterministic given its seed. "
            f"{len(strayed)} episodes start anew, so this resume is not exact.{advice(run.recipe.fresh_envs)}"
        )
    return obs, sizes, wall_seconds


def _asked(saved: Any, device: torch.device) -> Asked:
    """What was asked of the step that failed; earlier versions kept the actions alone."""
    action, said = (saved, {}) if isinstance(saved, Tensor) else saved
    return action.to(device), {name: tensor.to(device) for name, tensor in said.items()}


def _tell_other_machine(run: Underway, training: dict[str, Any]) -> None:
    """Say where products are not computed as they were before; the resume is not exact then."""
    if (card := training.get("device", here := name_of(run.parts.device))) != here:
        run.state.inexact.append(run.env_steps)
        run.watcher.note(
            f"this run was made on the device {card}, and goes on on the device {here}: products differ in the "
            f"last bits, so this resume is not exact."
        )
    elif here == "cpu" and (there := training.get("mkl_mode", here := mkl_mode())) != here:
        run.state.inexact.append(run.env_steps)
        run.watcher.note(
            f"this run's products were made in MKL mode {there}, and are now in {here}: they differ in the last "
            f"bits, so this resume is not exact. To have it exact, start it on a CPU with that mode."
        )
