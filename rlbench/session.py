"""One run under way: the loop with its record, evaluations, checkpoints and stop rules."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from . import checkpoint
from .build import build, make_envs
from .errors import AgentError, CheckpointError, RlbenchError, first_line
from .evaluation import Evaluator
from .interrupt import Interrupts
from .recipe import Recipe
from .record import Recorder, disk_error, write_json, write_recipe
from .runner import Step, run
from .scores import Scores
from .summary import summarise
from .trees import merge, snapshot
from .watcher import Watcher

NEXT_REPLAY = "replay.next.pth"  # while a checkpoint is being written
FINAL_ROUND = 0  # evaluation episodes of the final figures; rounds during training are env steps, and never 0
TICK_SECONDS = 0.2  # between calls of the watcher


class Session:
    """A run: `start` or `restore` it, then `run` it.

    Attributes:
        recipe: what is run.
        scores: what is known of the seeds.
        env_steps: per seed, so far.
        train_seconds: time spent in the loop, without evaluations and checkpoints.
        metrics: of the newest update.
        summary: once the run has ended, what summary.json holds.
    """

    folder: Path
    recorder: Recorder
    summary: dict[str, Any]

    def __init__(self, recipe: Recipe, watcher: Watcher, *, draws: bool = True) -> None:
        self.recipe, self.watcher, self.draws = recipe, watcher, draws
        self.parts = build(recipe, recipe.seed_numbers, recipe.device)
        self.agent = self.parts.agent
        self.envs = make_envs(self.parts, recipe)
        self.evaluator = Evaluator(self.parts.maker, recipe.seed_numbers, self.parts.device)
        solved_at = self.parts.maker.reward_threshold if recipe.solved_at is None else recipe.solved_at
        self.scores = Scores(recipe.seed_numbers, solved_at, recipe.solved_by)
        self.env_steps = 0
        self.train_seconds = 0.0
        self.metrics: dict[str, Tensor] = {}
        self._obs: Tensor | None = None
        self._best: dict[str, Any] | None = None  # agent state, of each seed at its best evaluation
        self._stopped: dict[str, Any] | None = None  # agent state, of each stopped seed when it stopped
        self._evaluated_at = -1  # env steps
        self._told_limit = False

    def start(self, folder: Path) -> None:
        """Begin a new run in ``folder``."""
        self.folder = folder
        self.recorder = Recorder(folder, self.recipe.seed_numbers, self.parts.action_codec)
        for note in self.parts.notes:
            self.watcher.note(note)

    def restore(self, folder: Path, content: dict[str, Any]) -> None:
        """Stand where the checkpoint ``content`` of ``folder`` was written.

        Raises:
            CheckpointError: its content does not fit the agent or the environment.
        """
        self.folder, state = folder, content["training"]
        write_recipe(folder, self.recipe)
        for leftover in folder.glob(".*.pth.*.tmp"):  # of a save that was cut off
            leftover.unlink(missing_ok=True)
        self.env_steps, self.train_seconds = content["env_steps"], state["train_seconds"]
        try:
            self.agent.load_state_dict(content["agent"])
            self.parts.streams.load_state_dict(state["streams"])
            self.scores.load_state_dict(state["scores"])
            self._best, self._stopped = state["best"], state["stopped"]
            self._evaluated_at = state["evaluated_at"]
            self._restore_replay()
            self._obs, strayed = self.envs.load_state_dict(state["envs"])
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as e:
            raise CheckpointError(
                f"{folder / 'checkpoint.pth'} does not fit its agent or environment: {first_line(e)}"
            ) from e
        if strayed:
            self.watcher.note(
                f"{self.recipe.env} did not come back to where it stood: it is not deterministic given its seed. "
                f"{len(strayed)} episodes start anew, so this resume is not exact."
            )
        (folder / "summary.json").unlink(missing_ok=True)  # of a run that has not ended
        self.recorder = Recorder(
            folder,
            self.recipe.seed_numbers,
            self.parts.action_codec,
            resume=state["sizes"],
            env_steps=self.env_steps,
            seconds=state["wall_seconds"],
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
        try:
            with contextlib.nullcontext(interrupts) if interrupts else Interrupts() as interrupts:
                self._loop(interrupts)
            summary = self._finish(interrupts)
            if self.draws:
                self.recorder.flush()
                self.draw(self.folder, self.watcher)
        except OSError as e:
            raise disk_error(e, self.folder) from e
        finally:
            self.recorder.close()
            self.envs.close()
            self.evaluator.close()
        self.watcher.done(self)
        interrupts.raise_if_any(self.folder, self.recipe)
        return summary

    def _loop(self, interrupts: Interrupts) -> None:
        r = self.recipe
        if self.env_steps >= r.total_steps or not self.envs.running:
            return  # a resumed run that had come to its end
        began, aside, ticked = time.perf_counter() - self.train_seconds, 0.0, 0.0
        for step in run(self.agent, self.envs, obs=self._obs):
            before = self.env_steps
            self.env_steps += r.num_envs
            self._record(step, before)
            paused = time.perf_counter()
            last = self.env_steps >= r.total_steps
            if self._due(r.eval_every, before) or (last and self._evaluated_at != self.env_steps):
                self._evaluate()
            if step.finished or self._evaluated_at == self.env_steps:
                self._stop_rules()
            self.train_seconds = paused - began - aside
            if self._due(r.checkpoint_every, before) and not last:
                self.save()
            if paused - ticked > TICK_SECONDS:
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
            training = [s for s, why in enumerate(self.scores.stopped) if why is None]
            self._check_metrics()
            returns = self.scores.recent_means()
            self.recorder.progress(self.env_steps, self.agent.updates, self.metrics, returns, training)

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
        improved = self.scores.evaluation(returns.mean(1), self.env_steps)
        if any(improved):
            state = snapshot(self.agent.state_dict())
            self._best = state if self._best is None else merge(state, self._best, improved)
        if only is None:
            self._evaluated_at = self.env_steps
        self.watcher.evaluated(self)

    def _stop_rules(self) -> None:
        """Stop the seeds that have solved the environment, if asked, or had all their episodes."""
        r, stopping = self.recipe, [False] * self.recipe.seeds
        for s in range(r.seeds):
            solved = r.stop_when_solved and self.scores.solved[s] is not None
            spent = 0 < r.max_episodes <= self.scores.episodes[s]
            if self.scores.stopped[s] is None and (solved or spent):
                self.scores.stop(s, "solved" if solved else "max_episodes", self.env_steps)
                stopping[s] = True
        if not any(stopping):
            return
        if self._evaluated_at != self.env_steps:
            self._evaluate(only=stopping)
        for s, stops in enumerate(stopping):
            if stops:
                self.envs.stop(s)
        state = snapshot(self.agent.state_dict())
        self._stopped = state if self._stopped is None else merge(state, self._stopped, stopping)

    def _agent_state(self) -> dict[str, Any]:
        """A snapshot of the agent, with the seeds that have stopped as they were then; what is shared is of now."""
        state: dict[str, Any] = snapshot(self.agent.state_dict())
        if self._stopped is not None:
            state = merge(state, self._stopped, [why is None for why in self.scores.stopped])
        return state

    def save(self) -> None:
        """Write replay.pth, checkpoint.pth and best.pth."""
        state = {
            "streams": self.parts.streams.state_dict(),
            "envs": self.envs.state_dict(),
            "scores": self.scores.state_dict(),
            "best": self._best,
            "stopped": self._stopped,
            "evaluated_at": self._evaluated_at,
            "sizes": self.recorder.sizes(),
            "wall_seconds": self.recorder.wall_seconds,
            "train_seconds": self.train_seconds,
        }
        whole = self._content(self._agent_state(), {"training": state})
        files = [(self.folder / "checkpoint.pth", "checkpoint", whole)]
        if self.agent.replay is not None:  # the old one stays until the new checkpoint is there: one of the two fits
            replay = {"env_steps": self.env_steps, "replay": self.agent.replay.state_dict()}
            files.insert(0, (self.folder / NEXT_REPLAY, "replay", replay))
        if self._best is not None:
            files.append((self.folder / "best.pth", "checkpoint", self._content(self._best, {})))
        checkpoint.save_together(files)
        if self.agent.replay is not None:
            os.replace(self.folder / NEXT_REPLAY, self.folder / "replay.pth")

    def _content(self, agent: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
        return {
            "recipe": self.recipe.content(),
            "seeds": self.recipe.seed_numbers,
            "env_steps": self.env_steps,
            "best_returns": self.scores.best,
            "agent": agent,
            **more,
        }

    def _restore_replay(self) -> None:
        if self.agent.replay is None:
            return
        following = self.folder / NEXT_REPLAY
        if following.is_file() and checkpoint.load(following, "replay")["env_steps"] == self.env_steps:
            os.replace(following, self.folder / "replay.pth")  # the run ended before it could do so itself
        content = checkpoint.load(self.folder / "replay.pth", "replay")
        self.agent.replay.load_state_dict(content["replay"])
        if content["env_steps"] != self.env_steps:
            self.watcher.note(
                f"replay.pth is of step {content['env_steps']:,} and checkpoint.pth of step {self.env_steps:,}: "
                "this resume is not exact."
            )

    def _finish(self, interrupts: Interrupts) -> dict[str, Any]:
        """Evaluate the final and the best weights on fresh episodes, and write summary.json."""
        r, scores = self.recipe, self.scores
        if self.agent.replay is not None and not self.agent.updates:
            self.watcher.note("no update was due in so few steps: these are the weights that training began with.")
        updates = self.agent.updates  # before the best weights, of fewer updates, are put in its place
        ends = [self.env_steps if at is None else at for at in scores.stopped_at]
        final, best = np.array(scores.evaluated), np.array(scores.best)
        if r.final_eval_episodes and not interrupts.signal:
            final = best = self._final_returns(self._agent_state())
            same = [at == end for at, end in zip(scores.best_at, ends, strict=True)]
            if self._best is not None and not all(same):
                skip = [s for s, is_final in enumerate(same) if is_final]
                best = np.where(same, final, self._final_returns(self._best, skip))
        self.summary = summarise(
            r,
            scores,
            ends,
            updates=updates,
            wall_seconds=self.recorder.wall_seconds,
            train_seconds=self.train_seconds,
            final=final,
            best=best,
            interrupted=bool(interrupts.signal),
            device=str(self.parts.device),
        )
        write_json(self.folder / "summary.json", self.summary)
        return self.summary

    def _final_returns(self, state: dict[str, Any], skip: Sequence[int] = ()) -> np.ndarray:
        """Mean greedy return (S,) of the weights in ``state`` over the final figures' episodes."""
        self.agent.load_state_dict(state)
        returns, _ = self.evaluator(self.agent, self.recipe.final_eval_episodes, round=FINAL_ROUND, skip=skip)
        return np.asarray(returns.mean(1))

    @staticmethod
    def draw(folder: Path, watcher: Watcher) -> None:
        """Draw curve.png; a curve that cannot be drawn spoils no run."""
        from .plot import plot_runs  # slow to import

        try:
            plot_runs([folder], folder / "curve.png")
        except RlbenchError as e:
            watcher.note(str(e))
