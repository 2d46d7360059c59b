"""What a run knows of itself between two steps: what its checkpoint keeps of it, and a resume brings back.

Weights, buffers, random streams and environments keep what is theirs: `underway` puts all of it into a checkpoint, and
`restore` brings all of it back.
"""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..recipe.eval_cost import Cost
from ..record.scoreboard import Scoreboard
from .learned import Learned


@dataclass
class RunState:
    """Where a run stands.

    Attributes:
        scores: what is known of the seeds.
        env_steps: per seed, so far.
        train_seconds: time spent in the loop, without evaluations and checkpoints.
        metrics: of the newest update.
        learned: of all updates since they were last written down.
        best: agent state, of each seed at its best evaluation.
        ended: agent state, of each seed that has stopped when it did.
        evaluated_at: env steps of the newest evaluation; -1 before the first.
        cost: of all evaluations so far.
        pending: where all that was due at this step is not done yet: env steps before it, and whether an episode ended.
        debug: what looks inside the agent had seen and told when the run was resumed; None where there were none.
        inexact: env steps at which a resumed run did not go on exactly where it had stopped.
    """

    scores: Scoreboard
    env_steps: int = 0
    train_seconds: float = 0.0
    metrics: dict[str, Tensor] = field(default_factory=dict)
    learned: Learned = field(default_factory=Learned)
    best: dict[str, Any] | None = None
    ended: dict[str, Any] | None = None
    evaluated_at: int = -1
    cost: Cost = field(default_factory=Cost)
    pending: tuple[int, bool] | None = None
    debug: dict[str, Any] | None = None
    inexact: list[int] = field(default_factory=list)

    @property
    def training(self) -> list[int]:
        """Positions of the seeds that have not stopped."""
        return [s for s, why in enumerate(self.scores.stopped) if why is None]

    def due(self, every: int, before: int) -> bool:
        """Whether a multiple of ``every`` env steps was reached by the last step, which began at ``before``."""
        return every > 0 and self.env_steps // every > before // every

    def capture(self) -> dict[str, Any]:
        """For a checkpoint, which tells the env steps itself."""
        return {
            "pending": self.pending,
            "scores": self.scores.state_dict(),
            "best": self.best,
            "stopped": self.ended,
            "evaluated_at": self.evaluated_at,
            "inexact": self.inexact,
            "metrics": dict(self.metrics),
            "learned": self.learned.state_dict(),
            "train_seconds": self.train_seconds,
            "eval_cost": list(self.cost),
            "debug": self.debug,
        }

    def restore(self, env_steps: int, content: dict[str, Any]) -> None:
        """Take over what `capture` gave at ``env_steps``. Earlier versions kept less, and the rest is unknown."""
        self.env_steps, self.train_seconds = env_steps, content["train_seconds"]
        self.scores.load_state_dict(content["scores"])
        self.best, self.ended = content["best"], content["stopped"]
        self.evaluated_at = content["evaluated_at"]
        self.cost = Cost(*content.get("eval_cost", ()))
        self.metrics = dict(content.get("metrics", {}))
        self.learned.load_state_dict(content.get("learned", {}))
        pending = content.get("pending")
        self.pending = (int(pending[0]), bool(pending[1])) if pending else None
        self.debug = content.get("debug")
        self.inexact = list(content["inexact"])
