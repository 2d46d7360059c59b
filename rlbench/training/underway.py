"""The parts of a run under way: its agent, environments, record and `RunState`. Whatever acts on a run is given this.

`session` drives it from step to step; `milestones`, `evaluations`, `narrow`, `rescue` and `finish` do what comes up.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from ..agent import Agent, Saveable
from ..agent_state import UnlikeError, merge, snapshot
from ..errors import AgentError
from ..play.clips import Clips
from ..recipe import Recipe
from ..recipe.build import KEEP_COPIES, build, make_envs, settled
from ..recipe.width import mkl_mode, name_of
from ..record.recorder import Recorder
from ..record.scoreboard import Scoreboard
from ..record.watcher import Watcher
from ..rollout.evaluation import Evaluator
from ..rollout.signals import Interrupts
from ..runfolder.checkpoints import Keeper, Pace
from ..seed_axis import Axes, late
from .learned import Learned
from .state import RunState


class Underway:
    """The parts of a run, as a `record.watcher.Status` for whoever looks on.

    Args:
        recipe: what is run.
        watcher: told what happens.
        alone: whether this is the whole run, and no share of one on several processes.

    Attributes:
        recipe: what is run, `settled`.
        parts: environments and agent as they were built, or the agent of fewer seeds in its place.
        state: where the run stands.
        folder: the run folder, and ``recorder`` and ``keeper`` what writes to it; once the run has begun.
        axes: what belongs to the seeds in the agent's state, as far as it is known.
        interrupts: what signals are noted in, while it is driven.
        inside: what looks inside the agent now and then, where that is asked for.
        evaluating: of an evaluation under way, how far it is; empty where there is none.
        to_narrow: whether seeds have stopped that the agent still computes, for no better reason than that nobody has
            seen to it yet.
        undivided: whether the agent computes all seeds to the end, since its state cannot be taken apart.
        saved_at: env steps of the newest checkpoint that was written; -1 before the first.
        summary: once the run has ended, what summary.json holds.
    """

    folder: Path
    recorder: Recorder
    keeper: Keeper
    summary: dict[str, Any]

    def __init__(self, recipe: Recipe, watcher: Watcher, *, alone: bool = True) -> None:
        self.watcher, self.alone = watcher, alone
        seeds = recipe.seed_numbers
        # The processes of several workers have looked at the memory together.
        self.parts = build(recipe, seeds, recipe.device, train=recipe.seeds if alone else 0)
        maker, device = self.parts.maker, self.parts.device
        self.recipe = recipe = settled(recipe, maker, on_card=device.type == "cuda")
        self.envs = make_envs(self.parts, recipe)
        self.evaluator = Evaluator(maker, seeds, device, keep_going=recipe.on_nan == "skip-seed")
        self.clips = Clips(maker, seeds, device) if recipe.video_every else None
        solved_at = maker.reward_threshold if recipe.solved_at is None else recipe.solved_at
        learned = Learned(lasting=recipe.agent in KEEP_COPIES)
        self.state = RunState(Scoreboard(seeds, solved_at, recipe.solved_by), learned=learned)
        self.axes: Axes = None
        self.inside: Saveable | None = None
        self.interrupts: Interrupts | None = None
        self.evaluating = ""
        self.to_narrow = self.undivided = False
        self.pace = Pace()
        self.saved_at = -1

    @property
    def agent(self) -> Agent:
        return self.parts.agent

    @property
    def scores(self) -> Scoreboard:
        return self.state.scores

    @property
    def env_steps(self) -> int:
        return self.state.env_steps

    @property
    def train_seconds(self) -> float:
        return self.state.train_seconds

    @property
    def numbers(self) -> dict[str, list[float]]:
        """The newest metrics, and what the agent says of itself, one number for each seed."""
        return self._of_seeds({**self.diagnostics(), **self.state.metrics})

    def learned(self) -> dict[str, list[float]]:
        """To be written down: means of the metrics since the last time, and what the agent says of itself now.

        {} where there was no update since. Afterwards the next ones begin.
        """
        learned = self.state.learned
        if not learned:
            return {}
        means = learned.means()
        learned.clear()
        return self._of_seeds({**self.diagnostics(), **means})

    def _of_seeds(self, known: dict[str, Any]) -> dict[str, list[float]]:
        shape = (self.recipe.seeds,)
        return {name: x.tolist() for name, x in known.items() if isinstance(x, Tensor) and tuple(x.shape) == shape}

    @property
    def stopping(self) -> bool:
        """Whether a signal came."""
        return bool(self.interrupts and self.interrupts.signal)

    def diagnostics(self) -> dict[str, Any]:
        """What the agent says of itself: its tensors, without gradients.

        Raises:
            AgentError: it says something else than named things.
        """
        found = self.agent.diagnostics()
        if not isinstance(found, dict):
            raise AgentError(f"{self.recipe.agent}: diagnostics gave a {type(found).__name__}, expected a dict.")
        return {str(name): x.detach() for name, x in found.items() if isinstance(x, Tensor)}

    def own_state(self) -> dict[str, Any]:
        """A snapshot of what the agent holds.

        Raises:
            AgentError: its state is no dict.
        """
        state = self.agent.state_dict()
        if not isinstance(state, dict):
            raise AgentError(
                f"{self.recipe.agent}: state_dict gave a {type(state).__name__}, expected a dict of tensors, numbers, "
                "texts, lists and dicts."
            )
        return dict(snapshot(state))

    def agent_state(self) -> dict[str, Any]:
        """A snapshot of the agent, with the seeds that have stopped as they were then; what is shared is of now."""
        state = self.own_state()
        if self.state.ended is None:
            return state
        return self.merged(state, self.state.ended, [why is None for why in self.scores.stopped])

    def merged(self, new: dict[str, Any], old: dict[str, Any] | None, mask: list[bool]) -> dict[str, Any]:
        """The agent's state ``new`` for the seeds in ``mask``, and ``old`` for the others; ``new`` where there is none.

        Raises:
            AgentError: the agent's state has changed its shape.
        """
        if old is None:
            return new
        try:
            return dict(merge(new, old, mask, self.axes))
        except UnlikeError as e:
            raise AgentError(
                f"{self.recipe.agent}: in its state_dict {e}. Shapes are to stay the same: pad to a fixed length."
            ) from e

    def save(self) -> None:
        """Write replay.pth, checkpoint.pth and best.pth."""
        with self.pace.saving(self.env_steps):
            replay = None if self.agent.replay is None else self.agent.replay.state_dict()
            best = None if self.state.best is None else self._played(self.state.best)
            more = {"training": self._trained(), "has_replay": replay is not None}
            state = self.agent_state()
            self.keeper.save({**self._played(state), **more}, replay, best)
            self.watcher.saved(self)
        if self.saved_at < 0 and self.axes is not None:
            self._tell_late(late(state, self.axes, self.recipe.seeds))
        self.saved_at = self.env_steps

    def _tell_late(self, found: list[str]) -> None:
        """Say of what came into being while it trained that it will be taken for what all seeds share."""
        if found:
            more = f", and {len(found) - 1} more like it" if len(found) > 1 else ""
            self.watcher.note(
                f"{self.recipe.agent}: {found[0]} came into being while it trained, and has no seed axis{more}: it is "
                "taken to belong to all seeds. Wrap it in rlbench.Shared(value) if it does, else give it a leading "
                "axis of them."
            )

    def _played(self, agent: dict[str, Any]) -> dict[str, Any]:
        """What a checkpoint needs to be played: the recipe, the seeds and the ``agent``'s state."""
        return {
            "recipe": self.recipe.content(),
            "seeds": self.recipe.seed_numbers,
            "env_steps": self.env_steps,
            "best_returns": self.scores.best,
            "agent": agent,
            "axes": self.axes,
        }

    def _trained(self) -> dict[str, Any]:
        """What a checkpoint needs besides to be gone on with; the replay buffer has a file of its own."""
        return {
            **self.state.capture(),
            **({} if self.inside is None else {"debug": self.inside.state_dict()}),
            "streams": self.parts.streams.state_dict(),
            "envs": self.envs.state_dict(),
            "asked": None if self.envs.asked is None else [self.envs.asked[0], dict(self.envs.asked[1])],
            "mkl_mode": mkl_mode(),
            "device": name_of(self.parts.device),
            "sizes": self.recorder.sizes(),
            "wall_seconds": self.recorder.wall_seconds,
        }

    def close(self) -> None:
        """Let go of the environments."""
        self.envs.close()
        self.evaluator.close()
        if self.clips:
            self.clips.close()
