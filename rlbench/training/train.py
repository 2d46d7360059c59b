"""`train` and `resume`: from a request to a finished run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError, UsageError, first_line
from ..process import mkl
from ..process.places import absolute, shown, staying
from ..recipe import Recipe
from ..recipe.axes import looked_at
from ..recipe.build import Parts
from ..recipe.card_memory import card_need, check_cards, free_on
from ..recipe.memory import NoRoom, check_disk, check_memory
from ..recipe.registry import agent_code, given_class
from ..recipe.shares import check_dealt, dealt, places, shares
from ..recipe.width import Width, check, recorded_mode
from ..record.watcher import Watcher
from ..runfolder.checkpoints import newest
from ..runfolder.create import free_folder, new_folder
from ..runfolder.documents import ended
from ..runfolder.layout import worker_folders
from ..runfolder.lock import Lock
from ..runfolder.reader import Reader
from ..runfolder.workers import join_checkpoints
from ..user_code.commands import begin_command, resume_command
from ..user_code.refs import code_of, runs_user_code
from .run import Run
from .session import Session
from .trainable import Trainable
from .workers import Workers, refuse_again

GLANCE = 0.5  # seconds; longer than others take to ask who is at work in a folder


def train(
    env: str | None = None,
    *,
    agent: str | type | None = None,
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    imports: Sequence[str] = (),
    watcher: Watcher | None = None,
    width_lost: Callable[[Width], object] = lambda found: None,
    **overrides: Any,
) -> Run:
    """Train an agent and record the run.

    Args:
        env: Gymnasium id, file.py:Class or package.module:Class; goes before the recipe's.
        agent: name, package.module:Class, file.py:Class, or the class itself; goes before the recipe's.
        recipe: a `Recipe`, the name of one that comes with rlbench, or a TOML file; default: the agent's for ``env``.
        out: run folder; default: runs/ENV/AGENT-DATE-TIME.
        imports: modules that register the environment.
        watcher: told what happens.
        width_lost: called, before anything is written, where a seed's numbers would depend on those beside it.
        overrides: run keys, such as ``seeds=5``, and hyper-parameters, as ``dqn={"gamma": 0.98}``.

    Sets torch's number of CPU threads to the recipe's, 1 unless it says otherwise.

    Raises:
        RlbenchError: anything that the user has to mend, in one sentence.
    """
    refuse_again()
    if env is not None and not isinstance(env, str):
        raise UsageError(
            "env is the name of an environment, as 'CartPole-v1' or 'file.py:MyEnv': each seed needs copies of its own"
        )
    place, runs = None if out is None else absolute(out), absolute("runs")  # before foreign code goes elsewhere
    agent = given_class(agent) if isinstance(agent, type) else agent
    if not isinstance(recipe, Recipe):
        flat: dict[tuple[str, ...], Any] = {}
        for key, value in overrides.items():
            flat |= {(key, k): v for k, v in value.items()} if isinstance(value, dict) else {(key,): value}
        recipe = Recipe.load(recipe, env=env, agent=agent, imports=imports, overrides=flat)
    elif env or agent or imports or overrides:
        raise UsageError("give a finished Recipe alone, or change it with Recipe.replace")
    recipe = dealt(recipe.placed())
    with staying(), agent_code(recipe.agent):
        session = _trainable(recipe, watcher or Watcher(), several=len(shares(recipe)) > 1)
        parts = session.tried()
        recipe = session.recipe
        computed = places(recipe, parts.device)
        notes = _room_notes(session, parts, place or runs)
        axes = looked_at(parts, recipe)
        found = check(parts.agent, recipe, parts.device)
        if found.strayed:
            width_lost(found)
            session.watcher.note(found.warning())
        del parts  # with the agent of all seeds, whose memory is free once some have stopped
        place = free_folder(recipe, place, runs)
        with Lock(place, patience=GLANCE):
            new_folder(recipe, place, {"numerics": found.facts(), "computed": computed})
            for note in notes:
                session.watcher.remark(note)
            session.start(place, axes)
            return _ended(place, session)


def _ended(folder: Path, session: Trainable) -> Run:
    """What the run gives, once it has; the code that it needs was named by whoever began it."""
    summary, recipe = session.run(), session.recipe
    agent = recipe.agent if runs_user_code(recipe.agent) else None
    return Run(folder, summary, recipe, agent, recipe.imports)


def _trainable(recipe: Recipe, watcher: Watcher, *, several: bool) -> Trainable:
    """A run that has not begun: on several processes, or in this one."""
    return Workers(recipe, watcher) if several else Session(recipe, watcher)


def _room_notes(session: Trainable, parts: Parts, out: Path) -> list[str]:
    """What to say about memory and disk before a run begins in ``out``, or below it."""
    try:
        recipe, need = session.recipe, parts.need
        host = check_memory(need, recipe) if need else []
        return host + _card_notes(recipe, parts) + (check_disk(need, recipe, out) if need else [])
    except NoRoom:
        session.close()
        raise


def _card_notes(recipe: Recipe, parts: Parts) -> list[str]:
    """What to say about the memory of the cards that a run is on.

    Raises:
        NoRoom: there is not enough on one of them.
    """
    if parts.device.type != "cuda":
        return []
    cards: dict[torch.device, list[int]] = {}
    for place in places(recipe, parts.device):
        cards.setdefault(torch.device(str(place["device"])), []).append(int(place["seeds"]))
    need = card_need(parts.agent, parts.spec, len(parts.streams.seeds), parts.device, recipe.hyper)
    return check_cards(need, recipe, cards, {card: free_on(card) for card in cards})


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
        watcher: told what happens.

    Raises:
        RlbenchError: there is no usable checkpoint, or nothing is left to do.
    """
    refuse_again()
    folder = absolute(folder)
    reader = Reader(folder)
    mkl.choose(recorded_mode(reader.about.value))
    agent = given_class(agent) if isinstance(agent, type) else agent
    path = folder / "checkpoint.pth"
    workers = worker_folders(folder)
    saved = [place / path.name for place in workers or [folder] if (place / path.name).exists()]
    _check_begun(reader, saved)
    with staying(), Lock(folder):
        changes = {"total_steps": total_steps, "on_nan": on_nan, "track": track, "video_every": video_every}
        changes |= {"debug_every": debug_every, "device": device}
        given = {key: value for key, value in changes.items() if value is not None}
        watcher = watcher or Watcher()
        session = _restored(reader, saved, agent, imports, given, watcher)
        for note in reader.code_notes(code_of(session.recipe.agent, session.recipe.imports)):
            watcher.note(note)
        with agent_code(session.recipe.agent):
            return _ended(folder, session)


