"""One run under way: the loop with its record, evaluations, checkpoints and stop rules."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import AgentError, EnvError
from ..files import remove_leftovers
from ..play import clips
from ..recipe import Recipe
from ..recipe.build import build, make_envs
from ..recipe.registry import agent_code
from ..record.recorder import Recorder
from ..record.scoreboard import Scores
from ..record.watcher import Watcher
from ..rollout.evaluation import Evaluator
from ..rollout.loop import Step, run
from ..rollout.signals import Interrupts
from ..runfolder import checkpoint_file
from ..runfolder.checkpoints import Keeper, Kept, Pace
from ..runfolder.create import disk_error, write_recipe
from ..runfolder.layout import whole_run
from ..track.open import check_trackers, open_tracker
from .finish import draw, finish
from .milestones import check_metrics, check_numbers, diagnostics, merged, reach, snapshot_of
from .narrow import leave_out
from .rescue import rescued, saved_before_step
from .standing import content_of, stand, training_of
from .trials import Paused, Trials

TICK_SECONDS = 0.2  # between calls of the watcher
SAVE_SHARE = 0.02  # of the time, at most, goes into checkpoints; one that is due waits until it may cost so much


class Session:
    """A run: `start` or `restore` it, then `run` it.

    Attributes:
        recipe: what is run.
        scores: what is known of the seeds.
        env_steps: per seed, so far.
        train_seconds: time spent in the loop, without evaluations and checkpoints.
        metrics: of the newest update.
        best: agent state, of each seed at its best evaluation.
        ended: agent state, of each seed that has stopped when it did.
        evaluated_at: env steps of the newest evaluation; -1 before the first.
        obs: what to act on next, if the run was resumed.
        pending: where all that was due at this step is not done yet: env steps before it, and whether an episode ended.
        to_narrow: whether seeds have stopped that the agent still computes, for no better reason than that nobody has
            seen to it yet.
        undivided: whether the agent computes all seeds to the end, since its state cannot be taken apart.
        inexact: env steps at which a resumed run did not go on exactly where it had stopped.
        summary: once the run has ended, what summary.json holds.
    """

    folder: Path
    recorder: Recorder
    summary: dict[str, Any]

    def __init__(self, recipe: Recipe, watcher: Watcher, *, draws: bool = True) -> None:
        check_trackers(recipe.track)
        self.recipe, self.watcher, self.draws = recipe, watcher, draws
        # The processes of a fleet have looked at the memory together.
        self.parts = build(recipe, recipe.seed_numbers, recipe.device, train=recipe.seeds if draws else 0)
        self.agent = self.parts.agent
        self.envs = make_envs(self.parts, recipe)
        going_on = recipe.on_nan == "skip-seed"
        self.evaluator = Evaluator(self.parts.maker, recipe.seed_numbers, self.parts.device, keep_going=going_on)
        self.trials = Trials(self)
        seeds = recipe.seed_numbers
        self.clips = clips.Clips(self.parts.maker, seeds, self.parts.device) if recipe.video_every else None
        solved_at = self.parts.maker.reward_threshold if recipe.solved_at is None else recipe.solved_at
        self.scores = Scores(recipe.seed_numbers, solved_at, recipe.solved_by)
        self.env_steps = 0
        self.train_seconds = 0.0
        self.metrics: dict[str, Tensor] = {}
        self.obs: Tensor | None = None
        self.best: dict[str, Any] | None = None
        self.ended: dict[str, Any] | None = None
        self.evaluated_at = -1
        self._told_limit = False
        self.to_narrow = self.undivided = False
        self.inexact: list[int] = []
        self.pending: tuple[int, bool] | None = None
        self.pace = Pace()
        self._saved_at = -1
        self._interrupts: Interrupts | None = None

    def start(self, folder: Path) -> None:
        """Begin a new run in ``folder``."""
        self.folder, self.keeper = folder, Keeper(folder, self.recipe.keep_checkpoints)
        checkpoint_file.check_plain(self.agent.state_dict(), "checkpoint.agent")  # now, and not after an hour
        tracker = open_tracker(self.recipe, folder, note=self.watcher.note)
        self.recorder = Recorder(folder, self.recipe.seed_numbers, self.parts.action_codec, tracker=tracker)
        for note in self.parts.notes:
            self.watcher.note(note)

    def restore(self, folder: Path, kept: Kept, agreed: Callable[[], object] = lambda: None) -> None:
        """Stand where the checkpoint ``kept`` of ``folder`` was written.

        Args:
            folder: the run folder.
            kept: from `keeper.newest`.
            agreed: called when that has succeeded, before anything in the folder changes; may raise to have it stay.

        Raises:
            CheckpointError: its content does not fit the agent or the environment.
        """
        self.folder, self.keeper = folder, Keeper(folder, self.recipe.keep_checkpoints)
        self.keeper.found(kept)
        for note in kept.notes:
            self.watcher.note(note)
        sizes, seconds = stand(self, kept)
        agreed()
        remove_leftovers(folder)
        write_recipe(folder, self.recipe)
        self.to_narrow = any(self.scores.stopped)
        (folder / "summary.json").unlink(missing_ok=True)  # of a run that has not ended
        if self.clips:  # of several processes one makes the films, and they stand at different steps
            clips.cut_back(folder, self.env_steps)
        self.recorder = Recorder(
            folder,
            self.recipe.seed_numbers,
            self.parts.action_codec,
            tracker=open_tracker(self.recipe, folder, sizes, self.env_steps, self.watcher.note),
            resume=sizes,
            seconds=seconds,
        )

    def run(self, interrupts: Interrupts | None = None) -> dict[str, Any]:
        """Train until a stop rule or an interrupt, then save, evaluate, summarise and draw.

        Args:
            interrupts: already listening, where the caller cannot wait for this method to do so.

        Returns:
            What summary.json holds.

        Raises:
            Interrupted: a signal came; everything was saved.
            EnvError, AgentError: somebody else's code failed; what there is was saved.
            RunFolderError: the disk is full, or the folder cannot be written any more.
        """
        ended: dict[str, Any] | None = None
        try:
            with contextlib.nullcontext(interrupts) if interrupts else Interrupts() as interrupts:
                self._interrupts = interrupts
                try:
                    with agent_code(self.recipe.agent):
                        self._loop(interrupts)
                        ended = self.summary = finish(self)
                except (EnvError, AgentError) as e:
                    raise rescued(self, e) from e
                except KeyboardInterrupt:
                    if interrupts.signal or not saved_before_step(self):  # the user insists, or there is no telling
                        raise
                    interrupts.take()
                    ended = self.summary = finish(self)
                except SystemExit as e:  # of code that an agent called; it would end the program without a word
                    raise rescued(self, AgentError(f"something called sys.exit({e.code!r})")) from e
            if self.draws:
                self.recorder.flush()
                draw(self.folder, self.watcher)
        except OSError as e:
            raise disk_error(e, self.folder) from e
        finally:
            self.recorder.close(ended)
            self.envs.close()
            self.evaluator.close()
            if self.clips:
                self.clips.close()
        self.watcher.done(self)
        interrupts.raise_if_any(whole_run(self.folder), self.recipe)
        return self.summary

    def _loop(self, interrupts: Interrupts) -> None:
        try:
            self._train(interrupts)
        except Paused:
            self.save()

    def _train(self, interrupts: Interrupts) -> None:
        r = self.recipe
        if self.pending:  # it stopped before all was done that was due at its step
            self._reach(*self.pending)
            self.save()
        if self.env_steps >= r.total_steps or not self.envs.running:
            return  # a resumed run that had come to its end
        began, aside, ticked, due = time.perf_counter() - self.train_seconds, 0.0, 0.0, False
        self.pace.begin()
        busy = self._next_due()
        for step in self._steps():
            before = self.env_steps
            self.env_steps += r.num_envs
            if step.metrics:
                self.metrics = step.metrics
            idle = self.env_steps < busy and not (step.finished or due or self.envs.broken or interrupts.signal)
            if idle and time.perf_counter() - ticked <= TICK_SECONDS:
                continue  # as most steps are: there is nothing to record and nothing to do
            self._record(step, before)
            paused = time.perf_counter()
            last = self.env_steps >= r.total_steps
            self.train_seconds = paused - began - aside
            self._reach(before, bool(step.finished))
            due = due or self.due(r.checkpoint_every, before) or self.pace.seconds > 60 * r.checkpoint_minutes > 0
            if due and not last and self.pace.affords(self.env_steps, SAVE_SHARE):
                check_numbers(self)  # a checkpoint is something to go on from
                self.save()
                due = False
            if paused - ticked > TICK_SECONDS:
                self.recorder.flush_if_due()
                self.watcher.tick(self)
                ticked = paused
            aside += time.perf_counter() - paused
            if interrupts.signal or last:
                break
            busy = self._next_due()
        self.save()

    def _steps(self) -> Iterator[Step]:
        """The loop. Seeds that stop drop out of it, and the others go on as if nothing had happened."""
        obs = self.obs
        while self.envs.running:
            if self.to_narrow:
                leave_out(self)
            for step in run(self.agent, self.envs, obs=obs, action=self.envs.asked):
                yield step
                if self.to_narrow:
                    break
            obs = self.envs.obs

    def _next_due(self) -> int:
        """The env steps, beyond today's, at which something is due first."""
        r = self.recipe
        every = (r.log_every, r.eval_every, r.video_every, r.checkpoint_every)
        return min([r.total_steps, *((self.env_steps // n + 1) * n for n in every if n)])

    def _reach(self, before: int, finished: bool) -> None:
        """Do what is due at this step. Where that fails or is cut off, a resumed run does it again."""
        self.pending = (before, finished)
        reach(self, before, finished=finished, last=self.env_steps >= self.recipe.total_steps)
        self.pending = None

    def due(self, every: int, before: int) -> bool:
        """Whether a multiple of ``every`` env steps was reached by the last step, which began at ``before``."""
        return every > 0 and self.env_steps // every > before // every

    @property
    def stopping(self) -> bool:
        """Whether a signal came."""
        return bool(self._interrupts and self._interrupts.signal)

    @property
    def tick_seconds(self) -> float:
        return TICK_SECONDS

    @property
    def evaluating(self) -> str:
        """Of the evaluation under way, how far it is; empty where there is none."""
        return self.trials.text

    def keep_up(self) -> None:
        """In the middle of a long evaluation: write a checkpoint that goes on with it, if there is none."""
        if self.pending and self._saved_at != self.env_steps and self.pace.affords(self.env_steps, SAVE_SHARE):
            self.save()

    def _record(self, step: Step, before: int) -> None:
        for episode in step.finished:
            self.recorder.episode(episode, self.env_steps)
            self.scores.episode(episode, self.env_steps)
            if episode.episode_length == self.parts.maker.limit and not self._told_limit:
                self._told_limit = True
                for note in self.parts.maker.notes:
                    self.watcher.note(note)
        if self.due(self.recipe.log_every, before):
            check_metrics(self)
            returns = self.scores.recent_means()
            numbers = self.numbers if self.metrics else {}
            self.recorder.progress(self.env_steps, self.agent.updates, numbers, returns, self.training)

    @property
    def numbers(self) -> dict[str, list[float]]:
        """The newest metrics, and what the agent says of itself, one number for each seed."""
        shape = (self.recipe.seeds,)
        known = {**diagnostics(self), **self.metrics}
        return {name: x.tolist() for name, x in known.items() if isinstance(x, Tensor) and tuple(x.shape) == shape}

    @property
    def training(self) -> list[int]:
        """Positions of the seeds that have not stopped."""
        return [s for s, why in enumerate(self.scores.stopped) if why is None]

    def own_state(self) -> dict[str, Any]:
        """A snapshot of what the agent holds."""
        return snapshot_of(self)

    def agent_state(self) -> dict[str, Any]:
        """A snapshot of the agent, with the seeds that have stopped as they were then; what is shared is of now."""
        state = self.own_state()
        if self.ended is not None:
            state = merged(self, state, self.ended, [why is None for why in self.scores.stopped])
        return state

    def save(self) -> None:
        """Write replay.pth, checkpoint.pth and best.pth."""
        with self.pace.saving(self.env_steps):
            replay = None if self.agent.replay is None else self.agent.replay.state_dict()
            best = None if self.best is None else content_of(self, self.best)
            more = {"training": training_of(self), "has_replay": replay is not None}
            self.keeper.save({**content_of(self, self.agent_state()), **more}, replay, best)
        self._saved_at = self.env_steps
