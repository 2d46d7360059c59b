"""Where a session stands: what its checkpoint holds, and how another session comes to stand there."""

from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ..errors import CheckpointError, EnvError, RlbenchError, first_line
from ..recipe.eval_cost import Cost
from ..recipe.width import mkl_mode, name_of
from ..runfolder.checkpoints import Kept
from ..runfolder.journal import advice, earlier
from ..runfolder.layout import whole_run
from ..user_code.commands import changed_words, resume_command

if TYPE_CHECKING:
    from .session import Session


def content_of(session: "Session", agent: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint needs to be played: the recipe, the seeds and the ``agent``'s state."""
    return {
        "recipe": session.recipe.content(),
        "seeds": session.recipe.seed_numbers,
        "env_steps": session.env_steps,
        "best_returns": session.scores.best,
        "agent": agent,
    }


def training_of(session: "Session") -> dict[str, Any]:
    """What a checkpoint needs besides to be gone on with; the replay buffer has a file of its own."""
    return {
        "streams": session.parts.streams.state_dict(),
        "envs": session.envs.state_dict(),
        "asked": session.envs.asked,
        "pending": session.pending,
        "scores": session.scores.state_dict(),
        "best": session.best,
        "stopped": session.ended,
        "evaluated_at": session.evaluated_at,
        "inexact": session.inexact,
        "metrics": dict(session.metrics),
        "mkl_mode": mkl_mode(),
        "device": name_of(session.parts.device),
        "sizes": session.recorder.sizes(),
        "wall_seconds": session.recorder.wall_seconds,
        "train_seconds": session.train_seconds,
        "eval_cost": list(session.trials.cost),
    }


def stand(session: "Session", kept: Kept) -> tuple[dict[str, int], float]:
    """Bring ``session`` to where the checkpoint ``kept`` was written.

    Returns:
        The lengths of the record's files then, and how long the run had been under way, in seconds.

    Raises:
        CheckpointError: its content does not fit the agent or the environment.
    """
    content = kept.content
    try:
        state: dict[str, Any] = content["training"]
        session.env_steps, session.train_seconds = content["env_steps"], state["train_seconds"]
        session.agent.load_state_dict(content["agent"])
        session.parts.streams.load_state_dict(state["streams"])
        session.scores.load_state_dict(state["scores"])
        session.best, session.ended = state["best"], state["stopped"]
        session.evaluated_at = state["evaluated_at"]
        session.trials.cost = Cost(*state.get("eval_cost", ()))  # earlier versions kept none
        session.metrics = dict(state.get("metrics", {}))  # likewise
        asked, pending = state.get("asked"), state.get("pending")  # likewise
        session.pending = (int(pending[0]), bool(pending[1])) if pending else None
        if session.agent.replay is not None:
            if kept.replay is None:
                raise ValueError("it was written without a replay buffer")
            session.agent.replay.load_state_dict(kept.replay)
        session.inexact = list(state["inexact"]) + ([session.env_steps] if kept.mismatched else [])
        if (card := state.get("device", here := name_of(session.parts.device))) != here:
            session.inexact.append(session.env_steps)
            session.watcher.note(
                f"this run was made on the device {card}, and goes on on the device {here}: products differ in the "
                f"last bits, so this resume is not exact."
            )
        elif here == "cpu" and (there := state.get("mkl_mode", here := mkl_mode())) != here:
            session.inexact.append(session.env_steps)
            session.watcher.note(
                f"this run's products were made in MKL mode {there}, and are now in {here}: they differ in the last "
                f"bits, so this resume is not exact. To have it exact, start it on a CPU with that mode."
            )
        session.obs, strayed = session.envs.load_state_dict(state["envs"], partial(earlier, session.folder))
        session.envs.asked = None if asked is None else asked.to(session.parts.device)
        sizes, wall_seconds = state["sizes"], float(state["wall_seconds"])
    except EnvError as e:  # nothing has been written yet
        now, before = session.recipe.content(), content["recipe"]
        words = changed_words({key: value for key, value in now.items() if value != before.get(key)})
        raise EnvError(
            f"{str(e).rstrip('. ')}. The checkpoint of step {session.env_steps:,} is kept as it is. Go on, when the "
            f"environment is mended, with: {resume_command(whole_run(session.folder), session.recipe, *words)}"
        ) from e
    except RlbenchError:
        raise
    except Exception as e:  # an agent may check its state as it likes, by assert too
        raise CheckpointError(
            f"{session.folder / 'checkpoint.pth'} does not fit its agent or environment: {first_line(e)}"
        ) from e
    broken_off = torch.full((session.recipe.seeds, session.recipe.num_envs), kept.mismatched)
    broken_off.view(-1)[strayed] = True
    if broken_off.any():  # the newest transitions are not followed by what comes now
        session.agent.cut(broken_off)
    if strayed:
        session.inexact.append(session.env_steps)
        session.watcher.note(
            f"{session.recipe.env} did not come back to where it stood: it is not deterministic given its seed. "
            f"{len(strayed)} episodes start anew, so this resume is not exact.{advice(session.recipe.fresh_envs)}"
        )
    return sizes, wall_seconds