def _restored(
    reader: Reader,
    saved: Sequence[Path],
    agent: str | None,
    imports: Sequence[str],
    changes: dict[str, Any],
    watcher: Watcher,
) -> Trainable:
    """A run that stands where it stopped, in a folder that is ours; ``saved`` are its newest checkpoints.

    What was read from the files is let go of on return: the old buffer's file keeps its place on the disk until then.
    """
    folder = reader.folder
    path, workers = folder / "checkpoint.pth", worker_folders(folder)
    partly = len(saved) < len(workers)  # killed when only some workers had saved: the others begin anew
    try:
        kept = None if workers else newest(folder)
        if kept:
            content = kept.content
        else:
            parts = [newest(place.parent, wants_replay=False).content for place in saved]
            content = parts[0] if partly else join_checkpoints(parts, folder)
        recipe = Recipe.from_content(content["recipe"], str(path)).trusting(agent, imports, str(path))
        if partly:
            written = reader.model().trusting(agent, imports, reader.called(folder / "recipe.toml"))
            recipe = written.replace(total_steps=recipe.total_steps)
        done = int(content["env_steps"])
        stopped = not workers and all(content["training"]["scores"]["stopped"])
    except (KeyError, ValueError, TypeError, AttributeError) as e:
        raise CheckpointError(f"{path} is not a whole checkpoint: {type(e).__name__}: {first_line(e)}") from e
    recipe = recipe.replace(**changes)
    check_dealt(recipe, len(workers) or 1)
    if changes.get("total_steps", done) <= done - recipe.num_envs:  # the last step may lead a little beyond
        raise UsageError(
            f"{shown(folder)} has done {done:,} steps already, so it cannot end at {recipe.total_steps:,}. "
            f"To go on, raise them: {resume_command(folder, recipe, '--total-steps', 2 * done)}"
        )
    if problem := reader.summary.problem:
        watcher.note(f"{problem}: done without it")
    over = ended(reader.summary.value)
    if over and done >= recipe.total_steps:
        raise UsageError(
            f"{shown(folder)} has done its {done:,} steps. To go on, raise them: "
            f"{resume_command(folder, recipe, '--total-steps', 2 * done)}"
        )
    if over and stopped:
        raise UsageError(
            f"every seed of {shown(folder)} has stopped (solved, or max_episodes); there is nothing to resume."
        )
    with agent_code(recipe.agent):
        try:
            session = _trainable(recipe, watcher, several=kept is None)
            _card_notes(recipe, session.tried())
        except NoRoom as e:
            raise UsageError(f"{e.what} A run that goes on cannot take less: go on where there is more.") from e
        session.restore(folder, kept, changes)
    return session


def _check_begun(reader: Reader, saved: Sequence[Path]) -> None:
    """Say what to do about a folder that holds no checkpoint."""
    if saved:
        return
    reader.check()
    raise CheckpointError(
        f"{reader.name} ended before its first checkpoint. "
        f"Start it again with: {begin_command(reader.folder, reader.model())}"
    )
