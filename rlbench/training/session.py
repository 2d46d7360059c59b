"""Drives a run from step to step: records what happened, and does what is due, checkpoints among it."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..cuda.failure import card_failure
from ..errors import AgentError, EnvError
from ..files import remove_leftovers
from ..play import clips
from ..process.garbage import set_apart
from ..recipe import Recipe
from ..recipe.build import Parts
from ..recipe.registry import agent_code
from ..record.recorder import Recorder
from ..record.watcher import Watcher
from ..rollout.env_batch import Episode
from ..rollout.loop import Step
from ..rollout.loop import run as steps_of
from ..rollout.signals import Interrupts
from ..runfolder import checkpoint_file
from ..runfolder.checkpoints import Keeper, Kept
from ..runfolder.create import disk_error, write_recipe
from ..runfolder.layout import whole_run
from ..seed_axis import Axes
from ..track.open import check_trackers, open_tracker
from .debug import Debug
from .evaluations import Evaluations, Paused
from .finish import draw, finish
from .milestones import check_metrics, check_numbers, reach
from .rescue import rescued, saved_before_step, without_card
from .restore import stand
from .stopped_seeds import leave_out
from .underway import Underway

TICK_SECONDS = 0.2  # between calls of the watcher


class Session:
    """A run in this process: `start` or `restore` it, then `run` it.

    Args:
        recipe: what is run.
        watcher: told what happens; its status is ``now``.
        alone: whether this is the whole run, and no share of one on several processes.

    Attributes:
        now: what is at work, and where it stands.
        evaluations: plays the evaluations.
    """

    def __init__(self, recipe: Recipe, watcher: Watcher, *, alone: bool = True) -> None:
        check_trackers(recipe.track)
        self.watcher = watcher
        self.now = Underway(recipe, watcher, alone=alone)
        self.recipe = self.now.recipe
        self.evaluations = Evaluations(self.now, self._keep_up, TICK_SECONDS)
        self._obs: Tensor | None = None  # what to act on next, if the run was resumed
        self._inside: Debug | None = None
        self._told_limit = False

    def tried(self) -> Parts:
        """As `Trainable.tried`."""
        return self.now.parts

    def start(self, folder: Path, axes: Axes = None) -> None:
        """As `Trainable.start`."""
        run, seeds = self.now, self.recipe.seed_numbers
        run.axes = axes
        run.folder, run.keeper = folder, Keeper(folder, self.recipe.keep_checkpoints)
        checkpoint_file.check_plain(run.agent.state_dict(), "checkpoint.agent")  # now, and not after an hour
        tracker = open_tracker(self.recipe, folder, note=self.watcher.note)
        run.recorder = Recorder(folder, seeds, run.parts.action_codec, tracker=tracker)
        for note in run.parts.notes:
            self.watcher.remark(note)
        self._debug()

    def restore(
        self,
        folder: Path,
        kept: Kept | None,
        changes: Mapping[str, object] | None = None,
        agreed: Callable[[], object] = lambda: None,
    ) -> None:
        """Stand where the checkpoint ``kept`` of ``folder`` was written.

        Args:
            folder: the run folder.
            kept: from `checkpoints.newest`.
            changes: are in the recipe already.
            agreed: called when that has succeeded, before anything in the folder changes; may raise to have it stay.

        Raises:
            CheckpointError: its content does not fit the agent or the environment.
        """
        assert kept is not None
        run, seeds = self.now, self.recipe.seed_numbers
        run.folder, run.keeper = folder, Keeper(folder, self.recipe.keep_checkpoints)
        run.keeper.found(kept)
        run.axes = kept.content.get("axes")
        for note in kept.notes:
            self.watcher.note(note)
        self._obs, sizes, seconds = stand(run, kept)
        agreed()
        remove_leftovers(folder)
        write_recipe(folder, self.recipe)
        run.to_narrow = any(run.scores.stopped)
        (folder / "summary.json").unlink(missing_ok=True)  # of a run that has not ended
        if run.clips:  # of several processes one makes the films, and they stand at different steps
            clips.cut_back(folder, run.env_steps)
        tracker = open_tracker(self.recipe, folder, sizes, run.env_steps, self.watcher.note)
        run.recorder = Recorder(folder, seeds, run.parts.action_codec, tracker=tracker, resume=sizes, seconds=seconds)
        self._debug()

    def _debug(self) -> None:
        """Look inside the agent from here on, if that is asked for."""
        run = self.now
        if self.recipe.debug_every:
            self._inside = run.inside = Debug(run)
            if run.state.debug is not None:
                self._inside.load_state_dict(run.state.debug)

    def run(self, interrupts: Interrupts | None = None) -> dict[str, Any]:
        """Train until a stop rule or an interrupt, then save, evaluate, summarise and draw.

        Args:
            interrupts: already listening, where the caller cannot wait for this method to do so.

        Returns:
            What summary.json holds.

        Raises:
            Interrupted: a signal came; everything was saved.
            EnvError, AgentError: somebody else's code failed; what there is was saved.
            RlbenchError: the card failed, or its memory ran out; the newest checkpoint stays as it is.
            RunFolderError: the disk is full, or the folder cannot be written any more.
        """
        run, ended = self.now, None
        try:
            with contextlib.nullcontext(interrupts) if interrupts else Interrupts() as interrupts:
                run.interrupts = interrupts
                try:
                    with agent_code(self.recipe.agent):
                        self._loop(interrupts)
                        ended = run.summary = finish(run, self.evaluations)
                except Exception as e:
                    if said := card_failure(e):
                        raise without_card(run, said) from e
                    if isinstance(e, EnvError | AgentError):
                        raise rescued(run, e) from e
                    raise
                except KeyboardInterrupt:
                    if interrupts.signal or not saved_before_step(run):  # the user insists, or there is no telling
                        raise
                    interrupts.take()
                    ended = run.summary = finish(run, self.evaluations)
                except SystemExit as e:  # of code that an agent called; it would end the program without a word
                    raise rescued(run, AgentError(f"something called sys.exit({e.code!r})")) from e
            if run.alone:
                run.recorder.flush()
                draw(run.folder, self.watcher)
        except OSError as e:
            raise disk_error(e, run.folder) from e
        finally:
            run.recorder.close(ended)
            run.close()
        self.watcher.done(run)
        interrupts.raise_if_any(whole_run(run.folder), self.recipe)
        return run.summary

    def close(self) -> None:
        """Let go of a run that does not begin."""
        self.now.close()

    def _loop(self, interrupts: Interrupts) -> None:
        try:
            with set_apart():
                self._train(interrupts)
        except Paused:
            self.now.save()

    def _train(self, interrupts: Interrupts) -> None:
        r, run, state, inside = self.recipe, self.now, self.now.state, self._inside
        if state.pending:  # it stopped before all was done that was due at its step
            self._reach(*state.pending)
            run.save()
        if state.env_steps >= r.total_steps or not run.envs.running:
            return  # a resumed run that had come to its end
        began, aside, ticked, due = time.perf_counter() - state.train_seconds, 0.0, 0.0, False
        run.pace.begin()
        busy = self._next_due()
        for step in self._steps():
            before = state.env_steps
            state.env_steps += r.num_envs
            if inside is not None:
                inside.step(step.transition)
            if step.metrics:
                state.metrics = step.metrics
                state.learned.add(step.metrics)
            saves = due and run.pace.affords(state.env_steps)
            calm = state.env_steps < busy and not (saves or run.envs.broken or interrupts.signal)
            if calm and not step.finished and time.perf_counter() - ticked <= TICK_SECONDS:
                continue  # as most steps are: there is nothing to record and nothing to do
            due = due or state.due(r.checkpoint_every, before) or run.pace.due(r.checkpoint_minutes)
            calm = calm and not (due and run.pace.affords(state.env_steps))
            finished = step.finished if calm else [*step.finished, *run.envs.drain()]
            self._record(finished, before)
            paused = time.perf_counter()
            last = state.env_steps >= r.total_steps
            state.train_seconds = paused - began - aside
            if inside is not None and state.due(r.debug_every, before):
                inside.look()
            self._reach(before, bool(finished))
            if due and not (last or calm) and run.pace.affords(state.env_steps):
                check_numbers(run)  # a checkpoint is something to go on from
                run.save()
                due = False
            if paused - ticked > TICK_SECONDS:
                run.recorder.flush_if_due()
                self.watcher.tick(run)
                ticked = paused
            aside += time.perf_counter() - paused
            if interrupts.signal or last:
                break
            if state.env_steps >= busy:
                busy = self._next_due()
        self._record(run.envs.drain(), state.env_steps)  # a signal may have come in the middle of a page
        run.save()

    def _steps(self) -> Iterator[Step]:
        """The loop. Seeds that stop drop out of it, and the others go on as if nothing had happened."""
        run, obs = self.now, self._obs
        while run.envs.running:
            if run.to_narrow:
                leave_out(run)
            for step in steps_of(run.agent, run.envs, obs=obs, asked=run.envs.asked):
                yield step
                if run.to_narrow:
                    break
            obs = run.envs.obs

    def _next_due(self) -> int:
        """The env steps, beyond today's, at which something is due first."""
        r, at = self.recipe, self.now.env_steps
        every = (r.log_every, r.eval_every, r.video_every, r.checkpoint_every, r.debug_every)
        return min([r.total_steps, *((at // n + 1) * n for n in every if n)])

    def _reach(self, before: int, finished: bool) -> None:
        """Do what is due at this step. Where that fails or is cut off, a resumed run does it again."""
        state = self.now.state
        state.pending = (before, finished)
        reach(self.now, self.evaluations, before, finished=finished, last=state.env_steps >= self.recipe.total_steps)
        state.pending = None

    def _keep_up(self) -> None:
        """In the middle of a long evaluation: write a checkpoint that goes on with it, if there is none."""
        run = self.now
        if run.state.pending and run.saved_at != run.env_steps and run.pace.affords(run.env_steps):
            run.save()

    def _record(self, finished: list[Episode], before: int) -> None:
        run, at = self.now, self.now.env_steps
        for episode in finished:
            then = at - episode.late * self.recipe.num_envs
            run.recorder.episode(episode, then)
            run.scores.episode(episode, then)
            if episode.episode_length == run.parts.maker.limit and not self._told_limit:
                self._told_limit = True
                for note in run.parts.maker.notes:
                    self.watcher.note(note)
        if run.state.due(self.recipe.log_every, before):
            check_metrics(run)
            returns = run.scores.recent_means()
            run.recorder.progress(at, run.agent.updates, run.learned(), returns, run.state.training)
