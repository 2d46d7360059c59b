"""One run under way: the loop with its record, evaluations, checkpoints and stop rules."""

import contextlib
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from . import clips
from .build import build, make_envs
from .errors import AgentError, RlbenchError
from .evaluation import Evaluator
from .faults import broken_seeds
from .finish import draw, finish
from .interrupt import Interrupts
from .keeper import Keeper, Kept, Pace
from .recipe import Recipe
from .record import Recorder, disk_error, write_recipe
from .runner import Step, run
from .scores import Scores
from .standing import content_of, stand, training_of
from .tracking import check_trackers, open_tracker
from .trees import merge, snapshot
from .watcher import Watcher

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
        self.evaluator = Evaluator(self.parts.maker, recipe.seed_numbers, self.parts.device)
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
        self.inexact: list[int] = []
        self.pace = Pace()

    def start(self, folder: Path) -> None:
        """Begin a new run in ``folder``."""
        self.folder, self.keeper = folder, Keeper(folder, self.recipe.keep_checkpoints)
        tracker = open_tracker(self.recipe, folder, note=self.watcher.note)
        self.recorder = Recorder(folder, self.recipe.seed_numbers, self.parts.action_codec, tracker=tracker)
        for note in self.parts.notes:
            self.watcher.note(note)

    def restore(self, folder: Path, kept: Kept) -> None:
        """Stand where the checkpoint ``kept`` of ``folder`` was written.

        Raises:
            CheckpointError: its content does not fit the agent or the environment.
        """
        self.folder, self.keeper = folder, Keeper(folder, self.recipe.keep_checkpoints)
        self.keeper.found(kept)
        for note in kept.notes:
            self.watcher.note(note)
        write_recipe(folder, self.recipe)
        for leftover in folder.glob(".*.pth.*.tmp"):  # of a save that was cut off
            leftover.unlink(missing_ok=True)
        sizes, seconds = stand(self, kept)
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
            RunFolderError: the disk is full, or the folder cannot be written any more.
        """
        ended: dict[str, Any] | None = None
        try:
            with contextlib.nullcontext(interrupts) if interrupts else Interrupts() as interrupts:
                self._loop(interrupts)
            ended = self.summary = finish(self, interrupted=bool(interrupts.signal))
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
        interrupts.raise_if_any(self.folder, self.recipe)
        return self.summary

    def _loop(self, interrupts: Interrupts) -> None:
        r = self.recipe
        if self.env_steps >= r.total_steps or not self.envs.running:
            return  # a resumed run that had come to its end
        began, aside, ticked, due = time.perf_counter() - self.train_seconds, 0.0, 0.0, False
        self.pace.begin()
        for step in run(self.agent, self.envs, obs=self.obs):
            before = self.env_steps
            self.env_steps += r.num_envs
            self._record(step, before)
            paused = time.perf_counter()
            last = self.env_steps >= r.total_steps
            if self._due(r.eval_every, before) or (last and self.evaluated_at != self.env_steps):
                self._evaluate()
            if self._due(r.video_every, before):
                self._film()
            if step.finished or self.evaluated_at == self.env_steps:
                self._stop_rules()
            if self.envs.broken or self._due(r.log_every, before):
                self._check_numbers()
            self.train_seconds = paused - began - aside
            due = due or self._due(r.checkpoint_every, before) or self.pace.seconds > 60 * r.checkpoint_minutes > 0
            if due and not last and self.pace.affords(self.env_steps, SAVE_SHARE):
                self._check_numbers()  # a checkpoint is something to go on from
                self.save()
                due = False
            if paused - ticked > TICK_SECONDS:
                self.recorder.flush_if_due()
                self.watcher.tick(self)
                ticked = paused
            aside += time.perf_counter() - paused
            if interrupts.signal or last:
                break
        self.save()

    def _due(self, every: int, before: int) -> bool:
        return every > 0 and self.env_steps // every > before // every

    def _record(self, step: Step, before: int) -> None:
        for episode in step.finished:
            self.recorder.episode(episode, self.env_steps)
            self.scores.episode(episode, self.env_steps)
            if episode.episode_length == self.parts.maker.limit and not self._told_limit:
                self._told_limit = True
                for note in self.parts.maker.notes:
                    self.watcher.note(note)
        if step.metrics:
            self.metrics = step.metrics
        if self._due(self.recipe.log_every, before):
            self._check_metrics()
            returns = self.scores.recent_means()
            numbers = self.numbers if self.metrics else {}
            self.recorder.progress(self.env_steps, self.agent.updates, numbers, returns, self.training)

    @property
    def numbers(self) -> dict[str, list[float]]:
        """The newest metrics, and what the agent says of itself, one number for each seed."""
        shape = (self.recipe.seeds,)
        known = {**self.agent.diagnostics(), **self.metrics}
        return {name: x.tolist() for name, x in known.items() if isinstance(x, Tensor) and tuple(x.shape) == shape}

    def _film(self) -> None:
        """Film an episode of the seed that did best in an evaluation so far; a film that fails spoils no run."""
        if self.clips is None:
            return
        best = max(self.training, key=lambda s: self.scores.best[s])  # -inf before its first evaluation
        try:
            path, title = self.clips.film(self.agent, best, self.env_steps, self.folder)
        except RlbenchError as e:
            self.watcher.note(f"{e} No more films are made.")
            self.clips.close()
            self.clips = None
            return
        self.recorder.tracker.video(path, title, self.env_steps)

    def _show(self) -> None:
        """Give the tracker histograms of what the agent shows of itself."""
        found = {name: x.cpu().numpy() for name, x in self.agent.diagnostics().items() if x.ndim > 1}
        seeds = self.recipe.seed_numbers
        named = {f"learning/{name}": {seeds[s]: x[s].ravel() for s in self.training} for name, x in found.items()}
        self.recorder.tracker.histograms(named, self.env_steps)

    def _check_metrics(self) -> None:
        for name, value in self.metrics.items():
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            if shape != (self.recipe.seeds,):
                raise AgentError(
                    f"{self.recipe.agent}: update gave a metric {name!r} of shape {shape}, expected one number for "
                    f"each seed: a Tensor of shape ({self.recipe.seeds},)."
                )

    def _evaluate(self, only: list[bool] | None = None) -> None:
        """A greedy evaluation of the seeds that still train (or ``only`` some); keeps each seed's best weights."""
        playing = only or [why is None for why in self.scores.stopped]
        skip = [s for s, plays in enumerate(playing) if not plays]
        returns, lengths = self.evaluator(self.agent, self.recipe.eval_episodes, round=self.env_steps, skip=skip)
        self.recorder.evaluation(self.env_steps, returns, lengths)
        self._show()
        improved = self.scores.evaluation(returns.mean(1), self.env_steps)
        if any(improved):
            state = snapshot(self.agent.state_dict())
            self.best = state if self.best is None else merge(state, self.best, improved)
        if only is None:
            self.evaluated_at = self.env_steps
        self.watcher.evaluated(self)

    def _stop_rules(self) -> None:
        """Stop the seeds that have solved the environment, if asked, or had all their episodes."""
        r, reasons = self.recipe, {}
        for s in self.training:
            if r.stop_when_solved and self.scores.solved[s] is not None:
                reasons[s] = "solved"
            elif 0 < r.max_episodes <= self.scores.episodes[s]:
                reasons[s] = "max_episodes"
        if reasons and self.evaluated_at != self.env_steps:
            self._evaluate(only=[s in reasons for s in range(r.seeds)])
        self._stop(reasons)

    def _stop(self, reasons: dict[int, str]) -> None:
        """Train no more the seeds at these positions; their weights stay as they are now."""
        if not reasons:
            return
        for s, why in reasons.items():
            self.scores.stop(s, why, self.env_steps)
            self.envs.stop(s)
        state = snapshot(self.agent.state_dict())
        stopping = [s in reasons for s in range(self.recipe.seeds)]
        self.ended = state if self.ended is None else merge(state, self.ended, stopping)

    @property
    def training(self) -> list[int]:
        """Positions of the seeds that have not stopped."""
        return [s for s, why in enumerate(self.scores.stopped) if why is None]

    def _check_numbers(self) -> None:
        """Deal with seeds whose numbers are not finite any more, as ``on_nan`` says.

        Raises:
            AgentError: a loss is not finite, and that is to stop the run.
        """
        self._check_metrics()
        self._stop(dict.fromkeys(broken_seeds(self), "not finite"))

    def agent_state(self) -> dict[str, Any]:
        """A snapshot of the agent, with the seeds that have stopped as they were then; what is shared is of now."""
        state: dict[str, Any] = snapshot(self.agent.state_dict())
        if self.ended is not None:
            state = merge(state, self.ended, [why is None for why in self.scores.stopped])
        return state

    def save(self) -> None:
        """Write replay.pth, checkpoint.pth and best.pth."""
        with self.pace.saving(self.env_steps):
            replay = None if self.agent.replay is None else self.agent.replay.state_dict()
            best = None if self.best is None else content_of(self, self.best)
            more = {"training": training_of(self), "has_replay": replay is not None}
            self.keeper.save({**content_of(self, self.agent_state()), **more}, replay, best)
